//! A code action on lines of a file: what `carat explain` and `carat refactor` share.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, bail};
use carat_engine::{CancelToken, LoadOptions};
use carat_grammars::languages;
use ropey::Rope;

use super::complete::path_in;
use super::lines::Lines;
use crate::actions::{Action, Outcome, Refusal, Request, Run, Step};
use crate::generator::CodeModel;
use crate::generator::code_action;

/// What came of an action.
pub(super) struct Acted {
    /// The file's text, as it was read.
    pub(super) text: Rope,
    /// The model's name.
    pub(super) model: String,
    pub(super) outcome: Outcome,
}

/// Runs an action; `heard` gets prose as it is written.
pub(super) fn act(
    action: Action,
    lines: &Lines,
    model: Option<&str>,
    show_prompt: bool,
    heard: &mut dyn FnMut(&str),
) -> anyhow::Result<Acted> {
    let (text, selection) = lines.read()?;
    let model = CodeModel::load(model, &LoadOptions::default())?;
    let Some(instruct) = model.instruct() else {
        let get = "run `carat model pull gemma-4-26b-a4b`, then give `--model gemma-4-26b-a4b`";
        bail!(
            "the model `{}` only completes; for instructions, {get}",
            model.name
        );
    };
    let request = Request {
        action,
        path: path_in(None, &lines.file),
        language: languages::by_path(Path::new(&lines.file)),
        text: text.clone(),
        selection,
    };
    let place = || format!("{}:{}", lines.file.display(), lines.first);
    let mut run = Run::new(&request, &instruct).map_err(|refusal| match refusal {
        Refusal::NoItem => anyhow::anyhow!("{}: {refusal}", place()),
        other => other.into(),
    })?;
    if show_prompt {
        eprintln!("{}", run.prompt());
    }
    let mut session = model.model.new_session(&code_action::session_options())?;
    let cancel = CancelToken::new();
    let step = run.step(
        &mut |turn, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>| {
            code_action::go_on(&mut session, turn, &cancel, on_text)
        },
        heard,
    )?;
    match step {
        Step::Paused => bail!("the action was interrupted"),
        Step::Done(Err(fault)) => Err(fault).context(format!(
            "{}: the answer of `{}` cannot be used, twice; nothing was changed",
            place(),
            model.name
        )),
        Step::Done(Ok(outcome)) => Ok(Acted {
            text,
            model: model.name,
            outcome,
        }),
    }
}
