//! Carat's language server and command line.
pub mod cli;
pub mod completion;
pub mod prompt;
