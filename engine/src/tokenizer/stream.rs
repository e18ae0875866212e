//! Text out of tokens as they come, never half a character.

use super::Tokenizer;
use crate::TokenId;

/// Room for the bytes of nearly every token: decoding makes none later.
pub(crate) const TOKEN_ROOM: usize = 64;

/// Decodes token by token; characters that several tokens share appear when they are complete.
///
/// All text together is what [`Tokenizer::decode`] gives for the same tokens.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Bytes of a character that is not complete yet, at most 3.
    pending: Vec<u8>,
    text: String,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            pending: Vec::with_capacity(TOKEN_ROOM),
            text: String::with_capacity(TOKEN_ROOM),
        }
    }

    /// The text that became complete with this token; often empty for bytes of one character.
    pub fn push(&mut self, token: TokenId) -> &str {
        self.pending
            .extend_from_slice(self.tokenizer.token_bytes(token));
        self.text.clear();
        let complete = complete_len(&self.pending);
        self.text
            .push_str(&String::from_utf8_lossy(&self.pending[..complete]));
        self.pending.drain(..complete);
        &self.text
    }

    /// What is left: U+FFFD if a character stayed incomplete, else nothing. The stream is empty then.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

/// Length of `bytes` without a character at the end that more bytes could complete.
fn complete_len(bytes: &[u8]) -> usize {
    let mut start = 0;
    loop {
        match std::str::from_utf8(&bytes[start..]) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                Some(len) => start += error.valid_up_to() + len,
                None => return start + error.valid_up_to(),
            },
        }
    }
}
