//! Which words stand in a text: whether a name exists anywhere, and how begun ones may go on.

use std::collections::HashMap;
use std::ops::Range;

use super::anchors;

/// Shorter words are not asked for.
pub(super) const BYTES_MIN: usize = 3;

/// A text's words in alphabetical order, each once: 5 bytes for each different one.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Where each stands first.
    sorted: Vec<u32>,
    /// How often, up to 255 times.
    counts: Vec<u8>,
}

impl Words {
    pub(super) fn of(text: &[u8]) -> Self {
        // Two words have the same hash once in thousands of millions; one of them is not found then.
        let mut first: HashMap<u32, (u32, u8)> = HashMap::new();
        each(text, |at, word| {
            let entry = first
                .entry(anchors::text_hash(word))
                .or_insert((at as u32, 0));
            entry.1 = entry.1.saturating_add(1);
        });
        let mut all: Vec<(u32, u8)> = first.into_values().collect();
        all.sort_unstable_by(|a, b| word_at(text, a.0).cmp(word_at(text, b.0)));
        let (sorted, counts) = all.into_iter().unzip();
        Self { sorted, counts }
    }

    pub(super) fn contains(&self, text: &[u8], word: &[u8]) -> bool {
        let found = self
            .sorted
            .binary_search_by(|&at| word_at(text, at).cmp(word));
        found.is_ok()
    }

    /// The words that begin with `begun`, as indices for [`Self::get`].
    pub(super) fn begun(&self, text: &[u8], begun: &[u8]) -> Range<usize> {
        let start = self.sorted.partition_point(|&at| word_at(text, at) < begun);
        let rest = &self.sorted[start..];
        let count = rest.partition_point(|&at| word_at(text, at).starts_with(begun));
        start..start + count
    }

    /// Where a word stands, and how often.
    pub(super) fn get<'a>(&self, text: &'a [u8], index: usize) -> (usize, &'a [u8], usize) {
        let at = self.sorted[index];
        (
            at as usize,
            word_at(text, at),
            usize::from(self.counts[index]),
        )
    }

    pub(super) fn bytes(&self) -> usize {
        4 * self.sorted.capacity() + self.counts.capacity()
    }
}

/// Whether a byte is one of a word; all beyond ASCII are.
pub(super) fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The word that begins at a place.
pub(super) fn word_at(text: &[u8], at: u32) -> &[u8] {
    let rest = &text[at as usize..];
    let end = rest.iter().position(|&byte| !is_of_word(byte));
    &rest[..end.unwrap_or(rest.len())]
}

fn each(text: &[u8], mut found: impl FnMut(usize, &[u8])) {
    let mut at = 0;
    for word in text.split(|&byte| !is_of_word(byte)) {
        if word.len() >= BYTES_MIN && !word[0].is_ascii_digit() {
            found(at, word);
        }
        at += word.len() + 1;
    }
}

/// Whether a word stands in a text without tables.
pub(super) fn stands_in(word: &[u8], text: &[u8]) -> bool {
    let free = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_none_or(|b| !is_of_word(*b))
    };
    memchr::memmem::find_iter(text, word)
        .any(|at| free(at.checked_sub(1)) && free(Some(at + word.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_as_wholes_and_by_their_beginnings() {
        let text = "let first_value = compute(äöü, 12a);\nlet first_other;\n".repeat(300);
        let text = text.as_bytes();
        let words = Words::of(text);
        for (word, stands) in [
            ("first_value", true),
            ("compute", true),
            ("äöü", true),
            ("first", false),
            ("value", false),
            ("12a", false),
            ("comput", false),
        ] {
            assert_eq!(words.contains(text, word.as_bytes()), stands, "{word}");
            if word != "12a" {
                assert_eq!(stands_in(word.as_bytes(), text), stands, "{word}");
            }
        }
        let begun = |begun: &str| -> Vec<(&[u8], usize)> {
            let found = words.begun(text, begun.as_bytes());
            found
                .map(|index| words.get(text, index))
                .map(|(_, word, count)| (word, count))
                .collect()
        };
        assert_eq!(
            begun("first"),
            [(&b"first_other"[..], 255), (b"first_value", 255)]
        );
        assert_eq!(begun("compute"), [(&b"compute"[..], 255)]);
        assert_eq!(begun("zz"), []);
        assert!(words.bytes() < 60);
    }
}
