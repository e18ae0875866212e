//! Serving an editor opens no socket: a trace of the system calls of a whole session shows none.
//!
//! Where `strace` is missing or forbidden, the test says so and looks at the open descriptors instead,
//! which proves less: a socket that was closed again leaves no trace there.

use std::path::Path;
use std::process::{Command, Stdio};

use carat_tests::{Client, Launch, Server};
use serde_json::json;

use crate::{URI, program};

/// The options under which all network calls of all threads are written to a file.
const TRACE: [&str; 4] = ["-f", "-qq", "-e", "trace=%network"];

/// Whether a trace shows that a socket was made, of any kind: looking up a name needs one as well.
fn shows_socket(trace: &str) -> bool {
    trace.contains("socket(")
}

/// Whether `strace` works here: it has to see the socket of a program that opens one.
fn strace_works(folder: &Path) -> bool {
    let trace = folder.join("control");
    let control = Command::new("strace")
        .args(TRACE)
        .arg("-o")
        .arg(&trace)
        .args(["bash", "-c", "exec 3<>/dev/udp/127.0.0.1/9"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    control.is_ok() && std::fs::read_to_string(trace).is_ok_and(|trace| shows_socket(&trace))
}

/// What an editor does in a day: settings, edits, ghost text, commands, actions.
fn session(server: &mut Server) {
    let mut client = Client::inline().options(json!({ "explicitDeadlineMs": 20_000 }));
    client.params["capabilities"]["experimental"] = json!({ "carat": { "status": true } });
    let capabilities = server.initialize(&client)["capabilities"].clone();
    server.open(URI, "rust", "fn main() {\n    let name = \n}\n");
    let caret = json!({ "line": 1, "character": 15 });
    let document = json!({ "uri": URI });
    let completion =
        json!({ "textDocument": document, "position": caret, "context": { "triggerKind": 1 } });
    server.until("an answer of the embedded model", |server| {
        let items = server.ask("textDocument/inlineCompletion", &completion);
        items
            .as_array()
            .is_some_and(|items| !items.is_empty())
            .then_some(())
    });
    server.change(URI, 1, Some((1, 15)..(1, 15)), "St");
    server.command("carat.lastPrompt");
    server.command("carat.toggle");
    server.notify(
        "workspace/didChangeConfiguration",
        &json!({ "settings": { "carat": { "deadlineMs": 50 } } }),
    );
    if !capabilities["codeActionProvider"].is_null() {
        let range = json!({ "start": { "line": 0, "character": 0 }, "end": caret });
        let context = json!({ "diagnostics": [] });
        let params = json!({ "textDocument": document, "range": range, "context": context });
        let actions = server.ask("textDocument/codeAction", &params);
        for action in actions.as_array().into_iter().flatten() {
            let id = server.request("workspace/executeCommand", &action["command"]);
            server.response(id);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_session_opens_no_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    if !strace_works(folder.path()) {
        eprintln!("strace is missing or forbidden here: only open descriptors were looked at");
        return looks_at_descriptors();
    }
    let trace = folder.path().join("trace");
    let mut launch = Launch::new(Path::new("strace"));
    let output = trace.display().to_string();
    let command = [program().to_str().expect("a path"), "lsp"];
    for argument in TRACE.into_iter().chain(["-o", &output]).chain(command) {
        launch = launch.argument(argument);
    }
    let mut server = launch.start();
    session(&mut server);
    server.ask("shutdown", &serde_json::Value::Null);
    server.notify("exit", &serde_json::Value::Null);
    assert_eq!(server.wait_for_exit().code, Some(0));
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    assert!(!shows_socket(&trace), "{trace}");
}

#[cfg(target_os = "linux")]
fn looks_at_descriptors() {
    let mut server = Launch::new(program()).argument("lsp").start();
    session(&mut server);
    let folder = format!("/proc/{}/fd", server.process_id());
    let targets: Vec<String> = std::fs::read_dir(folder)
        .expect("the descriptors of a child")
        .filter_map(|entry| {
            Some(
                std::fs::read_link(entry.ok()?.path())
                    .ok()?
                    .display()
                    .to_string(),
            )
        })
        .collect();
    assert!(targets.len() >= 3, "{targets:?}");
    // The test's own ends of the pipes are pipes, so every socket is the server's.
    assert!(
        targets.iter().all(|target| !target.starts_with("socket:")),
        "{targets:?}"
    );
    server.unread();
}
