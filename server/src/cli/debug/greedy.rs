//! `carat debug greedy`: the most probable continuation.

use std::ops::ControlFlow;

use carat_engine::{CancelToken, GenerationRequest, Piece};
use clap::Args;
use serde_json::json;

use super::InputArgs;
use crate::cli::output;

#[derive(Debug, Args)]
pub(super) struct GreedyArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How many tokens
    #[arg(long, value_name = "N", default_value_t = 32)]
    n: usize,
}

pub(super) fn run(args: &GreedyArgs) -> anyhow::Result<()> {
    let mut session = args.input.session(args.n)?;
    let request = GenerationRequest {
        max_tokens: args.n,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let mut on_piece = |_: Piece<'_>| ControlFlow::Continue(());
    let summary = session.generate(
        &args.input.tokens,
        &request,
        &CancelToken::new(),
        &mut on_piece,
    )?;
    let tokens = summary.tokens;
    if args.input.json {
        output::print_json(&json!({ "tokens": tokens }))
    } else {
        output::print(&super::line(tokens))
    }
}
