//! The token that begins a text, for texts of which only that token is wanted.

use super::bpe::Scratch;
use super::{Encoding, Tokenizer, as_written};
use crate::TokenId;

/// Bytes within which the first word of a text ends.
const WORD_BYTES_MAX: usize = 128;

/// Finds first tokens, with merges of characters without allocating once everything has its place.
pub(crate) struct FirstToken<'a> {
    tokenizer: &'a Tokenizer,
    scratch: Scratch,
    /// The piece with spaces as the vocabulary writes them.
    marked: String,
    tokens: Vec<TokenId>,
    /// The pieces that were encoded since [`FirstToken::forget`], one after the other.
    pieces: String,
    /// Where they end, and their first tokens.
    known: Vec<(usize, Option<TokenId>)>,
}

impl<'a> FirstToken<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            scratch: Scratch::default(),
            marked: String::new(),
            tokens: Vec::new(),
            pieces: String::new(),
            known: Vec::new(),
        }
    }

    /// The first token of `text`, which may begin and end inside a character; `None` if it is empty
    /// or the vocabulary cannot spell it.
    pub(crate) fn of(&mut self, text: &[u8]) -> Option<TokenId> {
        let whole = match std::str::from_utf8(text) {
            Ok(whole) => whole,
            Err(error) => text
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or(""),
        };
        let piece = match &self.tokenizer.encoding {
            Encoding::Characters { joins, .. } => joins.pieces(whole).next(),
            // A word ends before that, or is all alike.
            Encoding::Bytes(_) => Some(&whole[..whole.floor_char_boundary(WORD_BYTES_MAX)])
                .filter(|piece| !piece.is_empty()),
        };
        let Some(piece) = piece else {
            let byte = *text.first()?;
            return match &self.tokenizer.encoding {
                Encoding::Characters { bpe, .. } => bpe.byte_token(byte),
                Encoding::Bytes(inner) => inner.byte_token(byte),
            };
        };
        let mut begin = 0;
        for &(end, token) in &self.known {
            if self.pieces.get(begin..end) == Some(piece) {
                return token;
            }
            begin = end;
        }
        self.tokens.clear();
        match &self.tokenizer.encoding {
            Encoding::Characters { bpe, .. } => {
                self.marked.clear();
                for character in piece.chars() {
                    self.marked.push_str(as_written(character, &mut [0; 4]));
                }
                bpe.encode(&self.marked, &mut self.scratch, &mut self.tokens);
            }
            Encoding::Bytes(inner) => inner.encode(piece, &mut self.tokens),
        }
        let token = self.tokens.first().copied();
        self.pieces.push_str(piece);
        self.known.push((self.pieces.len(), token));
        token
    }

    /// Forgets what was found, so that looking it up stays quick.
    pub(crate) fn forget(&mut self) {
        self.pieces.clear();
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::ModelFile;

    fn tokenizer() -> Tokenizer {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/carat-default.gguf");
        let file = ModelFile::open(&path).expect("the embedded model opens");
        Tokenizer::from_model_file(&file).expect("it has a tokenizer")
    }

    #[test]
    fn the_first_token_is_that_of_the_whole_text() {
        let tokenizer = tokenizer();
        let first = RefCell::new(FirstToken::new(&tokenizer));
        let texts = "[ a-zA-Z_(){};\n\t.:=\"é漢🦀]{1,24}";
        proptest!(ProptestConfig::with_cases(300), |(text in texts, forget: bool)| {
            let mut first = first.borrow_mut();
            prop_assert_eq!(
                first.of(text.as_bytes()),
                tokenizer.encode(&text).first().copied()
            );
            if forget {
                first.forget();
            }
        });
    }

    #[test]
    fn parts_of_characters_are_bytes() {
        let tokenizer = tokenizer();
        let mut first = FirstToken::new(&tokenizer);
        assert_eq!(first.of(b""), None);
        let tail = first.of(&"漢".as_bytes()[1..]).expect("a byte token");
        assert_eq!(tokenizer.token_bytes(tail), &"漢".as_bytes()[1..2]);
        let cut = [b"let x".as_slice(), &"漢".as_bytes()[..2]].concat();
        assert_eq!(
            first.of(&cut),
            tokenizer.encode("let x").first().copied(),
            "an unfinished character at the end is left out"
        );
    }
}
