//! End-to-end tests of the real binary over real standard input and output.
//!
//! What depends on time runs with the scripted generator (`--features testing`); without it those
//! tests say so and pass. The harness is the crate `carat-tests`.

mod cancellation;
mod code_actions;
mod command_line;
mod conformance;
mod document_sync;
mod inline_completion;
mod lifecycle;
mod model_faults;
mod model_pull;
mod no_network;
#[cfg(target_os = "linux")]
mod processor_tuning;
mod real_model;
mod settings;
mod soak;
mod workspace_memory;

use std::path::Path;

use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

const URI: &str = "file:///project/a.rs";

/// The program under test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_carat"))
}

/// The server without a usable model: for tests that need none.
fn without_model() -> Server {
    Launch::new(program())
        .argument("lsp")
        .argument("--model")
        .argument("/nonexistent/model.gguf")
        .start()
}

/// The server with a generator that follows `script`, or `None` where it is not compiled in.
fn scripted(script: &Value) -> Option<Server> {
    if cfg!(feature = "testing") {
        return Some(
            Launch::new(program())
                .environment("CARAT_TEST_GENERATOR", &script.to_string())
                .start(),
        );
    }
    eprintln!("skipped: needs the scripted generator, `--features testing`");
    None
}

/// The same, introduced, with its model loaded and one document opened.
fn scripted_with(script: &Value, text: &str) -> Option<Server> {
    scripted_for(&Client::inline(), script, text)
}

/// The same for a client of its own; its requests that the user asks for have a short deadline.
fn scripted_for(client: &Client, script: &Value, text: &str) -> Option<Server> {
    let mut client = client.clone();
    client.params["initializationOptions"]["explicitDeadlineMs"] = json!(400);
    let mut server = scripted(script)?;
    server.initialize(&client);
    wait_until_ready(&mut server);
    server.open(URI, "rust", text);
    Some(server)
}

/// Asks for completions of a document of its own until the model has answered one.
fn wait_until_ready(server: &mut Server) {
    let uri = "file:///ready.rs";
    server.open(uri, "rust", "let ready = count + ");
    server.until("an answer of the model", |server| {
        let context = json!({ "triggerKind": 1 });
        let params = json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 20 }, "context": context });
        let items = server.ask("textDocument/inlineCompletion", &params);
        items.as_array().is_some_and(|items| !items.is_empty()).then_some(())
    });
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": uri } }),
    );
}

/// What the scripted generator is doing.
fn activity(server: &mut Server) -> Value {
    server.command("carat.testing.activity")
}
