//! Carat's language server and command line.
pub mod cli;
