//! From messages of the protocol to the server's own types.
//!
//! Only the fields that are used are read, and leniently: clients send what the schema forbids.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use tower_lsp::jsonrpc::Id;

use super::actions::ActionFacts;
use crate::arbiter::Selected;
use crate::documents::{Change, Snapshot};
use crate::positions::{self, Encoding, LineColumn};

/// What the server keeps of `initialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFacts {
    pub(super) encoding: Encoding,
    /// Whether the key is there, whatever its value: lsp-mode sends null.
    pub(super) inline_completion: bool,
    pub(super) process_id: Option<u32>,
    /// Whether it understands `carat/status`.
    pub(super) status: bool,
    /// What it can do with the outcome of code actions.
    pub(super) actions: ActionFacts,
}

pub(super) fn client_facts(params: &Value) -> ClientFacts {
    let offered = params
        .pointer("/capabilities/general/positionEncodings")
        .and_then(Value::as_array);
    let names = offered.into_iter().flatten().filter_map(Value::as_str);
    ClientFacts {
        encoding: Encoding::negotiate(names),
        inline_completion: params
            .pointer("/capabilities/textDocument/inlineCompletion")
            .is_some(),
        process_id: params
            .get("processId")
            .and_then(Value::as_u64)
            .and_then(|id| id.try_into().ok()),
        status: super::status::wanted(params),
        actions: ActionFacts::read(params),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Opened {
    pub(super) text_document: OpenedDocument,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenedDocument {
    pub(super) uri: String,
    #[serde(default)]
    pub(super) language_id: String,
    #[serde(default)]
    pub(super) version: i32,
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    text_document: DocumentName,
    content_changes: Vec<ContentChange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Closed {
    text_document: DocumentName,
}

#[derive(Deserialize)]
struct DocumentName {
    uri: String,
    /// Null where a client does not count.
    #[serde(default)]
    version: Option<i32>,
}

#[derive(Deserialize)]
struct ContentChange {
    #[serde(default)]
    range: Option<WireRange>,
    text: String,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireRange {
    start: WirePosition,
    end: WirePosition,
}

#[derive(Clone, Copy, Deserialize)]
struct WirePosition {
    line: u32,
    character: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Positioned {
    text_document: DocumentName,
    position: WirePosition,
    #[serde(default)]
    context: Option<Context>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    trigger_kind: Option<u32>,
    #[serde(default)]
    selected_completion_info: Option<SelectedCompletion>,
}

#[derive(Deserialize)]
struct SelectedCompletion {
    range: WireRange,
    text: String,
}

/// A caret as it was sent: only a snapshot gives it a meaning.
pub(super) struct SentCaret {
    pub(super) uri: String,
    position: LineColumn,
    /// `triggerKind` 1 is "invoked" for inline completion.
    pub(super) invoked: bool,
    selected: Option<(Range<LineColumn>, String)>,
}

impl From<WirePosition> for LineColumn {
    fn from(position: WirePosition) -> Self {
        Self {
            line: position.line,
            column: position.character,
        }
    }
}

impl From<WireRange> for Range<LineColumn> {
    fn from(range: WireRange) -> Self {
        range.start.into()..range.end.into()
    }
}

/// Reads the parameters of a message; the error is for the client.
pub(super) fn params<'de, T: Deserialize<'de>>(params: Option<&'de Value>) -> Result<T, String> {
    let params = params.ok_or("the message has no parameters")?;
    T::deserialize(params).map_err(|error| error.to_string())
}

/// URI, version and changes of an edit.
pub(super) fn changes(changed: Changed) -> (String, Option<i32>, Vec<Change>) {
    let changes = changed.content_changes.into_iter().map(|change| Change {
        range: change.range.map(Into::into),
        text: change.text,
    });
    (
        changed.text_document.uri,
        changed.text_document.version,
        changes.collect(),
    )
}

/// The document of a `didClose`.
pub(super) fn closed(closed: Closed) -> String {
    closed.text_document.uri
}

/// The document that a message is about, if it names one: for messages whose rest cannot be read.
pub(super) fn document_uri(params: Option<&Value>) -> Option<&str> {
    params?.pointer("/textDocument/uri")?.as_str()
}

/// The files of a `workspace/didChangeWatchedFiles`.
pub(super) fn changed_files(params: Option<&Value>) -> impl Iterator<Item = &str> {
    let changes = params.and_then(|params| params.get("changes"));
    let changes = changes.and_then(Value::as_array).into_iter().flatten();
    changes.filter_map(|change| change.get("uri")?.as_str())
}

/// The caret of a completion request.
pub(super) fn caret(value: Option<&Value>) -> Result<SentCaret, String> {
    let positioned: Positioned = params(value)?;
    let context = positioned.context.unwrap_or_default();
    Ok(SentCaret {
        uri: positioned.text_document.uri,
        position: positioned.position.into(),
        invoked: context.trigger_kind == Some(1),
        selected: context
            .selected_completion_info
            .map(|selected| (selected.range.into(), selected.text)),
    })
}

impl SentCaret {
    /// The caret in bytes.
    pub(super) fn offset(&self, snapshot: &Snapshot, encoding: Encoding) -> usize {
        positions::offset(&snapshot.text, encoding, self.position)
    }

    /// The selected entry of the completion menu, if its range ends at the caret as it must.
    pub(super) fn selected(&self, snapshot: &Snapshot, encoding: Encoding) -> Option<Selected> {
        let (range, text) = self.selected.as_ref()?;
        let start = positions::offset(&snapshot.text, encoding, range.start);
        let end = positions::offset(&snapshot.text, encoding, range.end);
        (start <= end).then(|| Selected {
            range: start..end,
            text: text.clone(),
        })
    }
}

/// The progress that a `window/workDoneProgress/cancel` names.
pub(super) fn progress_token(params: Option<&Value>) -> Option<&str> {
    params?.get("token")?.as_str()
}

/// The request that a `$/cancelRequest` names.
pub(super) fn cancelled(params: Option<&Value>) -> Option<Id> {
    match params?.get("id")? {
        Value::Number(id) => id.as_i64().map(Id::Number),
        Value::String(id) => Some(Id::String(id.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_null_capability_counts_as_present() {
        let facts = client_facts(
            &json!({ "capabilities": { "textDocument": { "inlineCompletion": null } } }),
        );
        assert!(facts.inline_completion);
        assert!(
            !client_facts(&json!({ "capabilities": { "textDocument": {} } })).inline_completion
        );
    }

    #[test]
    fn nothing_offered_is_utf_16() {
        for params in [
            json!({}),
            json!({ "capabilities": null, "processId": null }),
            json!(null),
        ] {
            let expected = ClientFacts {
                encoding: Encoding::Utf16,
                inline_completion: false,
                process_id: None,
                status: false,
                actions: ActionFacts::default(),
            };
            assert_eq!(client_facts(&params), expected);
        }
    }

    #[test]
    fn a_request_without_context_is_automatic() {
        let sent =
            json!({ "textDocument": { "uri": "u" }, "position": { "line": 1, "character": 2 } });
        assert!(!caret(Some(&sent)).is_ok_and(|caret| caret.invoked));
        assert!(caret(Some(&json!({ "textDocument": { "uri": "u" } }))).is_err());
        assert!(caret(None).is_err());
    }
}
