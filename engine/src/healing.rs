//! Holds an answer to the bytes that it must begin with.

use crate::TokenId;
use crate::tokenizer::Tokenizer;

/// What stands before the caret but not in the prompt, see
/// [`crate::GenerationRequest::begins_with`].
#[derive(Clone, Debug)]
pub(crate) struct Healing<'a> {
    /// What is still to be spelled; empty once the answer is free.
    rest: &'a [u8],
}

impl<'a> Healing<'a> {
    pub(crate) fn new(begins_with: &'a str) -> Self {
        Self {
            rest: begins_with.as_bytes(),
        }
    }

    /// What is still to be spelled.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Leaves only tokens that agree with what is to be spelled: they spell a part of it, or all of
    /// it and more. Returns whether there are any.
    pub(crate) fn constrain(&self, tokenizer: &Tokenizer, logits: &mut [f32]) -> bool {
        let mut any = false;
        for (token, logit) in logits.iter_mut().enumerate() {
            if self.agrees(tokenizer.token_bytes(token as TokenId)) {
                any |= *logit > f32::NEG_INFINITY;
            } else {
                *logit = f32::NEG_INFINITY;
            }
        }
        any
    }

    /// Takes the bytes of a token that agrees.
    pub(crate) fn spell(&mut self, bytes: &[u8]) {
        self.rest = &self.rest[bytes.len().min(self.rest.len())..];
    }

    fn agrees(&self, bytes: &[u8]) -> bool {
        let both = bytes.len().min(self.rest.len());
        both > 0 && bytes[..both] == self.rest[..both]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_agree_that_spell_a_part_or_more() {
        let mut healing = Healing::new("fé");
        for (bytes, agrees) in [
            ("f".as_bytes(), true),
            (b"f\xC3", true),
            ("fé".as_bytes(), true),
            ("fée(".as_bytes(), true),
            (b"fe", false),
            (b"", false),
            ("é".as_bytes(), false),
        ] {
            assert_eq!(healing.agrees(bytes), agrees, "{bytes:?}");
        }
        healing.spell(b"f\xC3");
        assert_eq!(healing.rest(), b"\xA9");
        healing.spell(b"\xA9(");
        assert!(healing.rest().is_empty());
    }
}
