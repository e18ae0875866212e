//! Reads `initialize`: who the client is, what it can do, which folders are open.

use std::path::PathBuf;

use serde_json::Value;

use crate::file_uri;
use crate::positions::Encoding;
use crate::session::{ActionFacts, ClientFacts, Event};

/// What happens when a client introduces itself.
pub(super) fn introduced(facts: ClientFacts, params: &Value) -> Event {
    let options = params.get("initializationOptions").cloned();
    Event::Introduced(
        Box::new(facts),
        options.unwrap_or_default(),
        workspace_folders(params),
    )
}

/// What the server keeps of the client's abilities.
pub(super) fn client_facts(params: &Value) -> ClientFacts {
    let capability = |path: &str| params.get("capabilities").and_then(|all| all.pointer(path));
    let yes = |path: &str| capability(path).and_then(Value::as_bool) == Some(true);
    let offered = capability("/general/positionEncodings").and_then(Value::as_array);
    let names = offered.into_iter().flatten().filter_map(Value::as_str);
    ClientFacts {
        encoding: Encoding::negotiate(names),
        // The key counts, whatever its value: lsp-mode sends null.
        inline_completion: capability("/textDocument/inlineCompletion").is_some(),
        process_id: params
            .get("processId")
            .and_then(Value::as_u64)
            .and_then(|id| id.try_into().ok()),
        // Clients may complain about notifications that they do not know.
        status: yes("/experimental/carat/status"),
        asks_again: yes("/experimental/carat/askAgain"),
        pulls: yes("/workspace/configuration"),
        watches: yes("/workspace/didChangeWatchedFiles/dynamicRegistration"),
        // Neovim splits what it shows and inserts at `\n`, and writes the rest of a line end itself.
        line_feeds: params.pointer("/clientInfo/name").and_then(Value::as_str) == Some("Neovim"),
        actions: action_facts(params),
    }
}

fn action_facts(params: &Value) -> ActionFacts {
    let at = |path: &str| {
        params
            .pointer("/capabilities")
            .and_then(|all| all.pointer(path))
    };
    let yes = |path: &str| at(path).and_then(Value::as_bool) == Some(true);
    let there = |path: &str| at(path).is_some_and(|value| !value.is_null());
    let lists = |path: &str, what: Value| {
        at(path)
            .and_then(Value::as_array)
            .is_some_and(|values| values.contains(&what))
    };
    let document_changes = yes("/workspace/workspaceEdit/documentChanges");
    ActionFacts {
        literals: there("/textDocument/codeAction/codeActionLiteralSupport"),
        disabled_entries: yes("/textDocument/codeAction/disabledSupport"),
        tags: lists("/textDocument/codeAction/tagSupport/valueSet", 1.into()),
        apply_edit: yes("/workspace/applyEdit"),
        document_changes,
        // Neovim 0.12 has annotations without versioned edits; the protocol has no place for them then.
        annotations: document_changes && there("/workspace/workspaceEdit/changeAnnotationSupport"),
        create_files: lists(
            "/workspace/workspaceEdit/resourceOperations",
            "create".into(),
        ),
        show_document: yes("/window/showDocument/support"),
        progress: yes("/window/workDoneProgress"),
        explanation_view: yes("/experimental/carat/explanation"),
    }
}

/// The folders of the workspace, in the newest form that the client sent.
fn workspace_folders(params: &Value) -> Vec<PathBuf> {
    let found = folders(params.get("workspaceFolders"));
    if !found.is_empty() {
        return found;
    }
    let text = |key: &str| params.get(key).and_then(Value::as_str);
    let root = text("rootUri").and_then(file_uri::path);
    let root = root.or_else(|| text("rootPath").map(PathBuf::from));
    root.into_iter().collect()
}

/// The paths of a list of folders.
pub(super) fn folders(list: Option<&Value>) -> Vec<PathBuf> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|folder| file_uri::path(folder.get("uri")?.as_str()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_said_is_nothing_there() {
        for params in [json!(null), json!({}), json!({ "capabilities": null })] {
            assert_eq!(action_facts(&params), ActionFacts::default());
        }
    }

    #[test]
    fn annotations_need_versioned_edits() {
        let edit = json!({ "changeAnnotationSupport": { "groupsOnLabel": true } });
        let params = json!({ "capabilities": { "workspace": { "workspaceEdit": edit } } });
        assert!(!action_facts(&params).annotations);
    }

    #[test]
    fn reads_what_editors_say() {
        let facts = action_facts(&json!({ "capabilities": {
            "textDocument": { "codeAction": { "codeActionLiteralSupport": {}, "tagSupport": { "valueSet": [1] } } },
            "workspace": { "applyEdit": true, "workspaceEdit": {
                "documentChanges": true, "changeAnnotationSupport": {}, "resourceOperations": ["create"] } },
            "window": { "showDocument": { "support": true }, "workDoneProgress": true },
            "experimental": { "carat": { "explanation": true } },
        }}));
        assert!(facts.literals && facts.tags && facts.apply_edit && facts.document_changes);
        assert!(facts.annotations && facts.create_files && facts.show_document);
        assert!(facts.progress && facts.explanation_view);
    }

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
            assert_eq!(client_facts(&params), ClientFacts::default());
        }
    }

    #[test]
    fn folders_come_in_three_forms_or_not_at_all() {
        let all = json!({
            "workspaceFolders": [{ "uri": "file:///a", "name": "a" }, { "uri": "vscode-vfs://x" }],
            "rootUri": "file:///b", "rootPath": "/c",
        });
        assert_eq!(workspace_folders(&all), [PathBuf::from("/a")]);
        let older = json!({ "workspaceFolders": null, "rootUri": "file:///b", "rootPath": "/c" });
        assert_eq!(workspace_folders(&older), [PathBuf::from("/b")]);
        assert_eq!(
            workspace_folders(&json!({ "rootPath": "/c" })),
            [PathBuf::from("/c")]
        );
        assert!(workspace_folders(&json!({ "rootUri": null })).is_empty());
    }
}
