//! Which words stand in a text, so that a name can be known to exist anywhere.

use super::anchors;

/// Shorter words are not asked for.
const BYTES_MIN: usize = 3;

/// The hashes of a text's words, 4 bytes for each different one. Two words have the same hash once in
/// thousands of millions.
#[derive(Debug, Default)]
pub(super) struct Words {
    sorted: Vec<u32>,
}

impl Words {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut sorted = Vec::new();
        let mut known = 0;
        each(text, |word| {
            sorted.push(anchors::text_hash(word));
            // Text repeats itself: what is collected stays a few times as long as what is kept.
            if sorted.len() > 4 * known + (1 << 16) {
                sorted.sort_unstable();
                sorted.dedup();
                known = sorted.len();
            }
        });
        sorted.sort_unstable();
        sorted.dedup();
        sorted.shrink_to_fit();
        Self { sorted }
    }

    pub(super) fn contains(&self, word: &[u8]) -> bool {
        let hash = anchors::text_hash(word);
        self.sorted.binary_search(&hash).is_ok()
    }

    pub(super) fn bytes(&self) -> usize {
        4 * self.sorted.len()
    }
}

/// Whether a byte is one of a word; all beyond ASCII are.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn each(text: &[u8], mut found: impl FnMut(&[u8])) {
    let words = text.split(|&byte| !is_of_word(byte));
    for word in words {
        if word.len() >= BYTES_MIN && !word[0].is_ascii_digit() {
            found(word);
        }
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
    fn words_are_found_as_wholes() {
        let text = "let first_value = compute(äöü, 12a);\n".repeat(20_000);
        let words = Words::of(text.as_bytes());
        for (word, stands) in [
            ("first_value", true),
            ("compute", true),
            ("äöü", true),
            ("first", false),
            ("value", false),
            ("12a", false),
            ("comput", false),
        ] {
            assert_eq!(words.contains(word.as_bytes()), stands, "{word}");
            if word != "12a" {
                assert_eq!(
                    stands_in(word.as_bytes(), text.as_bytes()),
                    stands,
                    "{word}"
                );
            }
        }
        assert!(words.bytes() < 40);
    }
}
