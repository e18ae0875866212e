//! Actions beside completions, queues, cancellations and ends.

use std::time::{Duration, Instant};

use carat_tests::Server;
use serde_json::json;

use super::{TEXT, applied, edited, editor, progress, quiet, range, run, until_progress_ends};
use crate::{URI, activity, scripted_for};

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
