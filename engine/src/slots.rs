//! Sessions of one model for several texts, within a budget of memory.

use crate::{GenerateError, Model, Session, SessionOptions, TokenId};

/// Tokens from which on it is worth copying them from another text's cache.
const COPIED_MIN: usize = 16;

/// Texts that have a session at most: users come back to a few files.
const TEXTS_MAX: usize = 8;

/// A session for each of the texts that were used last. A text that begins as another one does (the
/// rules of an instruct model, the same file under a new name) starts with a copy of what that one's
/// cache holds.
pub struct Slots {
    model: Model,
    options: SessionOptions,
    most: usize,
    /// The least recently used first.
    sessions: Vec<(String, Session)>,
}

impl Slots {
    /// As many sessions as fit `bytes` of cache, at least one and at most eight.
    pub fn new(model: Model, options: SessionOptions, bytes: usize) -> Self {
        let each = Session::cache_bytes(&model, &options).max(1);
        Self {
            most: (bytes / each).clamp(1, TEXTS_MAX),
            model,
            options,
            sessions: Vec::new(),
        }
    }

    /// How many texts have a session of their own.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Bytes that the caches take once they are full.
    pub fn bytes(&self) -> usize {
        self.sessions.len() * Session::cache_bytes(&self.model, &self.options)
    }

    /// The session for `prompt`, which belongs to the text `key`; the least recently used one makes
    /// room for a new text.
    pub fn session(
        &mut self,
        key: &str,
        prompt: &[TokenId],
    ) -> Result<&mut Session, GenerateError> {
        let at = match self.sessions.iter().position(|(of, _)| of == key) {
            Some(at) => at,
            None if self.sessions.len() < self.most => {
                let session = self.model.new_session(&self.options)?;
                self.sessions.insert(0, (key.to_owned(), session));
                0
            }
            None => 0,
        };
        self.take_over(at, prompt);
        let (_, session) = self.sessions.remove(at);
        Ok(&mut self.sessions.push_mut((key.to_owned(), session)).1)
    }

    /// Lets a text have the session of another one, which is forgotten.
    pub fn rename(&mut self, key: &str, to: &str) {
        if self.sessions.iter().any(|(of, _)| of == key) {
            self.remove(to);
        }
        for (of, _) in &mut self.sessions {
            if of == key {
                to.clone_into(of);
            }
        }
    }

    /// Forgets a text.
    pub fn remove(&mut self, key: &str) {
        self.sessions.retain(|(of, _)| of != key);
    }

    /// Forgets all texts.
    pub fn clear(&mut self) {
        self.sessions.clear();
    }

    /// Copies into the session `at` what another one holds of the prompt, if that is more.
    fn take_over(&mut self, at: usize, prompt: &[TokenId]) {
        let shared = |i: usize| self.sessions[i].1.shared_prefix(prompt);
        let others = (0..self.sessions.len()).filter(|i| *i != at);
        let Some((tokens, from)) = others.map(|i| (shared(i), i)).max() else {
            return;
        };
        // Behind a long text the window of what it began with is gone: there is nothing to copy.
        if tokens >= shared(at) + COPIED_MIN
            && self.sessions[from].1.can_go_back(tokens)
            && let Ok([(_, session), (_, other)]) = self.sessions.get_disjoint_mut([at, from])
        {
            session.copy_prefix(other, tokens);
        }
    }
}
