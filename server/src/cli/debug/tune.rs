//! `carat debug tune`: the measurement of the processor that the server makes in the background.

use std::time::Instant;

use anyhow::bail;
use carat_engine::{CancelToken, Model, SessionOptions, Step, TokenId};
use clap::Args;

use crate::cli::output;
use crate::tuning;

/// Tokens that lead to most experts of a model.
const PROMPT: usize = 64;

#[derive(Debug, Args)]
pub(super) struct TuneArgs {
    /// Name or GGUF file of the model whose weights are read
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
}

/// Prints the choices and how long they took. Nothing is kept.
pub(super) fn run(args: &TuneArgs) -> anyhow::Result<()> {
    let model = super::load(args.model.as_deref())?;
    bring_into_memory(&model)?;
    let mut tuner = model.tuner(None);
    let begin = Instant::now();
    // What was to be read later is in memory by then.
    while tuner.step(&mut || begin.elapsed()) != Step::Done {}
    if tuner.is_given_up() {
        bail!("the model's file is not in memory: read it once, and try again");
    }
    let ms = tuner.spent().as_secs_f64() * 1000.0;
    // Behind the end, a file may say anything.
    let text = tuning::text(tuner.choices());
    output::print(&format!("{text}measured in {ms:.0} ms\n"))
}

/// Reads a prompt, as a server has when it measures.
fn bring_into_memory(model: &Model) -> anyhow::Result<()> {
    let mut session = model.new_session(&SessionOptions {
        context_tokens: PROMPT,
        ..SessionOptions::default()
    })?;
    let vocabulary = model.info().vocabulary as u32;
    let tokens: Vec<TokenId> = (0..PROMPT as u32).map(|i| i * 37 % vocabulary).collect();
    session.evaluate(&tokens, &CancelToken::new())?;
    Ok(())
}
