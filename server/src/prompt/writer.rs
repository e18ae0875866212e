//! A prompt as it is written: tokens, and the text that readers see.

use carat_engine::TokenId;

use super::Vocabulary;

/// Collects a prompt as tokens and as text; text between two control tokens is encoded in one piece.
pub(super) struct Writer<'a> {
    vocabulary: &'a dyn Vocabulary,
    pub(super) tokens: Vec<TokenId>,
    pub(super) text: String,
    /// Where in `text` the part begins that is not in `tokens` yet.
    pending: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(vocabulary: &'a dyn Vocabulary) -> Self {
        Self {
            vocabulary,
            tokens: Vec::new(),
            text: String::new(),
            pending: 0,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn flush(&mut self) {
        let text = &self.text[self.pending..];
        if !text.is_empty() {
            self.tokens.extend(self.vocabulary.encode(text));
        }
        self.pending = self.text.len();
    }

    /// The token that begins every text.
    pub(super) fn bos(&mut self) {
        if let Some(token) = self.vocabulary.bos() {
            self.token("<bos>", Some(token));
        }
    }

    /// A control token by its text.
    pub(super) fn control(&mut self, spelling: &str) {
        self.token(spelling, self.vocabulary.control(spelling));
    }

    /// A control token; without one in the vocabulary, its text is all that the model can be shown.
    pub(super) fn token(&mut self, spelling: &str, token: Option<TokenId>) {
        let Some(token) = token else {
            return self.push(spelling);
        };
        self.flush();
        self.tokens.push(token);
        self.text.push_str(spelling);
        self.pending = self.text.len();
    }
}
