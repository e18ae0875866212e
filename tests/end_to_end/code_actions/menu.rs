//! The menu and the commands behind its entries.

use carat_tests::{Client, Server};
use serde_json::{Value, json};

use super::{TEXT, applied, edited, editor, message, quiet, range, run};
use crate::{URI, activity, scripted_for};

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
