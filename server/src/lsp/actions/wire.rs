//! Menus and commands of code actions on the wire.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ActionFacts;
use crate::actions::offer::{self, Choice, Group, Offer, Place};
use crate::actions::{Action, CustomAction};
use crate::documents::Snapshot;
use crate::engine_thread;
use crate::lsp::from_lsp::WireRange;
use crate::positions::{self, Encoding, LineColumn};

const EXPLAIN: &str = "carat.explain";
const REFACTOR: &str = "carat.refactor";
const DOCUMENT: &str = "carat.document";
const WRITE_TESTS: &str = "carat.writeTests";
const FIX: &str = "carat.fix";
const CUSTOM: &str = "carat.custom";

/// The commands that run actions.
pub(in crate::lsp) const COMMANDS: [&str; 6] =
    [EXPLAIN, REFACTOR, DOCUMENT, WRITE_TESTS, FIX, CUSTOM];

/// Diagnostics that a menu has entries for; a line with more has one cause.
const DIAGNOSTICS_MAX: usize = 3;

/// The kinds of actions, as `initialize` announces them.
pub(in crate::lsp) fn kinds() -> impl Iterator<Item = &'static str> {
    [Group::Fix, Group::Rewrite, Group::Tests, Group::Explain]
        .into_iter()
        .map(kind)
}

fn kind(group: Group) -> &'static str {
    match group {
        Group::Explain => "carat.explain",
        Group::Rewrite => "refactor.rewrite",
        Group::Document => "refactor.rewrite.document",
        Group::Tests => "refactor.tests",
        Group::Fix => "quickfix",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MenuParams {
    text_document: Named,
    range: WireRange,
    #[serde(default)]
    context: Option<MenuContext>,
}

#[derive(Deserialize)]
struct Named {
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MenuContext {
    #[serde(default)]
    diagnostics: Vec<Value>,
    #[serde(default)]
    only: Option<Vec<String>>,
    #[serde(default)]
    trigger_kind: Option<u32>,
}

/// A request for a menu, with the text that it is about.
pub(in crate::lsp) struct MenuRequest {
    snapshot: Snapshot,
    range: Range<LineColumn>,
    encoding: Encoding,
    diagnostics: Vec<Value>,
    only: Option<Vec<String>>,
    automatic: bool,
    custom: Vec<CustomAction>,
}

/// Reads `textDocument/codeAction`; nothing for a document that is not open.
pub(in crate::lsp) fn menu_request(
    params: Option<&Value>,
    encoding: Encoding,
    custom: &[CustomAction],
    snapshot: impl FnOnce(&str) -> Option<Snapshot>,
) -> Result<Option<MenuRequest>, String> {
    let params = MenuParams::deserialize(params.ok_or("the message has no parameters")?)
        .map_err(|error| error.to_string())?;
    let context = params.context.unwrap_or_default();
    Ok(
        snapshot(&params.text_document.uri).map(|snapshot| MenuRequest {
            snapshot,
            range: params.range.into(),
            encoding,
            diagnostics: context
                .diagnostics
                .into_iter()
                .take(DIAGNOSTICS_MAX)
                .collect(),
            only: context.only,
            // Kind 2 is the editor's own wish to know whether there is a menu.
            automatic: context.trigger_kind == Some(2),
            custom: custom.to_vec(),
        }),
    )
}

/// The menu. Parses the text, so it runs where nobody waits for the thread.
pub(in crate::lsp) fn menu(request: &MenuRequest, facts: ActionFacts) -> Value {
    let MenuRequest {
        snapshot, encoding, ..
    } = request;
    let path = engine_thread::file_name(&snapshot.uri);
    let messages: Vec<String> = request.diagnostics.iter().map(message).collect();
    let place = Place {
        text: &snapshot.text,
        language: carat_grammars::languages::by_id(&snapshot.language_id)
            .or_else(|| carat_grammars::languages::by_path(path.as_ref())),
        selection: offsets(snapshot, *encoding, &request.range),
        diagnostics: &messages,
        automatic: request.automatic,
        custom: &request.custom,
    };
    let offers = offer::offers(&place);
    let wanted = |offer: &&Offer| {
        let kind = kind(offer.group);
        request.only.as_ref().is_none_or(|only| {
            only.iter().any(|only| {
                only.is_empty()
                    || kind == only
                    || kind
                        .strip_prefix(only.as_str())
                        .is_some_and(|rest| rest.starts_with('.'))
            })
        })
    };
    offers
        .iter()
        .filter(wanted)
        .map(|offer| entry(request, offer, facts))
        .collect()
}

fn message(diagnostic: &Value) -> String {
    match &diagnostic["message"] {
        Value::String(message) => message.clone(),
        // 3.18 allows Markdown.
        other => other["value"].as_str().unwrap_or_default().to_owned(),
    }
}

fn entry(request: &MenuRequest, offer: &Offer, facts: ActionFacts) -> Value {
    let position = |at: LineColumn| json!({ "line": at.line, "character": at.column });
    let mut argument = json!({
        "uri": &*request.snapshot.uri,
        "version": request.snapshot.version,
        "range": { "start": position(request.range.start), "end": position(request.range.end) },
    });
    let mut diagnostic = None;
    let name = match &offer.choice {
        Choice::Explain => EXPLAIN,
        Choice::Document => DOCUMENT,
        Choice::WriteTests => WRITE_TESTS,
        Choice::Refactor(instruction) => {
            if let Some(instruction) = instruction {
                argument["instruction"] = json!(instruction);
            }
            REFACTOR
        }
        Choice::Custom(title) => {
            argument["title"] = json!(title);
            CUSTOM
        }
        Choice::Fix(number) => {
            let about = &request.diagnostics[*number];
            argument["diagnostic"] = json!({ "message": message(about), "range": about["range"] });
            diagnostic = Some(about);
            FIX
        }
    };
    let title = format!("Carat: {}", offer.title);
    let command = json!({ "title": title, "command": name, "arguments": [argument] });
    if !facts.literals {
        return command;
    }
    let mut action = json!({ "title": title, "kind": kind(offer.group), "command": command });
    if let Some(diagnostic) = diagnostic {
        action["diagnostics"] = json!([diagnostic]);
    }
    if facts.tags {
        action["tags"] = json!([1]);
    }
    action
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderParams {
    command: String,
    #[serde(default)]
    arguments: Vec<Value>,
}

#[derive(Deserialize)]
struct Argument {
    uri: String,
    range: WireRange,
    #[serde(default)]
    version: Option<i32>,
    #[serde(default)]
    instruction: Option<String>,
    #[serde(default)]
    diagnostic: Option<DiagnosticArgument>,
    #[serde(default)]
    title: Option<String>,
}

#[derive(Deserialize)]
struct DiagnosticArgument {
    message: String,
    #[serde(default)]
    range: Option<WireRange>,
}

/// An order for an action.
pub(in crate::lsp) struct Order {
    pub(in crate::lsp) snapshot: Snapshot,
    pub(in crate::lsp) selection: Range<usize>,
    pub(in crate::lsp) action: Action,
}

/// Why an order is not carried out.
pub(in crate::lsp) enum BadOrder {
    /// The parameters are wrong, which the client's author must hear.
    Malformed(String),
    /// The user must hear why.
    Refused(String),
}

/// Reads `workspace/executeCommand` for one of [`COMMANDS`].
pub(in crate::lsp) fn order(
    params: Option<&Value>,
    encoding: Encoding,
    custom: &[CustomAction],
    snapshot: impl FnOnce(&str) -> Option<Snapshot>,
) -> Result<Order, BadOrder> {
    let malformed = |error: serde_json::Error| BadOrder::Malformed(error.to_string());
    let params = OrderParams::deserialize(params.unwrap_or(&Value::Null)).map_err(malformed)?;
    let argument = params.arguments.first().unwrap_or(&Value::Null);
    let argument = Argument::deserialize(argument).map_err(malformed)?;
    let snapshot = snapshot(&argument.uri)
        .ok_or_else(|| BadOrder::Refused("the document is not open in this editor".to_owned()))?;
    if argument
        .version
        .is_some_and(|version| version != snapshot.version)
    {
        let what = "the document has changed since the menu was opened; open it again";
        return Err(BadOrder::Refused(what.to_owned()));
    }
    let selection = offsets(&snapshot, encoding, &argument.range.into());
    let action = match params.command.as_str() {
        EXPLAIN => Action::Explain,
        DOCUMENT => Action::Document,
        WRITE_TESTS => Action::WriteTests,
        REFACTOR => Action::Refactor {
            instruction: argument.instruction,
        },
        FIX => {
            let diagnostic = argument
                .diagnostic
                .ok_or_else(|| BadOrder::Malformed("there is no `diagnostic`".to_owned()))?;
            let at = diagnostic.range.map_or_else(
                || selection.clone(),
                |range| offsets(&snapshot, encoding, &range.into()),
            );
            Action::Fix {
                message: diagnostic.message,
                at,
            }
        }
        _ => {
            let title = argument.title.unwrap_or_default();
            let known = custom.iter().find(|action| action.title == title);
            let known = known.ok_or_else(|| {
                BadOrder::Refused(format!("the settings have no action `{title}`"))
            })?;
            Action::Custom(known.clone())
        }
    };
    Ok(Order {
        snapshot,
        selection,
        action,
    })
}

/// A range in bytes, its ends in order.
fn offsets(snapshot: &Snapshot, encoding: Encoding, range: &Range<LineColumn>) -> Range<usize> {
    let a = positions::offset(&snapshot.text, encoding, range.start);
    let b = positions::offset(&snapshot.text, encoding, range.end);
    a.min(b)..a.max(b)
}
