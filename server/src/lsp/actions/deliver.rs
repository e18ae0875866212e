//! What an action made, in the client's hands: an edit, a new file, or a text to read.

use std::ops::Range;

use serde_json::{Value, json};

use super::view::Views;
use crate::documents::Snapshot;
use crate::lsp::client::{Peer, request};
use crate::lsp::to_lsp::wire_range;
use crate::session::{Delivery, Event};
use crate::{file_uri, markdown};

/// The name of the one annotation in an edit.
const ANNOTATION: &str = "carat";

/// The reason of a client that has asked the user and got a no.
const DISCARDED: &str = "discarded by the user";

/// Brings the user what an action made.
pub(in crate::lsp) async fn deliver(peer: &Peer, views: &mut Views, delivery: Delivery) {
    match delivery {
        Delivery::Show {
            title,
            markdown,
            about,
        } => show(peer, views, &title, &markdown, &about).await,
        Delivery::Edit {
            title,
            document,
            edits,
        } => {
            let edit = edit(peer, &title, &document, &edits);
            let peer = peer.clone();
            tokio::spawn(async move { send(&peer, &title, edit).await });
        }
        Delivery::NewFile {
            title,
            name,
            text,
            about,
        } => {
            let facts = peer.facts.actions;
            let can = facts.apply_edit && facts.document_changes && facts.create_files;
            let uri = file_uri::sibling(&about.0.uri, &name);
            if let Some(uri) = uri.filter(|uri| can && is_there(uri) == Some(false)) {
                let edit = creation(peer, &title, &uri, &text);
                let peer = peer.clone();
                tokio::spawn(async move { create(&peer, &title, uri, edit).await });
                return;
            }
            let fence = markdown::fence_for(&[&text]);
            let language = &about.0.language_id;
            let markdown = format!("For `{name}`:\n\n{fence}{language}\n{text}{fence}");
            show(peer, views, &title, &markdown, &about).await;
        }
    }
}

async fn show(
    peer: &Peer,
    views: &mut Views,
    title: &str,
    markdown: &str,
    (document, range): &(Snapshot, Range<usize>),
) {
    let range = wire_range(document, peer.facts.encoding, range);
    let about = json!({ "uri": &*document.uri, "range": range });
    views.show(peer, title, markdown, &about).await;
}

/// The edit of a document; versioned where the client knows versions.
fn edit(peer: &Peer, title: &str, document: &Snapshot, edits: &[(Range<usize>, String)]) -> Value {
    let facts = peer.facts.actions;
    let edits: Vec<Value> = edits
        .iter()
        .map(|(range, text)| {
            let range = wire_range(document, peer.facts.encoding, range);
            let mut edit = json!({ "range": range, "newText": text });
            if facts.annotations {
                edit["annotationId"] = json!(ANNOTATION);
            }
            edit
        })
        .collect();
    let uri = &*document.uri;
    if !facts.document_changes {
        return json!({ "changes": { uri: edits } });
    }
    let document = json!({ "uri": uri, "version": document.version });
    let mut edit = json!({ "documentChanges": [{ "textDocument": document, "edits": edits }] });
    annotate(peer, &mut edit, title);
    edit
}

/// The edit that makes a file.
fn creation(peer: &Peer, title: &str, uri: &str, text: &str) -> Value {
    let start = json!({ "line": 0, "character": 0 });
    let mut insert = json!({ "range": { "start": start, "end": start }, "newText": text });
    let mut create = json!({ "kind": "create", "uri": uri, "options": { "overwrite": false } });
    if peer.facts.actions.annotations {
        insert["annotationId"] = json!(ANNOTATION);
        create["annotationId"] = json!(ANNOTATION);
    }
    let write = json!({ "textDocument": { "uri": uri, "version": null }, "edits": [insert] });
    let mut edit = json!({ "documentChanges": [create, write] });
    annotate(peer, &mut edit, title);
    edit
}

fn annotate(peer: &Peer, edit: &mut Value, title: &str) {
    if peer.facts.actions.annotations {
        let annotation = json!({
            "label": format!("Carat: {title}"),
            "needsConfirmation": true,
            "description": "written by a model; read it before you apply it",
        });
        edit["changeAnnotations"] = json!({ ANNOTATION: annotation });
    }
}

/// Sends an edit; true if the client has applied it, else the session hears why not.
async fn send(peer: &Peer, title: &str, edit: Value) -> bool {
    let params = json!({ "label": format!("Carat: {title}"), "edit": edit });
    let why = match request(&peer.client, "workspace/applyEdit", params).await {
        Ok(result) if result["applied"] == true => return true,
        Ok(result) => result["failureReason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.message.into_owned(),
    };
    if why != DISCARDED {
        let mut what = "the editor did not apply the change".to_owned();
        if !why.is_empty() {
            what += &format!(": {why}");
        }
        (peer.tell)(Event::EditRefused(what));
    }
    false
}

/// Makes a file and opens it: editors fill a new file without opening it.
async fn create(peer: &Peer, title: &str, uri: String, edit: Value) {
    let made = send(peer, title, edit).await;
    // One that the user declined is not there.
    if made && peer.facts.actions.show_document && is_there(&uri) == Some(true) {
        let params = json!({ "uri": uri, "takeFocus": false });
        let _ = request(&peer.client, "window/showDocument", params).await;
    }
}

/// Whether there is a file; nothing for what is no file.
fn is_there(uri: &str) -> Option<bool> {
    Some(file_uri::path(uri)?.exists())
}
