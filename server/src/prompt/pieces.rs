//! The text around a caret in pieces that change rarely while a user types.
//!
//! What an engine has read of a prompt serves the next one up to the first difference. So a prompt
//! shows the file as one with a gap: the lines before the gap, the lines after it, and last what
//! stands in the gap already, up to the caret. The gap begins and ends on a grid of lines, counted
//! from the begin of the document before the caret and from its end after it: typing, new lines and
//! moving by some lines happen inside of the gap.

use super::budget::Window;

/// Lines between two places where a gap may begin, for a model that was trained on gaps: what it is to
/// write on with is short there. Where the gap moves, its lines and all that stands behind its begin are
/// read again: the lines once each, however far apart the places are, the rest the rarer.
pub(super) const TRAINED_GRID: usize = 16;
/// The same for a model that is asked in words, where the gap's begin is its own answer so far.
pub(super) const ASKED_GRID: usize = 64;
/// Lines between two places where a gap may end.
const END_GRID: usize = 8;

/// The window, in the order of the text: `head`, `middle`, caret, what is left out, `near`, `far`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces<'a> {
    /// The lines before the gap.
    pub(super) head: &'a str,
    /// From the begin of the gap to the caret.
    pub(super) middle: &'a str,
    /// From behind the caret to the end of the gap.
    pub(super) near: &'a str,
    /// The lines after the gap.
    pub(super) far: &'a str,
}

impl<'a> Pieces<'a> {
    /// The pieces of `window`, which is a part of the document `prefix` and [`told_suffix`], with gaps
    /// that begin in every `grid`th line.
    pub(super) fn new(window: &Window<'a>, prefix: &str, suffix: &str, grid: usize) -> Self {
        let above = newlines(prefix) % grid;
        let begin = line_start_above(window.prefix, above);
        // The first line break ends the caret's own line.
        let after = newlines(suffix).saturating_sub(1) % END_GRID;
        let end = line_end_below(window.suffix, after);
        Self {
            head: &window.prefix[..begin],
            middle: &window.prefix[begin..],
            near: &window.suffix[..end],
            far: &window.suffix[end..],
        }
    }
}

/// What of the text after a caret a model is told: all but the closing brackets and quotes that come
/// first, and the white space between them.
///
/// They come and go with what is typed: editors insert them by themselves, move them to a line of their
/// own when a line break is typed, and users type over them. The answer may write them, and is
/// fitted into those that are there.
pub(super) fn told_suffix(suffix: &str) -> &str {
    let is_closer = |c: char| ")]}\"'`".contains(c);
    let run = suffix.trim_start_matches(|c: char| c.is_whitespace() || is_closer(c));
    let run = &suffix[..suffix.len() - run.len()];
    let end = run.rfind(is_closer).map_or(0, |at| at + 1);
    &suffix[end..]
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Where the line begins that is `lines` above the last one.
fn line_start_above(text: &str, lines: usize) -> usize {
    let newlines = text.match_indices('\n').rev();
    let mut newlines = newlines.map(|(at, _)| at + 1);
    newlines.nth(lines).unwrap_or(0)
}

/// Where the line ends, its line break included, that is `lines` below the first one.
fn line_end_below(text: &str, lines: usize) -> usize {
    let mut newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    newlines.nth(lines).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a document with `|` at the caret.
    fn pieces(document: &str) -> [String; 4] {
        let (prefix, suffix) = document.split_once('|').expect("a caret");
        let suffix = told_suffix(suffix);
        let pieces = Pieces::new(&Window { prefix, suffix }, prefix, suffix, TRAINED_GRID);
        [pieces.head, pieces.middle, pieces.near, pieces.far].map(str::to_owned)
    }

    fn lines(range: std::ops::Range<usize>) -> String {
        range.map(|n| format!("line {n}\n")).collect()
    }

    #[test]
    fn the_gap_stands_on_a_grid() {
        let document = |above: usize, below: usize| {
            let (before, after) = (lines(0..above), lines(0..below));
            pieces(&format!("{before}typed|)\n{after}"))
        };
        let [head, middle, near, far] = document(20, 10);
        assert_eq!(head, lines(0..16));
        assert_eq!(middle, lines(16..20) + "typed");
        assert_eq!(near, "\n".to_owned() + &lines(0..2), "10 lines are 2 and 8");
        assert_eq!(far, lines(2..10));
        let [head, _, _, far] = document(31, 15);
        assert_eq!(head, lines(0..16), "the same text before the gap");
        assert_eq!(far, lines(7..15));
    }

    #[test]
    fn moving_and_typing_leave_what_is_outside_of_the_gap() {
        let all = lines(0..100);
        let parts: Vec<&str> = all.split_inclusive('\n').collect();
        let at = |caret: usize, typed: &str| {
            let (before, after) = (parts[..caret].concat(), parts[caret..].concat());
            let [head, middle, near, far] = pieces(&format!("{before}{typed}|{after}"));
            assert_eq!(
                head.clone() + &middle + &near + &far,
                before + typed + told_suffix(&after),
                "nothing is lost"
            );
            (head, far)
        };
        let here = at(50, "");
        for typed in ["f", "f(", "fn a() {\n    b\n"] {
            assert_eq!(at(50, typed), here, "{typed:?}");
        }
        for caret in [49, 51] {
            assert_eq!(at(caret, ""), here, "caret in line {caret}");
        }
    }

    #[test]
    fn what_editors_close_is_not_told() {
        for (rest, told) in [
            (")", ""),
            (");\n}", ";\n}"),
            ("\"])\nx", "\nx"),
            ("\n    }\n}\n\nfn", "\n\nfn"),
            ("\n\nfn", "\n\nfn"),
            (" + b)", " + b)"),
            ("name: 1", "name: 1"),
            ("", ""),
        ] {
            assert_eq!(told_suffix(rest), told);
        }
    }
}
