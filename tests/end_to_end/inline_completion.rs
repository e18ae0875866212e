//! What ghost text looks like on the wire. What is answered while the user types is tested in
//! `server/src/session/tests.rs`, without a process.

use carat_tests::{Client, Launch, Units};
use serde_json::json;

use crate::{URI, program, scripted, scripted_for, scripted_with, wait_until_ready};

#[test]
fn an_item_has_a_string_and_an_empty_range_at_the_caret() {
    let Some(mut server) = scripted_with(&json!({ "text": "12;" }), "// \u{1F600}\nlet é = ")
    else {
        return;
    };
    let id = server.inline_completion(URI, (1, 8));
    let at = json!({ "line": 1, "character": 8 });
    let expected = json!([{ "insertText": "12;", "range": { "start": at, "end": at } }]);
    assert_eq!(server.response(id).result(), &expected);
    let record = server.command("carat.lastPrompt");
    assert_eq!(record["completion"], "12;");
    assert_eq!(
        (&record["tier"], &record["model"]),
        (&json!("small"), &json!("scripted"))
    );
    assert!(
        record["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.ends_with("let é")),
        "{record}"
    );
    assert!(
        record["ms"].as_f64().is_some_and(|ms| ms >= 0.0),
        "{record}"
    );
}

#[test]
fn a_panic_costs_one_answer_and_no_more() {
    let Some(mut server) = scripted_with(&json!({ "panic_at": "PANIC" }), "let PANIC = \nlet a = ")
    else {
        return;
    };
    let id = server.inline_completion(URI, (0, 12));
    assert_eq!(server.response(id).result(), &json!([]));
    server.change(URI, 1, Some((0, 4)..(0, 9)), "x");
    let id = server.inline_completion(URI, (1, 8));
    assert_eq!(server.response(id).result()[0]["insertText"], "completed");
    assert!(server.log().contains("panicked"), "it is in the log");
}

#[test]
fn a_client_without_inline_completion_gets_menu_entries() {
    let Some(mut server) = scripted(&json!({ "text": "bar(1);" })) else {
        return;
    };
    let result = server.initialize(&Client::menu().offering(&[Units::Utf16]));
    assert_eq!(result["capabilities"].get("inlineCompletionProvider"), None);
    assert!(result["capabilities"]["completionProvider"]["triggerCharacters"].is_array());
    server.open(URI, "rust", "let é = foo");
    let params =
        json!({ "textDocument": { "uri": URI }, "position": { "line": 0, "character": 11 } });
    let list = server.until("an entry", |server| {
        let list = server.ask("textDocument/completion", &params);
        assert_eq!(list["isIncomplete"], true);
        list["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
            .then_some(list)
    });
    let item = &list["items"][0];
    assert_eq!(item["label"], "foobar(1);");
    assert_eq!(item["filterText"], "foobar(1);");
    assert_eq!(
        (&item["preselect"], &item["kind"], &item["insertTextMode"]),
        (&json!(true), &json!(1), &json!(1))
    );
    let range =
        json!({ "start": { "line": 0, "character": 8 }, "end": { "line": 0, "character": 11 } });
    assert_eq!(
        item["textEdit"],
        json!({ "range": range, "newText": "foobar(1);" })
    );
    assert_eq!(item["documentation"]["kind"], "markdown");
}

#[test]
fn the_selected_entry_of_a_menu_is_part_of_the_answer() {
    let Some(mut server) = scripted_with(&json!({ "text": "(1)" }), "let a = fo;") else {
        return;
    };
    let range =
        json!({ "start": { "line": 0, "character": 8 }, "end": { "line": 0, "character": 10 } });
    let context =
        json!({ "triggerKind": 2, "selectedCompletionInfo": { "range": range, "text": "foobar" } });
    let params = json!({ "textDocument": { "uri": URI }, "position": { "line": 0, "character": 10 }, "context": context });
    let items = server.ask("textDocument/inlineCompletion", &params);
    assert_eq!(
        items,
        json!([{ "insertText": "foobar(1)", "range": range }])
    );
    assert_eq!(
        server.command("carat.lastPrompt")["document"],
        "let a = fo;"
    );
}

#[test]
fn a_second_model_is_asked_once_the_caret_rests() {
    let mut client = Client::inline().options(json!({ "models": { "rest": "large.gguf" } }));
    client.params["capabilities"]["experimental"] = json!({ "carat": { "askAgain": true } });
    let surer = json!({ "text": "2;", "log_prob": -0.01 });
    let script = json!({ "text": "1;", "log_prob": -0.1, "models": { "large.gguf": surer } });
    let Some(mut server) = scripted_for(&client, &script, "let a = ") else {
        return;
    };
    let id = server.inline_completion(URI, (0, 8));
    assert_eq!(server.response(id).result()[0]["insertText"], "1;");
    let again = server.notification("carat/askAgain");
    assert_eq!(again["params"], json!({ "uri": URI, "version": 0 }));
    let id = server.inline_completion(URI, (0, 8));
    assert_eq!(server.response(id).result()[0]["insertText"], "2;");
    assert_eq!(server.command("carat.lastPrompt")["source"], "rest");
}

#[test]
fn the_embedded_model_answers() {
    if !cfg!(feature = "embedded-model") {
        eprintln!("skipped: needs the feature embedded-model");
        return;
    }
    let mut server = Launch::new(program()).start();
    server.initialize(&Client::inline());
    wait_until_ready(&mut server);
    let record = server.command("carat.lastPrompt");
    assert_eq!(
        (&record["tier"], &record["model"]),
        (&json!("small"), &json!("default"))
    );
    assert!(
        record["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.contains("let ready")),
        "{record}"
    );
}
