//! One generation: from what it started, what it has produced, which texts it can answer.

use std::sync::Arc;
use std::time::Instant;

use carat_engine::{CancelToken, StopReason};

use super::query::{Place, Query};
use super::typed::{Typed, Typing, has_in_order};
use crate::completion::{Plan, Suggestion};
use crate::documents::Edit;

/// Names a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationKey(pub(super) u64);

/// A generation that waits, runs, or has finished and is kept for text that is typed through it.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) key: GenerationKey,
    pub(super) uri: Arc<str>,
    pub(super) place: Place,
    pub(super) explicit: bool,
    pub(super) cancel: CancelToken,
    /// Known once the engine has begun.
    pub(super) plan: Option<Arc<Plan>>,
    /// The raw text so far.
    pub(super) output: String,
    /// Why it ended; `None` while it runs.
    pub(super) stop: Option<StopReason>,
    /// What happened to the document around the caret since it began.
    typing: Typing,
    /// Whether anything did.
    pub(super) edited: bool,
    /// When it ends for lack of anybody who waits for it.
    pub(super) stop_at: Option<Instant>,
}

/// How a text relates to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// What was typed is what was generated.
    Agrees,
    /// More was typed than has been generated so far.
    Undecided,
    /// The text is another one.
    Disagrees,
}

impl Generation {
    /// A generation for `query` that has not begun.
    pub(super) fn new(key: GenerationKey, query: &Query) -> Self {
        let place = query.place();
        let typing = Typing::new(place.text.clone(), place.caret);
        let typing = match query.acceptance() {
            // The document is still without what the model is shown.
            Some(acceptance) => typing.with(&acceptance.inverse(&query.snapshot.text)),
            None => typing,
        };
        Self {
            key,
            uri: Arc::clone(&query.snapshot.uri),
            place,
            explicit: query.explicit,
            cancel: CancelToken::new(),
            plan: None,
            output: String::new(),
            stop: None,
            typing,
            edited: false,
            stop_at: None,
        }
    }

    /// Its document was edited.
    pub(super) fn edited(&mut self, edits: &[Edit]) {
        edits.iter().for_each(|edit| self.typing.edited(edit));
        self.edited |= !edits.is_empty();
    }

    /// What was typed since its start to get to the caret of `query`, if all else is as it was.
    pub(super) fn typed(&self, query: &Query) -> Option<Typed> {
        if self.uri != query.snapshot.uri {
            return None;
        }
        match (query.acceptance(), &query.selected) {
            (Some(acceptance), Some(selected)) => {
                let caret = selected.range.start + selected.text.len();
                self.typing.clone().with(&acceptance).until(caret)
            }
            _ => self.typing.until(query.caret),
        }
    }

    /// What was typed since its start, wherever the caret is by now, and where it is likely to be;
    /// `None` if that disagrees with what was generated.
    pub(super) fn typed_on(&self) -> Option<(usize, Typed)> {
        let possible = self.typing.possible();
        let find = |wanted| {
            let agrees = |(_, typed): &&(usize, Typed)| self.agreement(typed) == wanted;
            possible.iter().find(agrees).cloned()
        };
        find(Agreement::Agrees).or_else(|| find(Agreement::Undecided))
    }

    /// Whether a text in which `typed` was typed can be answered from it.
    pub(super) fn agreement(&self, typed: &Typed) -> Agreement {
        let (raw, text) = (self.output.as_str(), typed.text.as_str());
        let is_shown = || {
            self.suggestion()
                .is_some_and(|shown| shown.text.starts_with(text))
        };
        if raw.starts_with(text) || is_shown() {
            return Agreement::Agrees;
        }
        if self.stop.is_none() && text.starts_with(raw) {
            Agreement::Undecided
        } else {
            Agreement::Disagrees
        }
    }

    /// What to show after `typed`; only what ends on a safe boundary while it still runs.
    pub(super) fn remainder(&self, typed: &Typed) -> Option<Suggestion> {
        let suggestion = self.suggestion()?;
        let text = suggestion.text.strip_prefix(typed.text.as_str())?;
        // What was typed over must have been replaced by the suggestion, and is.
        let behind = suggestion.replace_suffix_bytes.checked_sub(typed.over)?;
        let from = self.place.caret + typed.over;
        let kept = self.place.text.get_byte_slice(from..from + behind)?;
        let replaced = format!("{}{kept}", typed.closers);
        (has_in_order(text, &replaced) && !text.is_empty()).then(|| Suggestion {
            text: text.to_owned(),
            replace_suffix_bytes: typed.closers.len() + behind,
        })
    }

    fn suggestion(&self) -> Option<Suggestion> {
        let plan = self.plan.as_ref()?;
        match self.stop {
            Some(stop) => plan.finish(&self.output, stop),
            // A generation that goes on is read like one that a limit cut off, at a place that makes sense.
            None => plan.finish(
                &self.output[..safe_end(&self.output)],
                StopReason::MaxTokens,
            ),
        }
    }
}

/// The last place at which a text that goes on can be shown: after a line, or between two tokens where
/// every bracket that it opened is closed again.
fn safe_end(text: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut safe, mut depth, mut previous) = (0, 0i32, ' ');
    for (at, c) in text.char_indices() {
        if depth <= 0 && !(is_word(previous) && is_word(c)) {
            safe = at;
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        previous = c;
        if c == '\n' || (depth <= 0 && !is_word(c)) {
            safe = at + c.len_utf8();
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_text_is_cut_between_tokens_and_outside_of_brackets() {
        for (text, safe) in [
            ("", ""),
            ("retu", ""),
            ("return val", "return "),
            ("foo(a, b", "foo"),
            ("foo(a, b)", "foo(a, b)"),
            ("foo(a, b).len", "foo(a, b)."),
            ("if x {\n    y", "if x {\n"),
            ("é漢字 x", "é漢字 "),
        ] {
            assert_eq!(&text[..safe_end(text)], safe, "{text:?}");
        }
    }
}
