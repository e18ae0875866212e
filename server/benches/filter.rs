//! What the show filter and its rules cost for a request, in files of 80 and of 512 KiB:
//! `cargo bench -p carat --bench filter`.
//!
//! The answer is one that no rule decides early: unsure, with a name that is looked for in the whole
//! document and in the standard library's. Of every request, the least time of some rounds counts.

use std::time::{Duration, Instant};

use carat::completion::{FinishOptions, Knowledge, Query, Scores, Suggestion, finish, of_echo};
use carat::echo::{Index, Known};
use carat_engine::TokenScore;
use carat_grammars::languages;

const ROUNDS: usize = 200;

fn main() {
    for kib in [80, 512] {
        around(kib);
    }
}

/// Measures in the middle of a file of that size.
fn around(kib: usize) {
    let line =
        "    let total = self.items.iter().map(|item| item.price * item.count).sum::<u64>();\n";
    let lines = line.repeat(kib * 512 / line.len());
    let prefix = format!("fn f() {{\n{lines}    let y = ");
    let suffix = format!("\n{lines}}}\n");
    let index = Index::default();
    let query = Query {
        path: "a.rs",
        language_id: "rust",
        language: languages::by_id("rust"),
        prefix: &prefix,
        suffix: &suffix,
        texts: Some(&index),
        ..Query::default()
    };
    let known = Known {
        index: &index,
        path: "a.rs",
    };
    let plan = of_echo(&query, known, &Knowledge::of_echo()).plan;
    let text = "self.items.unheard_of(total, another_name_1234);";
    let mut scores = Scores::default();
    scores.push(text.len(), &[TokenScore::of_model(-1.0)]);
    let suggestion = Suggestion {
        text: text.to_owned(),
        replace_suffix_bytes: 0,
        rewritten_until: 0,
        scores,
    };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let suggestion = Some(suggestion.clone());
        let begun = Instant::now();
        let shown = plan.show(suggestion, "", false);
        times.push(begun.elapsed());
        assert_eq!(shown.err().map(|why| why.code()), Some("unknown-name"));
    }
    report(kib, "judging an answer", times);
    let raw = "self.items.unheard_of(total, another_name_1234);\n    let z = 1;\n";
    let options = FinishOptions {
        language: query.language,
        ended: true,
        ..FinishOptions::default()
    };
    let rules = || {
        let begun = Instant::now();
        let finished = finish(raw, &prefix, &suffix, &options);
        let took = begun.elapsed();
        assert!(finished.is_some());
        took
    };
    report(
        kib,
        "reading an answer",
        (0..ROUNDS).map(|_| rules()).collect(),
    );
}

fn report(kib: usize, what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    eprintln!(
        "{kib} KiB, {what}: least {:.1} µs, p50 {:.1} µs, p95 {:.1} µs",
        at(0),
        at(50),
        at(95)
    );
}
