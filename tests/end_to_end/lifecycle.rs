//! From the first message to the last: order of the life cycle, exit codes, bad messages.

use std::process::{Command, Stdio};

use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

use crate::{URI, program, without_model};

fn started() -> Server {
    let mut server = without_model();
    server.initialize(&Client::inline());
    server.notification("window/showMessage");
    server
}

#[test]
fn shutdown_and_exit_is_success() {
    let mut server = started();
    let id = server.request("shutdown", &Value::Null);
    assert_eq!(server.response(id).result(), &Value::Null);
    let id = server.inline_completion(URI, (0, 0));
    assert_eq!(
        server.response(id).error_code(),
        Some(-32600),
        "no requests after shutdown"
    );
    server.notify("exit", &Value::Null);
    assert_eq!(server.wait_for_exit().code, Some(0));
    assert!(server.unread().is_empty());
}

#[test]
fn exit_without_shutdown_is_failure() {
    let mut server = started();
    server.notify("exit", &Value::Null);
    assert_eq!(server.wait_for_exit().code, Some(1));

    let mut server = without_model();
    server.notify("exit", &Value::Null);
    assert_eq!(
        server.wait_for_exit().code,
        Some(1),
        "before initialize as well"
    );
}

#[test]
fn the_end_of_input_ends_the_server() {
    let mut server = started();
    server.close_input();
    assert_eq!(server.wait_for_exit().code, Some(1));

    let mut server = without_model();
    server.close_input();
    assert_eq!(server.wait_for_exit().code, Some(1));

    let mut server = started();
    server.ask("shutdown", &Value::Null);
    server.close_input();
    assert_eq!(
        server.wait_for_exit().code,
        Some(0),
        "it was told to expect the end"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_death_of_the_parent_ends_the_server() {
    let mut parent = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .expect("the command sleep");
    let mut client = Client::inline();
    client.params["processId"] = json!(parent.id());
    let mut server = without_model();
    server.initialize(&client);
    server.notification("window/showMessage");
    parent.kill().expect("a living process");
    parent.wait().expect("a child");
    assert_eq!(server.wait_for_exit().code, Some(1));
}

#[test]
fn requests_before_initialize_are_refused_and_notifications_ignored() {
    let mut server = without_model();
    server.open(URI, "rust", "let a = ");
    let id = server.inline_completion(URI, (0, 0));
    assert_eq!(server.response(id).error_code(), Some(-32002));
    let id = server.request("shutdown", &Value::Null);
    assert_eq!(server.response(id).error_code(), Some(-32002));
    server.initialize(&Client::inline());
    server.notification("window/showMessage");
    let id = server.inline_completion(URI, (0, 0));
    assert_eq!(
        server.response(id).result(),
        &Value::Null,
        "the document was never opened"
    );
}

#[test]
fn a_second_initialize_is_refused() {
    let mut server = started();
    let id = server.request("initialize", &Client::menu().params);
    assert_eq!(server.response(id).error_code(), Some(-32600));
    server.open(URI, "rust", "let a = ");
    let id = server.inline_completion(URI, (0, 8));
    assert_eq!(server.response(id).result(), &json!([]));
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_of_initialize_is_served() {
    let mut server = without_model();
    let id = server.request("initialize", &Client::inline().params);
    server.notify("initialized", &json!({}));
    server.open(URI, "rust", "let a = ");
    let completion = server.inline_completion(URI, (0, 8));
    assert!(server.response(id).is_ok());
    assert_eq!(server.response(completion).result(), &json!([]));
    server.notification("window/showMessage");
}

#[test]
fn unknown_methods_are_refused_and_unknown_notifications_ignored() {
    let mut server = started();
    for method in ["textDocument/hover", "carat/nothing", "$/nothing", ""] {
        let id = server.request(method, &json!({}));
        assert_eq!(server.response(id).error_code(), Some(-32601), "{method}");
        server.notify(method, &json!({}));
    }
    server.notify("$/setTrace", &json!({ "value": "off" }));
    server.notify(
        "textDocument/didSave",
        &json!({ "textDocument": { "uri": URI } }),
    );
    let id = server.request(
        "workspace/executeCommand",
        &json!({ "command": "carat.nothing" }),
    );
    assert_eq!(server.response(id).error_code(), Some(-32602));
    let id = server.request(
        "textDocument/inlineCompletion",
        &json!({ "textDocument": {} }),
    );
    assert_eq!(server.response(id).error_code(), Some(-32602));
}

#[test]
fn malformed_messages_get_an_error_and_the_server_goes_on() {
    let mut server = started();
    for (body, code) in [
        ("{\"jsonrpc\":", -32700),
        ("nonsense", -32700),
        ("[]", -32600),
        ("{\"method\":1}", -32600),
    ] {
        server.send_raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let response = server.receive_within(std::time::Duration::from_secs(20), |message| {
            message["id"].is_null()
        });
        let response = response.unwrap_or_else(|| panic!("no answer to {body}"));
        assert_eq!(response.error_code(), Some(code), "{body}");
    }
    server.send_raw(b"Content-Length: nonsense\r\n\r\n");
    let response = server.receive_within(std::time::Duration::from_secs(20), |message| {
        message["id"].is_null()
    });
    assert_eq!(
        response.and_then(|response| response.error_code()),
        Some(-32700)
    );
    server.open(URI, "rust", "let a = ");
    let id = server.inline_completion(URI, (0, 8));
    assert_eq!(server.response(id).result(), &json!([]));
}

#[test]
fn answers_to_questions_that_were_never_asked_are_ignored() {
    let mut server = started();
    server.send(&json!({ "jsonrpc": "2.0", "id": 4711, "result": null }));
    server.send(&json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "x" } }));
    assert_eq!(
        server.command("carat.lastPrompt"),
        Value::Null,
        "and there was no completion yet"
    );
}

#[test]
fn the_server_is_what_runs_without_arguments() {
    let mut server = Launch::new(program()).start();
    let model = json!({ "model": "/nonexistent/other.gguf" });
    let result = server.initialize(&Client::inline().options(model));
    assert_eq!(result["serverInfo"]["name"], "carat");
    let message = server.notification("window/showMessage");
    assert!(
        message["params"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("/nonexistent/other.gguf")),
        "{message}"
    );
}
