//! `carat debug logits`: the logits of the last position.

use anyhow::{Context as _, ensure};
use carat_engine::CancelToken;
use clap::Args;
use serde_json::json;

use super::InputArgs;
use crate::cli::output;

#[derive(Debug, Args)]
pub(super) struct LogitsArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Evaluate the tokens in pieces of these lengths, which add up to all of them
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    chunks: Vec<usize>,
}

pub(super) fn run(args: &LogitsArgs) -> anyhow::Result<()> {
    let mut tokens = args.input.tokens.as_slice();
    let chunks = if args.chunks.is_empty() {
        vec![tokens.len()]
    } else {
        args.chunks.clone()
    };
    let sum = chunks
        .iter()
        .try_fold(0_usize, |sum, chunk| sum.checked_add(*chunk));
    ensure!(
        sum == Some(tokens.len()) && !chunks.contains(&0),
        "the chunks do not add up to the {} tokens; give lengths above 0 whose sum is {}",
        tokens.len(),
        tokens.len()
    );
    let mut session = args.input.session(0)?;
    let mut logits = None;
    for chunk in chunks {
        let (piece, rest) = tokens.split_at(chunk);
        logits = Some(session.evaluate(piece, &CancelToken::new())?);
        tokens = rest;
    }
    let logits = logits.context("there are no tokens; give at least one")?;
    if args.input.json {
        output::print_json(&json!({ "logits": logits }))
    } else {
        output::print(&super::line(logits))
    }
}
