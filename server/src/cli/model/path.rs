//! `carat model path`: where a model's file is.

use anyhow::Context as _;
use clap::Args;

use crate::cli::output;
use crate::models::ModelSource;

#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// Name or GGUF file of the model
    #[arg(value_name = "NAME|PATH")]
    model: String,
}

pub(super) fn run(args: &PathArgs) -> anyhow::Result<()> {
    let source = ModelSource::find(Some(&args.model))?;
    let path = source.path()?;
    let path = path
        .canonicalize()
        .with_context(|| format!("{} cannot be found", path.display()))?;
    output::print(&path.display().to_string())
}
