//! Carat's language server and command line.
pub mod actions;
pub mod cli;
pub mod completion;
pub mod context;
pub mod documents;
pub mod echo;
pub mod engine_thread;
pub mod evaluation;
pub mod file_uri;
mod folders;
pub mod generator;
pub mod logging;
pub mod lsp;
pub mod mailbox;
mod markdown;
pub mod memory;
pub mod models;
pub mod positions;
pub mod power;
pub mod prompt;
pub mod replay;
pub mod session;
pub mod settings;
pub mod statistics;
pub mod status;
#[cfg(test)]
mod testing;
pub mod workspace;
