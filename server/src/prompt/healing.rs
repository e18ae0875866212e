//! How far a prompt is cut back before the caret, so that it ends where tokens begin.
//!
//! Models know a word together with the space before it as one token. A prompt that ends within a
//! word, or with a space, ends with tokens that they have hardly seen. So the word is left out, and
//! the engine holds the answer to it; while it is typed the prompt stays the same.
//!
//! Where a vocabulary cuts text into words first, the space before a word is the word's also at the
//! end of an indentation: a line that is indented by eight spaces begins with seven of them.

/// A longer word is data rather than a name; it stays in the prompt.
const WORD_BYTES_MAX: usize = 64;

/// Signs that are left out together, such as `::` or `).`.
const SIGNS_MAX: usize = 4;

/// What stands before words on a line.
const BLANKS: [char; 2] = [' ', '\t'];

/// Bytes at the end of `prefix` that a prompt leaves out: the begun word or else some signs and one
/// space behind them, in any case with one space before. Nothing at the start of a line. Of an
/// indentation or alignment nothing, or its last character if words take it (`words_take_spaces`).
pub fn healed_bytes(prefix: &str, words_take_spaces: bool) -> usize {
    let line = prefix.rsplit('\n').next().unwrap_or("");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = line.len() - line.trim_end_matches(is_word).len();
    if word > WORD_BYTES_MAX {
        return 0;
    }
    let mut before = &line[..line.len() - word];
    if word == 0 {
        let unspaced = line.strip_suffix(' ').unwrap_or(line);
        if unspaced.is_empty() || unspaced.ends_with(char::is_whitespace) {
            return usize::from(words_take_spaces && line.ends_with(BLANKS));
        }
        let signs = unspaced
            .chars()
            .rev()
            .take_while(|c| !is_word(*c) && !c.is_whitespace())
            .take(SIGNS_MAX)
            .map(char::len_utf8)
            .sum::<usize>();
        before = &unspaced[..unspaced.len() - signs];
    }
    if words_take_spaces {
        before = before.strip_suffix(BLANKS).unwrap_or(before);
    } else {
        let spaced = before.strip_suffix(' ').unwrap_or(before);
        if before.len() < line.len() && !spaced.trim().is_empty() {
            before = spaced;
        }
    }
    line.len() - before.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_signs_and_one_space_are_cut() {
        // The part behind `|` is left out.
        for case in [
            "|",
            "    |",
            "\t|",
            "let x  |",
            "|let",
            "    |ret",
            "\t|größe_2",
            "let| x",
            "let x| =",
            "let x| = ",
            "let x =| fo",
            "a =  b =  |",
            "foo|.",
            "foo.|ba",
            "Vec|::<",
            "a).|b",
            "foo(a|, ",
            "foo(|x",
            "))|))).",
            "    |}",
            "x|+ ",
            "let| ",
            "let a;\t|",
            "漢字|。",
            "say(\"a,| b",
        ] {
            let (kept, cut) = case.split_once('|').expect("a mark");
            let prefix = format!("fn main() {{\n{kept}{cut}");
            assert_eq!(healed_bytes(&prefix, false), cut.len(), "{case:?}");
        }
    }

    #[test]
    fn the_last_blank_of_an_indentation_may_be_the_word_s() {
        for case in [
            "|",
            "   | ",
            "|\t",
            "\t|\t",
            "let x | ",
            "|let",
            "   | ret",
            "\t|\tret",
            "|\tgröße_2",
            "let| x",
            "let x| =",
            "let x =| fo",
            "foo|.",
            "foo.|ba",
            "foo(a|, ",
            "   | }",
            "let a;|\tb",
        ] {
            let (kept, cut) = case.split_once('|').expect("a mark");
            let prefix = format!("fn main() {{\n{kept}{cut}");
            assert_eq!(healed_bytes(&prefix, true), cut.len(), "{case:?}");
        }
    }

    #[test]
    fn data_stays() {
        assert_eq!(healed_bytes(&"a".repeat(64), false), 64);
        assert_eq!(healed_bytes(&"a".repeat(65), true), 0);
    }

    proptest! {
        #[test]
        fn only_the_caret_s_line_is_cut_and_of_its_indentation_one_blank(
            text in "[ \\ta-z.:é漢\n]{0,20}", words_take_spaces: bool,
        ) {
            let cut = healed_bytes(&text, words_take_spaces);
            prop_assert!(text.is_char_boundary(text.len() - cut));
            let line = text.rsplit('\n').next().unwrap_or("");
            prop_assert!(cut <= line.trim_start().len() + usize::from(words_take_spaces));
            prop_assert!(cut <= line.len());
            // What is left ends where a prompt can end for good, so that nothing is cut twice for a word.
            let word = line.len() - line.trim_end_matches(|c: char| c.is_alphanumeric()).len();
            prop_assert!(cut >= word);
        }

        #[test]
        fn typing_a_word_changes_nothing(
            before in "([ a-z.(]{0,11}[ .(])?", word in "[a-z]{1,12}", words_take_spaces: bool,
        ) {
            let kept = |end: usize| {
                let text = format!("{before}{}", &word[..end]);
                text[..text.len() - healed_bytes(&text, words_take_spaces)].to_owned()
            };
            for end in 2..=word.len() {
                prop_assert_eq!(kept(end), kept(1));
            }
        }
    }
}
