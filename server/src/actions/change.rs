//! What happens to a change between its request and its end: small edits out of large ones, and
//! where a piece of text stands after the user has typed elsewhere.

use std::ops::Range;

use similar::{DiffOp, TextDiff};

use crate::documents::Edit;

/// Replaces only the lines that differ: marks, folds and the caret in the rest of a rewritten item
/// stay where they are.
pub fn hunks(old: &str, new: &str) -> Vec<(Range<usize>, String)> {
    let old_lines: Vec<&str> = old.split_inclusive('\n').collect();
    let new_lines: Vec<&str> = new.split_inclusive('\n').collect();
    let diff = TextDiff::from_slices(&old_lines, &new_lines);
    let offsets = |slices: &[&str]| -> Vec<usize> {
        let mut at = 0;
        std::iter::once(0)
            .chain(slices.iter().map(|slice| {
                at += slice.len();
                at
            }))
            .collect()
    };
    let (old_at, new_at) = (offsets(&old_lines), offsets(&new_lines));
    diff.ops()
        .iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| {
            let (old_range, new_range) = (op.old_range(), op.new_range());
            (
                old_at[old_range.start]..old_at[old_range.end],
                new[new_at[new_range.start]..new_at[new_range.end]].to_owned(),
            )
        })
        .collect()
}

/// What edits did to a text since some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PositionMap {
    edits: Vec<Touched>,
}

/// The bytes that an edit replaced, before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touched {
    start: usize,
    old_end: usize,
    new_end: usize,
}

impl PositionMap {
    /// Takes note of an edit.
    pub fn edited(&mut self, edit: &Edit) {
        self.edits.push(Touched {
            start: edit.range.start,
            old_end: edit.range.end,
            new_end: edit.new_range().end,
        });
    }

    /// How many edits there were.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Where a range of the first text stands in the last one; `None` if an edit touched it.
    pub fn moved(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let mut range = range.clone();
        for edit in &self.edits {
            if edit.old_end <= range.start {
                let by = |at: usize| at - edit.old_end + edit.new_end;
                range = by(range.start)..by(range.end);
            } else if edit.start < range.end {
                return None;
            }
        }
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ropey::Rope;

    use super::*;

    fn apply(old: &str, hunks: &[(Range<usize>, String)]) -> String {
        let mut text = old.to_owned();
        for (range, new) in hunks.iter().rev() {
            text.replace_range(range.clone(), new);
        }
        text
    }

    #[test]
    fn only_lines_that_differ_are_replaced() {
        let (old, new) = (
            "fn f() {\r\n    a();\r\n    b();\r\n}",
            "fn f() {\r\n    a();\r\n    c();\r\n    b();\r\n}",
        );
        let hunks = hunks(old, new);
        assert_eq!(hunks, [(20..20, "    c();\r\n".to_owned())]);
        assert_eq!(apply(old, &hunks), new);
    }

    proptest! {
        #[test]
        fn hunks_make_the_new_text(old in "([ab]{0,2}\r?\n?){0,8}", new in "([ab]{0,2}\r?\n?){0,8}") {
            prop_assert_eq!(apply(&old, &hunks(&old, &new)), new);
        }

        /// Wherever a range is said to be, its text is what it was.
        #[test]
        fn a_moved_range_holds_its_text(
            text in "[a-c]{4,20}",
            range in (0usize..20, 0usize..20),
            edits in prop::collection::vec((0usize..20, 0usize..6, "[a-cé]{0,4}"), 0..5),
        ) {
            let (a, b) = (range.0.min(text.len()), range.1.min(text.len()));
            let range = a.min(b)..a.max(b);
            let mut positions = PositionMap::default();
            let mut now = text.clone();
            for (at, length, new) in edits {
                let before = Rope::from_str(&now);
                let start = now.floor_char_boundary(at.min(now.len()));
                let end = now.ceil_char_boundary((start + length).min(now.len()));
                now.replace_range(start..end, &new);
                if let Some(edit) = Edit::trimmed(&before, start..end, &new) {
                    positions.edited(&edit);
                }
            }
            if let Some(moved) = positions.moved(&range) {
                prop_assert_eq!(now.get(moved), Some(&text[range]));
            }
        }
    }

    #[test]
    fn edits_elsewhere_move_and_edits_inside_stop() {
        let check = |after: &str, expected: Option<&str>| {
            let before = "one\nTWO\nthree\n";
            let mut positions = PositionMap::default();
            let edit = Edit::trimmed(&Rope::from_str(before), 0..before.len(), after);
            if let Some(edit) = &edit {
                positions.edited(edit);
            }
            assert_eq!(
                positions.moved(&(4..7)).map(|range| &after[range]),
                expected,
                "{after:?}"
            );
        };
        check("one\nTWO\nthree\n", Some("TWO"));
        check("zero\none\nTWO\nthree\n", Some("TWO"));
        check("TWO\nthree\n", Some("TWO"));
        check("one\nTWO\nfour\n", Some("TWO"));
        check("one\nTwO\nthree\n", None);
        check("one\nthree\n", None);
        check("1\nTWO\n3\n", None);
    }
}
