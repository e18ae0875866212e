//! Carat's language server and command line.
pub mod cli;
pub mod completion;
pub mod logging;
pub mod models;
pub mod prompt;
#[cfg(test)]
mod testing;
