//! What a client can do with the outcome of an action.

use serde_json::Value;

/// The capabilities that code actions depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a capability of its own"
)]
pub(in crate::lsp) struct ActionFacts {
    /// Menus may hold code actions, not only commands.
    pub(super) literals: bool,
    /// Entries may say that a model writes the change.
    pub(super) tags: bool,
    /// `workspace/applyEdit`.
    pub(super) apply_edit: bool,
    /// Edits may name the version that they are for.
    pub(super) document_changes: bool,
    /// Edits may ask to be confirmed.
    pub(super) annotations: bool,
    /// Edits may create files.
    pub(super) create_files: bool,
    /// `window/showDocument`.
    pub(super) show_document: bool,
    /// `window/workDoneProgress/create`.
    pub(super) progress: bool,
    /// `carat/explanation`: the client has a view of its own.
    pub(super) explanation_view: bool,
}

impl ActionFacts {
    pub(in crate::lsp) fn read(params: &Value) -> Self {
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
        Self {
            literals: there("/textDocument/codeAction/codeActionLiteralSupport"),
            tags: lists("/textDocument/codeAction/tagSupport/valueSet", 1.into()),
            apply_edit: yes("/workspace/applyEdit"),
            document_changes,
            // Neovim 0.12 has annotations without versioned edits; the protocol has no place for them then.
            annotations: document_changes
                && there("/workspace/workspaceEdit/changeAnnotationSupport"),
            create_files: lists(
                "/workspace/workspaceEdit/resourceOperations",
                "create".into(),
            ),
            show_document: yes("/window/showDocument/support"),
            progress: yes("/window/workDoneProgress"),
            explanation_view: yes("/experimental/carat/explanation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_said_is_nothing_there() {
        for params in [json!(null), json!({}), json!({ "capabilities": null })] {
            assert_eq!(ActionFacts::read(&params), ActionFacts::default());
        }
    }

    #[test]
    fn annotations_need_versioned_edits() {
        let edit = json!({ "changeAnnotationSupport": { "groupsOnLabel": true } });
        let params = json!({ "capabilities": { "workspace": { "workspaceEdit": edit } } });
        assert!(!ActionFacts::read(&params).annotations);
    }

    #[test]
    fn reads_what_editors_say() {
        let facts = ActionFacts::read(&json!({ "capabilities": {
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
}
