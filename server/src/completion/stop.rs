//! Stops a generation as soon as nothing that follows would be shown.

use std::ops::ControlFlow;

use super::finish::{FinishOptions, Suggestion, Surroundings, with_newlines};
use super::scores::Scores;

/// An answer that has said nothing within this much white space says nothing.
const BLANK_BYTES_MAX: usize = 120;

/// Watches an answer while it streams, with the same rules that [`super::finish()`] ends it by.
#[derive(Clone, Debug)]
pub struct StopWhileDecoding<'a> {
    surroundings: Surroundings<'a>,
    raw: String,
}

impl<'a> StopWhileDecoding<'a> {
    /// A watch over the answer for the caret between `prefix` and `suffix`.
    pub fn new(prefix: &'a str, suffix: &'a str, options: &'a FinishOptions) -> Self {
        Self {
            surroundings: Surroundings::new(prefix, suffix, options),
            raw: String::new(),
        }
    }

    /// Takes the next piece of the answer; `Break` means that the rest would not be shown.
    pub fn push(&mut self, piece: &str) -> ControlFlow<()> {
        self.raw.push_str(piece);
        let raw = with_newlines(&self.raw);
        let text = &raw[self.surroundings.answer_of(&raw)];
        if self.raw.len() > BLANK_BYTES_MAX && text.trim().is_empty() {
            return ControlFlow::Break(());
        }
        match self.surroundings.limit(settled(text), false) {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// Makes a part of the answer presentable; `ended` as in [`FinishOptions`].
    pub(super) fn finish(&self, raw: &str, scores: &Scores, ended: bool) -> Option<Suggestion> {
        self.surroundings.finish(raw, scores, ended)
    }

    /// The answer so far, as the model wrote it.
    pub fn raw(&self) -> &str {
        &self.raw
    }
}

/// The text without an end whose meaning the next character decides: a closer after a quote may yet
/// become a character literal, `')'`.
fn settled(text: &str) -> &str {
    match text
        .strip_suffix([')', ']', '}'])
        .and_then(|text| text.strip_suffix('\''))
    {
        Some(before) => before,
        None => text,
    }
}
