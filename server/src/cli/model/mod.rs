//! `carat model`: which models there are, and what is in them.

mod info;
mod list;
mod path;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The models that are known by name
    List(list::ListArgs),
    /// What is in a model
    Info(info::InfoArgs),
    /// Where a model's file is
    Path(path::PathArgs),
}

pub(super) fn run(args: &ModelArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Info(args) => info::run(args),
        Command::Path(args) => path::run(args),
    }
}
