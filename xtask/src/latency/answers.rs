//! From a request to its answer, end to end: in a document that nobody has looked at, and behind one more
//! key in the same document.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carat_tests::{Client, Launch, Server};
use serde_json::{Value, json};

use super::editor::position;
use super::report::times;

/// No answer takes longer, or it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is left of a case when the user has typed nothing of its hole.
struct Place {
    before: String,
    after: String,
    middle: String,
}

/// Asks at so many carets, one document after the other, and prints how long that took.
pub(super) fn run(root: &Path, carat: &Path, model: Option<&str>, carets: usize) -> Result<()> {
    let places = places(root, carets)?;
    let mut launch = Launch::new(carat).argument("lsp");
    if let Some(model) = model {
        launch = launch.argument("--model").argument(model);
    }
    let mut server = launch.start();
    // How long an answer takes is the question, not how long a client waits for it.
    let settings = json!({ "deadlineMs": 10_000 });
    server.initialize(&Client::inline().options(settings));
    // The model is loaded, its pages are in memory.
    for number in 0..3 {
        answer(&mut server, number, &places[0]);
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for (number, place) in places.iter().enumerate() {
        let (first, second) = answer(&mut server, number + 3, place);
        cold.push(first);
        warm.extend(second);
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} carets: cold p50/p95 {} ms, behind one more key {} ms",
        cold.len(),
        times(&cold, 0.95),
        times(&warm, 0.95)
    )?;
    Ok(())
}

/// Opens a document, asks in it at once, types a character and asks again when the first answer is there.
fn answer(server: &mut Server, number: usize, place: &Place) -> (Duration, Option<Duration>) {
    let uri = format!("file:///carat/{number}.rs");
    server.open(&uri, "rust", &format!("{}{}", place.before, place.after));
    let caret = position(&place.before);
    let cold = ask(server, &uri, caret);
    let key = place
        .middle
        .chars()
        .next()
        .filter(|key| !key.is_whitespace());
    let warm = key.map(|key| {
        // Nobody types faster.
        std::thread::sleep(Duration::from_millis(80));
        server.change(&uri, 2, Some(caret..caret), &key.to_string());
        ask(server, &uri, position(&format!("{}{key}", place.before)))
    });
    server.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": uri } }),
    );
    (cold, warm)
}

fn ask(server: &mut Server, uri: &str, at: (u32, u32)) -> Duration {
    let begin = Instant::now();
    let id = server.inline_completion(uri, at);
    let received = server.receive_within(PATIENCE, |message| message["id"] == id);
    received.map_or(PATIENCE, |received| {
        received.at.saturating_duration_since(begin)
    })
}

/// Lines and ends of lines of the Rust cases.
fn places(root: &Path, most: usize) -> Result<Vec<Place>> {
    let folder = root.join("tests/quality/cases");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    let mut places = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for line in text.lines() {
            let case: Value = serde_json::from_str(line)?;
            let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
            if case["language"] == "rust" && case["kind"] != "block" {
                places.push(Place {
                    before: text("prefix"),
                    after: text("suffix"),
                    middle: text("middle"),
                });
            }
        }
    }
    // Spread over all projects.
    let step = (places.len() / most.max(1)).max(1);
    let places: Vec<Place> = places.into_iter().step_by(step).take(most).collect();
    ensure!(!places.is_empty(), "{}: no Rust cases", folder.display());
    Ok(places)
}
