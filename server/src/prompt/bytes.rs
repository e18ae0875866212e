//! A vocabulary for tests: bytes, and a token that begins texts.

use carat_engine::TokenId;

use super::{FimMarks, Vocabulary};

/// Tokens are bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes;

impl Vocabulary for Bytes {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        text.bytes().map(TokenId::from).collect()
    }

    fn bos(&self) -> Option<TokenId> {
        Some(256)
    }

    fn control(&self, _text: &str) -> Option<TokenId> {
        None
    }

    fn fill_in_the_middle(&self) -> Option<FimMarks> {
        None
    }
}
