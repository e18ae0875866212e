//! What a user has typed at a caret since some moment, followed edit by edit.

use std::ops::Range;

use ropey::Rope;

use crate::completion::end_in_order;
use crate::documents::Edit;

/// No completion is longer, so more text cannot have been typed through one.
const TYPED_BYTES_MAX: usize = 4096;

/// Edits this near to the caret may yet be undone or typed over; farther ones make another text.
const REACH_BYTES: usize = 64;

/// Editors close a few pairs at once, not more.
const CLOSERS_BYTES_MAX: usize = 8;

/// A stretch of text around a caret, as it was and as it is. Left and right of it, nothing has changed.
#[derive(Clone, Debug)]
pub(super) struct Typing {
    /// The text in which the caret was, with the caret's place; shared with the document it came from.
    base: Rope,
    caret: usize,
    /// What the stretch holds of the base, left and right of the caret.
    before: String,
    after: String,
    /// What stands there now; `None` once anything else was changed.
    now: Option<String>,
}

/// What was typed, for a caret behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// From the old caret to the new one.
    pub(super) text: String,
    /// What the editor closed behind the new caret.
    pub(super) closers: String,
    /// This much of the text behind the old caret was typed over.
    pub(super) over: usize,
}

impl Typing {
    /// Nothing was typed yet.
    pub(super) fn new(base: Rope, caret: usize) -> Self {
        Self {
            base,
            caret,
            before: String::new(),
            after: String::new(),
            now: Some(String::new()),
        }
    }

    /// The same after an edit however far it reaches: what accepting an entry of a menu would do.
    pub(super) fn with(mut self, edit: &Edit) -> Self {
        let spliced = self.reach(&edit.range, TYPED_BYTES_MAX).is_some();
        if !spliced || self.splice(edit).is_none() {
            self.now = None;
        }
        self
    }

    /// Where the stretch begins, in both texts.
    fn start(&self) -> usize {
        self.caret - self.before.len()
    }

    /// Follows an edit of the text.
    pub(super) fn edited(&mut self, edit: &Edit) {
        let near = self.reach(&edit.range, REACH_BYTES).is_some();
        if !near || self.splice(edit).is_none() {
            self.now = None;
        }
    }

    fn splice(&mut self, edit: &Edit) -> Option<()> {
        let start = self.start();
        let now = self.now.as_mut()?;
        let within = edit.range.start - start..edit.range.end - start;
        now.get(within.clone())?;
        now.replace_range(within, &edit.text);
        (now.len() <= TYPED_BYTES_MAX).then_some(())
    }

    /// Widens the stretch to hold `range` of the text as it is now, if that is within `reach` bytes.
    fn reach(&mut self, range: &Range<usize>, reach: usize) -> Option<()> {
        let start = self.start();
        let now = self.now.as_mut()?;
        let (ahead, end) = (start.saturating_sub(range.start), start + now.len());
        let behind = range.end.saturating_sub(end);
        if ahead > reach || behind > reach {
            return None;
        }
        if ahead > 0 {
            let more = self.base.get_byte_slice(range.start..start)?.to_string();
            now.insert_str(0, &more);
            self.before.insert_str(0, &more);
        }
        if behind > 0 {
            let from = self.caret + self.after.len();
            let more = self.base.get_byte_slice(from..from + behind)?.to_string();
            now.push_str(&more);
            self.after.push_str(&more);
        }
        Some(())
    }

    /// What was typed to get to the text of now with its caret at `caret`.
    pub(super) fn until(&self, caret: usize) -> Option<Typed> {
        let mut this;
        let wide = if caret > self.start() + self.now.as_ref()?.len() {
            // Behind what was there before: typed over, as editors do with closers.
            this = self.clone();
            this.reach(&(caret..caret), REACH_BYTES)?;
            &this
        } else {
            self
        };
        let now = wide.now.as_ref()?;
        let (left, right) = now.split_at_checked(caret.checked_sub(wide.start())?)?;
        let text = left.strip_prefix(wide.before.as_str())?;
        let behind = wide.after.char_indices().map(|(at, _)| at);
        behind.chain([wide.after.len()]).find_map(|over| {
            let closers = right.strip_suffix(&wide.after[over..])?;
            let closed = closers.len() <= CLOSERS_BYTES_MAX && closers.chars().all(is_closer);
            // What was typed over stands in what was typed; else it was deleted.
            let typed_over = has_in_order(text, &wide.after[..over]);
            (closed && typed_over).then(|| Typed {
                text: text.to_owned(),
                closers: closers.to_owned(),
                over,
            })
        })
    }

    /// What may have been typed, for the carets that make sense while none is known: behind all that
    /// is new, or before the closers at its end.
    pub(super) fn possible(&self) -> Vec<(usize, Typed)> {
        let Some(now) = &self.now else {
            return Vec::new();
        };
        let Some(new) = now
            .strip_suffix(self.after.as_str())
            .filter(|new| new.len() >= self.before.len())
        else {
            return Vec::new();
        };
        let closers = new.chars().rev().take_while(|&c| is_closer(c)).count();
        (0..=closers.min(CLOSERS_BYTES_MAX))
            .filter_map(|closers| {
                let caret = self.start() + new.len() - closers;
                Some((caret, self.until(caret)?))
            })
            .collect()
    }
}

/// Whether `text` has all characters of `part`, in order.
fn has_in_order(text: &str, part: &str) -> bool {
    end_in_order(text, part).is_some()
}

/// What editors insert on their own behind the caret.
fn is_closer(c: char) -> bool {
    matches!(c, ')' | ']' | '}' | '>' | '"' | '\'' | '`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows the edits from the text with `|` to the last one, whose `|` is the caret by then.
    #[track_caller]
    fn check(texts: &[&str], expected: Option<(&str, &str, usize)>) {
        let at = |text: &str| (text.replace('|', ""), text.find('|').expect("a caret"));
        let (mut now, caret) = at(texts[0]);
        let mut typing = Typing::new(Rope::from_str(&now), caret);
        let mut caret = caret;
        for text in &texts[1..] {
            let (next, to) = at(text);
            let edit = Edit::trimmed(&Rope::from_str(&now), 0..now.len(), &next);
            if let Some(edit) = &edit {
                typing.edited(edit);
            }
            (now, caret) = (next, to);
        }
        let typed = typing.until(caret);
        let found = typed
            .as_ref()
            .map(|typed| (typed.text.as_str(), typed.closers.as_str(), typed.over));
        assert_eq!(found, expected, "{texts:?}");
    }

    #[test]
    fn finds_what_was_typed() {
        check(&["fn |() {}"], Some(("", "", 0)));
        check(&["fn |() {}", "fn main|() {}"], Some(("main", "", 0)));
        check(&["a|", "aé|", "aé\u{1F600}|"], Some(("é\u{1F600}", "", 0)));
        check(&["a|", "abc|", "ab|", "abd|"], Some(("bd", "", 0)));
    }

    #[test]
    fn sees_pairs_that_the_editor_closed_and_closers_that_were_typed_over() {
        check(&["f|;", "f(|);"], Some(("(", ")", 0)));
        check(&["f|;", "f(|);", "f([|]);"], Some(("([", "])", 0)));
        check(&["f|;", "f(|);", "f(a|);", "f(a)|;"], Some(("(a)", "", 0)));
        check(&["f(|);", "f(a|);", "f(a)|;"], Some(("a)", "", 1)));
        check(&["f(|)", "f(x|)", "f(x)|"], Some(("x)", "", 1)));
        check(&["f|;", "f(|b);"], None);
    }

    #[test]
    fn what_was_undone_near_the_caret_is_as_it_was() {
        check(&["abc|d", "ab|d", "abc|d"], Some(("", "", 0)));
        check(&["abc|d", "ab|d"], None);
        check(&["abc|de", "abc|e", "abc|de"], Some(("", "", 0)));
        check(&["abc|de", "abc|e"], None);
    }

    #[test]
    fn refuses_any_other_change() {
        check(&["fn |() {}", "fn main|() { }"], None);
        check(&["fn |() {}", "fN main|() {}"], None);
        check(&["fn |() {}", "fn| () {}"], None);
        check(&["ab|cd", "ab|d"], None);
        check(&["f|()", "fo|()", "fox|()"], Some(("ox", "", 0)));
        let far = "x".repeat(100);
        check(&[&format!("{far}|"), &format!("y{far}|")], None);
    }

    #[test]
    fn without_a_caret_closers_count_both_ways() {
        let mut typing = Typing::new(Rope::from_str("f;"), 1);
        typing.edited(&Edit {
            range: 1..1,
            text: "()".to_owned(),
        });
        let possible = typing.possible();
        let found: Vec<_> = possible
            .iter()
            .map(|(caret, typed)| (*caret, typed.text.as_str(), typed.closers.as_str()))
            .collect();
        assert_eq!(found, [(3, "()", ""), (2, "(", ")")]);
    }

    proptest! {
        /// Whatever is said to have been typed, with the closers and the rest, makes the text of now.
        #[test]
        fn what_was_typed_makes_the_text(
            base in "[a(é]{0,8}[)b]{0,4}",
            caret in 0usize..12,
            edits in prop::collection::vec((0usize..12, 0usize..3, "[a()é]{0,3}"), 0..5),
            at in 0usize..20,
        ) {
            let caret = base.floor_char_boundary(caret.min(base.len()));
            let mut typing = Typing::new(Rope::from_str(&base), caret);
            let mut now = base.clone();
            for (start, length, text) in edits {
                let start = now.floor_char_boundary(start.min(now.len()));
                let end = now.ceil_char_boundary((start + length).min(now.len()));
                if let Some(edit) = Edit::trimmed(&Rope::from_str(&now), start..end, &text) {
                    typing.edited(&edit);
                }
                now.replace_range(start..end, &text);
            }
            if let Some(typed) = typing.until(at) {
                let rest = &base[caret + typed.over..];
                prop_assert_eq!(format!("{}{}{}{rest}", &base[..caret], typed.text, typed.closers), now);
                prop_assert_eq!(caret + typed.text.len(), at);
            }
        }
    }
}
