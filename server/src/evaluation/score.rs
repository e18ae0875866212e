//! One answer compared with the code that was there.

use carat_grammars::Place;

use super::{Answer, Case};
use crate::completion::place;

/// How close an answer is to what was taken out. White space at the ends of lines does not count.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "a row of results")]
pub struct Score {
    /// The same text.
    pub exact: bool,
    /// The same first line.
    pub first_line_exact: bool,
    /// 1 minus the Levenshtein distance over the length of the longer text, in characters: 0 to 1.
    pub edit_similarity: f64,
    /// Characters that both begin with: what need not be typed.
    pub saved_chars: usize,
    /// Characters that were taken out.
    pub middle_chars: usize,
    /// One of the other answers has that first line.
    pub other_first_line_exact: bool,
    /// How many other answers there are.
    pub others: usize,
    /// Nothing was proposed.
    pub empty: bool,
    /// It would be shown while typing.
    pub shown: bool,
    /// What would be shown is what stood there, as far as its lines go.
    pub shown_right: bool,
    /// The model would show nothing, but a line of the user's own would stand there.
    pub echo_alone: bool,
    /// And it is what stood there.
    pub echo_right: bool,
    /// The probability that the model gave to what it proposed.
    pub probability: f64,
    /// The case says little, see [`is_trivial`].
    pub trivial: bool,
}

impl Score {
    /// Compares `answer` with the middle of `case`.
    pub fn of(case: &Case, answer: &Answer) -> Self {
        let want = without_line_ends(&case.middle);
        let got = without_line_ends(&answer.text);
        let shown = answer.shown.as_deref().ok().map(without_line_ends);
        let echo = without_line_ends(&answer.echo);
        let echo_alone = shown.is_none() && !echo.is_empty();
        let others = || answer.others.iter().map(|other| without_line_ends(other));
        let first = |text: &str| text.lines().next().unwrap_or("").to_owned();
        let shared = want.chars().zip(got.chars()).take_while(|(a, b)| a == b);
        Self {
            exact: want == got,
            first_line_exact: first(&want) == first(&got),
            other_first_line_exact: others().any(|other| first(&want) == first(&other)),
            others: others().count(),
            edit_similarity: strsim::normalized_levenshtein(&want, &got),
            saved_chars: shared.count(),
            middle_chars: want.chars().count(),
            empty: got.is_empty(),
            shown: shown.is_some(),
            shown_right: shown.is_some_and(|shown| begins_with_lines(&want, &shown)),
            echo_alone,
            echo_right: echo_alone && begins_with_lines(&want, &echo),
            probability: answer
                .confidence
                .map_or(0.0, |confidence| confidence.product),
            trivial: is_trivial(case),
        }
    }
}

/// Whether the hole holds fewer than three letters or digits, or nothing but a comment or a part of
/// documentation.
pub fn is_trivial(case: &Case) -> bool {
    let middle = case.middle.trim();
    let signs = middle.chars().filter(|c| c.is_alphanumeric()).count();
    signs < 3
        || is_comment(middle, &case.language)
        || place(&case.prefix, case.language()) == Place::Comment
}

/// Whether the first lines of `text` are `lines`.
fn begins_with_lines(text: &str, lines: &str) -> bool {
    text.strip_prefix(lines)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('\n'))
}

/// Whether every line of the trimmed text is a comment; a guess from how the lines begin.
fn is_comment(text: &str, language: &str) -> bool {
    let openers: &[&str] = if language == "python" {
        &["#", "\"\"\"", "'''"]
    } else {
        &["//", "/*", "*/", "* "]
    };
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
        .all(|line| line == "*" || openers.iter().any(|opener| line.starts_with(opener)))
}

/// The text without white space at the end of its lines and at its own end.
fn without_line_ends(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}
