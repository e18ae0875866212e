//! Many requests at once: every one is answered in time, and the engine does not work for nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carat_tests::{Client, Launch, Received, Server, cpu_time};
use serde_json::{Value, json};

use crate::{URI, activity, program, scripted_with};

/// Requests that are in flight at the same time.
const IN_FLIGHT: usize = 64;

/// A cancelled request is answered within this.
const CANCEL_ANSWER: Duration = Duration::from_millis(100);

/// A generation goes on for this long after its request was cancelled, and then for one token.
const GRACE: Duration = Duration::from_millis(150);

const TOKEN: Duration = Duration::from_millis(20);

/// What a busy machine may add to a time before it counts as a fault.
const SLACK: Duration = Duration::from_millis(250);

fn slow() -> Value {
    // It never comes to its end in a test, and no rule finds a reason to end it.
    let text: String = (0..5000u32)
        .map(|n| format!("v{} + ", n * 7919 % 10007))
        .collect();
    json!({ "text": text, "ms_per_token": TOKEN.as_millis() as u64, "prefill_ms": 5, "spin": true })
}

/// These tests take all of a core and measure times, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server whose generations last as long as they are let.
fn started(text: &str) -> Option<Server> {
    scripted_with(&slow(), text)
}

fn generations(server: &mut Server) -> u64 {
    activity(server)["generations"].as_u64().expect("a count")
}

fn wait_until_idle(server: &mut Server, since: Instant, within: Duration) {
    let mut before = activity(server);
    loop {
        std::thread::sleep(Duration::from_millis(5));
        // Between the end of a generation and the start of the next one nothing is busy either.
        let now = activity(server);
        if now["busy"] == false && now == before {
            return;
        }
        assert!(
            since.elapsed() < within,
            "the engine still works after {:?}",
            since.elapsed()
        );
        before = now;
    }
}

fn assert_idle(server: &mut Server) {
    let before = activity(server);
    assert_eq!(before["busy"], false);
    let cpu = cpu_time(server.process_id());
    std::thread::sleep(Duration::from_millis(300));
    let after = activity(server);
    assert_eq!(after, before, "no token was written, no generation begun");
    if let (Some(before), Some(after)) = (cpu, cpu_time(server.process_id())) {
        let used = after.saturating_sub(before);
        assert!(
            used <= Duration::from_millis(50),
            "idle, but it used {used:?}"
        );
    }
}

fn assert_cancelled(response: &Received, sent: Instant) {
    assert_eq!(response.error_code(), Some(-32800), "{}", response.message);
    let took = response.at.saturating_duration_since(sent);
    assert!(
        took < CANCEL_ANSWER,
        "a cancelled request was answered after {took:?}"
    );
}

#[test]
fn sixty_four_requests_in_flight_that_are_all_superseded_or_cancelled() {
    let _alone = alone();
    let Some(mut server) = started("let a = ") else {
        return;
    };
    let ids: Vec<i64> = (0..IN_FLIGHT)
        .map(|_| server.inline_completion(URI, (0, 8)))
        .collect();
    let last = ids[IN_FLIGHT - 1];
    let sent = Instant::now();
    for id in &ids {
        server.cancel(*id);
    }
    for id in &ids[..IN_FLIGHT - 1] {
        let response = server.response(*id);
        let superseded = response.message["result"] == json!([]);
        assert!(
            superseded || response.error_code() == Some(-32800),
            "{}",
            response.message
        );
        assert!(response.at.saturating_duration_since(sent) < CANCEL_ANSWER + SLACK);
    }
    let response = server.response(last);
    assert_cancelled(&response, sent);
    eprintln!(
        "cancelled after {:?}",
        response.at.saturating_duration_since(sent)
    );
    wait_until_idle(&mut server, response.at, GRACE + TOKEN + SLACK);
    assert_idle(&mut server);
}

#[test]
fn sixty_four_requests_that_are_cancelled_one_by_one() {
    let _alone = alone();
    let Some(mut server) = started("let a = ") else {
        return;
    };
    let mut longest = Duration::ZERO;
    let begun = generations(&mut server);
    for _ in 0..IN_FLIGHT {
        let id = server.inline_completion(URI, (0, 8));
        let sent = Instant::now();
        server.cancel(id);
        let response = server.response(id);
        assert_cancelled(&response, sent);
        longest = longest.max(response.at.saturating_duration_since(sent));
    }
    eprintln!("the slowest cancellation took {longest:?}");
    let begun = generations(&mut server) - begun;
    assert!(
        begun < IN_FLIGHT as u64 / 2,
        "they share generations, but {begun} were begun"
    );
    let since = Instant::now();
    wait_until_idle(&mut server, since, GRACE + TOKEN + SLACK);
    assert_idle(&mut server);
}

#[test]
fn a_storm_of_requests_leaves_none_unanswered() {
    let _alone = alone();
    let Some(mut server) = started("let a = ") else {
        return;
    };
    let ids: Vec<i64> = (0..1000u32)
        .map(|n| {
            let id = server.inline_completion(URI, (0, n % 9));
            if n % 2 == 0 {
                server.cancel(id);
            }
            id
        })
        .collect();
    for id in &ids {
        server.response(*id);
    }
    let last = Instant::now();
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": URI } }),
    );
    wait_until_idle(&mut server, last, TOKEN + SLACK);
    assert_idle(&mut server);
}

#[test]
fn a_superseded_request_is_answered_empty_before_the_newer_one() {
    let _alone = alone();
    let Some(mut server) = scripted_with(
        &json!({ "text": "abc", "ms_per_token": 30 }),
        "let a = \nlet b = ",
    ) else {
        return;
    };
    for _ in 0..2 {
        let first = server.inline_completion(URI, (0, 8));
        let second = server.inline_completion(URI, (1, 8));
        let (second, first) = (server.response(second), server.response(first));
        assert_eq!(first.result(), &json!([]));
        assert!(first.at <= second.at, "the older answer came later");
        assert_eq!(second.result()[0]["insertText"], "abc");
        // Forget what was generated, so that the next round generates again.
        server.change(URI, 1, None, "let a = \nlet b = ");
        server.notify(
            "textDocument/didClose",
            &json!({ "textDocument": { "uri": URI } }),
        );
        server.open(URI, "rust", "let a = \nlet b = ");
    }
}

#[test]
fn the_engine_itself_is_idle_soon_after_a_cancellation() {
    let _alone = alone();
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/parity/moe-wide.q4_k_m.gguf"
    );
    let mut server = Launch::new(program())
        .argument("lsp")
        .argument("--model")
        .argument(model)
        .start();
    server.initialize(&Client::inline());
    server.open(URI, "rust", &"fn f() { g(1, 2) }\n".repeat(200));
    for round in 0..20 {
        let id = server.inline_completion(URI, (199, round));
        std::thread::sleep(Duration::from_millis(20));
        server.cancel(id);
        let response = server.response(id);
        let cancelled = response.error_code() == Some(-32800);
        assert!(cancelled || response.is_ok(), "{}", response.message);
    }
    std::thread::sleep(GRACE + TOKEN + SLACK);
    let before = cpu_time(server.process_id());
    std::thread::sleep(Duration::from_millis(300));
    if let (Some(before), Some(after)) = (before, cpu_time(server.process_id())) {
        assert!(
            after.saturating_sub(before) <= Duration::from_millis(50),
            "{before:?} to {after:?}"
        );
    }
}
