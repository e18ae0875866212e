//! `carat model`: which models there are, what is in them, and how they come to this machine.

mod info;
mod list;
mod path;
mod progress;
mod pull;
mod remove;
mod verify;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::models::DEFAULT_NAME;
use crate::models::catalogue::{Catalogue, Entry};

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The models that are known by name, and which of them are here
    List(list::ListArgs),
    /// What is in a model, and what it costs
    Info(info::InfoArgs),
    /// Where a model's file is
    Path(path::PathArgs),
    /// Bring a model to this machine; the only command that uses the network
    #[command(after_help = pull::HELP)]
    Pull(pull::PullArgs),
    /// Check a model's file against the digest that is known of it
    Verify(verify::VerifyArgs),
    /// Delete a model that was pulled
    Remove(remove::RemoveArgs),
}

pub(super) fn run(args: &ModelArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Info(args) => info::run(args),
        Command::Path(args) => path::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Remove(args) => remove::run(args),
    }
}

/// The model of the catalogue that is called `name`.
fn entry<'a>(catalogue: &'a Catalogue, name: &str) -> anyhow::Result<&'a Entry> {
    if name == DEFAULT_NAME {
        bail!(
            "the model `{DEFAULT_NAME}` is part of the carat program; there is nothing to pull or remove"
        );
    }
    if let Some(entry) = catalogue.find(name) {
        return Ok(entry);
    }
    let names: Vec<_> = catalogue
        .entries()
        .map(|entry| entry.name.as_str())
        .collect();
    bail!(
        "the catalogue has no model `{name}`; it has {}",
        names.join(", ")
    )
}
