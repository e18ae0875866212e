//! From the arrival of an edit and of a request to the engine's mailbox, in a file of 1 MiB and in one that
//! is small enough for the echo to follow it: `cargo bench -p carat --bench keystroke`.
//!
//! Every key is one edit and one request; the engine answers each at once with a text that the next key
//! disagrees with, so that all finished candidates are looked at and every key posts a job. Of every
//! key, the least time of some rounds counts: the rest is other programs on the processor.

use std::time::{Duration, Instant};

use carat::completion::{Scores, Suggestion};
use carat::documents::{Change, Opened};
use carat::generator::ModelFacts;
use carat::mailbox::{Mailbox, Report, Source};
use carat::positions::LineColumn;
use carat::session::{ClientFacts, Effect, Event, Request, RequestKey, Session, Wish};
use carat_engine::StopReason;

const URI: &str = "file:///project/a.rs";
const KEYS: u32 = 2000;
const ROUNDS: usize = 7;

fn main() {
    for kibibytes in [1024, 384] {
        let (mut edits, mut requests) = round(kibibytes);
        for _ in 1..ROUNDS {
            let (again, once_more) = round(kibibytes);
            keep_least(&mut edits, &again);
            keep_least(&mut requests, &once_more);
        }
        report(&format!("{kibibytes} KiB, didChange"), edits);
        report(&format!("{kibibytes} KiB, request to mailbox"), requests);
    }
}

fn keep_least(times: &mut [Duration], again: &[Duration]) {
    for (time, again) in times.iter_mut().zip(again) {
        *time = (*time).min(*again);
    }
}

/// The times of the edits and of the requests, key by key, in a file of some size.
fn round(kibibytes: usize) -> (Vec<Duration>, Vec<Duration>) {
    let line = "    let value = compute(first, second); // a line of code\n";
    let text = line.repeat((kibibytes << 10) / line.len());
    let middle = (text.lines().count() / 2) as u32;
    let mailbox = Mailbox::default();
    let mut session = Session::with_sources(None, vec![Source::MODEL]);
    let mut happen = |event| session.handle(event, Instant::now());
    let facts = Box::new(ClientFacts::default());
    happen(Event::Introduced(
        facts,
        serde_json::Value::Null,
        Vec::new(),
    ));
    happen(Event::Engine(Report::Ready(
        Source::MODEL,
        Some(ModelFacts {
            name: "none".to_owned(),
            tier: "small",
            takes_instructions: false,
        }),
    )));
    happen(Event::Opened(Opened {
        uri: URI.to_owned(),
        language_id: "rust".to_owned(),
        version: 0,
        text,
    }));
    let (mut edits, mut requests) = (Vec::new(), Vec::new());
    for key in 0..KEYS {
        let at = LineColumn {
            line: middle + key / 40,
            column: key % 40,
        };
        let change = Change {
            range: Some(at..at),
            text: "x".to_owned(),
        };
        let changed = Event::Changed(URI.to_owned(), Some(key as i32 + 1), vec![change]);
        let begun = Instant::now();
        drop(happen(changed));
        edits.push(begun.elapsed());
        let wish = Wish {
            uri: URI.to_owned(),
            at: LineColumn {
                column: at.column + 1,
                ..at
            },
            menu: false,
            invoked: false,
            selected: None,
        };
        let requested = Event::Requested(RequestKey(u64::from(key)), Request::Complete(wish));
        let begun = Instant::now();
        let mut posted = None;
        for effect in happen(requested) {
            if let Effect::Complete(job) = effect {
                posted = Some(job.key);
                mailbox.post(job);
            }
        }
        requests.push(begun.elapsed());
        let posted = posted.expect("every key posts a job");
        let proposal = Suggestion {
            text: "foo(bar)".to_owned(),
            replace_suffix_bytes: 0,
            rewritten_until: 0,
            scores: Scores::default(),
        };
        let produced = Report::Produced(posted, "foo(bar)".to_owned(), Some(proposal.clone()));
        happen(Event::Engine(produced));
        let stop = Some(StopReason::StopToken);
        happen(Event::Engine(Report::Ended(posted, stop, Some(proposal))));
    }
    (edits, requests)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |thousandth: usize| times[times.len() * thousandth / 1000].as_secs_f64() * 1e6;
    eprintln!(
        "{what}: p50 {:.1} µs, p99 {:.1} µs, max {:.1} µs",
        at(500),
        at(990),
        at(999)
    );
}
