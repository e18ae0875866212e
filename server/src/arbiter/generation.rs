//! One generation: from what it started, what it has produced, which texts it can answer.

use std::sync::Arc;
use std::time::Instant;

use carat_engine::{CancelToken, StopReason};

use super::agreement;
use super::query::Place;
use crate::completion::{Plan, Suggestion};

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
    /// What the document says was typed at the caret since it began.
    pub(super) typed_on: String,
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
    /// What was typed since its start to get to `now`, if `now` is that text otherwise.
    pub(super) fn typed(&self, uri: &str, now: &Place) -> Option<String> {
        if *self.uri != *uri {
            return None;
        }
        agreement::typed_until(&self.place.text, self.place.caret, &now.text, now.caret)
    }

    /// Whether a text in which `typed` was typed can be answered from it.
    pub(super) fn agreement(&self, typed: &str) -> Agreement {
        let raw = self.raw_answer();
        if raw.starts_with(typed)
            || self
                .suggestion()
                .is_some_and(|shown| shown.text.starts_with(typed))
        {
            return Agreement::Agrees;
        }
        if self.stop.is_none() && typed.starts_with(raw) {
            Agreement::Undecided
        } else {
            Agreement::Disagrees
        }
    }

    /// What to show after `typed`; only what ends on a safe boundary while it still runs.
    pub(super) fn remainder(&self, typed: &str) -> Option<Suggestion> {
        let suggestion = self.suggestion()?;
        let text = suggestion.text.strip_prefix(typed)?;
        let remainder = Suggestion {
            text: text.to_owned(),
            ..suggestion
        };
        (!remainder.text.is_empty()).then_some(remainder)
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

    /// The raw text from the caret on: some prompts make the model repeat the begun line first.
    fn raw_answer(&self) -> &str {
        let forced = self
            .plan
            .as_ref()
            .map_or("", |plan| &plan.prompt.forced_text);
        self.output.strip_prefix(forced).unwrap_or("")
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
