//! Answers as data: a document with a caret and a raw answer in, the document with the ghost text out.

use carat_grammars::languages;
use proptest::prelude::*;

use super::{FinishOptions, Mode, StopWhileDecoding, Suggestion, finish, mode};
use crate::testing::{Case, cases, compare};

/// The text around the caret of a case, its raw answer, and how it is read.
fn parts(case: &Case) -> (String, String, String, FinishOptions) {
    let document = case.section("").unwrap_or_default();
    let (path, text) = document.split_once('\n').unwrap_or((document, ""));
    let path = path
        .strip_prefix("//- ")
        .unwrap_or_else(|| panic!("{}: no path", case.place()));
    let (prefix, suffix) = text
        .split_once("<CURSOR>")
        .unwrap_or_else(|| panic!("{}: no <CURSOR>", case.place()));
    let crlf = case.value("settings", "line_ends") == Some("crlf");
    let with_ends = |text: &str| {
        if crlf {
            text.replace('\n', "\r\n")
        } else {
            text.to_owned()
        }
    };
    let (prefix, suffix) = (with_ends(prefix), with_ends(suffix));
    let set = |key: &str| case.value("settings", key) == Some("yes");
    let options = FinishOptions {
        mode: mode(
            &prefix,
            &suffix,
            set("explicit"),
            languages::by_path(path.as_ref()),
        ),
        language: languages::by_path(path.as_ref()),
        fenced: set("fenced"),
        ended: case.value("settings", "ended") != Some("no"),
    };
    (
        prefix,
        suffix,
        case.section("answer").unwrap_or_default().to_owned(),
        options,
    )
}

/// The document with «inserted» and ⟦replaced⟧ text.
fn shown(prefix: &str, suffix: &str, suggestion: Option<&Suggestion>) -> String {
    let Some(Suggestion {
        text,
        replace_suffix_bytes,
        ..
    }) = suggestion
    else {
        return "(nothing)".to_owned();
    };
    let (replaced, rest) = suffix.split_at(*replace_suffix_bytes);
    let replaced = if replaced.is_empty() {
        String::new()
    } else {
        format!("⟦{replaced}⟧")
    };
    format!("{prefix}«{text}»{replaced}{rest}")
}

#[test]
fn answers_are_finished_as_written() {
    compare(&cases("completions"), |case, title| {
        let (prefix, suffix, answer, options) = parts(case);
        (title == "result").then(|| {
            let document = shown(
                &prefix,
                &suffix,
                finish(&answer, &prefix, &suffix, &options).as_ref(),
            );
            if options_are_crlf(case) {
                lines_of_crlf(&document)
            } else {
                document
            }
        })
    });
}

fn options_are_crlf(case: &Case) -> bool {
    case.value("settings", "line_ends") == Some("crlf")
}

/// Takes the carriage returns off, after it has seen that every line has one.
fn lines_of_crlf(document: &str) -> String {
    assert_eq!(
        document.matches('\n').count(),
        document.matches("\r\n").count(),
        "{document:?}"
    );
    document.replace("\r\n", "\n")
}

/// Stopping early must never change what is shown, whatever the pieces in which the answer comes.
#[test]
fn stopping_while_decoding_gives_the_same_text() {
    for case in cases("completions") {
        let (prefix, suffix, answer, options) = parts(&case);
        let whole = finish(&answer, &prefix, &suffix, &options);
        for length in [1, 2, 3, 7] {
            let mut watch = StopWhileDecoding::new(&prefix, &suffix, &options);
            let characters: Vec<char> = answer.chars().collect();
            let stopped = characters
                .chunks(length)
                .any(|piece| watch.push(&piece.iter().collect::<String>()).is_break());
            let seen = finish(
                watch.raw(),
                &prefix,
                &suffix,
                &FinishOptions {
                    ended: stopped || options.ended,
                    ..options.clone()
                },
            );
            assert_eq!(
                seen,
                whole,
                "{} in pieces of {length}: stopped after {:?}",
                case.place(),
                watch.raw()
            );
        }
    }
}

#[test]
fn stops_before_the_end_of_a_long_answer() {
    let (prefix, suffix) = ("fn f() {\n    let x = ", "\n}\n");
    let options = FinishOptions::default();
    let mut watch = StopWhileDecoding::new(prefix, suffix, &options);
    let pieces = ["foo", "(a", ");", "\n", "    let y"];
    let taken = pieces
        .iter()
        .take_while(|piece| watch.push(piece).is_continue())
        .count();
    assert_eq!(taken, 3);
}

#[test]
fn an_answer_of_white_space_is_stopped() {
    let options = FinishOptions {
        mode: Mode::MultiLine,
        ..FinishOptions::default()
    };
    let mut watch = StopWhileDecoding::new("fn f() {\n    ", "\n}\n", &options);
    assert!((0..100).any(|_| watch.push("\n    ").is_break()));
}

#[test]
fn blocks_are_proposed_where_one_was_opened() {
    for (prefix, suffix, expected) in [
        ("fn f() {", "\n}", Mode::MultiLine),
        ("fn f() {\n    ", "\n}", Mode::MultiLine),
        ("fn f() {", "}", Mode::MultiLine),
        ("fn f() {\n    ", "\n    a();\n}", Mode::SingleLine),
        ("def f():\n    ", "\n\nx = 1\n", Mode::MultiLine),
        ("let x = ", "\n", Mode::SingleLine),
        ("foo(", "bar)", Mode::SingleLine),
        ("", "", Mode::SingleLine),
    ] {
        assert_eq!(
            mode(prefix, suffix, false, None),
            expected,
            "{prefix:?} {suffix:?}"
        );
    }
    assert_eq!(mode("let x = ", "\n", true, None), Mode::MultiLine);
    assert_eq!(mode("let x = ", "y;\n", true, None), Mode::SingleLine);
}

/// What code is made of, for texts that are nearly code.
const PIECES: &[&str] = &[
    "foo",
    "bar(",
    ")",
    "(",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "`",
    "\n",
    "\r\n",
    "\r",
    "    ",
    "\t",
    " ",
    ";",
    ",",
    "=",
    "//",
    "/*",
    "*/",
    "#",
    "\"\"\"",
    "'a",
    "'('",
    "\\",
    "é",
    "😊",
    "\u{2028}",
    "```",
    "<|fim_middle|>",
    "let x = 1;",
    "return",
    ":",
    "fn f() {",
    "def g():",
];

const LINES: &[&str] = &[
    "compute(first);",
    "x;",
    "b",
    "return value;",
    "let other = 1;",
    "a = b",
    "if ready {",
    "}",
    ")",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(PIECES), 0..25).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn options() -> impl Strategy<Value = FinishOptions> {
    let language = prop::option::of(prop::sample::select(
        languages::ALL.iter().collect::<Vec<_>>(),
    ));
    (any::<bool>(), language, any::<bool>(), any::<bool>()).prop_map(
        |(multi, language, fenced, ended)| FinishOptions {
            mode: if multi {
                Mode::MultiLine
            } else {
                Mode::SingleLine
            },
            language,
            fenced,
            ended,
        },
    )
}

/// Whether all characters of `part` stand in `whole`, in the same order.
fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut whole = whole.chars();
    part.chars().all(|wanted| whole.any(|c| c == wanted))
}

/// How often the brackets of a text without strings and comments go below where they began.
fn unmatched_closers(text: &str) -> usize {
    let (mut depth, mut unmatched) = (0, 0);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => unmatched += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    unmatched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_and_never_loses_text_of_the_user(
        prefix in text(), suffix in text(), raw in text(), options in options(),
    ) {
        let result = finish(&raw, &prefix, &suffix, &options);
        if let Some(Suggestion { text, replace_suffix_bytes, .. }) = result {
            prop_assert!(!text.trim().is_empty());
            let replaced = suffix.get(..replace_suffix_bytes);
            prop_assert!(replaced.is_some_and(|replaced| is_subsequence(replaced, &text)), "{text:?}");
            prop_assert!(replaced.is_some_and(|replaced| !replaced.contains('\n')));
        }
        let mut watch = StopWhileDecoding::new(&prefix, &suffix, &options);
        for piece in raw.split_inclusive(' ') {
            if watch.push(piece).is_break() {
                break;
            }
        }
    }

    #[test]
    fn never_writes_a_closer_that_the_document_has(
        open in 0usize..6, closed in 0usize..6, raw in "[a-c()\n ]{0,30}", multi in any::<bool>(), below in any::<bool>(),
    ) {
        let prefix = format!("x {}", "(".repeat(open));
        let suffix = format!("{}{}", if below { "\n" } else { "" }, ")".repeat(closed));
        let mode = if multi { Mode::MultiLine } else { Mode::SingleLine };
        let options = FinishOptions { mode, ended: true, ..FinishOptions::default() };
        if let Some(Suggestion { text, replace_suffix_bytes, .. }) = finish(&raw, &prefix, &suffix, &options) {
            let document = format!("{prefix}{text}{}", &suffix[replace_suffix_bytes..]);
            let surplus = closed.saturating_sub(open);
            prop_assert!(unmatched_closers(&document) <= surplus, "{document:?}");
        }
    }

    /// Neither a line nor a block of them, whatever stands before it in the answer.
    #[test]
    fn never_shows_what_already_follows(
        lines in prop::collection::vec(prop::sample::select(LINES), 1..6),
        own in prop::collection::vec(prop::sample::select(LINES), 0..3),
        copied in 1usize..6,
        indented in any::<bool>(),
        options in options(),
    ) {
        let indent = if indented { "    " } else { "" };
        let follows: String = lines.iter().map(|line| format!("\n{indent}{line}")).collect();
        let copied = &lines[..copied.min(lines.len())];
        let raw: Vec<String> = own.iter().chain(copied).map(|line| format!("{line}\n{indent}")).collect();
        let prefix = format!("first_of_all();\n{indent}");
        let suffix = format!("{follows}\n");
        if let Some(Suggestion { text, .. }) = finish(&raw.concat(), &prefix, &suffix, &options) {
            let shown: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let signs: usize = shown.iter().map(|line| line.chars().filter(|c| c.is_alphanumeric()).count()).sum();
            let follows = lines.starts_with(&shown);
            prop_assert!(!follows || signs < 3, "{text:?} before {suffix:?}");
        }
    }

    /// What the rules have left is what they leave of it.
    #[test]
    fn the_rules_are_idempotent(
        prefix in text(), suffix in text(), raw in text(), options in options(),
    ) {
        if let Some(once) = finish(&raw, &prefix, &suffix, &options) {
            let options = FinishOptions { fenced: false, ended: true, ..options };
            let twice = finish(&once.text, &prefix, &suffix, &options);
            prop_assert_eq!(twice.map(|twice| twice.text), Some(once.text));
        }
    }
}
