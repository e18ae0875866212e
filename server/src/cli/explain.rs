//! `carat explain FILE:LINE[-LINE]`: prose about code, as it is written.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::code_action::act;
use super::lines::Lines;
use super::output;
use crate::actions::{Action, Outcome};

pub(super) const HELP: &str = "\
Examples:
  carat explain src/main.rs:10 --model 26b       the function around line 10
  carat explain src/main.rs:10-20 --model 26b    these lines";

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The code; a single line, with a column or without, stands for the function or type around it
    #[arg(value_name = "FILE:LINE[-LINE]")]
    lines: Lines,
    /// Name or GGUF file of the model; it must take instructions
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Print text and model as one JSON object, at the end
    #[arg(long)]
    json: bool,
    /// Print what the model is shown, on standard error
    #[arg(long)]
    show_prompt: bool,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let mut stream = output::Stream::default();
    let mut heard = |text: &str| {
        if !args.json {
            stream.write(text);
        }
    };
    let acted = act(
        Action::Explain,
        &args.lines,
        args.model.as_deref(),
        args.show_prompt,
        &mut heard,
    )?;
    let Outcome::Prose(text) = acted.outcome else {
        bail!("the model gave no prose");
    };
    if args.json {
        return output::print_json(&json!({ "text": text, "model": acted.model }));
    }
    stream.finish()
}
