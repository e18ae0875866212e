//! What comes of an action, in the client's hands: an edit of the document as it is by then, a new
//! file, a text to read, or a sentence that says why there is nothing.

use std::ops::Range;

use serde_json::{Value, json};

use super::book::{Begun, Ended};
use super::perform::{Performer, request};
use super::view::{Weight, say};
use crate::actions::change;
use crate::actions::{Change, Outcome};
use crate::documents::Snapshot;
use crate::engine_thread::action::End;
use crate::markdown::fence_for;
use crate::positions::{self, Encoding};

/// The name of the one annotation in an edit.
const ANNOTATION: &str = "carat";

/// The reason of a client that has asked the user and got a no.
const DISCARDED: &str = "discarded by the user";

/// Brings the end of an action to the user.
pub(super) async fn deliver(performer: &Performer, begun: &Begun, ended: &Ended, end: End) {
    let client = &performer.client;
    let nothing = "nothing was changed";
    match end {
        End::Outcome(Outcome::Prose(prose)) => {
            let title = format!("{} {}", begun.title, name(&begun.asked.uri));
            show(performer, begun, &title, &prose).await;
        }
        End::Outcome(Outcome::Change(change)) => apply(performer, begun, ended, &change).await,
        End::Outcome(Outcome::NewFile { name, text }) => {
            new_file(performer, begun, &name, &text).await;
        }
        End::Outcome(Outcome::Unchanged) => {
            say(client, Weight::Info, "the model left the code as it is").await;
        }
        End::Refused(refusal) => say(client, Weight::Warning, &refusal.to_string()).await,
        End::Unusable(fault) => {
            let what = format!(
                "the model's answer cannot be used, twice: {fault}; {nothing}. Try a smaller selection or other words"
            );
            say(client, Weight::Warning, &what).await;
        }
        End::Cancelled if ended.closed => {
            let what = format!("the document was closed before the action was done; {nothing}");
            say(client, Weight::Warning, &what).await;
        }
        End::Cancelled => {}
        End::Failed(what) => say(client, Weight::Error, &what).await,
    }
}

/// Edits the document where the code stands now, or says why not.
async fn apply(performer: &Performer, begun: &Begun, ended: &Ended, change: &Change) {
    let client = &performer.client;
    let Some(facts) = performer.facts.get() else {
        return;
    };
    if ended.closed {
        let what = "the document was closed before the action was done; nothing was changed";
        return say(client, Weight::Warning, what).await;
    }
    let Some(range) = ended.drift.moved(&change.range) else {
        let what = "the code was edited while the action ran; nothing was changed. Run it again";
        return say(client, Weight::Warning, what).await;
    };
    if !facts.actions.apply_edit {
        let fence = fence_for(&[&change.text]);
        let markdown = format!(
            "This editor does not let servers edit (`workspace/applyEdit`). The new code:\n\n{fence}{}\n{}\n{fence}",
            begun.asked.language_id, change.text
        );
        return show(performer, begun, &begun.title, &markdown).await;
    }
    let edits = edits(
        &ended.now,
        facts.encoding,
        &range,
        &change.text,
        facts.actions.annotations,
    );
    let uri = &*ended.now.uri;
    let mut edit = if facts.actions.document_changes {
        let document = json!({ "uri": uri, "version": ended.now.version });
        json!({ "documentChanges": [{ "textDocument": document, "edits": edits }] })
    } else {
        json!({ "changes": { uri: edits } })
    };
    if facts.actions.document_changes {
        annotate(&mut edit, performer, &begun.title);
    }
    send(performer, &begun.title, edit).await;
}

/// Creates a file beside the document, where the client can and nothing is in the way; else shows it.
async fn new_file(performer: &Performer, begun: &Begun, name: &str, text: &str) {
    let client = &performer.client;
    let Some(facts) = performer.facts.get() else {
        return;
    };
    let uri = sibling(&begun.asked.uri, name);
    let free = |uri: &String| path_of(uri).is_some_and(|path| !path.exists());
    if let Some(uri) = uri.filter(free)
        && facts.actions.apply_edit
        && facts.actions.document_changes
        && facts.actions.create_files
    {
        let start = json!({ "line": 0, "character": 0 });
        let mut insert = json!({ "range": { "start": start, "end": start }, "newText": text });
        let mut create = json!({ "kind": "create", "uri": uri, "options": { "overwrite": false } });
        if facts.actions.annotations {
            insert["annotationId"] = json!(ANNOTATION);
            create["annotationId"] = json!(ANNOTATION);
        }
        let write = json!({ "textDocument": { "uri": uri, "version": null }, "edits": [insert] });
        let mut edit = json!({ "documentChanges": [create, write] });
        annotate(&mut edit, performer, &begun.title);
        if send(performer, &begun.title, edit).await && facts.actions.show_document {
            // Editors fill a new file without opening it. One that the user declined is not there.
            let path = path_of(&uri);
            if path.is_some_and(|path| path.exists()) {
                let params = json!({ "uri": uri, "takeFocus": false });
                let _ = request(client, "window/showDocument", params).await;
            }
        }
        return;
    }
    let fence = fence_for(&[text]);
    let markdown = format!(
        "For `{name}`:\n\n{fence}{}\n{text}{fence}",
        begun.asked.language_id
    );
    show(performer, begun, &begun.title, &markdown).await;
}

/// One edit for every run of lines that differ.
fn edits(
    now: &Snapshot,
    encoding: Encoding,
    range: &Range<usize>,
    new: &str,
    annotated: bool,
) -> Vec<Value> {
    let old = now.text.byte_slice(range.clone()).to_string();
    let hunks = change::hunks(&old, new).into_iter().map(|(part, text)| {
        let part = range.start + part.start..range.start + part.end;
        let mut edit = json!({ "range": wire_range(now, encoding, &part), "newText": text });
        if annotated {
            edit["annotationId"] = json!(ANNOTATION);
        }
        edit
    });
    hunks.collect()
}

fn annotate(edit: &mut Value, performer: &Performer, title: &str) {
    if performer
        .facts
        .get()
        .is_some_and(|facts| facts.actions.annotations)
    {
        let annotation = json!({
            "label": format!("Carat: {title}"),
            "needsConfirmation": true,
            "description": "written by a model; read it before you apply it",
        });
        edit["changeAnnotations"] = json!({ ANNOTATION: annotation });
    }
}

/// Sends an edit; true if the client has applied it, else the user is told.
async fn send(performer: &Performer, title: &str, edit: Value) -> bool {
    let params = json!({ "label": format!("Carat: {title}"), "edit": edit });
    let why = match request(&performer.client, "workspace/applyEdit", params).await {
        Ok(result) if result["applied"] == true => return true,
        Ok(result) => result["failureReason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.message.into_owned(),
    };
    if performer.book.is_halted() || why == DISCARDED {
        return false;
    }
    let mut what = "the editor did not apply the change".to_owned();
    if !why.is_empty() {
        what += &format!(": {why}");
    }
    say(&performer.client, Weight::Warning, &what).await;
    false
}

async fn show(performer: &Performer, begun: &Begun, title: &str, markdown: &str) {
    let Some(facts) = performer.facts.get() else {
        return;
    };
    let range = wire_range(&begun.asked, facts.encoding, &begun.selection);
    let about = json!({ "uri": &*begun.asked.uri, "range": range });
    let views = &performer.views;
    views
        .show(&performer.client, facts.actions, title, markdown, &about)
        .await;
}

fn wire_range(snapshot: &Snapshot, encoding: Encoding, range: &Range<usize>) -> Value {
    let position = |byte| {
        let at = positions::line_column(&snapshot.text, encoding, byte);
        json!({ "line": at.line, "character": at.column })
    };
    json!({ "start": position(range.start), "end": position(range.end) })
}

/// The last part of a URI, for titles.
fn name(uri: &str) -> &str {
    crate::engine_thread::file_name(uri)
}

/// The URI of a file in the same folder.
fn sibling(uri: &str, name: &str) -> Option<String> {
    let (folder, _) = uri.strip_prefix("file://")?.rsplit_once('/')?;
    Some(format!("file://{folder}/{name}"))
}

/// The path of a `file:` URI.
fn path_of(uri: &str) -> Option<std::path::PathBuf> {
    let encoded = uri.strip_prefix("file://")?;
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    // A drive letter stands behind the slash.
    let drive = path.as_bytes().get(2) == Some(&b':');
    Some(if drive { path[1..].into() } else { path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_of_files_only() {
        assert_eq!(
            sibling("file:///a%20b/c.py", "test_c.py").as_deref(),
            Some("file:///a%20b/test_c.py")
        );
        assert_eq!(sibling("untitled:Untitled-1", "x"), None);
        assert_eq!(path_of("file:///a%20b/c.py"), Some("/a b/c.py".into()));
        assert_eq!(path_of("file:///C:/a.py"), Some("C:/a.py".into()));
        assert_eq!(path_of("file:///%zz"), None);
    }
}
