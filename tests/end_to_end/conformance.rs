//! What real clients do and the specification allows or not: none of it may hurt.

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
fn documents_that_are_not_open_have_no_completions() {
    let (mut server, _) = started(&Client::inline());
    let id = server.inline_completion("file:///never.rs", (0, 0));
    assert_eq!(server.response(id).result(), &Value::Null);
    server.open(URI, "rust", "x");
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": URI } }),
    );
    let id = server.inline_completion(URI, (0, 0));
    assert_eq!(server.response(id).result(), &Value::Null);
    assert_alive(&mut server);
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
    server.open(URI, "rust", "two");
    server.change(URI, 9, Some((99, 99)..(u32::MAX, u32::MAX)), "!");
    server.change(URI, 3, Some((0, 2)..(0, 1)), "");
    let id = server.inline_completion(URI, (77, u32::MAX));
    assert_eq!(server.response(id).result(), &json!([]));
    assert_eq!(server.command("carat.lastPrompt")["document"], "to!");
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
fn documents_of_all_schemes_are_served() {
    let (mut server, _) = started(&Client::inline());
    for uri in [
        "untitled:Untitled-1",
        "git:/project/a.rs?ref=HEAD",
        "vscode-notebook-cell:/a.ipynb#W0s",
        "not a uri %zz",
        "",
    ] {
        server.open(uri, "", "x = ");
        let id = server.inline_completion(uri, (0, 4));
        assert_eq!(server.response(id).result(), &json!([]), "{uri}");
        assert_eq!(server.command("carat.lastPrompt")["uri"], uri);
    }
}

#[test]
fn a_document_of_ten_megabytes_and_a_line_of_one() {
    let (mut server, _) = started(&Client::inline().offering(&[Units::Utf16]));
    let line = "let \u{1F600} = 漢字;\n";
    server.open(URI, "rust", &line.repeat(10_000_000 / line.len()));
    server.change(URI, 1, Some((300_000, 4)..(300_000, 6)), "x");
    let id = server.inline_completion(URI, (300_000, 5));
    assert_eq!(server.response(id).result(), &json!([]));
    let record = server.command("carat.lastPrompt");
    let (document, caret) = (
        record["document"].as_str().expect("text"),
        record["caret"].as_u64().expect("a number"),
    );
    assert!(document[..caret as usize].ends_with("\nlet x"));

    server.open(URI, "json", &"\u{1F600}".repeat(250_000));
    server.change(URI, 2, Some((0, 400_000)..(0, 400_001)), "");
    let id = server.inline_completion(URI, (0, 400_000));
    server.response(id);
    assert_eq!(server.command("carat.lastPrompt")["caret"], 800_000);
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
