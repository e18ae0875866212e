//! From messages of the protocol to the server's own types.
//!
//! Only the fields that are used are read, and leniently: clients send what the schema forbids.

use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use tower_lsp::jsonrpc::Id;

use super::introduction;
use crate::documents::{Change, Opened};
use crate::file_uri;
use crate::positions::LineColumn;
use crate::session::{Event, Wish};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenedParams {
    text_document: OpenedDocument,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenedDocument {
    uri: String,
    #[serde(default)]
    language_id: String,
    #[serde(default, deserialize_with = "version")]
    version: Option<i32>,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedParams {
    text_document: DocumentName,
    content_changes: Vec<ContentChange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClosedParams {
    text_document: DocumentName,
}

#[derive(Deserialize)]
struct DocumentName {
    uri: String,
    /// Null where a client does not count.
    #[serde(default, deserialize_with = "version")]
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

/// A version, the nearest that there is: a document is worth more than a number that is none.
fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let sent = Option::<f64>::deserialize(deserializer)?;
    // The cast saturates.
    Ok(sent.map(|sent| sent as i32))
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

/// `textDocument/didOpen`.
pub(super) fn opened(sent: Option<&Value>) -> Result<Event, String> {
    let OpenedParams { text_document } = params(sent)?;
    Ok(Event::Opened(Opened {
        uri: text_document.uri,
        language_id: text_document.language_id,
        version: text_document.version.unwrap_or_default(),
        text: text_document.text,
    }))
}

/// `textDocument/didChange`.
pub(super) fn changed(sent: Option<&Value>) -> Result<Event, String> {
    let changed: ChangedParams = params(sent)?;
    let changes = changed.content_changes.into_iter().map(|change| Change {
        range: change.range.map(Into::into),
        text: change.text,
    });
    let DocumentName { uri, version } = changed.text_document;
    Ok(Event::Changed(uri, version, changes.collect()))
}

/// `textDocument/didClose`.
pub(super) fn closed(sent: Option<&Value>) -> Result<Event, String> {
    let closed: ClosedParams = params(sent)?;
    Ok(Event::Closed(closed.text_document.uri))
}

/// `workspace/didChangeConfiguration`.
pub(super) fn configured(sent: Option<&Value>) -> Event {
    let settings = sent.and_then(|params| params.get("settings"));
    let settings = settings.unwrap_or(&Value::Null);
    // Some clients send all settings, some the server's own part.
    Event::Configured(settings.get("carat").unwrap_or(settings).clone())
}

/// `workspace/didChangeWorkspaceFolders`.
pub(super) fn folders_changed(sent: Option<&Value>) -> Event {
    let event = sent.and_then(|params| params.get("event"));
    let folders = |key: &str| introduction::folders(event.and_then(|event| event.get(key)));
    Event::FoldersChanged(folders("added"), folders("removed"))
}

/// The document that a message is about, if it names one: for messages whose rest cannot be read.
pub(super) fn document_uri(params: Option<&Value>) -> Option<&str> {
    params?.pointer("/textDocument/uri")?.as_str()
}

/// The files of a `workspace/didChangeWatchedFiles`.
pub(super) fn changed_files(params: Option<&Value>) -> impl Iterator<Item = PathBuf> {
    let changes = params.and_then(|params| params.get("changes"));
    let changes = changes.and_then(Value::as_array).into_iter().flatten();
    changes.filter_map(|change| file_uri::path(change.get("uri")?.as_str()?))
}

/// A request for text at a caret; `menu` tells which of the two.
pub(super) fn wish(sent: Option<&Value>, menu: bool) -> Result<Wish, String> {
    let positioned: Positioned = params(sent)?;
    let context = positioned.context.unwrap_or_default();
    let selected = context.selected_completion_info;
    Ok(Wish {
        uri: positioned.text_document.uri,
        at: positioned.position.into(),
        menu,
        // `triggerKind` 1 is "invoked" for inline completion.
        invoked: context.trigger_kind == Some(1),
        selected: selected.map(|selected| (selected.range.into(), selected.text)),
    })
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
    fn a_request_without_context_is_automatic() {
        let sent =
            json!({ "textDocument": { "uri": "u" }, "position": { "line": 1, "character": 2 } });
        assert!(!wish(Some(&sent), false).is_ok_and(|wish| wish.invoked));
        assert!(wish(Some(&json!({ "textDocument": { "uri": "u" } })), false).is_err());
        assert!(wish(None, true).is_err());
    }

    #[test]
    fn a_version_that_is_none_does_not_cost_the_document() {
        let read = |version: Value| {
            let document = json!({ "uri": "u", "version": version });
            let sent = json!({ "textDocument": document, "contentChanges": [] });
            match changed(Some(&sent)) {
                Ok(Event::Changed(_, version, _)) => version,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(json!(7)), Some(7));
        assert_eq!(read(json!(3_000_000_000_u32)), Some(i32::MAX));
        assert_eq!(read(json!(1.5)), Some(1));
        assert_eq!(read(Value::Null), None);
    }
}
