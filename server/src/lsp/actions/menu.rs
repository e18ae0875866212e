//! Menus of code actions on the wire.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, Result};

use crate::actions::offer::{self, Choice, Group, Offer, Place};
use crate::actions::{CustomAction, Refusal};
use crate::documents::Snapshot;
use crate::lsp::commands::{CUSTOM, DOCUMENT, EXPLAIN, FIX, REFACTOR, WRITE_TESTS};
use crate::lsp::from_lsp::WireRange;
use crate::positions::{self, LineColumn};
use crate::session::{ActionFacts, ClientFacts, Reply};

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

/// A request for a menu, as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::lsp) struct Menu {
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

/// A menu with what it is made from.
struct Made {
    snapshot: Snapshot,
    range: Range<LineColumn>,
    facts: ActionFacts,
    can_act: bool,
    diagnostics: Vec<Value>,
}

impl Menu {
    /// The document.
    pub(in crate::lsp) fn uri(&self) -> &str {
        &self.text_document.uri
    }

    /// The menu, or null for a document that is not open.
    pub(in crate::lsp) async fn answer(self, reply: Reply, client: ClientFacts) -> Result<Value> {
        let Reply::Menu(snapshot, custom, can_act) = reply else {
            return Ok(Value::Null);
        };
        // Entries that always refuse would be noise, where the editor cannot say why they do.
        if !can_act && !client.actions.disabled_entries {
            return Ok(Value::Array(Vec::new()));
        }
        // Parsing takes milliseconds in which this task could do nothing else.
        tokio::task::spawn_blocking(move || self.make(snapshot, &custom, &client, can_act))
            .await
            .map_err(|_| Error::internal_error())
    }

    fn make(
        self,
        snapshot: Snapshot,
        custom: &[CustomAction],
        client: &ClientFacts,
        can_act: bool,
    ) -> Value {
        let context = self.context.unwrap_or_default();
        let diagnostics = context.diagnostics.into_iter().take(DIAGNOSTICS_MAX);
        let made = Made {
            snapshot,
            range: self.range.into(),
            facts: client.actions,
            can_act,
            diagnostics: diagnostics.collect(),
        };
        let messages: Vec<String> = made.diagnostics.iter().map(message).collect();
        let offset = |at| positions::offset(&made.snapshot.text, client.encoding, at);
        let (a, b) = (offset(made.range.start), offset(made.range.end));
        let offers = offer::offers(&Place {
            text: &made.snapshot.text,
            language: made.snapshot.language,
            selection: a.min(b)..a.max(b),
            diagnostics: &messages,
            // Kind 2 is the editor's own wish to know whether there is a menu.
            automatic: context.trigger_kind == Some(2),
            custom,
        });
        let wanted = |offer: &&Offer| {
            let kind = kind(offer.group);
            context.only.as_ref().is_none_or(|only| {
                only.iter().any(|only| {
                    only.is_empty()
                        || kind == only
                        || kind
                            .strip_prefix(only.as_str())
                            .is_some_and(|rest| rest.starts_with('.'))
                })
            })
        };
        let offers = offers.iter().filter(wanted);
        offers.map(|offer| entry(&made, offer)).collect()
    }
}

fn message(diagnostic: &Value) -> String {
    match &diagnostic["message"] {
        Value::String(message) => message.clone(),
        // 3.18 allows Markdown.
        other => other["value"].as_str().unwrap_or_default().to_owned(),
    }
}

fn entry(request: &Made, offer: &Offer) -> Value {
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
    if !request.facts.literals {
        return command;
    }
    let mut action = json!({ "title": title, "kind": kind(offer.group), "command": command });
    if let Some(diagnostic) = diagnostic {
        action["diagnostics"] = json!([diagnostic]);
    }
    if !request.can_act {
        action["disabled"] = json!({ "reason": Refusal::NoInstructions.to_string() });
    }
    if request.facts.tags {
        action["tags"] = json!([1]);
    }
    action
}
