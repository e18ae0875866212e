//! Lines and line ends of an answer that the document has already, and lines that go in circles.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::brackets::{only_brackets, only_closers};

/// An overlap with the rest of the caret's line shorter than this may be chance.
const PARTIAL_OVERLAP_BYTES_MIN: usize = 12;

/// The rest of a line must have this many bytes to be recognized in an answer.
const REST_BYTES_MIN: usize = 3;

/// A line must have this many letters and digits to count as a repetition of another.
const LINE_LETTERS_MIN: usize = 3;

/// A repeating unit of this many bytes in a line, this many times in a row, is a model that lost its
/// way. Longer units need fewer repetitions: tables have short ones.
const CIRCLES: &[(RangeInclusive<usize>, usize)] =
    &[(1..=1, 16), (2..=3, 8), (4..=9, 5), (10..=200, 3)];

/// The same for an answer that a limit cut off, which would have gone on.
const CIRCLES_CUT_OFF: &[(RangeInclusive<usize>, usize)] =
    &[(1..=1, 8), (2..=3, 4), (4..=9, 3), (10..=200, 2)];

/// So many lines in a row may be repeated.
const LINES_MAX: usize = 8;

/// So often is a line a circle, and so often are several. Of twelve lines of published code, one in 1,700 has two
/// rounds of several lines; of the embedded model's blocks, one in 50.
const ROUNDS_OF_ONE_LINE: usize = 3;
const ROUNDS_OF_LINES: usize = 2;

/// Characters that rulers in comments are made of; they may be as long as a line.
const RULERS: &str = "-=*#/_~+─═━";

/// Words that close a block, as brackets do elsewhere.
const CLOSING_WORDS: &[&str] = &["end", "done", "esac", "endif", "endfor", "endwhile"];

/// Whether a line says enough to be told from another.
fn is_telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() >= LINE_LETTERS_MIN
}

/// Whether a line does nothing but close a block, by a word or a tag.
fn only_closes(line: &str) -> bool {
    let line = line.trim();
    let word = line.trim_end_matches([')', ',', ';']);
    CLOSING_WORDS.contains(&word)
        || line.starts_with("</") && line.find('>') == Some(line.len() - 1)
}

/// What has to be equal in equal lines: what closes a block tells which one by its indentation.
fn compared(line: &str) -> &str {
    if only_closes(line) {
        line.trim_end()
    } else {
        line.trim()
    }
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

/// How much of an answer stays before signs that end the caret's line, such as `;` or ` {`: they are not
/// written twice, and what would follow them belongs on another line.
pub(super) fn before_signs(text: &str, rest: &str) -> usize {
    let rest = rest.trim_end();
    let signs = rest.trim_start();
    let is_sign = |c: char| !c.is_alphanumeric() && !c.is_whitespace() && c != '_';
    if signs.is_empty() || !signs.chars().all(is_sign) {
        return text.len();
    }
    let line = text.find('\n').map_or(text, |end| &text[..end]).trim_end();
    let ends = [rest, signs].into_iter();
    let mut before = ends.filter_map(|end| Some((line.strip_suffix(end)?, end)));
    let before = before.find(|(before, end)| !closes_own(before, end));
    before.map_or(text.len(), |(before, _)| before.len())
}

/// Whether a bracket in `end` closes one that `text` opens: then it is no copy of one behind the caret.
fn closes_own(text: &str, end: &str) -> bool {
    // What closes each open bracket, and whether `text` opened it.
    let mut open: Vec<(char, bool)> = Vec::new();
    let mut before = ' ';
    let in_text = text.chars().map(|c| (c, true));
    for (c, is_of_text) in in_text.chain(end.chars().map(|c| (c, false))) {
        match c {
            '(' => open.push((')', is_of_text)),
            '[' => open.push((']', is_of_text)),
            '{' => open.push(('}', is_of_text)),
            '<' => open.push(('>', is_of_text)),
            // Arrows close nothing.
            '>' if matches!(before, '-' | '=') => {}
            ')' | ']' | '}' | '>' => {
                if c != '>' {
                    // A sign for "less than".
                    while open.pop_if(|(closer, _)| *closer == '>').is_some() {}
                }
                let closed = open.pop_if(|(closer, _)| *closer == c);
                if closed.is_some_and(|(_, is_own)| is_own && !is_of_text) {
                    return true;
                }
            }
            _ => {}
        }
        before = c;
    }
    false
}

/// Whether the last character of a text escapes what follows it.
fn escapes(text: &str) -> bool {
    text.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn splits_word(text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text[..at].ends_with(is_word) && text[at..].starts_with(is_word)
}

/// The lines after the caret's that say something, as they are compared.
pub(super) fn following_lines(suffix: &str) -> impl Iterator<Item = &str> {
    suffix
        .lines()
        .skip(1)
        .map(compared)
        .filter(|line| !line.is_empty())
}

/// Where the first line begins that the document has as its next one, or lines that it has as its next
/// ones and that say something together. `text` starts on the caret's line, behind `typed`; the last
/// line counts once it is `ended`.
pub(super) fn repeats_next_lines(
    text: &str,
    typed: &str,
    suffix: &str,
    ended: bool,
) -> Option<usize> {
    let following: Vec<&str> = following_lines(suffix).take(LINES_MAX).collect();
    let next = following.iter().find(|line| !only_closers(line));
    let next = next.copied().filter(|line| is_telling(line));
    let mut lines = Vec::new();
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // Of the caret's line, the answer has all only if nothing stands before.
        let whole = index > 0 || typed.trim().is_empty();
        if whole && (ended || line.ends_with('\n')) && !line.trim().is_empty() {
            // The answer's first line is indented by what was typed.
            let line = match index {
                0 if only_closes(line) => Cow::Owned(format!("{typed}{}", line.trim_end())),
                _ => Cow::Borrowed(compared(line)),
            };
            lines.push((at, line));
        }
        at += line.len();
    }
    let repeats = |from: &usize| {
        let same = lines[*from..].iter().zip(&following);
        let same = same.take_while(|((_, line), next)| line == **next);
        let signs = same.flat_map(|((_, line), _)| line.chars().filter(|c| c.is_alphanumeric()));
        Some(&*lines[*from].1) == next || signs.count() >= LINE_LETTERS_MIN
    };
    let first = (0..lines.len()).find(repeats)?;
    Some(lines[first].0)
}

/// The caret's line with the first one of an answer, and what stands `behind` it there.
fn with_first_line(text: &str, behind: &str, typed: &str) -> String {
    let (first, behind) = text
        .split_once('\n')
        .map_or((text, behind), |(first, _)| (first, ""));
    format!("{typed}{first}{behind}")
}

/// Whether the caret's line would be a copy of its neighbor, above or below, or the line below it one of
/// the caret's. `behind` is what follows an answer on the caret's line.
pub(super) fn copies_neighbor(text: &str, behind: &str, prefix: &str, suffix: &str) -> bool {
    let (above, typed) = prefix.rsplit_once('\n').unwrap_or(("", prefix));
    if text
        .lines()
        .next()
        .is_none_or(|line| line.trim().is_empty())
    {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty());
        return is_telling(typed) && behind.trim().is_empty() && first == Some(typed.trim());
    }
    let line = with_first_line(text, behind, typed);
    let line = compared(&line);
    if !is_telling(line) {
        return false;
    }
    let previous = above
        .lines()
        .rev()
        .map(compared)
        .find(|line| !line.is_empty());
    previous == Some(line) || following_lines(suffix).next() == Some(line)
}

/// How lines begin that name what a file uses. Indented ones stand in modules and functions, each of which
/// may say it for itself.
const IMPORTS: &[&str] = &[
    "use ", "pub use ", "import ", "from ", "#include", "using ", "mod ", "pub mod ",
];

/// Whether the caret's line would import what the file imports already.
pub(super) fn imports_again(text: &str, behind: &str, prefix: &str, suffix: &str) -> bool {
    let (above, typed) = prefix.rsplit_once('\n').unwrap_or(("", prefix));
    let line = with_first_line(text, behind, typed);
    let line = line.trim_end();
    IMPORTS.iter().any(|word| line.starts_with(word))
        && (above.lines().chain(suffix.lines().skip(1))).any(|known| known.trim_end() == line)
}

/// How much of an answer stays if it goes in circles: nothing of the line in which it does; of lines
/// that are repeated as a whole, the first round. The last line counts as a line once it is `ended`.
pub(super) fn circles(text: &str, ended: bool) -> Option<usize> {
    repeated_lines(text, ended).or_else(|| repeated_unit(text, CIRCLES))
}

/// Whether an answer that a limit cut off was going in circles.
pub(super) fn circles_cut_off(text: &str) -> bool {
    repeated_unit(text, CIRCLES_CUT_OFF).is_some()
}

/// How much of an answer stays in a comment or string that is closed on the caret's line: brackets
/// there are text, and what follows the caret is not to be said twice.
pub(super) fn before_rest(text: &str, rest: &str) -> usize {
    let rest = rest.trim_end();
    if rest.is_empty() {
        return text.len();
    }
    let text = &text[..closes_again(text, rest)];
    // The closer of the string itself has been fitted already, and may stand behind text of its own.
    let ends = rest
        .char_indices()
        .map(|(at, c)| &rest[..at + c.len_utf8()]);
    let ends = ends.rev();
    let mut left = text;
    let shorter = |left: &str, end: &str| {
        let shorter = left.strip_suffix(end)?;
        (!escapes(shorter) && !closes_own(shorter, end)).then_some(shorter.len())
    };
    while let Some(shorter) = ends.clone().find_map(|end| shorter(left, end)) {
        left = &left[..shorter];
    }
    left.len()
}

/// Where a text in a comment or string closes what an editor has closed behind the caret already.
fn closes_again(text: &str, rest: &str) -> usize {
    let pair = match rest.trim_start().chars().next() {
        Some(')') => ('(', ')'),
        Some(']') => ('[', ']'),
        Some('}') => ('{', '}'),
        Some('`') => ('`', '`'),
        _ => return text.len(),
    };
    if !only_closers(rest) {
        return text.len();
    }
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == pair.1 {
            if depth == 0 {
                return at;
            }
            depth -= 1;
        } else if c == pair.0 {
            depth += 1;
        }
    }
    text.len()
}

/// Where the first round of lines ends that are repeated again and again.
fn repeated_lines(text: &str, ended: bool) -> Option<usize> {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    // How many lines up to here equal the one so many lines above.
    let mut equal = [0; LINES_MAX + 1];
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if !is_telling(line) || !(ended || line.ends_with('\n')) {
            continue;
        }
        lines.push((compared(line), end));
        let last = lines.len() - 1;
        for period in 1..=LINES_MAX.min(last) {
            equal[period] = if lines[last].0 == lines[last - period].0 {
                equal[period] + 1
            } else {
                0
            };
            let rounds = if period == 1 {
                ROUNDS_OF_ONE_LINE
            } else {
                ROUNDS_OF_LINES
            };
            if equal[period] == period * (rounds - 1) {
                let end = lines[last - equal[period]].1;
                // Closers behind the first round belong to it.
                let closers = text[end..].split_inclusive('\n');
                let closers = closers.take_while(|line| only_brackets(line));
                return Some(end + closers.map(str::len).sum::<usize>());
            }
        }
    }
    None
}

/// Where the last line begins, if it ends with the same unit again and again.
fn repeated_unit(text: &str, circles: &[(RangeInclusive<usize>, usize)]) -> Option<usize> {
    let end = text.trim_end();
    let start = end.rfind('\n').map_or(0, |newline| newline + 1);
    let bytes = &end.as_bytes()[start..];
    let lengths = circles
        .iter()
        .flat_map(|(lengths, times)| lengths.clone().map(move |length| (length, *times)));
    for (length, times) in lengths.take_while(|(length, times)| length * times <= bytes.len()) {
        let unit = &bytes[bytes.len() - length..];
        let repeats = bytes
            .iter()
            .rev()
            .zip(bytes.iter().rev().skip(length))
            .take_while(|(a, b)| a == b)
            .count();
        if repeats + length >= length * times && is_primitive(unit) && !is_ruler(unit) {
            return Some(start.saturating_sub(1));
        }
    }
    None
}

fn is_ruler(unit: &[u8]) -> bool {
    std::str::from_utf8(unit).is_ok_and(|unit| unit.chars().all(|c| RULERS.contains(c)))
}

/// Whether a unit is not a shorter one repeated: a row of dashes has the unit of one dash alone.
fn is_primitive(unit: &[u8]) -> bool {
    (1..unit.len())
        .filter(|length| unit.len().is_multiple_of(*length))
        .all(|length| unit[length..] != unit[..unit.len() - length])
}
