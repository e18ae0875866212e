//! Storms and a short soak of the real engine; `cargo xtask soak` is the long one. What idle models give back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use carat_tests::{Client, Launch, Server, cpu_time, resident_bytes, soak};
use serde_json::{Value, json};

use crate::{URI, program, wait_until_ready};

const LARGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/parity/moe-thin.f32.gguf"
);

#[test]
fn a_short_soak() {
    let settings = json!({ "models": { "rest": LARGE }, "eagerness": "all", "threads": 1 });
    let launch = Launch::new(program()).argument("lsp");
    let soaked = soak(launch, settings, Duration::from_secs(8), 1).expect("it holds");
    assert!(
        soaked.requests > 50 && soaked.cancelled > 3 && soaked.actions > 0,
        "{soaked:?}"
    );
}

#[test]
fn a_thousand_cancels_a_millisecond_apart() {
    let mut server = Launch::new(program()).argument("lsp").start();
    server.initialize(&Client::inline());
    server.open(
        URI,
        "rust",
        "fn main() {\n    let first = 1;\n    let second = ",
    );
    wait_until_ready(&mut server);
    let ids: Vec<i64> = (0..1000)
        .map(|_| {
            let id = server.inline_completion(URI, (2, 17));
            std::thread::sleep(Duration::from_millis(1));
            server.cancel(id);
            id
        })
        .collect();
    for id in ids {
        let response = server.response(id);
        let is_cancelled = response.error_code() == Some(-32800);
        assert!(is_cancelled || response.is_ok(), "{}", response.message);
    }
    // Nobody waits any more: what runs has its grace time, and that is all.
    std::thread::sleep(Duration::from_millis(350));
    if let Some(before) = cpu_time(server.process_id()) {
        std::thread::sleep(Duration::from_millis(400));
        let used = cpu_time(server.process_id()).map(|after| after.saturating_sub(before));
        assert!(
            used <= Some(Duration::from_millis(50)),
            "idle, but {used:?}"
        );
    }
    assert!(server.unread().is_empty(), "answered twice");
}

/// Waits until the model of these roles is in this state.
fn until_state(server: &mut Server, roles: &Value, state: &str) {
    loop {
        let models = &server.notification("carat/status")["params"]["models"];
        let mut models = models.as_array().into_iter().flatten();
        if models.any(|model| model["roles"] == *roles && model["state"] == state) {
            return;
        }
    }
}

fn with_status(settings: Value) -> Client {
    let mut client = Client::inline().options(settings);
    client.params["capabilities"]["experimental"] = json!({ "carat": { "status": true } });
    client
}

#[test]
fn an_idle_model_gives_back_its_memory_and_comes_back() {
    if !cfg!(all(feature = "testing", feature = "embedded-model")) {
        eprintln!("skipped: needs the features testing and embedded-model");
        return;
    }
    let settings = json!({ "models": { "typing": LARGE, "rest": "default" }, "eagerness": "all" });
    let mut server = Launch::new(program())
        .argument("lsp")
        .environment("CARAT_TEST_UNLOAD_MS", "1500")
        .start();
    server.initialize(&with_status(settings));
    let rest = json!(["rest", "actions"]);
    server.open(URI, "rust", &"fn main() {}\n".repeat(60));
    until_state(&mut server, &rest, "ready");
    // It reads the document, and rests; how long that takes is the machine's affair.
    let process = server.process_id();
    let rests = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn({
        let rests = Arc::clone(&rests);
        move || {
            let mut most = None;
            while !rests.load(Ordering::Relaxed) {
                most = most.max(resident_bytes(process));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        }
    });
    until_state(&mut server, &rest, "unloaded");
    rests.store(true, Ordering::Relaxed);
    let most = watch.join().expect("it ends");
    let (Some(most), Some(idle)) = (most, resident_bytes(process)) else {
        return eprintln!("skipped: this system does not tell how much memory a process has");
    };
    eprintln!(
        "{} MB with the model, {} MB without",
        most >> 20,
        idle >> 20
    );
    // The embedded model takes no more; its weights lie in the program.
    assert!(idle + (3 << 20) < most, "{idle} after {most}");
    let id = server.inline_completion(URI, (3, 5));
    assert!(server.response(id).is_ok());
    until_state(&mut server, &rest, "ready");
    server.unread();
}

#[test]
fn the_quick_model_answers_while_the_other_comes_back() {
    if !cfg!(feature = "testing") {
        return eprintln!("skipped: needs the scripted generator, `--features testing`");
    }
    let settings = json!({ "models": { "rest": "large.gguf" }, "explicitDeadlineMs": 400 });
    let large = json!({ "text": "2;", "log_prob": -0.01, "load_ms": 3000 });
    let script = json!({ "text": "1;", "log_prob": -0.2, "models": { "large.gguf": large } });
    let mut server = Launch::new(program())
        .environment("CARAT_TEST_GENERATOR", &script.to_string())
        .environment("CARAT_TEST_UNLOAD_MS", "300")
        .start();
    server.initialize(&with_status(settings));
    wait_until_ready(&mut server);
    server.open(URI, "rust", "let a = ");
    let rest = json!(["rest", "actions"]);
    until_state(&mut server, &rest, "unloaded");
    let asked = Instant::now();
    let id = server.inline_completion(URI, (0, 8));
    let response = server.response(id);
    assert_eq!(response.result()[0]["insertText"], "1;");
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    // The caret rests, and the other is loaded again.
    until_state(&mut server, &rest, "ready");
    server.unread();
}
