//! The lexer's corpus: a line of code, and below it what of it the lexer takes for brackets.

use std::ops::ControlFlow;

use super::Lexer;
use crate::languages;

/// Line by line: code, and below it the brackets that count, at their places.
#[track_caller]
fn check(path: &str, code_and_marks: &[&str]) {
    for pair in code_and_marks.chunks_exact(2) {
        let (code, marks) = (pair[0], pair[1]);
        let mut found = vec![b' '; code.len()];
        Lexer::new(languages::by_path(path.as_ref())).scan(code, &mut |at, _| {
            found[at] = code.as_bytes()[at];
            ControlFlow::Continue(())
        });
        let found = String::from_utf8(found).expect("marks are ASCII");
        assert_eq!(found.trim_end(), marks, "{path}: {code}");
    }
}

#[test]
fn brackets_in_strings_characters_and_comments_do_not_count() {
    #[rustfmt::skip]
    check("a.rs", &[
        r#"f("(", '(', x) // ("#,
        r" (           )",
        r"f('a) /* ( */ [",
        r" (  )         [",
    ]);
    #[rustfmt::skip]
    check("a.py", &[
        r#"f("""("(""") # ("#,
        r" (         )",
    ]);
}

#[test]
fn raw_strings_have_no_escapes() {
    #[rustfmt::skip]
    check("a.rs", &[
        r#"f(r"\", r)"#,
        r" (       )",
        r##"f(r#"a"(\"#, b)"##,
        r" (            )",
        r##"f(br#"("#, r#type)"##,
        r" (               )",
    ]);
    #[rustfmt::skip]
    check("a.cpp", &[
        r#"f(R"(")\)", x)"#,
        r" (           )",
    ]);
    #[rustfmt::skip]
    check("a.go", &[
        r"f(`\`, x)",
        r" (      )",
    ]);
}

#[test]
fn code_inside_of_strings_is_taken_for_text() {
    // Wrong: `{x(1)}` and `${x(1)}` are code, with brackets of their own.
    #[rustfmt::skip]
    check("a.py", &[
        r#"f(f"{x(1)}")"#,
        r" (         )",
        r"f(r'\'(')",
        r" (      )",
    ]);
    #[rustfmt::skip]
    check("a.ts", &[
        r"f(`${x(1)}`)",
        r" (         )",
    ]);
    // Wrong: the inner template ends the outer one, and its bracket counts.
    #[rustfmt::skip]
    check("a.js", &[
        r"f(`${`(`}`)",
        r" (    (   )",
    ]);
}

#[test]
fn raw_strings_with_a_delimiter_of_their_own_end_too_early() {
    // Wrong: the string goes on to `)x"`.
    #[rustfmt::skip]
    check("a.cpp", &[
        r#"f(R"x("()x")"#,
        r" (     ()",
    ]);
}
