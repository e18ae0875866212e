//! Documents stay equal to the client's: many edits without waiting, mixed with requests, in all encodings.
//! What needs no messages is tested in `server/src/documents/tests.rs` and `server/src/session/tests`.

use std::ops::Range;

use carat_tests::{Client, NaiveText, Random, Server, Units};
use serde_json::json;

use crate::{URI, scripted, without_model};

const EDITS: i32 = 500;

/// How often a request is mixed in, and how often the server's text is compared without a pause.
const REQUEST_EVERY: i32 = 5;

const START: &str =
    "// \u{1F600} first\r\nfn main() {\n    let é = \"漢字\u{2028}more\";\r\n\u{85}\u{b}}\n";

const PIECES: [&str; 14] = [
    "a",
    "x = 1;",
    " ",
    "\n",
    "\r\n",
    "\r",
    "é",
    "漢",
    "\u{1F600}",
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "e\u{301}",
    "fn f() {\r\n}\n",
];

/// A range anywhere, sometimes beyond ends and inside of characters.
fn range(random: &mut Random, text: &NaiveText) -> Range<(u32, u32)> {
    let start = random.below(text.len() + 1);
    let end = (start + *random.pick(&[0, 0, 0, 1, 2, 5])).min(text.len());
    let (mut start, mut end) = (text.position(start), text.position(end));
    match random.below(20) {
        0 => start.1 = start.1.saturating_sub(1),
        1 => end.1 += 1,
        2 => end.1 += 1000,
        3 => end = (end.0 + 1000, 7),
        _ => {}
    }
    start.min(end)..end.max(start)
}

/// A requested `carat.lastPrompt` and what it has to tell.
struct Expected {
    id: i64,
    version: i32,
    document: String,
    caret: usize,
}

fn check(server: &mut Server, expected: &Expected) {
    let response = server.response(expected.id);
    let record = response.result();
    assert_eq!(record["version"], expected.version);
    assert_eq!(
        record["document"].as_str(),
        Some(expected.document.as_str()),
        "at version {}",
        expected.version
    );
    assert_eq!(
        record["caret"], expected.caret,
        "at version {}",
        expected.version
    );
    assert_eq!(record["uri"], URI);
}

/// Sends all edits without waiting; every few, a completion request and a question for its record.
fn replay(mut server: Server, units: Units, seed: u64) {
    let result = server.initialize(&Client::inline().offering(&[units]));
    assert_eq!(result["capabilities"]["positionEncoding"], units.name());
    let (mut random, mut text) = (Random::new(seed), NaiveText::new(START, units));
    server.open(URI, "rust", START);
    let (mut completions, mut records) = (Vec::new(), Vec::new());
    for version in 1..=EDITS {
        let range = range(&mut random, &text);
        let piece = *random.pick(&PIECES);
        text.replace(Some(range.clone()), piece);
        server.change(URI, version, Some(range), piece);
        if version % REQUEST_EVERY == 0 {
            let at = text.position(random.below(text.len() + 1));
            completions.push(server.inline_completion(URI, at));
            let id = server.request(
                "workspace/executeCommand",
                &json!({ "command": "carat.lastPrompt" }),
            );
            records.push(Expected {
                id,
                version,
                document: text.to_string(),
                caret: text.byte(at),
            });
        }
        if version % 7 == 0 {
            // Some are taken back while the edits go on; each still gets an answer.
            server.cancel(
                completions[random
                    .below(completions.len().max(1))
                    .min(completions.len() - 1)],
            );
        }
    }
    for expected in &records {
        check(&mut server, expected);
    }
    for id in completions {
        let response = server.response(id);
        assert!(
            response.is_ok() || response.error_code() == Some(-32800),
            "{response:?}"
        );
    }
}

#[test]
fn five_hundred_edits_without_waiting_in_every_encoding() {
    for (seed, units) in Units::ALL.into_iter().enumerate() {
        let Some(server) = scripted(&json!({ "text": "x = 1;", "ms_per_token": 3 })) else {
            return;
        };
        replay(server, units, seed as u64 + 1);
    }
}

#[test]
fn half_a_character_costs_that_character_and_not_the_edit() {
    let mut server = without_model();
    server.initialize(&Client::inline().offering(&[Units::Utf16]));
    server.notification("window/showMessage");
    server.open(URI, "rust", "let s = \"\";");
    let edit = |version: i32, character: u32, text: &str| {
        let at = format!(r#"{{"line":0,"character":{character}}}"#);
        let document = format!(r#"{{"uri":"{URI}","version":{version}}}"#);
        let change = format!(r#"{{"range":{{"start":{at},"end":{at}}},"text":"{text}"}}"#);
        let params = format!(r#"{{"textDocument":{document},"contentChanges":[{change}]}}"#);
        let body =
            format!(r#"{{"jsonrpc":"2.0","method":"textDocument/didChange","params":{params}}}"#);
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    };
    // What an editor that counts in UTF-16 may send of an emoji that is typed in two halves.
    server.send_raw(edit(1, 9, "\\ud83d").as_bytes());
    server.send_raw(edit(2, 12, "!").as_bytes());
    let id = server.inline_completion(URI, (0, 0));
    server.response(id);
    let record = server.command("carat.lastPrompt");
    assert_eq!(record["document"], "let s = \"\u{FFFD}\";!");
}
