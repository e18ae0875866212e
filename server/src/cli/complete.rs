//! `carat complete FILE:LINE:COLUMN`: ghost text for one caret.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carat_engine::LoadOptions;
use carat_grammars::languages;
use clap::Args;
use serde_json::{Value, json};

use super::caret::Caret;
use super::output;
use crate::completion::{self, Completion};
use crate::generator::CodeModel;
use crate::workspace::Workspace;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat complete src/main.rs:10:5                  what would be shown behind column 5 of line 10
  carat complete src/main.rs:10:5 --model 26b      from a model that was pulled
  carat complete src/main.rs:10:5 --model m.gguf --json --show-prompt";

#[derive(Debug, Args)]
pub(super) struct CompleteArgs {
    /// The caret; line and column count from 1, columns in characters
    #[arg(value_name = "FILE:LINE:COLUMN")]
    caret: Caret,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Upper bound of generated tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Print text, range, model, tokens and timings as one JSON object
    #[arg(long)]
    json: bool,
    /// Print what the model is shown, on standard error
    #[arg(long)]
    show_prompt: bool,
    /// The folder that the file's path is shown relative to [default: the current one]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Prints the ghost text, or nothing where there is none to show.
pub(super) fn run(args: &CompleteArgs) -> anyhow::Result<()> {
    let begin = Instant::now();
    let (text, at) = args.caret.read()?;
    let caret = completion::Caret {
        text,
        at,
        path: path_in(args.root.as_deref(), &args.caret.file).into(),
        language: languages::by_path(&args.caret.file),
        explicit: false,
        max_tokens: args.max_tokens.map(|tokens| tokens as usize),
    };
    let model = CodeModel::load(args.model.as_deref(), &LoadOptions::default())?;
    let around = caret.around();
    let plan = model.plan(&caret.query(&around));
    if args.show_prompt {
        eprintln!("{}", plan.prompt.text);
    }
    let context = begin.elapsed();
    let completion = model.complete(&plan, None)?;
    if args.json {
        return output::print_json(&describe(
            args,
            &around.suffix,
            &model,
            &completion,
            context,
            begin.elapsed(),
        ));
    }
    completion
        .suggestion
        .map_or(Ok(()), |suggestion| output::print(&suggestion.text))
}

fn describe(
    args: &CompleteArgs,
    suffix: &str,
    model: &CodeModel,
    completion: &Completion,
    context: Duration,
    total: Duration,
) -> Value {
    let (suggestion, summary) = (completion.suggestion.as_ref(), &completion.summary);
    let replaced = suggestion.map_or(0, |suggestion| suggestion.replace_suffix_bytes);
    // What is replaced never reaches beyond the caret's line.
    let end = args.caret.column + suffix[..replaced].chars().count();
    json!({
        "text": suggestion.map_or("", |suggestion| &suggestion.text),
        "range": {
            "start": { "line": args.caret.line, "column": args.caret.column },
            "end": { "line": args.caret.line, "column": end },
        },
        "tier": model.tier.as_str(),
        "model": model.name,
        "prompt_tokens": summary.prompt_tokens,
        "generated_tokens": summary.tokens.len(),
        "reused_tokens": summary.reused_tokens,
        "ms": {
            "context": milliseconds(context),
            "prefill": milliseconds(summary.prefill),
            "decode": milliseconds(summary.decode),
            "total": milliseconds(total),
        },
        "stop": summary.stop.as_str(),
    })
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// The file's path as the model sees it: below `root` if it lies there, else its name.
pub(super) fn path_in(root: Option<&Path>, file: &Path) -> String {
    let absolute = |path: &Path| {
        path.canonicalize()
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_default()
    };
    let root = absolute(root.unwrap_or(Path::new(".")));
    let shown = Workspace::new(vec![root]).shown_path(&absolute(file));
    shown.unwrap_or_else(|| file.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_root() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        assert_eq!(path_in(Some(root), &root.join("src/a.rs")), "src/a.rs");
        assert_eq!(
            path_in(Some(&root.join("other")), &root.join("src/a.rs")),
            "a.rs"
        );
    }
}
