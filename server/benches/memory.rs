//! What remembering a workspace costs: `cargo bench -p carat --bench memory -- DIR [MEGABYTES]`.
//!
//! Reads DIR as the server does, in its background thread and at its pace, into at most so many
//! megabytes; then types into a document beside it, and asks for lines and for continuations.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use carat::documents::{Change, Opened};
use carat::echo::{Echo, EchoWeights, Here, line_echoes};
use carat::memory::{self, Limits, Order, Reading, Recalled};
use carat::positions::LineColumn;
use carat::session::{ClientFacts, Effect, Event, Session};
use carat_engine::{CancelToken, ContinuationSource, Continuations};

const KEYS: u32 = 5000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|it| !it.starts_with("--"));
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = PathBuf::from(arguments.next().unwrap_or_else(|| here.to_owned()));
    let root = root.canonicalize().expect("a folder");
    let megabytes = arguments
        .next()
        .map_or(250, |it| it.parse().expect("a number"));

    let mut session = Session::new(None);
    let facts = Box::new(ClientFacts::default());
    let effects = session.handle(
        Event::Introduced(facts, serde_json::Value::Null, vec![root]),
        Instant::now(),
    );
    let found = effects.into_iter().find_map(|effect| match effect {
        Effect::ReadWorkspace(number, folders, _) => Some((number, folders)),
        _ => None,
    });
    let (number, folders) = found.expect("the workspace is to be read");
    let before = memory_kib("VmRSS:");
    let begun = Instant::now();
    let recalled = read(Reading {
        number,
        folders,
        limits: Limits {
            bytes_max: megabytes * 1_000_000,
            ..Limits::default()
        },
        stop: CancelToken::new(),
    });
    eprintln!(
        "read      {} files, {} without room, {:.1} MB of memory by its own count",
        recalled.files,
        recalled.no_room,
        recalled.bytes as f64 / 1e6
    );
    eprintln!(
        "          {:.1} s; resident {:.0} MB more, {:.0} MB more at the most",
        begun.elapsed().as_secs_f64(),
        (memory_kib("VmRSS:") - before) * 1.024e-3,
        (memory_kib("VmHWM:") - before) * 1.024e-3
    );
    let index = recalled.index.clone();
    session.handle(Event::Recalled(Box::new(recalled)), Instant::now());

    report("edit to index", edits(&mut session));
    let prefix = "use std::path::PathBuf;\n\npub fn read(path: &Path) -> Result<String, Error> {\n    let text = fs::read_to_string(pa";
    let here = Here {
        path: "src/new.rs",
        prefix,
        suffix: "\n}\n",
    };
    let timed = |mut work: Box<dyn FnMut() + '_>| -> Vec<Duration> {
        (0..2000)
            .map(|_| {
                let begun = Instant::now();
                work();
                begun.elapsed()
            })
            .collect()
    };
    report(
        "lines at a caret",
        timed(Box::new(|| {
            black_box(line_echoes(&index, here, EchoWeights::default()));
        })),
    );
    let mut echo = Echo::new(&index, here, EchoWeights::default());
    let mut into = Continuations::default();
    let ends: Vec<usize> = (prefix.len() - 40..=prefix.len()).collect();
    let mut turn = 0;
    report(
        "one token's share",
        timed(Box::new(|| {
            into.clear();
            turn += 1;
            let text = &prefix.as_bytes()[..ends[turn % ends.len()]];
            black_box(ContinuationSource::continuations(
                &mut echo, text, &mut into,
            ));
        })),
    );
}

fn read(reading: Reading) -> Recalled {
    let (tell, told) = mpsc::channel();
    let orders = memory::spawn(None, move |recalled| drop(tell.send(recalled)));
    let orders = orders.expect("a thread");
    orders.send(Order::Read(reading)).expect("it lives");
    loop {
        let recalled: Recalled = told.recv().expect("it tells");
        if recalled.is_whole {
            return recalled;
        }
    }
}

/// Times of edits in a document that is as long as the memory takes them.
fn edits(session: &mut Session) -> Vec<Duration> {
    const URI: &str = "file:///elsewhere/a.rs";
    let line = "    let value = compute(first, second); // a line of code\n";
    let text = line.repeat(390_000 / line.len());
    let middle = (text.lines().count() / 2) as u32;
    let opened = Opened {
        uri: URI.to_owned(),
        language_id: "rust".to_owned(),
        version: 0,
        text,
    };
    session.handle(Event::Opened(opened), Instant::now());
    let edits = (0..KEYS).map(|key| {
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
        drop(session.handle(changed, begun));
        begun.elapsed()
    });
    edits.collect()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    eprintln!(
        "{what:<18} p50 {:>7.1} µs, p99 {:>7.1} µs, p99.9 {:>7.1} µs",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// A row of Linux's account of this process; 0 elsewhere.
fn memory_kib(row: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(row));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0.0)
}
