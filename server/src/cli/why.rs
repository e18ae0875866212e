//! `carat why FILE:LINE:COLUMN`: what decides whether ghost text stands at a caret.

use std::path::PathBuf;

use carat_engine::LoadOptions;
use clap::Args;
use serde_json::json;

use super::caret::Caret;
use super::complete::{caret_of, path_in, remembered};
use super::{EagernessArg, output};
use crate::completion::{self, Knowledge, Manners, Query, Silence};
use crate::echo::{Index, Known};
use crate::generator::CodeModel;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat why src/main.rs:10:5                     why grey text stands there while typing, or why not
  carat why src/main.rs:10:5 --eagerness eager   the same with another setting";

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The caret; line and column count from 1, columns in characters
    #[arg(value_name = "FILE:LINE:COLUMN")]
    caret: Caret,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// How readily answers are shown
    #[arg(long, value_enum, default_value_t)]
    eagerness: EagernessArg,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The project's folder: its other files count too, as in an editor [default: the file alone]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Prints one sentence: the rule or the number that decides.
pub(super) fn run(args: &WhyArgs) -> anyhow::Result<()> {
    let manners = Manners {
        eagerness: args.eagerness.into(),
        ..Manners::default()
    };
    let caret = caret_of(
        &args.caret,
        &path_in(args.root.as_deref(), &args.caret.file),
        manners,
    )?;
    let model = CodeModel::load(args.model.as_deref(), &LoadOptions::default())?;
    let around = caret.around();
    let index = args.root.as_deref().map_or_else(Index::default, remembered);
    let query = Query {
        texts: Some(&index),
        ..caret.query(&around)
    };
    let known = Known {
        index: &index,
        path: &caret.path,
    };
    let chosen = model.context_at(&query, known);
    let query = Query {
        context: &chosen.excerpts,
        ..query
    };
    let plan = model.plan(&query);
    let completion = model.complete(&plan, known)?;
    let of_echo = completion::of_echo(&query, known, &Knowledge::of_echo());
    let line = of_echo.plan.show(of_echo.suggestion, "", false).ok();
    let threshold = plan.filter.threshold;
    let shown = plan.show(completion.suggestion, "", false);
    if args.json {
        let probability = shown
            .as_ref()
            .ok()
            .map(|suggestion| suggestion.scores.confidence().product);
        return output::print_json(&json!({
            "shown": shown.as_ref().ok().map(|suggestion| &suggestion.text),
            "probability": probability,
            "threshold": threshold,
            "silence": shown.as_ref().err().map(Silence::code),
            "why": shown.as_ref().err().map(ToString::to_string),
            "model": model.name,
            "context": plan.prompt.told_of,
            "echo": shown.as_ref().ok().map(|suggestion| suggestion.scores.confidence().echo),
            "line": line.as_ref().map(|line| json!({
                "text": line.text,
                "probability": line.scores.confidence().product,
                "evidence": of_echo.evidence.as_ref().map(ToString::to_string),
            })),
        }));
    }
    let of_line = match (&line, &of_echo.evidence) {
        (Some(line), Some(evidence)) => format!(
            "\nOf your own lines, `{}` is the most likely, with {:.0}%: {evidence}.",
            line.text,
            line.scores.confidence().product * 100.0
        ),
        _ => String::new(),
    };
    let of_line = match plan.prompt.told_of.as_slice() {
        [] => of_line,
        files => format!("{of_line}\nThe model is told of {}.", files.join(", ")),
    };
    match shown {
        Ok(suggestion) => {
            let confidence = suggestion.scores.confidence();
            output::print(&format!(
                "Text is shown: its probability by the model's own account is {:.0}%, at least the {:.1}% that are asked for; {:.0}% of the weight was that of your files.{of_line}",
                confidence.product * 100.0,
                threshold * 100.0,
                confidence.echo * 100.0
            ))
        }
        Err(silence) => match line {
            Some(_) => output::print(&format!(
                "The model shows nothing: {silence}. Text is shown all the same.{of_line}"
            )),
            None => output::print(&format!("Nothing is shown: {silence}.{of_line}")),
        },
    }
}
