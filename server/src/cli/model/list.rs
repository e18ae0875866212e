//! `carat model list`: the models that are known by name.

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::models::{DEFAULT_NAME, ModelSource};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let size = ModelSource::find(None)
        .ok()
        .and_then(|source| source.size_bytes());
    if args.json {
        let model = json!({ "name": DEFAULT_NAME, "embedded": size.is_some(), "file_bytes": size });
        return output::print_json(&json!({ "models": [model] }));
    }
    let state = size.map_or("not in this build".to_owned(), |size| {
        format!("in this program, {}", output::bytes(size))
    });
    output::print(&format!(
        "{DEFAULT_NAME}  {state}\n\nAny other GGUF file of Gemma 4, Gemma 3 or CodeGemma is used by its path."
    ))
}
