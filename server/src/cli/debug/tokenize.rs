//! `carat debug tokenize`: the tokens of a text file.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::cli::output;

#[derive(Debug, Args)]
pub(super) struct TokenizeArgs {
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// The file with the text, in UTF-8
    #[arg(long, value_name = "FILE")]
    text_file: PathBuf,
    /// Read control tokens that are spelled in the text as control tokens
    #[arg(long)]
    parse_special: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TokenizeArgs) -> anyhow::Result<()> {
    let file = args.text_file.display();
    let text = std::fs::read_to_string(&args.text_file)
        .with_context(|| format!("{file} cannot be read; give a text file in UTF-8"))?;
    let model = super::load(args.model.as_deref())?;
    let tokenizer = model.tokenizer();
    let tokens = if args.parse_special {
        tokenizer.encode_special(&text)
    } else {
        tokenizer.encode(&text)
    };
    if args.json {
        output::print_json(&json!({ "tokens": tokens }))
    } else {
        output::print(&super::line(tokens))
    }
}
