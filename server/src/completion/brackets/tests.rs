//! Fits of answers between brackets, one row each.

use carat_grammars::languages;

use super::{Enclosing, WINDOW_BYTES, work};

/// What of `answer` is kept, and what of the suffix it replaces.
#[track_caller]
fn check(path: &str, document: &str, answer: &str, kept: &str, replaced: &str) {
    let (prefix, suffix) = document.split_once('|').expect("a caret");
    let fit = Enclosing::new(prefix, suffix, languages::by_path(path.as_ref())).fit(answer);
    assert_eq!(
        (&answer[..fit.keep], &suffix[..fit.replace]),
        (kept, replaced),
        "{document}"
    );
}

#[test]
fn closers_of_the_document_stay() {
    check("a.rs", "f(|)", "x)", "x", "");
    check("a.rs", "f(|);", "x);", "x", "");
    check("a.rs", "f(|", "x);", "x);", "");
    check("a.rs", "f(g(|)", "x)", "x)", "");
    check("a.rs", "f([|])", "x]", "x", "");
    check("a.rs", "f(|)\n", "x)?;", "x)?;", ")");
    check("a.rs", "f(|) + g()", "x)", "x", "");
    check("a.rs", "{ |\n}", "x }", "x ", "");
    check("a.rs", "{ { |\n}", "x }", "x }", "");
    check("a.rs", "{ ( |\n}", "x }", "x ", "");
}

#[test]
fn strings_are_brackets_too() {
    check("a.js", "f('|')", "a', 'b')", "a', 'b')", "')");
    check("a.js", "f('|", "a')", "a')", "");
    check("a.js", "f('|')", "a)", "a)", "");
    check("a.py", "x = \"\"\"|\"\"\"", "a (\"\"\"", "a (", "");
    check("a.go", "x := `|`", "a\\`", "a\\", "");
    check("a.rs", "// it's (|", "x)", "x)", "");
}

#[test]
fn documents_longer_than_the_window_count_as_closed() {
    let long = format!("fn f() {{\n    a(|\n{}}}\n", "    b(c);\n".repeat(10_000));
    check("a.rs", &long, "x);\n}", "x);\n", "");
}

#[test]
fn the_window_may_begin_within_a_string_or_a_comment() {
    let lines = "    it's (here\n".repeat(WINDOW_BYTES / 10);
    for (path, quote, end) in [("a.py", "\"\"\"", "\"\"\""), ("a.rs", "/*", "*/")] {
        let document = format!("{quote}{lines}{end}\nf(g(|)\n");
        assert!(document.len() > WINDOW_BYTES);
        check(path, &document, "x)", "x)", "");
        check(path, &document, "x))", "x)", "");
    }
}

#[test]
fn a_surplus_closer_in_the_document_changes_nothing() {
    check("a.rs", "f(|)\n) ) }", "x)", "x", "");
}

#[test]
fn the_work_is_linear_in_the_window() {
    let line = r#"{"a":[1,2,{"b":"c"}],"#.repeat(50_000);
    let unmatched = ("(".repeat(50_000), "}".repeat(50_000));
    let crossed = ("([".repeat(50_000), ")]".repeat(50_000));
    for (prefix, suffix) in [
        (&line[..500_000], &line[500_000..]),
        (&unmatched.0, &unmatched.1),
        (&crossed.0, &crossed.1),
        (&unmatched.1, &unmatched.0),
    ] {
        for rest in ["", "\n"] {
            let suffix = format!("{rest}{suffix}");
            for language in [None, languages::by_id("rust")] {
                let work = work::of(|| {
                    Enclosing::new(prefix, &suffix, language);
                });
                // Three windows, each character of which is looked at a few times.
                assert!(
                    work < 12 * WINDOW_BYTES,
                    "{work} for {prefix:.8}|{suffix:.8}"
                );
            }
        }
    }
}
