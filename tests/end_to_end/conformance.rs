//! What real clients do and the specification allows or not: none of it may hurt. What does not depend
//! on the form of messages is tested in `server/src/session/tests/clients.rs`, without a process.

use carat_tests::{Client, Server, Units};
use serde_json::{Value, json};

use crate::{URI, without_model};

fn started(client: &Client) -> (Server, Value) {
    let mut server = without_model();
    let result = server.initialize(client);
    server.notification("window/showMessage");
    (server, result["capabilities"].clone())
}

/// The server still does its work.
#[track_caller]
fn assert_alive(server: &mut Server) {
    server.open("file:///alive.rs", "rust", "let a = ");
    let id = server.inline_completion("file:///alive.rs", (0, 8));
    assert_eq!(server.response(id).result(), &json!([]));
}

#[test]
fn encodings_are_negotiated() {
    use Units::{Utf8, Utf16, Utf32};
    for (offered, expected) in [
        (vec![], "utf-16"),
        (vec![Utf16], "utf-16"),
        (vec![Utf32, Utf8, Utf16], "utf-8"),
        (vec![Utf16, Utf32], "utf-16"),
        (vec![Utf32], "utf-32"),
    ] {
        let (_server, capabilities) = started(&Client::inline().offering(&offered));
        assert_eq!(capabilities["positionEncoding"], expected, "{offered:?}");
    }
}

#[test]
fn the_capabilities_are_static_and_never_both() {
    let mut null = Client::inline();
    null.params["capabilities"]["textDocument"]["inlineCompletion"] = Value::Null;
    for client in [Client::inline(), null] {
        let (_server, capabilities) = started(&client);
        assert_eq!(capabilities["inlineCompletionProvider"], true);
        assert_eq!(capabilities.get("completionProvider"), None);
        assert_eq!(
            capabilities["textDocumentSync"],
            json!({ "openClose": true, "change": 2, "save": true })
        );
        assert_eq!(
            capabilities["executeCommandProvider"]["commands"],
            json!([
                "carat.lastPrompt",
                "carat.toggle",
                "carat.snooze",
                "carat.setLanguage",
                "carat.why",
                "carat.dismiss",
                "carat.explain",
                "carat.refactor",
                "carat.document",
                "carat.writeTests",
                "carat.fix",
                "carat.custom",
            ])
        );
        // Helix blocks while it resolves.
        let menu = &capabilities["codeActionProvider"];
        assert!(menu["codeActionKinds"].is_array() && menu.get("resolveProvider").is_none());
    }
    let (_server, capabilities) = started(&Client::menu());
    assert_eq!(capabilities.get("inlineCompletionProvider"), None);
    assert!(capabilities["completionProvider"].is_object());
}

#[test]
fn odd_parameters_of_initialize_do_no_harm() {
    let inline = json!({ "textDocument": { "inlineCompletion": {}, "codeAction": "nonsense" } });
    for params in [
        json!({ "capabilities": inline, "workspaceFolders": null, "processId": "x", "trace": "loud", "rootUri": 7 }),
        json!({ "capabilities": inline, "initializationOptions": { "deadlineMs": "soon", "colour": true } }),
        json!({ "capabilities": inline, "initializationOptions": [] }),
    ] {
        let has_bad_settings = params.pointer("/initializationOptions/colour").is_some();
        let (mut server, capabilities) = started(&Client { params });
        assert_eq!(capabilities["inlineCompletionProvider"], true);
        assert_alive(&mut server);
        if has_bad_settings {
            server.notification("window/showMessage");
        }
    }
}

#[test]
fn violations_of_the_protocol_do_not_end_the_server() {
    let (mut server, _) = started(&Client::inline());
    server.change("file:///never.rs", 1, Some((0, 0)..(0, 1)), "x");
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": "file:///never.rs" } }),
    );
    server.notify("textDocument/didChange", &json!({}));
    server.notify("textDocument/didOpen", &json!(null));
    server.open(URI, "rust", "one");
    // An edit that cannot be read leaves no text that could be trusted.
    let changes = json!([{ "range": { "start": 1 }, "text": 7 }]);
    server.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": URI, "version": 4 }, "contentChanges": changes }),
    );
    let id = server.inline_completion(URI, (0, 0));
    assert_eq!(server.response(id).result(), &Value::Null);
    assert_alive(&mut server);
}

#[test]
fn ids_may_be_text_and_cancellations_may_come_late_or_twice() {
    let (mut server, _) = started(&Client::inline());
    server.open(URI, "rust", "let a = ");
    let params =
        json!({ "textDocument": { "uri": URI }, "position": { "line": 0, "character": 8 } });
    server.send(&json!({ "jsonrpc": "2.0", "id": "one", "method": "textDocument/inlineCompletion", "params": params }));
    let response = server.receive_within(std::time::Duration::from_secs(20), |message| {
        message["id"] == "one"
    });
    assert_eq!(
        response.map(|response| response.result().clone()),
        Some(json!([]))
    );
    for id in [
        json!("one"),
        json!("one"),
        json!(99),
        json!(i64::MAX),
        json!(null),
        json!({}),
    ] {
        server.notify("$/cancelRequest", &json!({ "id": id }));
    }
    assert_alive(&mut server);
}
