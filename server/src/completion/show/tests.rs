//! What is shown, as data: a document with a caret and an answer in, the ghost text or the reason out.

use std::time::{Duration, Instant};

use carat_engine::TokenScore;
use carat_grammars::languages;
use proptest::prelude::*;

use super::*;
use crate::completion::{self, Parts, Plan, Query, Scores};
use crate::prompt::{Bytes, PromptBudget, PromptForm};
use crate::testing::{Case, cases, compare};

fn plan_of(query: &Query<'_>, knowledge: &Knowledge) -> Plan {
    let budget = PromptBudget::default();
    let parts = Parts::default();
    completion::plan(query, PromptForm::Plain, &budget, &parts, &Bytes, knowledge)
}

/// A model that knows Rust and Python and has to be sure of 5 in 100.
fn knowledge() -> Knowledge {
    Knowledge {
        model: "the embedded model".to_owned(),
        languages: Some(vec!["rust".to_owned(), "python".to_owned()]),
        thresholds: Some(Thresholds::uniform(0.05)),
    }
}

/// An answer as a model writes it: text and its scores.
#[derive(Clone, Debug, Default)]
struct Raw {
    text: String,
    scores: Scores,
}

impl Raw {
    fn certain(text: &str) -> Self {
        answer(&[(text, 1.0)])
    }

    fn push(&mut self, text: &str, probability: f64) {
        self.text.push_str(text);
        let score = TokenScore::of_model(probability.ln() as f32);
        self.scores.push(self.text.len(), &[score]);
    }

    /// What could be shown of it.
    fn finished(&self, plan: &Plan, ended: bool) -> Option<Suggestion> {
        plan.stop_while_decoding()
            .finish(&self.text, &self.scores, ended)
    }
}

fn policy(case: &Case, key: &str, default: TextPolicy) -> TextPolicy {
    match case.value("settings", key) {
        None => default,
        Some("off") => TextPolicy::Off,
        Some("prose") => TextPolicy::Prose,
        Some("on") => TextPolicy::On,
        Some(other) => panic!("{}: {key} = {other}", case.place()),
    }
}

/// What is shown of the case's answer, each of its lines as probable as the settings say.
fn result(case: &Case) -> String {
    let document = case.section("").unwrap_or_default();
    let (path, text) = document.split_once('\n').unwrap_or((document, ""));
    let path = path
        .strip_prefix("//- ")
        .unwrap_or_else(|| panic!("{}: no path", case.place()));
    let (prefix, suffix) = text
        .split_once("<CURSOR>")
        .unwrap_or_else(|| panic!("{}: no <CURSOR>", case.place()));
    let manners = Manners {
        comments: policy(case, "comments", Manners::DEFAULT.comments),
        strings: policy(case, "strings", Manners::DEFAULT.strings),
        shortest: case
            .value("settings", "shortest")
            .map_or(1, |shortest| shortest.parse().expect("a number")),
        ..Manners::default()
    };
    let explicit = case.value("settings", "explicit") == Some("yes");
    let query = Query {
        path,
        language: languages::by_path(path.as_ref()),
        prefix,
        suffix,
        explicit,
        manners: &manners,
        ..Query::default()
    };
    let plan = plan_of(&query, &knowledge());
    let probability: f64 = case
        .value("settings", "probability")
        .map_or(0.4, |probability| probability.parse().expect("a number"));
    let mut raw = Raw::default();
    let text = case.section("answer").unwrap_or_default();
    for line in text.split_inclusive('\n') {
        raw.push(line, probability);
    }
    let ended = case.value("settings", "ended") != Some("no");
    match plan.show(raw.finished(&plan, ended), "", explicit) {
        Ok(suggestion) => format!("«{}»", suggestion.text),
        Err(silence) => format!("({}) {silence}", silence.code()),
    }
}

#[test]
fn answers_are_shown_or_not_as_written() {
    compare(&cases("shown"), |case, title| {
        (title == "result").then(|| result(case))
    });
}

fn shown(prefix: &str, answer: &Raw, typed: &str) -> Result<String, Silence> {
    let query = Query {
        path: "a.rs",
        language: languages::by_id("rust"),
        prefix,
        suffix: "\n}\n",
        ..Query::default()
    };
    let plan = plan_of(&query, &knowledge());
    let rest = answer
        .finished(&plan, true)
        .map(|all| all.rest(typed.len()));
    plan.show(rest, typed, false)
        .map(|suggestion| suggestion.text)
}

/// An answer of pieces with their probabilities.
fn answer(pieces: &[(&str, f64)]) -> Raw {
    let mut raw = Raw::default();
    for (text, probability) in pieces {
        raw.push(text, *probability);
    }
    raw
}

#[test]
fn an_answer_that_was_hidden_comes_when_its_doubtful_part_has_been_typed() {
    let prefix = "fn f(count: usize, total: usize) {\n    let x = ";
    let raw = answer(&[("total", 0.04), (" - ", 0.9), ("count", 0.9), (";", 0.99)]);
    let hidden = shown(prefix, &raw, "");
    assert!(
        matches!(hidden, Err(Silence::Improbable { .. })),
        "{hidden:?}"
    );
    assert_eq!(shown(prefix, &raw, "total").as_deref(), Ok(" - count;"));
}

#[test]
fn of_several_lines_those_are_shown_that_are_sure_enough() {
    let raw = answer(&[
        ("\n    first();", 0.5),
        ("\n", 0.9),
        ("    second();", 0.2),
        ("\n", 0.9),
        ("    third();", 0.1),
    ]);
    let prefix = "fn first() {}\nfn second() {}\nfn third() {}\nfn f() {";
    assert_eq!(
        shown(prefix, &raw, "").as_deref(),
        Ok("\n    first();\n    second();")
    );
}

#[test]
fn secret_files_are_told_by_their_names() {
    for secret in [
        ".env",
        "a/.env",
        ".env.local",
        "prod.env",
        "C:\\keys\\server.PEM",
        "id_rsa",
        "u/.aws/credentials",
        "deploy/secrets.yaml",
        "terraform.tfvars",
        "u/.ssh/config",
    ] {
        assert!(is_secret_file(secret), "{secret}");
    }
    for harmless in [
        "env.rs",
        "environment.py",
        "keys.rs",
        "src/secret_files.txt",
        "config",
        "aws/main.rs",
        "Cargo.lock",
        "",
    ] {
        assert!(!is_secret_file(harmless), "{harmless}");
    }
}

/// Secrets of all kinds that were made up for this test, and text that only looks alike.
#[test]
fn secrets_are_masked_and_code_is_not() {
    for (text, masked) in [
        // Letters of more than one byte stand right before what may be a name.
        (
            "`${n} Schlüssel`: \"${n} ключ\", \"ü-n\": \"0123456789012345\"",
            "`${n} Schlüssel`: \"${n} ключ\", \"ü-n\": \"0123456789012345\"",
        ),
        ("let key = \"AKIAIOSFODNN7EXAMPLE\";", "let key = \"***\";"),
        ("API_KEY=sk-123456789", "API_KEY=***"),
        ("password = \"hunter2!x\"", "password = \"***!x\""),
        (
            "\"db_password\": \"s3cretvalue\",",
            "\"db_password\": \"***\",",
        ),
        (
            "token: ghp_0123456789abcdefABCDEF0123456789abcd",
            "token: ***",
        ),
        ("x = \"Zk3v9QpL2mX8rT5wB1nY7cH4\"", "x = \"***\""),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
    ] {
        assert_eq!(mask(text), masked, "{text}");
    }
    for code in [
        "let token = self.next_token()?;",
        "use crate::models::catalogue::CatalogueEntryDescription2024;",
        "id = \"123e4567-e89b-12d3-a456-426614174000\"",
        "version = \"1.2.3-alpha.4+build.20240101\"",
        "let path = \"server/src/completion/show/secret_files.txt\";",
        "let url = \"https://example.org/a/b/c?d=e&f=g\";",
        "commit = \"3f0cfb8d1c082be9cf3c8a514\"",
        "const NAMES: &[&str] = &[\"password\", \"token\"];",
        "token: &str, password: String,",
        "assert_eq!(find_all(text), Ok(vec![1, 2, 3]));",
    ] {
        assert_eq!(mask(code), code);
    }
}

/// Pieces of answers: code, loops, secrets and nonsense.
const PIECES: &[&str] = &[
    "foo(",
    "bar",
    ")",
    ";",
    "\n",
    "    ",
    "0, ",
    "0.",
    "1-",
    "self.",
    "x",
    "-",
    "=",
    "ab",
    "123",
    "\"",
    "AKIAIOSFODNN7EXAMPLE",
    " sk-123456789abc",
    "hunter2x",
    "let y = ",
    "// ",
    "}",
    "total + count",
];

const SECRETS: &[&str] = &[
    "AKIAIOSFODNN7EXAMPLE",
    "sk-123456789abc",
    "Zk3v9QpL2mX8rT5wB1nY7cH4",
    "ghp_0123456789abcdefABCDEF0123",
];

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(PIECES), 1usize..30), 0..8).prop_map(|pieces| {
        pieces
            .iter()
            .map(|(piece, times)| piece.repeat(*times))
            .collect()
    })
}

/// The shortest description of a loop: the text ends with the same thing over and over.
fn ends_in_rounds(text: &str) -> bool {
    let end = text.trim_end().as_bytes();
    (1..=40).any(|length| {
        let rounds = if length == 1 { 24 } else { 10 };
        end.len() >= length * rounds
            && !end[end.len() - length..]
                .iter()
                .all(|b| b"-=*#/_~+".contains(b))
            && end[end.len() - length * rounds..]
                .chunks(length)
                .all(|unit| unit == &end[end.len() - length..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_shown_text_ends_in_a_loop(raw in texts(), explicit in any::<bool>(), ended in any::<bool>()) {
        let query = Query {
            path: "a.rs",
            language: languages::by_id("rust"),
            prefix: "fn f() {\n    ",
            suffix: "\n}\n",
            explicit,
            ..Query::default()
        };
        let plan = plan_of(&query, &knowledge());
        let shown = plan.show(Raw::certain(&raw).finished(&plan, ended), "", explicit);
        if let Ok(suggestion) = shown {
            prop_assert!(!ends_in_rounds(&suggestion.text), "{:?}", suggestion.text);
        }
    }

    #[test]
    fn no_planted_secret_is_in_a_prompt_or_an_answer(
        before in texts(),
        secret in prop::sample::select(SECRETS),
        name in prop::sample::select(&["key", "password", "x"][..]),
        raw in texts(),
        explicit in any::<bool>(),
        cut in 0usize..12,
    ) {
        let prefix = format!("{before}\nlet {name} = \"{secret}\";\nlet other = \"");
        let query = Query {
            path: "a.rs",
            language: languages::by_id("rust"),
            prefix: &prefix,
            suffix: "\n",
            explicit,
            ..Query::default()
        };
        let plan = plan_of(&query, &Knowledge::default());
        prop_assert!(!plan.prompt.text.contains(secret), "{}", plan.prompt.text);
        let raw = format!("{raw}{}", &secret[..secret.len() - cut]);
        let shown = plan.show(Raw::certain(&raw).finished(&plan, true), "", explicit);
        if let Ok(suggestion) = shown {
            prop_assert!(!suggestion.text.contains(secret), "{:?}", suggestion.text);
        }
    }

    #[test]
    fn what_is_shown_stays_while_it_is_typed(pieces in prop::collection::vec((prop::sample::select(PIECES), 0.2f64..1.0), 1..6)) {
        let raw = answer(&pieces);
        let prefix = "fn foo() {}\nfn bar(total: u32, count: u32) {\n    let x = ";
        if let Ok(text) = shown(prefix, &raw, "") {
            for (at, _) in text.char_indices() {
                let rest = shown(prefix, &raw, &text[..at]);
                let continues = rest.as_ref().is_ok_and(|rest| rest.starts_with(&text[at..]));
                prop_assert!(continues, "{text:?} at {at}: {rest:?}");
            }
        }
    }

    #[test]
    fn masking_twice_is_masking_once(text in texts(), secret in prop::sample::select(SECRETS)) {
        let text = format!("{text} = \"{secret}\"\n{text}");
        let once = mask(&text).into_owned();
        prop_assert_eq!(mask(&once), once.as_str());
    }
}

/// The filter beside the finishing of an answer, in a file of usual size.
#[test]
fn judging_takes_less_than_a_tenth_of_a_millisecond() {
    let line =
        "    let total = self.items.iter().map(|item| item.price * item.count).sum::<u64>();\n";
    let prefix = format!("fn f() {{\n{}    let y = ", line.repeat(400));
    let suffix = format!("\n{}}}\n", line.repeat(400));
    let query = Query {
        path: "a.rs",
        language: languages::by_id("rust"),
        prefix: &prefix,
        suffix: &suffix,
        ..Query::default()
    };
    let plan = plan_of(&query, &knowledge());
    let raw = answer(&[
        ("self.items.unheard_of(total, another_name_1234)", 0.3),
        (";", 0.9),
    ]);
    let suggestion = raw.finished(&plan, true).expect("an answer");
    let best = (0..20)
        .map(|_| {
            let begun = Instant::now();
            let judged = judge(
                suggestion.clone(),
                (&prefix, &suffix),
                &plan.filter,
                "",
                false,
            );
            assert!(
                matches!(judged, Err(Silence::UnknownName { .. })),
                "{judged:?}"
            );
            begun.elapsed()
        })
        .min()
        .expect("a time");
    let most = if cfg!(debug_assertions) { 2000 } else { 100 };
    assert!(best < Duration::from_micros(most), "{best:?}");
}

#[test]
fn fewer_lines_leave_no_closer_that_only_a_later_line_writes_anew() {
    let mut scores = Scores::default();
    let text = "i, o)| {\n    f(o)\n})";
    scores.push(9, &[TokenScore::of_model(-0.1)]);
    scores.push(text.len(), &[TokenScore::of_model(-5.0)]);
    let suggestion = Suggestion {
        text: text.to_owned(),
        replace_suffix_bytes: 2,
        rewritten_until: text.len(),
        scores,
    };
    assert_eq!(sure_lines(&suggestion, 0.5), None);
    let alone = Suggestion {
        replace_suffix_bytes: 0,
        rewritten_until: 0,
        ..suggestion
    };
    let first = sure_lines(&alone, 0.5).expect("the first line");
    assert_eq!(first.text, "i, o)| {");
}
