//! Fits of answers between brackets, one row each.

use carat_grammars::languages;

use super::Enclosing;

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
fn a_surplus_closer_in_the_document_changes_nothing() {
    check("a.rs", "f(|)\n) ) }", "x)", "x", "");
}
