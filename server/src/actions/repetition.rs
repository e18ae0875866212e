//! Prose that goes round in circles: small models repeat a sentence, or say it again in nearly the same
//! words, until a limit stops them.

/// A sentence of fewer bytes may stand twice.
const SENTENCE_BYTES_MIN: usize = 32;

/// As few words as this may stand again in the order of an earlier sentence; [`FILLERS`] do not count.
const WORDS_MIN: usize = 5;

/// Words that make no sentence a new one.
const FILLERS: &[&str] = &[
    "a",
    "also",
    "an",
    "and",
    "are",
    "as",
    "be",
    "code",
    "conclusion",
    "function",
    "here",
    "in",
    "is",
    "it",
    "its",
    "method",
    "overall",
    "program",
    "so",
    "summary",
    "that",
    "the",
    "then",
    "these",
    "this",
    "thus",
    "which",
];

/// How much of a text can be shown while more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Bytes before which nothing is a repetition.
    pub(super) end: usize,
    /// Whether a sentence that stood before begins there; nothing new follows such a sentence.
    pub(super) repeats: bool,
}

/// Finds the first sentence that stood before, or whose words all stood before in one sentence, in their
/// order; the last one of a text that has not `ended` may become one, and is left out as long as it can.
/// Code in fences may repeat itself.
pub(super) fn settled(text: &str, ended: bool) -> Settled {
    let mut before: Vec<&str> = Vec::new();
    let mut fenced = false;
    let mut shown = 0;
    for (start, sentence, whole) in sentences(text) {
        let repeats = |end| Settled { end, repeats: true };
        if sentence.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
        } else if !whole && !ended {
            if before.iter().any(|known| may_say_again(sentence, known)) {
                return Settled {
                    end: shown,
                    repeats: false,
                };
            }
        } else if sentence.len() >= SENTENCE_BYTES_MIN {
            if before.iter().any(|known| says_again(sentence, known)) {
                return repeats(shown);
            }
            before.push(sentence);
        }
        shown = start + sentence.len();
    }
    Settled {
        end: if ended { text.len() } else { shown },
        repeats: false,
    }
}

/// The words that count, in lower case and without what stands around them.
fn words(sentence: &str) -> Vec<String> {
    sentence
        .split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .filter(|word| !word.is_empty() && !FILLERS.contains(&word.as_str()))
        .collect()
}

/// What of `known` stands behind the words `said`, which it has in this order; `None` if it has not.
fn behind<'a>(said: &[String], mut known: &'a [String]) -> Option<&'a [String]> {
    for word in said {
        let at = known.iter().position(|other| other == word)?;
        known = &known[at + 1..];
    }
    Some(known)
}

/// Whether `sentence` has nothing that `known` has not.
fn says_again(sentence: &str, known: &str) -> bool {
    let said = words(sentence);
    sentence == known || (said.len() >= WORDS_MIN && behind(&said, &words(known)).is_some())
}

/// Whether `sentence`, of which more may come, may come to say `known` again.
fn may_say_again(sentence: &str, known: &str) -> bool {
    let (whole, last) = match sentence.rsplit_once(char::is_whitespace) {
        Some((whole, last)) => (whole, last),
        None => ("", sentence),
    };
    let last = last
        .trim_start_matches(|c: char| !c.is_alphanumeric())
        .trim_end_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    let (said, known) = (words(whole), words(known));
    behind(&said, &known).is_some_and(|rest| {
        rest.iter().any(|word| word.starts_with(&last))
            || FILLERS.iter().any(|word| word.starts_with(&last))
    })
}

/// Sentences and lines without the blanks around them: where they begin, their text, and whether they
/// are over.
fn sentences(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let start = at + rest.len() - rest.trim_start().len();
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        let mut ends = rest.char_indices().filter_map(|(i, c)| match c {
            '\n' => Some(i),
            '.' | '!' | '?' if rest[i + 1..].starts_with([' ', '\n']) => Some(i + 1),
            _ => None,
        });
        let end = ends.next();
        let sentence = &rest[..end.unwrap_or(rest.len())];
        at = start + sentence.len();
        Some((start, sentence.trim_end(), end.is_some()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: &str = "It counts the words of some files.";
    const SECOND: &str = "The cost is that of reading them all.";

    #[test]
    fn the_second_time_is_cut_off() {
        for between in [" ", "\n", "\n\n"] {
            let new = format!("{FIRST}{between}{SECOND}");
            let text = format!("{new}{between}{SECOND}");
            let expected = Settled {
                end: new.len(),
                repeats: true,
            };
            assert_eq!(settled(&text, true), expected);
            assert_eq!(settled(&format!("{text} {FIRST}"), false), expected);
            assert!(!settled(&new, true).repeats);
        }
    }

    #[test]
    fn what_may_become_a_repetition_waits() {
        let end_of = |text: &str| settled(text, false).end;
        let text = format!("{FIRST} It counts");
        assert_eq!(end_of(&text), FIRST.len());
        let text = format!("{FIRST} It counts lines");
        assert_eq!(end_of(&text), text.len());
        assert_eq!(
            settled(&format!("{FIRST} It counts"), true).end,
            FIRST.len() + 10
        );
    }

    #[test]
    fn nearly_the_same_words_are_cut_off_too() {
        let said =
            "This code is a simple example of a function that counts the words in a given text.";
        let new = format!("{said} {SECOND}");
        let again = "The code is a simple example that counts words in a given text.";
        let found = settled(&format!("{new} {again}"), true);
        let expected = Settled {
            end: new.len(),
            repeats: true,
        };
        assert_eq!(found, expected);
        // The same words in another order say something else.
        let other = "A given text counts the words in a simple example of this code.";
        assert!(!settled(&format!("{new} {other}"), true).repeats);
    }

    #[test]
    fn sentences_built_alike_are_not_cut_off() {
        let text = "The first parameter is the number of rows of the whole matrix. \
            The second parameter is the number of columns of the whole matrix. \
            `min` returns the smaller of the two values that it is passed. \
            `max` returns the larger of the two values that it is passed. \
            The user is told when the file of the model was found. \
            The user is not told when the file of the model was found.";
        let all = Settled {
            end: text.len(),
            repeats: false,
        };
        assert_eq!(settled(text, true), all);
    }

    #[test]
    fn short_sentences_and_code_may_stand_twice() {
        for text in [
            "It returns `None`. Then it returns `None`. It returns `None`.".to_owned(),
            format!("```\n{FIRST}\n{FIRST}\n```\nThat is all."),
        ] {
            let all = Settled {
                end: text.len(),
                repeats: false,
            };
            assert_eq!(settled(&text, true), all, "{text}");
        }
    }

    proptest! {
        /// What was shown stays right when more comes.
        #[test]
        fn what_is_settled_never_shrinks(words in prop::collection::vec("(a long word of thirty-two by|the long words?|thirty|long|b|c)[. \n]{1,2}", 0..12)) {
            let text = words.concat();
            let mut last = 0;
            for end in 0..=text.len() {
                let found = settled(&text[..end], false);
                prop_assert!(found.end >= last && found.end <= end);
                last = found.end;
            }
            prop_assert!(settled(&text, true).end >= last);
        }
    }
}
