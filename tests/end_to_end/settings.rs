//! Settings from the client and from the project over the wire, and `carat/status`.

use std::path::Path;

use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

use crate::{URI, program, scripted, scripted_for, wait_until_ready, without_model};

/// A server that completes everything with `1;`, for a client whose one workspace folder is `folder`.
fn in_folder(folder: &Path) -> Option<Server> {
    let mut server = scripted(&json!({ "text": "1;" }))?;
    let mut client = Client::inline();
    client.params["rootUri"] = json!(uri(folder));
    server.initialize(&client);
    wait_until_ready(&mut server);
    Some(server)
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Whether ghost text comes at the end of `let a = ` without being asked for.
fn completes(server: &mut Server, uri: &str) -> bool {
    let id = server.inline_completion(uri, (0, 8));
    let items = server.response(id).result().clone();
    items.as_array().is_some_and(|items| !items.is_empty())
}

fn configure(server: &mut Server, settings: &Value) {
    let params = json!({ "settings": { "carat": settings } });
    server.notify("workspace/didChangeConfiguration", &params);
}

#[test]
fn settings_that_are_pushed_count_and_a_bad_one_is_a_warning() {
    let options = json!({ "deadlineMs": "soon", "trigger": "manual" });
    let client = Client::inline().options(options.clone());
    let Some(mut server) = scripted_for(&client, &json!({ "text": "1;" }), "let a = ") else {
        return;
    };
    let message = server.notification("window/showMessage")["params"].clone();
    assert_eq!(message["type"], 2, "{message}");
    let text = message["message"].as_str().expect("a text");
    assert!(
        text.contains("`deadlineMs`") && text.contains("soon"),
        "{text}"
    );
    assert!(!completes(&mut server, URI), "only what is asked for");
    configure(&mut server, &options);
    configure(&mut server, &json!({ "trigger": "automatic" }));
    assert!(completes(&mut server, URI));
    let unread = server.unread();
    assert!(unread.is_empty(), "told once: {unread:?}");
}

#[test]
fn the_configuration_is_pulled_from_clients_that_have_it() {
    let Some(mut server) = scripted(&json!({ "text": "1;" })) else {
        return;
    };
    let mut client = Client::inline();
    client.params["capabilities"]["workspace"] = json!({ "configuration": true });
    server.initialize(&client);
    let answer = |server: &mut Server, settings: Value| {
        let request = server.notification("workspace/configuration");
        assert_eq!(request["params"]["items"], json!([{ "section": "carat" }]));
        server.send(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": [settings] }));
    };
    answer(&mut server, Value::Null);
    wait_until_ready(&mut server);
    server.open(URI, "rust", "let a = ");
    assert!(completes(&mut server, URI));
    server.notify(
        "workspace/didChangeConfiguration",
        &json!({ "settings": null }),
    );
    answer(&mut server, json!({ "enable": false }));
    server.until("the new configuration", |server| {
        (!completes(server, URI)).then_some(())
    });
}

#[test]
fn a_projects_file_counts_and_is_read_again_when_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(".carat.toml");
    std::fs::write(&file, "[languages]\nrust = false\n").expect("a file");
    let Some(mut server) = in_folder(folder.path()) else {
        return;
    };
    let inside = uri(&folder.path().join("a.rs"));
    server.open(&inside, "rust", "let a = ");
    server.open(URI, "rust", "let a = ");
    assert!(!completes(&mut server, &inside));
    assert!(completes(&mut server, URI), "outside of the project");
    std::fs::write(&file, "enable = true\n").expect("a file");
    let saved = json!({ "textDocument": { "uri": uri(&file) } });
    server.notify("textDocument/didSave", &saved);
    assert!(completes(&mut server, &inside));
    std::fs::write(&file, "enable = false\n").expect("a file");
    let changed = json!({ "changes": [{ "uri": uri(&file), "type": 2 }] });
    server.notify("workspace/didChangeWatchedFiles", &changed);
    assert!(!completes(&mut server, &inside));
    let removed = json!({ "event": { "added": [], "removed": [{ "uri": uri(folder.path()), "name": "x" }] } });
    server.notify("workspace/didChangeWorkspaceFolders", &removed);
    assert!(completes(&mut server, &inside));
}

fn with_status() -> Client {
    let mut client = Client::inline();
    client.params["capabilities"]["experimental"] = json!({ "carat": { "status": true } });
    client
}

/// Waits for a status of that name, and returns it.
#[track_caller]
fn status(server: &mut Server, state: &str) -> Value {
    loop {
        let status = server.notification("carat/status")["params"].clone();
        if status["state"] == state {
            return status;
        }
    }
}

#[test]
fn the_status_follows_the_model() {
    let script = json!({ "text": "let b = 12345678;", "load_ms": 100, "prefill_ms": 100, "ms_per_token": 10 });
    let Some(mut server) = scripted(&script) else {
        return;
    };
    server.initialize(&with_status());
    let loading = status(&mut server, "loading");
    assert_eq!(loading["model"], Value::Null);
    let ready = status(&mut server, "ready");
    assert_eq!(ready["model"], "scripted");
    assert_eq!(ready["takesInstructions"], true);
    assert!(
        ready["memoryBytes"]
            .as_u64()
            .is_none_or(|bytes| bytes > 1 << 20),
        "{ready}"
    );
    server.open(URI, "rust", "let a = ");
    let id = server.inline_completion(URI, (0, 8));
    status(&mut server, "busy");
    let ready = status(&mut server, "ready");
    assert!(
        ready["tokensPerSecond"]
            .as_f64()
            .is_some_and(|rate| rate > 1.0),
        "{ready}"
    );
    server.response(id);
    server.command("carat.toggle");
    status(&mut server, "paused");
    server.command("carat.toggle");
    status(&mut server, "ready");
}

#[test]
fn a_model_that_cannot_be_used_is_an_error_with_its_reason() {
    let mut server = without_model();
    server.initialize(&with_status());
    let error = status(&mut server, "error");
    let text = error["message"].as_str().expect("a text");
    assert!(text.contains("/nonexistent/model.gguf"), "{text}");
    server.notification("window/showMessage");
}

#[test]
fn who_does_not_ask_gets_no_status() {
    let mut server = Launch::new(program()).argument("lsp").start();
    server.initialize(&Client::inline());
    server.command("carat.toggle");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let unread = server.unread();
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn on_battery_the_model_for_rests_rests() {
    if !cfg!(feature = "testing") {
        eprintln!("skipped: needs the scripted generator, `--features testing`");
        return;
    }
    let supplies = tempfile::tempdir().expect("a folder");
    let battery = supplies.path().join("BAT0");
    std::fs::create_dir(&battery).expect("a folder");
    let is = |status: &str| {
        std::fs::write(battery.join("status"), status).expect("a file");
    };
    std::fs::write(battery.join("type"), "Battery\n").expect("a file");
    is("Discharging\n");
    let folder = supplies.path().to_str().expect("a name");
    let mut server = Launch::new(program())
        .environment("CARAT_TEST_GENERATOR", "{}")
        .environment("CARAT_TEST_POWER_SUPPLY", folder)
        .start();
    let mut client = with_status();
    client.params["initializationOptions"] = json!({ "models": { "rest": "large.gguf" } });
    server.initialize(&client);
    let mut until = |state: &str| {
        loop {
            let models = &server.notification("carat/status")["params"]["models"];
            let large =
                json!({ "name": "large.gguf", "roles": ["rest", "actions"], "state": state });
            if models[1] == large {
                assert_eq!(models[0]["roles"], json!(["typing"]));
                return;
            }
        }
    };
    until("onBattery");
    is("Charging\n");
    until("ready");
}

#[cfg(unix)]
#[test]
fn a_model_file_with_two_names_is_loaded_once() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/parity/moe-thin.f32.gguf"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link.gguf");
    std::os::unix::fs::symlink(file, &link).expect("a link");
    let mut client = Client::inline();
    client.params["capabilities"]["experimental"] = json!({ "carat": { "status": true } });
    client.params["initializationOptions"] =
        json!({ "models": { "typing": file, "rest": link, "actions": "default" } });
    let mut server = Launch::new(program()).argument("lsp").start();
    server.initialize(&client);
    let models = server.until("both are ready", |server| {
        let models = server.notification("carat/status")["params"]["models"].clone();
        let all = models.as_array()?.clone();
        let ready = all.iter().all(|model| model["state"] == "ready");
        ready.then_some(all)
    });
    let roles: Vec<&Value> = models.iter().map(|model| &model["roles"]).collect();
    assert_eq!(roles, [&json!(["typing", "rest"]), &json!(["actions"])]);
}
