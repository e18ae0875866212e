//! Stop strings in streamed text: found across pieces, never shown in part.

use crate::tokenizer::TOKEN_ROOM;

/// Holds text back while it may still become a stop string.
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

impl StopMatcher {
    /// Looks for any of `stops`; empty ones are ignored.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops: Vec<String> = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        let longest = stops.iter().map(String::len).max().unwrap_or(0);
        Self {
            stops,
            held: String::with_capacity(longest + TOKEN_ROOM),
        }
    }

    /// Takes the next piece and appends what is safe to show to `text`; returns whether a stop string
    /// ended the text.
    pub(crate) fn push(&mut self, piece: &str, text: &mut String) -> bool {
        self.held.push_str(piece);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = first {
            text.push_str(&self.held[..at]);
            self.held.clear();
            return true;
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        text.extend(self.held.drain(..self.held.len() - keep));
        false
    }

    /// Bytes that are held back.
    pub(crate) fn held_len(&self) -> usize {
        self.held.len()
    }

    /// The text that was held back, once no more follows.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = stop.len().saturating_sub(1).min(text.len());
    (1..=longest)
        .rev()
        .find(|&n| {
            text.is_char_boundary(text.len() - n)
                && stop
                    .as_bytes()
                    .starts_with(&text.as_bytes()[text.len() - n..])
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
        let mut matcher = StopMatcher::new(&stops);
        let mut out = String::new();
        for piece in pieces {
            if matcher.push(piece, &mut out) {
                return (out, true);
            }
        }
        (out + &matcher.finish(), false)
    }

    #[test]
    fn a_stop_string_across_pieces_is_found() {
        assert_eq!(
            run(&["```"], &["let x;\n`", "`", "` more"]),
            ("let x;\n".to_owned(), true)
        );
    }

    #[test]
    fn held_text_is_given_back() {
        assert_eq!(run(&["```"], &["a`", "`b"]), ("a``b".to_owned(), false));
        assert_eq!(run(&["\n\n"], &["a\n"]), ("a\n".to_owned(), false));
    }

    #[test]
    fn the_earliest_stop_wins() {
        assert_eq!(run(&["c", "b"], &["abc"]), ("a".to_owned(), true));
    }

    #[test]
    fn multi_byte_text_is_not_split() {
        assert_eq!(
            run(&["é!"], &["caf", "é", "?"]),
            ("café?".to_owned(), false)
        );
    }
}
