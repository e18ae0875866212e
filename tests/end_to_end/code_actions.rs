//! Code actions from the menu to the edit: the whole pipeline behind a scripted model.

use std::time::{Duration, Instant};

use carat_tests::{Client, Server, Units};
use serde_json::{Value, json};

use crate::{URI, activity, scripted_for};

/// What a modern editor can do.
fn editor() -> Client {
    let mut client = Client::inline().offering(&[Units::Utf16]);
    let capabilities = &mut client.params["capabilities"];
    capabilities["textDocument"]["codeAction"] =
        json!({ "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [] } } });
    capabilities["workspace"] =
        json!({ "applyEdit": true, "workspaceEdit": { "documentChanges": true } });
    capabilities["window"] =
        json!({ "workDoneProgress": true, "showDocument": { "support": true } });
    client
}

/// The same without progress, where a test does not look at it.
fn quiet() -> Client {
    let mut client = editor();
    client.params["capabilities"]["window"]["workDoneProgress"] = json!(false);
    client
}

fn range(start: (u32, u32), end: (u32, u32)) -> Value {
    json!({
        "start": { "line": start.0, "character": start.1 },
        "end": { "line": end.0, "character": end.1 },
    })
}

/// Runs a command of the menu; it is answered at once.
#[track_caller]
fn run(server: &mut Server, command: &str, range: &Value, more: &Value) {
    let mut argument = json!({ "uri": URI, "range": range });
    for (key, value) in more.as_object().into_iter().flatten() {
        argument[key] = value.clone();
    }
    let sent = Instant::now();
    let id = server.request(
        "workspace/executeCommand",
        &json!({ "command": command, "arguments": [argument] }),
    );
    let response = server.response(id);
    assert_eq!(response.result(), &Value::Null);
    let took = response.at.saturating_duration_since(sent);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Answers a request of the server.
fn answer(server: &mut Server, request: &Value, result: &Value) {
    server.send(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }));
}

/// The next edit, applied; what it says.
#[track_caller]
fn applied(server: &mut Server) -> Value {
    let request = server.notification("workspace/applyEdit");
    answer(server, &request, &json!({ "applied": true }));
    request["params"].clone()
}

#[track_caller]
fn message(server: &mut Server) -> String {
    let message = server.notification("window/showMessage");
    message["params"]["message"]
        .as_str()
        .expect("text")
        .to_owned()
}

/// Allows the next progress; its token.
#[track_caller]
fn progress(server: &mut Server) -> Value {
    let request = server.notification("window/workDoneProgress/create");
    answer(server, &request, &Value::Null);
    request["params"]["token"].clone()
}

/// Reads progress until its end; the kinds that came, and the last message.
#[track_caller]
fn until_progress_ends(server: &mut Server, token: &Value) -> (Vec<String>, Value) {
    let mut kinds = Vec::new();
    loop {
        let params = server.notification("$/progress")["params"].clone();
        assert_eq!(&params["token"], token);
        let kind = params["value"]["kind"].as_str().expect("a kind").to_owned();
        let ended = kind == "end";
        kinds.push(kind);
        if ended {
            return (kinds, params["value"]["message"].clone());
        }
    }
}

/// The text after the edits of a document change, whose positions are in UTF-16.
fn edited(text: &str, edits: &Value) -> String {
    let offset = |at: &Value| {
        let (line, units) = (at["line"].as_u64(), at["character"].as_u64());
        let (line, mut units) = (line.expect("a line") as usize, units.expect("a column"));
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        let mut byte = start;
        for c in text[start..].chars() {
            if units == 0 {
                break;
            }
            units -= c.len_utf16() as u64;
            byte += c.len_utf8();
        }
        byte
    };
    let mut edits: Vec<_> = edits
        .as_array()
        .expect("edits")
        .iter()
        .map(|edit| {
            let range = &edit["range"];
            (
                offset(&range["start"])..offset(&range["end"]),
                &edit["newText"],
            )
        })
        .collect();
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for (range, new) in edits {
        text.replace_range(range, new.as_str().expect("text"));
    }
    text
}

const TEXT: &str = "fn one() {\n    a();\n}\n\nfn two() {\n    b();\n}\n";

#[test]
fn the_menu_offers_commands_and_never_runs_the_model() {
    let client =
        editor().options(json!({ "actions": [{ "title": "Add logging", "prompt": "Log." }] }));
    let Some(mut server) = scripted_for(&client, &json!({}), TEXT) else {
        return;
    };
    let before = activity(&mut server);
    let diagnostic = json!({ "range": range((1, 4), (1, 5)), "message": "cannot find `a`" });
    let ask = |server: &mut Server, context: &Value| {
        let params = json!({ "textDocument": { "uri": URI }, "range": range((1, 4), (1, 4)), "context": context });
        server.ask("textDocument/codeAction", &params)
    };
    let menu = ask(&mut server, &json!({ "diagnostics": [diagnostic] }));
    let titles: Vec<_> = menu
        .as_array()
        .expect("a menu")
        .iter()
        .map(|entry| entry["title"].as_str().expect("a title"))
        .collect();
    assert_eq!(
        titles,
        [
            "Carat: Fix: cannot find `a`",
            "Carat: Explain `one`",
            "Carat: Refactor `one`",
            "Carat: Document `one`",
            "Carat: Write tests of `one`",
            "Carat: Add logging"
        ]
    );
    assert_eq!(menu[0]["kind"], "quickfix");
    assert_eq!(menu[0]["diagnostics"], json!([diagnostic]));
    assert_eq!(menu[2]["command"]["command"], "carat.refactor");
    assert_eq!(menu[2].get("edit"), None);
    let only = ask(
        &mut server,
        &json!({ "diagnostics": [], "only": ["refactor"] }),
    );
    assert_eq!(only.as_array().map(Vec::len), Some(4));
    assert_eq!(
        ask(&mut server, &json!({ "diagnostics": [], "triggerKind": 2 })),
        json!([])
    );
    let closed = json!({ "textDocument": { "uri": "file:///none.rs" }, "range": range((0, 0), (0, 0)), "context": {} });
    assert_eq!(server.ask("textDocument/codeAction", &closed), Value::Null);
    assert_eq!(activity(&mut server)["generations"], before["generations"]);
}

#[test]
fn a_client_without_literals_gets_plain_commands() {
    let Some(mut server) = scripted_for(&Client::inline(), &json!({}), TEXT) else {
        return;
    };
    let params = json!({ "textDocument": { "uri": URI }, "range": range((1, 4), (1, 4)), "context": { "diagnostics": [] } });
    let menu = server.ask("textDocument/codeAction", &params);
    assert_eq!(menu[0]["command"], "carat.explain");
    assert!(menu[0]["arguments"].is_array());
}

#[test]
fn a_rewritten_item_is_applied_with_progress_and_a_version() {
    let script =
        json!({ "answers": ["() {\n    b();\n    c();\n}\n```\nDone."], "ms_per_token": 5 });
    let Some(mut server) = scripted_for(&editor(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({ "instruction": "call c" }),
    );
    let token = progress(&mut server);
    let (kinds, _) = until_progress_ends(&mut server, &token);
    assert_eq!(kinds.first().map(String::as_str), Some("begin"));
    let params = applied(&mut server);
    let change = &params["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({ "uri": URI, "version": 0 }));
    // Only what differs is replaced.
    assert_eq!(
        change["edits"],
        json!([{ "range": range((6, 0), (6, 0)), "newText": "    c();\n" }])
    );
}

#[test]
fn a_client_with_annotations_is_asked_to_confirm() {
    let mut client = quiet();
    client.params["capabilities"]["workspace"]["workspaceEdit"]["changeAnnotationSupport"] =
        json!({});
    let script = json!({ "answers": ["() {}\n```"] });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let edit = applied(&mut server)["edit"].clone();
    let id = edit["documentChanges"][0]["edits"][0]["annotationId"]
        .as_str()
        .expect("an annotation");
    assert_eq!(edit["changeAnnotations"][id]["needsConfirmation"], true);
}

#[test]
fn edits_elsewhere_move_the_change_and_edits_inside_refuse_it() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"], "answer_prefill_ms": 600 });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    server.change(URI, 1, Some((0, 0)..(0, 0)), "// new\n");
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    assert_eq!(change["textDocument"]["version"], 1);
    assert_eq!(
        edited(&format!("// new\n{TEXT}"), &change["edits"]),
        format!("// new\n{}", TEXT.replace("b();", "c();"))
    );

    run(
        &mut server,
        "carat.refactor",
        &range((6, 4), (6, 4)),
        &json!({}),
    );
    server.change(URI, 2, Some((6, 4)..(6, 5)), "x");
    let said = message(&mut server);
    assert!(said.contains("was edited while"), "{said}");
}

#[test]
fn a_client_that_refuses_the_edit_is_told_so() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let request = server.notification("workspace/applyEdit");
    answer(
        &mut server,
        &request,
        &json!({ "applied": false, "failureReason": "outdated" }),
    );
    let said = message(&mut server);
    assert!(
        said.contains("did not apply") && said.contains("outdated"),
        "{said}"
    );
}

#[test]
fn a_menu_that_is_out_of_date_is_refused() {
    let Some(mut server) = scripted_for(&quiet(), &json!({}), TEXT) else {
        return;
    };
    server.change(URI, 1, Some((0, 0)..(0, 0)), "\n");
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({ "version": 0 }),
    );
    assert!(message(&mut server).contains("has changed since the menu"));
}

#[test]
fn cancelling_the_progress_stops_the_engine() {
    let script = json!({ "answers": ["() {}\n```"], "answer_prefill_ms": 60_000 });
    let Some(mut server) = scripted_for(&editor(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let token = progress(&mut server);
    server.until("work", |server| {
        (activity(server)["busy"] == true).then_some(())
    });
    server.notify("window/workDoneProgress/cancel", &json!({ "token": token }));
    let cancelled = Instant::now();
    server.until("rest", |server| {
        (activity(server)["busy"] == false).then_some(())
    });
    assert!(
        cancelled.elapsed() < Duration::from_secs(5),
        "{:?}",
        cancelled.elapsed()
    );
    let (_, last) = until_progress_ends(&mut server, &token);
    assert_eq!(last, "cancelled");
}

#[test]
fn an_answer_that_cannot_be_used_is_asked_for_once_more() {
    let script = json!({ "answers": ["() {\n    c(;\n}\n```", "() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    let before = activity(&mut server)["generations"]
        .as_u64()
        .expect("a count");
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    assert_eq!(edited(TEXT, &change["edits"]), TEXT.replace("b();", "c();"));
    assert_eq!(activity(&mut server)["generations"], before + 2);
}

#[test]
fn two_answers_that_cannot_be_used_are_reported() {
    let script = json!({ "answers": ["() {\n    c(;\n}\n```", "() {\n    // ... existing code ...\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    let before = activity(&mut server)["generations"]
        .as_u64()
        .expect("a count");
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let said = message(&mut server);
    assert!(
        said.contains("leaves code out") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(activity(&mut server)["generations"], before + 2);
}

#[test]
fn a_client_that_cannot_be_edited_gets_the_code_to_read() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&Client::inline(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let said = message(&mut server);
    assert!(
        said.contains("does not let servers edit") && said.contains("    c();"),
        "{said}"
    );
}

#[test]
fn selections_after_emoji_are_right() {
    let text = "const F: &str = \"\u{1F600}\u{1F600}\"; fn g() { let x = \"\u{1F600}\"; h(); }\n";
    let script = json!({ "answers": ["() { i(); }\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, text) else {
        return;
    };
    // In bytes this column would lie in the constant.
    let column = text[..text.find("h();").expect("h")].encode_utf16().count() as u32;
    run(
        &mut server,
        "carat.refactor",
        &range((0, column), (0, column)),
        &json!({ "instruction": "call i" }),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    let expected = "const F: &str = \"\u{1F600}\u{1F600}\"; fn g() { i(); }\n";
    assert_eq!(edited(text, &change["edits"]), expected);
}

#[test]
fn files_with_crlf_keep_it() {
    let text = TEXT.replace('\n', "\r\n");
    let script = json!({ "answers": ["() {\n    b();\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&quiet(), &script, &text) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    let expected = text.replace("b();\r\n", "b();\r\n    c();\r\n");
    assert_eq!(edited(&text, &change["edits"]), expected);
}

#[test]
fn a_completion_goes_first_and_the_action_loses_nothing() {
    let body = (0..40)
        .map(|n| format!("    call_{n}();\n"))
        .collect::<String>();
    let script = json!({ "answers": [format!("() {{\n{body}}}\n```")], "text": "done();", "ms_per_token": 30 });
    let client = quiet().options(json!({ "deadlineMs": 20_000 }));
    let text = format!("{TEXT}fn three() {{\n    let a = \n}}\n");
    let Some(mut server) = scripted_for(&client, &script, &text) else {
        return;
    };
    let tokens = |server: &mut Server| activity(server)["tokens"].as_u64().expect("a count");
    let before = tokens(&mut server);
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    for round in 1..=3 {
        server.until("some of the answer", |server| {
            (tokens(server) > before + 10 * round).then_some(())
        });
        let sent = Instant::now();
        // Another place each time, so that nothing is answered from what is there.
        server.change(URI, round as i32, Some((7, 0)..(7, 0)), "\n");
        let id = server.inline_completion(URI, (8 + round as u32, 12));
        let response = server.response(id);
        assert_eq!(
            response.result()[0]["insertText"],
            "done();",
            "{response:?}"
        );
        let took = response.at.saturating_duration_since(sent);
        assert!(
            took < Duration::from_secs(2),
            "the action takes four seconds: {took:?}"
        );
    }
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    let now = text.replacen("}\nfn three", "}\n\n\n\nfn three", 1);
    assert_eq!(
        edited(&now, &change["edits"]),
        now.replace("    b();\n", &body)
    );
}

#[test]
fn actions_queue_and_too_many_are_refused() {
    let script = json!({ "answers": ["() {\n    c();\n}\n```"], "answer_prefill_ms": 400 });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    for _ in 0..3 {
        run(
            &mut server,
            "carat.explain",
            &range((1, 4), (1, 4)),
            &json!({}),
        );
    }
    for _ in 0..3 {
        let request = server.notification("window/showDocument");
        answer(&mut server, &request, &json!({ "success": true }));
    }
    for _ in 0..8 {
        run(
            &mut server,
            "carat.explain",
            &range((1, 4), (1, 4)),
            &json!({}),
        );
    }
    let (mut shown, mut refused) = (0, 0);
    while shown + refused < 8 {
        let wanted = |message: &Value| {
            message["method"] == "window/showDocument" || message["method"] == "window/showMessage"
        };
        let message = server
            .receive_within(Duration::from_secs(30), wanted)
            .expect("an end of each")
            .message;
        if message["method"] == "window/showDocument" {
            answer(&mut server, &message, &json!({ "success": true }));
            shown += 1;
        } else {
            let said = message["params"]["message"].as_str().expect("text");
            assert!(said.contains("are under way"), "{said}");
            refused += 1;
        }
    }
    assert!(
        shown >= 4 && refused >= 1,
        "{shown} shown, {refused} refused"
    );
}

#[test]
fn closing_the_document_ends_what_would_change_it() {
    let script = json!({ "answers": ["() {}\n```"], "answer_prefill_ms": 60_000 });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": URI } }),
    );
    let said = message(&mut server);
    assert!(said.contains("was closed"), "{said}");
    server.until("rest", |server| {
        (activity(server)["busy"] == false).then_some(())
    });
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    assert!(message(&mut server).contains("not open"));
}

#[test]
fn an_explanation_is_a_file_that_goes_with_the_server() {
    let script = json!({ "answers": ["It calls `a`."] });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    let request = server.notification("window/showDocument");
    let uri = request["params"]["uri"].as_str().expect("a uri").to_owned();
    let path = uri.strip_prefix("file://").expect("a file").to_owned();
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(
        text.starts_with("# Explaining a.rs\n") && text.contains("It calls `a`."),
        "{text}"
    );
    answer(&mut server, &request, &json!({ "success": true }));
    drop(server);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn an_explanation_goes_to_the_clients_own_view_or_into_a_message() {
    let script = json!({ "answers": ["It calls `a`."] });
    let mut client = quiet();
    client.params["capabilities"]["experimental"] = json!({ "carat": { "explanation": true } });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    let params = server.notification("carat/explanation")["params"].clone();
    assert_eq!(params["markdown"], "It calls `a`.");
    assert_eq!(
        (&params["uri"], &params["range"]),
        (&json!(URI), &range((1, 4), (1, 4)))
    );

    let Some(mut server) = scripted_for(&Client::inline(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    assert!(message(&mut server).contains("It calls `a`."));
}

#[test]
fn the_users_own_actions_run_with_their_prompt() {
    let client =
        quiet().options(json!({ "actions": [{ "title": "Call c", "prompt": "Call c." }] }));
    let script = json!({ "answers": ["() {\n    c();\n}\n```"] });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.custom",
        &range((5, 4), (5, 4)),
        &json!({ "title": "Call c" }),
    );
    let change = applied(&mut server)["edit"]["documentChanges"][0].clone();
    assert_eq!(edited(TEXT, &change["edits"]), TEXT.replace("b();", "c();"));
    run(
        &mut server,
        "carat.custom",
        &range((5, 4), (5, 4)),
        &json!({ "title": "None" }),
    );
    assert!(message(&mut server).contains("no action `None`"));
}

#[test]
fn tests_in_a_file_of_their_own_create_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = format!("file://{}/shape.py", folder.path().display());
    let mut client = quiet();
    client.params["capabilities"]["workspace"]["workspaceEdit"]["resourceOperations"] =
        json!(["create"]);
    let script = json!({ "answers": ["def test_f():\n    assert f() == 1\n```"] });
    let Some(mut server) = scripted_for(&client, &script, TEXT) else {
        return;
    };
    server.open(&uri, "python", "def f():\n    return 1\n");
    let argument = json!({ "uri": uri, "range": range((1, 4), (1, 4)) });
    let params = json!({ "command": "carat.writeTests", "arguments": [argument] });
    server.ask("workspace/executeCommand", &params);
    let changes = applied(&mut server)["edit"]["documentChanges"].clone();
    let new = format!("file://{}/test_shape.py", folder.path().display());
    assert_eq!(
        (&changes[0]["kind"], &changes[0]["uri"]),
        (&json!("create"), &json!(new))
    );
    assert_eq!(
        changes[1]["edits"][0]["newText"],
        "def test_f():\n    assert f() == 1\n"
    );
    // What is there already is not touched.
    std::fs::write(folder.path().join("test_shape.py"), "").expect("a file");
    server.ask("workspace/executeCommand", &params);
    let request = server.notification("window/showDocument");
    answer(&mut server, &request, &json!({ "success": true }));
}

#[test]
fn a_model_that_only_completes_says_how_to_get_another() {
    let Some(mut server) = scripted_for(&quiet(), &json!({ "instruct": false }), TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    let said = message(&mut server);
    assert!(
        said.contains("carat model pull gemma-4-26b-a4b") && said.contains("`model`"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn without_a_model_the_user_hears_it() {
    let mut server = crate::without_model();
    server.initialize(&quiet());
    server.open(URI, "rust", TEXT);
    server.until("the end of loading", |server| {
        server.receive_within(Duration::from_millis(50), |message| {
            message["method"] == "window/showMessage"
        })
    });
    run(
        &mut server,
        "carat.explain",
        &range((1, 4), (1, 4)),
        &json!({}),
    );
    assert!(message(&mut server).contains("no model"));
}

#[test]
fn bad_arguments_are_errors_and_no_panics() {
    let Some(mut server) = scripted_for(&quiet(), &json!({}), TEXT) else {
        return;
    };
    for arguments in [
        json!([]),
        json!([7]),
        json!([{ "uri": URI }]),
        json!([{ "uri": URI, "range": "x" }]),
    ] {
        let params = json!({ "command": "carat.refactor", "arguments": arguments });
        let id = server.request("workspace/executeCommand", &params);
        assert_eq!(
            server.response(id).error_code(),
            Some(-32602),
            "{arguments}"
        );
    }
    let params = json!({ "command": "carat.fix", "arguments": [{ "uri": URI, "range": range((0, 0), (0, 0)) }] });
    let id = server.request("workspace/executeCommand", &params);
    assert_eq!(server.response(id).error_code(), Some(-32602));
    // Far outside of the text is its end.
    run(
        &mut server,
        "carat.refactor",
        &range((900, 900), (900, 900)),
        &json!({}),
    );
    assert!(message(&mut server).contains("no function"));
}

#[test]
fn shutting_down_ends_actions_without_a_word() {
    let script = json!({ "answers": ["() {}\n```"], "answer_prefill_ms": 60_000 });
    let Some(mut server) = scripted_for(&quiet(), &script, TEXT) else {
        return;
    };
    run(
        &mut server,
        "carat.refactor",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    run(
        &mut server,
        "carat.explain",
        &range((5, 4), (5, 4)),
        &json!({}),
    );
    // Dropping checks that no message is left and that the exit is clean.
}
