//! Cases for brackets.
