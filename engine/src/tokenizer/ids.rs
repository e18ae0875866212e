//! Finds tokens by their text.

use std::hash::BuildHasher as _;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::TokenId;
use crate::gguf::Strings;

/// The texts of a vocabulary, and which token each one is.
///
/// Texts lie one after the other and the table holds only ids: half a million look-ups per load are
/// as fast as the caches allow, and a quarter of a million texts take no allocation each.
pub(super) struct TokenIds {
    texts: Vec<u8>,
    /// Where the text of each token ends.
    ends: Vec<u32>,
    /// Tokens with the text of an earlier one, in ascending order.
    repeated: Vec<TokenId>,
    table: HashTable<TokenId>,
    hasher: DefaultHashBuilder,
    /// The token that stands in for a tab where the vocabulary has none.
    tab: Option<TokenId>,
}

impl TokenIds {
    /// Of several tokens with the same text, which old files have, the first one counts.
    ///
    /// `Err` says why the texts cannot be used.
    pub(super) fn new(texts: Strings<'_>) -> Result<Self, String> {
        let n_tokens = texts.len();
        let hasher = DefaultHashBuilder::default();
        let mut bytes = Vec::with_capacity(texts.bytes_max());
        let mut ends = Vec::with_capacity(n_tokens);
        let mut repeated = Vec::new();
        let mut table = HashTable::with_capacity(n_tokens);
        for (index, text) in texts.enumerate() {
            let text = text.as_bytes();
            bytes.extend_from_slice(text);
            let end = u32::try_from(bytes.len())
                .map_err(|_| "the tokens have more than 4 GiB of text".to_owned())?;
            ends.push(end);
            let text_of = |&id: &TokenId| text_of(&bytes, &ends, id);
            match table.entry(
                hasher.hash_one(text),
                |id| text_of(id) == text,
                |id| hasher.hash_one(text_of(id)),
            ) {
                Entry::Vacant(slot) => {
                    slot.insert(index as TokenId);
                }
                Entry::Occupied(_) => repeated.push(index as TokenId),
            }
        }
        Ok(Self {
            texts: bytes,
            ends,
            repeated,
            table,
            hasher,
            tab: None,
        })
    }

    /// Lets `token` stand for a tab if no token is one.
    pub(super) fn set_tab(&mut self, token: TokenId) {
        self.tab = Some(token);
    }

    /// As [`Self::get`], fastest if the token is `guess` or the one after it.
    pub(super) fn get_near(&self, text: &str, guess: TokenId) -> Option<TokenId> {
        let is_it = |&id: &TokenId| {
            (id as usize) < self.ends.len()
                && text_of(&self.texts, &self.ends, id) == text.as_bytes()
                && self.repeated.binary_search(&id).is_err()
        };
        [guess, guess.saturating_add(1)]
            .into_iter()
            .find(is_it)
            .or_else(|| self.get(text))
    }

    /// The token with exactly this text.
    pub(super) fn get(&self, text: &str) -> Option<TokenId> {
        let text = text.as_bytes();
        self.table
            .find(self.hasher.hash_one(text), |&id| {
                text_of(&self.texts, &self.ends, id) == text
            })
            .copied()
            .or_else(|| self.tab.filter(|_| text == b"\t"))
    }
}

fn text_of<'a>(texts: &'a [u8], ends: &[u32], id: TokenId) -> &'a [u8] {
    let index = id as usize;
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    &texts[start as usize..ends[index] as usize]
}

#[cfg(test)]
mod tests {
    use super::TokenIds;
    use crate::TokenId;
    use crate::gguf::Strings;

    fn ids(texts: &[&str]) -> TokenIds {
        let bytes: Vec<u8> = texts
            .iter()
            .flat_map(|text| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat())
            .collect();
        TokenIds::new(Strings::new(&bytes, texts.len())).expect("short texts")
    }

    #[test]
    fn the_first_of_equal_texts_counts() {
        let ids = ids(&["", "a", "ab", "a", "b"]);
        let found = ["a", "ab", "b", "", "ba"].map(|text| ids.get(text));
        assert_eq!(found, [Some(1), Some(2), Some(4), Some(0), None]);
        for guess in [0, 1, 2, 3, 4, 5, TokenId::MAX] {
            let found = ["a", "ab", "b", "", "ba"].map(|text| ids.get_near(text, guess));
            assert_eq!(found, [Some(1), Some(2), Some(4), Some(0), None], "{guess}");
        }
    }

    #[test]
    fn a_tab_stands_in_only_where_there_is_none() {
        let mut without = ids(&["a"]);
        assert_eq!(without.get("\t"), None);
        without.set_tab(0);
        assert_eq!(without.get("\t"), Some(0));
        let mut with = ids(&["a", "\t"]);
        with.set_tab(0);
        assert_eq!(with.get("\t"), Some(1));
    }
}
