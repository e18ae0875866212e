//! `carat complete FILE:LINE:COLUMN`: ghost text for one caret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::{CancelToken, LoadOptions};
use carat_grammars::languages;
use clap::Args;
use serde_json::{Value, json};

use super::caret::Caret;
use super::output;
use crate::completion::{self, Completion, Manners, Query, Silence, Suggestion, is_secret_file};
use crate::echo::{Index, Known};
use crate::generator::CodeModel;
use crate::memory::{Limits, Memory, Store};
use crate::workspace::Workspace;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat complete src/main.rs:10:5                  what the model says behind column 5 of line 10
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
    /// The project's folder: its other files say what comes next too, and the file's path is shown relative to it [default: the file alone, relative to the current folder]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Prints the ghost text, or nothing where there is none to show.
pub(super) fn run(args: &CompleteArgs) -> anyhow::Result<()> {
    let begin = Instant::now();
    let caret = caret(args)?;
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
    if args.show_prompt {
        eprintln!("{}", plan.prompt.text);
    }
    let context = begin.elapsed();
    let mut completion = model.complete(&plan, known)?;
    let shown = plan.show(completion.suggestion.take(), "", false);
    if args.json {
        return output::print_json(&describe(
            args,
            &around.suffix,
            &model,
            (&completion, &shown),
            context,
            begin.elapsed(),
        ));
    }
    match shown {
        Ok(suggestion) => output::print(&suggestion.text),
        Err(silence) => {
            eprintln!("nothing to show: {silence}");
            Ok(())
        }
    }
}

/// The caret that is asked for, as the model sees it.
fn caret(args: &CompleteArgs) -> anyhow::Result<completion::Caret> {
    // The command is the request: what there is, in the length that comes while typing.
    let manners = Manners {
        everything: true,
        ..Manners::default()
    };
    let path = path_in(args.root.as_deref(), &args.caret.file);
    Ok(completion::Caret {
        max_tokens: args.max_tokens.map(|tokens| tokens as usize),
        ..caret_of(&args.caret, &path, manners)?
    })
}

/// A caret as the model sees it.
pub(super) fn caret_of(
    caret: &Caret,
    path: &str,
    manners: Manners,
) -> anyhow::Result<completion::Caret> {
    let (text, at) = caret.read()?;
    Ok(completion::Caret {
        text,
        at,
        path: path.into(),
        language: languages::by_path(&caret.file),
        explicit: false,
        max_tokens: None,
        language_id: "".into(),
        manners: Arc::new(manners),
    })
}

/// What is known of the project's files; what has changed on disk is read first.
pub(super) fn remembered(root: &Path) -> Index {
    let store = Store::of_user();
    // As an editor has called it, so that one copy serves both; a root that does not exist has no files.
    let known = store.as_ref().and_then(|store| store.roots_of(root).pop());
    let root = known
        .or_else(|| root.canonicalize().ok())
        .unwrap_or_else(|| root.to_owned());
    let mut memory = Memory::new(&root);
    let limits = Limits {
        work_percent: 100,
        ..Limits::default()
    };
    memory.fill(store.as_ref(), &limits, &CancelToken::new(), &mut |_| {});
    memory.index().clone()
}

fn describe(
    args: &CompleteArgs,
    suffix: &str,
    model: &CodeModel,
    (completion, shown): (&Completion, &Result<Suggestion, Silence>),
    context: Duration,
    total: Duration,
) -> Value {
    let (suggestion, summary) = (shown.as_ref().ok(), &completion.summary);
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
        "probability": suggestion.map(|suggestion| suggestion.scores.confidence().product),
        "silence": shown.as_ref().err().map(Silence::code),
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

/// The file's path as the model sees it: below `root` if it lies there, else its name. A file that its
/// folder makes a secret one keeps all of its path, which says so.
pub(super) fn path_in(root: Option<&Path>, file: &Path) -> String {
    let absolute = |path: &Path| {
        path.canonicalize()
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_default()
    };
    let root = absolute(root.unwrap_or(Path::new(".")));
    let file = absolute(file);
    let shown = Workspace::new(vec![root]).shown_path(&file);
    let whole = file.to_string_lossy();
    shown
        .filter(|_| !is_secret_file(&whole))
        .unwrap_or_else(|| whole.into_owned())
}

#[cfg(test)]
mod tests {
    use carat_engine::TokenId;
    use serde_json::Value;

    use super::*;
    use crate::completion::{Caret, Knowledge, Parts};
    use crate::documents::Opened;
    use crate::evaluation::{Case, Kind};
    use crate::file_uri;
    use crate::mailbox::{Report, Source};
    use crate::positions::LineColumn;
    use crate::prompt::{Bytes, FimMarks, PromptBudget, PromptForm, Vocabulary};
    use crate::session::{ClientFacts, Effect, Event, Request, RequestKey, Session, Wish};

    /// Bytes, with control tokens for all forms.
    struct Marked;

    impl Vocabulary for Marked {
        fn encode(&self, text: &str) -> Vec<TokenId> {
            Bytes.encode(text)
        }

        fn bos(&self) -> Option<TokenId> {
            Bytes.bos()
        }

        fn control(&self, text: &str) -> Option<TokenId> {
            Some(1000 + text.bytes().map(TokenId::from).sum::<TokenId>())
        }

        fn fill_in_the_middle(&self) -> Option<FimMarks> {
            Some(FimMarks {
                prefix: 300,
                suffix: 301,
                middle: 302,
                separator: Some(303),
                names_file_inside: false,
            })
        }
    }

    /// What the server asks its model for a caret in a file of a workspace.
    fn of_server(root: &Path, file: &Path, (line, column): (u32, u32)) -> Caret {
        let mut session = Session::new(None);
        let uri = file_uri::uri(file);
        let facts = Box::new(ClientFacts::default());
        let wish = Wish {
            uri: uri.clone(),
            at: LineColumn { line, column },
            menu: false,
            invoked: false,
            selected: None,
        };
        let events = [
            Event::Introduced(facts, Value::Null, vec![root.to_owned()]),
            Event::Listening,
            Event::Engine(Report::Ready(
                Source::MODEL,
                Some(crate::generator::ModelFacts {
                    name: "m".to_owned(),
                    tier: "small",
                    takes_instructions: false,
                }),
            )),
            Event::Opened(Opened {
                uri,
                language_id: "rust".to_owned(),
                version: 1,
                text: std::fs::read_to_string(file).expect("text"),
            }),
            Event::Requested(RequestKey(1), Request::Complete(wish)),
        ];
        let effects = events.map(|event| session.handle(event, Instant::now()));
        let job = effects
            .into_iter()
            .flatten()
            .find_map(|effect| match effect {
                Effect::Complete(job) => Some(job),
                _ => None,
            });
        job.expect("a job").caret
    }

    #[test]
    fn server_command_line_and_evaluation_show_the_same_prompt() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        let file = root.join("src/deep/a b.rs");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        let (prefix, suffix) = ("// é\r\nfn f(a: u8) {\r\n    let b = ", ";\r\n}\r\n");
        std::fs::write(&file, format!("{prefix}{suffix}")).expect("a file");
        let args = CompleteArgs {
            caret: format!("{}:3:13", file.display()).parse().expect("a caret"),
            model: None,
            max_tokens: None,
            json: false,
            show_prompt: false,
            root: Some(root.clone()),
        };
        let case = Case {
            path: "src/deep/a b.rs".to_owned(),
            language: "rust".to_owned(),
            kind: Kind::LineRest,
            prefix: prefix.to_owned(),
            middle: "a".to_owned(),
            suffix: suffix.to_owned(),
            project: None,
        };
        let carets = [
            of_server(&root, &file, (2, 12)),
            caret(&args).expect("a caret"),
            case.caret(),
        ];
        for &form in PromptForm::ALL {
            let plans = carets.each_ref().map(|caret| {
                let around = caret.around();
                let (query, budget) = (caret.query(&around), PromptBudget::default());
                completion::plan(
                    &query,
                    form,
                    &budget,
                    &Parts::default(),
                    &Marked,
                    &Knowledge::default(),
                )
            });
            let [server, command_line, evaluation] = plans.map(|plan| plan.prompt);
            assert!(server.text.contains("let b"), "{form:?}: {}", server.text);
            assert_eq!(server, command_line, "{form:?}");
            assert_eq!(server, evaluation, "{form:?}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_root() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        assert_eq!(path_in(Some(root), &root.join("src/a.rs")), "src/a.rs");
        assert_eq!(
            path_in(Some(&root.join("other")), &root.join("src/a.rs")),
            "a.rs"
        );
        // The folder that makes a file a secret one stays in sight.
        let secret = path_in(Some(&root.join(".aws")), &root.join(".aws/credentials"));
        assert!(is_secret_file(&secret), "{secret}");
    }
}
