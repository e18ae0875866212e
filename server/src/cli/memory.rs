//! `carat memory`: what is remembered of workspaces, and forgetting it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output;
use crate::memory::{FOLDER_VARIABLE, Store};

/// What `--help` says below the commands.
pub(super) const HELP: &str = "\
Examples:
  carat memory show          which workspaces are remembered, where, and how much of each
  carat memory clear .       forget this one; it is read again when an editor opens it
  carat memory clear --all

A workspace's memory is a copy of its source files, without those that .gitignore, .ignore or .caratignore
name, that tools wrote or that may hold secrets. It never leaves this machine.";

#[derive(Debug, Args)]
pub(super) struct MemoryArgs {
    #[command(subcommand)]
    command: MemoryCommand,
}

#[derive(Debug, Subcommand)]
enum MemoryCommand {
    /// List the workspaces that are remembered
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget a workspace, or all
    Clear {
        /// The workspace's folder
        #[arg(value_name = "DIR", required_unless_present = "all")]
        root: Option<PathBuf>,
        /// Forget all workspaces
        #[arg(long, conflicts_with = "root")]
        all: bool,
    },
}

pub(super) fn run(args: &MemoryArgs) -> anyhow::Result<()> {
    let store = Store::of_user().with_context(|| {
        format!("there is no folder to remember in; set {FOLDER_VARIABLE} to one")
    })?;
    match &args.command {
        MemoryCommand::Show { json } => show(&store, *json),
        MemoryCommand::Clear { root, .. } => clear(&store, root.as_deref()),
    }
}

fn show(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let all = store.all();
    if as_json {
        let workspaces: Vec<_> = all
            .iter()
            .map(|kept| json!({ "root": kept.root, "folder": kept.folder, "bytes": kept.bytes }))
            .collect();
        return output::print_json(&json!({ "folder": store.folder(), "workspaces": workspaces }));
    }
    if all.is_empty() {
        return output::print(&format!(
            "nothing is remembered in {}\n",
            store.folder().display()
        ));
    }
    let rows = all.iter().map(|kept| {
        let megabytes = kept.bytes as f64 / 1e6;
        format!(
            "{megabytes:>8.1} MB  {}\n              {}\n",
            kept.root.display(),
            kept.folder.display()
        )
    });
    output::print(&rows.collect::<String>())
}

fn clear(store: &Store, root: Option<&std::path::Path>) -> anyhow::Result<()> {
    let roots = match root {
        None => store.all().into_iter().map(|kept| kept.root).collect(),
        Some(root) => {
            let known = store.roots_of(root);
            if known.is_empty() {
                vec![std::path::absolute(root)?]
            } else {
                known
            }
        }
    };
    for root in &roots {
        let cleared = store
            .clear(root)
            .with_context(|| format!("{}: cannot be removed", store.of(root).display()))?;
        let what = if cleared {
            "forgotten"
        } else {
            "was not remembered"
        };
        eprintln!("{}: {what}", root.display());
    }
    Ok(())
}
