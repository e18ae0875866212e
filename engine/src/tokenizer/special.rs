//! Finds special tokens that are spelled out in text.

use std::collections::HashMap;

use crate::TokenId;

/// The special tokens of a vocabulary by their text.
#[derive(Default)]
pub(super) struct SpecialTokens {
    ids: HashMap<Box<[u8]>, TokenId>,
    /// For each first byte, the lengths that occur, longest first.
    lens: HashMap<u8, Vec<usize>>,
}

/// A stretch of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Text without special tokens.
    Plain(&'a str),
    /// One special token.
    Special(TokenId),
}

impl SpecialTokens {
    /// Adds a token; of two with the same text the first one counts, one without text is ignored.
    pub(super) fn insert(&mut self, text: &str, token: TokenId) {
        let Some(&first) = text.as_bytes().first() else {
            return;
        };
        self.ids.entry(text.as_bytes().into()).or_insert(token);
        let lens = self.lens.entry(first).or_default();
        if let Err(at) = lens.binary_search_by(|len| text.len().cmp(len)) {
            lens.insert(at, text.len());
        }
    }

    /// Cuts `text` into special tokens and what lies between them: leftmost first, then longest.
    pub(super) fn segments<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Segment<'a>> {
        let mut rest = text;
        let mut found = None;
        std::iter::from_fn(move || {
            if let Some(token) = found.take() {
                return Some(Segment::Special(token));
            }
            if rest.is_empty() {
                return None;
            }
            let hit = (0..rest.len()).find_map(|at| {
                self.at_start(&rest.as_bytes()[at..])
                    .map(|(len, token)| (at, len, token))
            });
            let (plain, after) = match hit {
                None => (rest, ""),
                Some((at, len, token)) => {
                    found = Some(token);
                    (&rest[..at], &rest[at + len..])
                }
            };
            rest = after;
            match (plain, found) {
                ("", Some(token)) => {
                    found = None;
                    Some(Segment::Special(token))
                }
                (plain, _) => Some(Segment::Plain(plain)),
            }
        })
    }

    /// Length and id of the longest special token that `text` begins with.
    fn at_start(&self, text: &[u8]) -> Option<(usize, TokenId)> {
        let lens = self.lens.get(text.first()?)?;
        lens.iter()
            .find_map(|&len| Some((len, *self.ids.get(text.get(..len)?)?)))
    }
}
