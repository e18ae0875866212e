//! `carat model verify`: whether a model's file is what it should be.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::progress::Display;
use crate::cli::output;
use crate::models::ModelSource;
use crate::models::catalogue::Catalogue;
use crate::models::digest::Digest;
use crate::models::download::Progress;
use crate::models::store::record_of;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name or GGUF file of the model
    #[arg(value_name = "NAME|PATH")]
    model: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let catalogue = Catalogue::of_user()?;
    let source = ModelSource::find(Some(&args.model))?;
    let path = source.path()?.to_owned();
    let found = digest(&source.name(), &path)?;
    // What the file was when it was pulled; what the catalogue says of this model; any model of it.
    let recorded = record_of(&path).map(|record| record.sha256);
    let stated = match &source {
        ModelSource::Pulled { entry, .. } => entry.sha256.clone(),
        _ => None,
    };
    let known = catalogue
        .entries()
        .find(|entry| entry.sha256.as_deref() == Some(&found));
    let expected = recorded
        .or(stated)
        .or_else(|| known.and_then(|entry| entry.sha256.clone()));
    let shown = output::path(&path);
    let Some(expected) = expected else {
        bail!("nothing is known of {shown} to compare it with; its SHA-256 digest is {found}");
    };
    if found != expected {
        let name = source.name();
        bail!(
            "{shown} is damaged: its SHA-256 digest is {found}, expected {expected}; `carat model remove {name}` and `carat model pull {name}` bring a good one"
        );
    }
    if args.json {
        return output::print_json(&json!({
            "path": path,
            "sha256": found,
            "model": known.map(|entry| &entry.name),
        }));
    }
    let what = known.map_or("what was pulled".to_owned(), |entry| entry.title.clone());
    output::print(&format!("{shown} is {what}: SHA-256 {found}"))
}

fn digest(name: &str, path: &PathBuf) -> anyhow::Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let file = File::open(path).with_context(cannot)?;
    let size_bytes = file.metadata().with_context(cannot)?.len();
    let mut display = Display::new(name);
    let mut digest = Digest::default();
    let read = digest.read(&file, &mut |bytes| {
        display.show(&Progress::Received { bytes, size_bytes });
    });
    display.finish();
    read.with_context(cannot)?;
    Ok(digest.hex())
}
