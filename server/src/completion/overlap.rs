//! Lines and line ends of an answer that the document has already, and lines that go in circles.

use super::brackets::only_closers;

/// An overlap with the rest of the caret's line shorter than this may be chance.
const PARTIAL_OVERLAP_BYTES_MIN: usize = 12;

/// The rest of a line must have this many bytes to be recognized in an answer.
const REST_BYTES_MIN: usize = 3;

/// A line must have this many letters and digits to count as a repetition of another.
const LINE_LETTERS_MIN: usize = 3;

/// A repeating unit of this many characters, this many times in a row, is a model that lost its way.
/// Longer units need fewer repetitions; single characters form rulers in comments.
const CIRCLES: &[(std::ops::RangeInclusive<usize>, usize)] =
    &[(1..=2, 40), (3..=9, 6), (10..=60, 4)];

/// This many equal lines in a row are a circle as well.
const EQUAL_LINES_MAX: usize = 2;

/// Whether a line says enough to be told from another.
fn is_telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() >= LINE_LETTERS_MIN
}

/// Where `text` begins to repeat `rest`, the remainder of the caret's line.
///
/// Closers alone are no evidence: `foo(|)` before `bar()` must stay `foo(bar())`. They are the affair
/// of [`super::brackets`].
pub(super) fn repeats_rest(text: &str, rest: &str) -> Option<usize> {
    let rest = rest.trim_end();
    if rest.trim_start().len() < REST_BYTES_MIN || only_closers(rest) {
        return None;
    }
    if let Some(at) = text.find(rest)
        && !splits_word(text, at)
    {
        return Some(at);
    }
    let end = text.trim_end();
    let mut starts = end
        .char_indices()
        .map(|(at, _)| at)
        .filter(|at| end.len() - at >= PARTIAL_OVERLAP_BYTES_MIN);
    starts.find(|at| rest.starts_with(&end[*at..]) && !splits_word(text, *at))
}

fn splits_word(text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text[..at].ends_with(is_word) && text[at..].starts_with(is_word)
}

/// The lines after the caret's that say something.
pub(super) fn following_lines(suffix: &str) -> impl Iterator<Item = &str> {
    suffix
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty())
}

/// Where the first line begins that the document has as its next one; `text` starts on the caret's
/// line, whose own text is not looked at. The last line counts once it is `ended`.
pub(super) fn repeats_next_line(text: &str, suffix: &str, ended: bool) -> Option<usize> {
    let next = following_lines(suffix)
        .find(|line| !only_closers(line))
        .filter(|line| is_telling(line))?;
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index > 0 && (ended || line.ends_with('\n')) && line.trim() == next {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// Whether the caret's line would be a copy of its neighbor, above or below.
pub(super) fn copies_neighbor(first_line: &str, prefix: &str, suffix: &str) -> bool {
    let (above, typed) = prefix.rsplit_once('\n').unwrap_or(("", prefix));
    let line = format!("{typed}{first_line}");
    let line = line.trim();
    if first_line.trim().is_empty() || !is_telling(line) {
        return false;
    }
    let previous = above
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    previous == Some(line) || following_lines(suffix).next() == Some(line)
}

/// Where an answer begins to go in circles: the end of the first round.
pub(super) fn circles(text: &str) -> Option<usize> {
    equal_lines(text).or_else(|| repeated_unit(text))
}

fn equal_lines(text: &str) -> Option<usize> {
    let (mut at, mut previous, mut count, mut first_end) = (0, "", 0, 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        let line = line.trim();
        if !is_telling(line) {
            continue;
        }
        if line != previous {
            (previous, count, first_end) = (line, 1, at);
            continue;
        }
        count += 1;
        if count > EQUAL_LINES_MAX {
            return Some(first_end);
        }
    }
    None
}

/// A unit that the text ends with again and again.
fn repeated_unit(text: &str) -> Option<usize> {
    let end = text.trim_end();
    let bytes = end.as_bytes();
    for (lengths, times) in CIRCLES {
        for length in lengths.clone() {
            if bytes.len() < length * times || !is_primitive(&bytes[bytes.len() - length..]) {
                continue;
            }
            let repeats = bytes
                .iter()
                .rev()
                .zip(bytes.iter().rev().skip(length))
                .take_while(|(a, b)| a == b)
                .count();
            if repeats + length >= length * times {
                let start = bytes.len() - length - repeats;
                return Some(end.ceil_char_boundary(start + length));
            }
        }
    }
    None
}

/// Whether a unit is not a shorter one repeated: a row of dashes has the unit of one dash alone.
fn is_primitive(unit: &[u8]) -> bool {
    (1..unit.len())
        .filter(|length| unit.len().is_multiple_of(*length))
        .all(|length| unit[length..] != unit[..unit.len() - length])
}
