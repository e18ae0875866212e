//! What ghost text looks like on the wire, and what is answered while the user types.

use std::time::{Duration, Instant};

use carat_tests::{Client, Launch, Units};
use serde_json::json;

use crate::{URI, activity, program, scripted, scripted_for, scripted_with, wait_until_ready};

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
fn typing_through_is_answered_without_the_engine() {
    let Some(mut server) = scripted_with(
        &json!({ "text": "foo(bar);", "ms_per_token": 1 }),
        "let a = ",
    ) else {
        return;
    };
    let id = server.inline_completion(URI, (0, 8));
    assert_eq!(server.response(id).result()[0]["insertText"], "foo(bar);");
    let begun = activity(&mut server)["generations"].clone();
    for (at, typed) in "foo(b".char_indices() {
        let column = 8 + at as u32;
        server.change(
            URI,
            at as i32 + 1,
            Some((0, column)..(0, column)),
            &typed.to_string(),
        );
        let id = server.inline_completion(URI, (0, column + 1));
        let rest = &"foo(bar);"[at + 1..];
        let item = server.response(id).result()[0].clone();
        assert_eq!(item["insertText"], rest);
        assert_eq!(item["range"]["start"]["character"], column + 1);
    }
    assert_eq!(
        activity(&mut server)["generations"],
        begun,
        "all came from the first generation"
    );
    server.change(URI, 9, Some((0, 13)..(0, 13)), "X");
    let id = server.inline_completion(URI, (0, 14));
    server.response(id);
    assert_ne!(
        activity(&mut server)["generations"],
        begun,
        "other text needs a new one"
    );
}

#[test]
fn a_cancelled_generation_is_adopted_by_the_request_that_types_on() {
    let script = json!({ "text": "foo(bar);", "token_bytes": 1, "ms_per_token": 100 });
    let client = Client::inline().options(json!({ "deadlineMs": 20_000 }));
    let Some(mut server) = scripted_for(&client, &script, "let a = ") else {
        return;
    };
    let before = activity(&mut server);
    let count =
        |activity: &serde_json::Value, what: &str| activity[what].as_u64().expect("a count");
    let first = server.inline_completion(URI, (0, 8));
    server.until("some text", |server| {
        (count(&activity(server), "tokens") > count(&before, "tokens") + 2).then_some(())
    });
    server.change(URI, 1, Some((0, 8)..(0, 8)), "f");
    server.cancel(first);
    let second = server.inline_completion(URI, (0, 9));
    assert_eq!(server.response(first).error_code(), Some(-32800));
    assert_eq!(
        server.response(second).result()[0]["insertText"],
        "oo(bar);"
    );
    let begun = count(&activity(&mut server), "generations") - count(&before, "generations");
    assert_eq!(begun, 1, "the generation was adopted");
}

#[test]
fn the_deadline_answers_a_whole_line_and_the_rest_comes_with_the_next_key() {
    let script = json!({ "text": "\n    one();\n    two();\n    three();\n}", "token_bytes": 8, "ms_per_token": 250 });
    let client = Client::inline().options(json!({ "deadlineMs": 1000 }));
    let Some(mut server) = scripted_for(&client, &script, "fn f() {\n") else {
        return;
    };
    let sent = Instant::now();
    let id = server.inline_completion(URI, (0, 8));
    let response = server.response(id);
    assert!(
        response.at.saturating_duration_since(sent) < Duration::from_secs(5),
        "long before the script ends"
    );
    if let Some(text) = response.result()[0]["insertText"].as_str() {
        assert!(
            text == "\n    one();" || text == "\n    one();\n    two();",
            "{text:?}"
        );
    }
}

#[test]
fn requests_before_the_model_is_there_are_answered_at_once() {
    let Some(mut server) = scripted(&json!({ "load_ms": 1500 })) else {
        return;
    };
    server.initialize(&Client::inline());
    server.open(URI, "rust", "let a = ");
    let sent = Instant::now();
    let id = server.inline_completion(URI, (0, 8));
    let response = server.response(id);
    assert_eq!(response.result(), &json!([]));
    let took = response.at.saturating_duration_since(sent);
    assert!(took < Duration::from_millis(500), "{took:?}");
    wait_until_ready(&mut server);
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
