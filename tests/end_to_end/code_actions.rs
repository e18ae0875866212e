//! Code actions from the menu to the edit: the whole pipeline behind a scripted model. What is done with an
//! answer is tested in `server/testdata/actions`, what becomes of an action in
//! `server/src/session/tests/actions.rs`.

mod edits;
mod life_cycle;
mod menu;
mod readings;

use std::time::{Duration, Instant};

use carat_tests::{Client, Server, Units};
use serde_json::{Value, json};

use crate::URI;

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
