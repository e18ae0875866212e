//! `carat model list`: the models that are known by name.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output;
use crate::machine;
use crate::models::catalogue::{Catalogue, Entry};
use crate::models::store::{State, Store};
use crate::models::{DEFAULT_NAME, ModelSource};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let (catalogue, store) = (Catalogue::of_user()?, Store::of_user()?);
    let memory = machine::total_memory_bytes();
    let embedded = ModelSource::find(None)
        .ok()
        .and_then(|source| source.size_bytes());
    if args.json {
        let default =
            json!({ "name": DEFAULT_NAME, "embedded": embedded.is_some(), "file_bytes": embedded });
        let models: Vec<Value> = std::iter::once(default)
            .chain(
                catalogue
                    .entries()
                    .map(|entry| describe(entry, &store, memory)),
            )
            .collect();
        return output::print_json(&json!({ "folder": store.folder(), "models": models }));
    }
    let mut text = format!(
        "{:<20} {:<16} {:>9} {:>9}  {:<14} {}\n",
        "name", "alias", "file", "memory", "state", "licence"
    );
    let default = if embedded.is_some() {
        "in this program"
    } else {
        "not in this build"
    };
    text += &format!(
        "{DEFAULT_NAME:<20} {:<16} {:>9} {:>9}  {default}\n",
        "",
        embedded.map_or("?".to_owned(), output::bytes),
        ""
    );
    for entry in catalogue.entries() {
        text += &row(entry, &store, memory);
    }
    text += &format!(
        "\nModels are in {}.\nGet one with `carat model pull NAME`, use it with `--model NAME` or the setting `model`.\nAny other GGUF file of Gemma, Llama, Qwen, Phi or StarCoder is used by its path.",
        output::path(store.folder())
    );
    output::print(&text)
}

fn row(entry: &Entry, store: &Store, memory: Option<u64>) -> String {
    let state = match store.state(&entry.name) {
        State::Present { .. } => "pulled".to_owned(),
        State::Partial {
            bytes,
            size_bytes: Some(size),
        } => format!("{} % pulled", bytes * 100 / size.max(1)),
        State::Partial { .. } => "partly pulled".to_owned(),
        State::Absent if memory.is_some_and(|total| !entry.fits(total)) => {
            "too large here".to_owned()
        }
        State::Absent => "-".to_owned(),
    };
    format!(
        "{:<20} {:<16} {:>9} {:>9}  {state:<14} {}\n",
        entry.name,
        entry.aliases.first().map_or("", String::as_str),
        entry.size_bytes.map_or("?".to_owned(), output::bytes),
        output::bytes(entry.memory_bytes),
        entry.license
    )
}

fn describe(entry: &Entry, store: &Store, memory: Option<u64>) -> Value {
    let (state, bytes) = match store.state(&entry.name) {
        State::Present { bytes } => ("pulled", Some(bytes)),
        State::Partial { bytes, .. } => ("partial", Some(bytes)),
        State::Absent => ("absent", None),
    };
    json!({
        "name": entry.name,
        "aliases": entry.aliases,
        "title": entry.title,
        "page": entry.page(),
        "state": state,
        "bytes": bytes,
        "path": (state == "pulled").then(|| store.file(&entry.name)),
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "memory_bytes": entry.memory_bytes,
        "fits": memory.map(|total| entry.fits(total)),
        "license": entry.license,
        "license_url": entry.license_url,
        "prompt_form": entry.prompt_form,
    })
}
