//! What the text that was shown would have been worth: to a person who types on, and to one who takes
//! whatever is right.

use std::ops::ControlFlow;

use carat_grammars::{Language, Lexer, Mark};

use super::typist::{How, Step};

/// Lines with fewer letters and digits may be the same by chance.
const TELLING_SIGNS: usize = 3;

/// Text that stands at the caret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ghost {
    /// What it would insert.
    pub text: String,
    /// So many bytes behind the caret it would replace.
    pub replaces: usize,
}

/// The document after a step, as far as it matters for one moment.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Before the caret.
    pub before: &'a str,
    /// Behind it.
    pub after: &'a str,
    /// What will stand behind it in the end.
    pub wanted: &'a str,
    /// The language.
    pub language: Option<&'static Language>,
}

/// How right a proposal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// All of it is what comes.
    pub right: bool,
    /// Bytes of the wanted text that its first lines bring, as far as they are right as a whole.
    pub lines: usize,
    /// The same of its first words, with the number of words.
    pub words: (usize, usize),
    /// It closes what is closed already.
    pub doubles_bracket: bool,
    /// It ends with what follows already.
    pub repeats_suffix: bool,
}

impl Verdict {
    /// Judges what stands at a place.
    pub fn of(ghost: &Ghost, place: &Place<'_>) -> Self {
        let (lines, all) = right_lines(ghost, place);
        Self {
            right: all,
            lines,
            words: right_words(&ghost.text, place.wanted),
            doubles_bracket: doubles_bracket(ghost, place),
            repeats_suffix: repeats_suffix(ghost, place),
        }
    }
}

/// Bytes of the wanted text that come with the lines that are right; whether all lines are.
///
/// A line is right if the document's line is what it will be in the end, closers of the editor included.
fn right_lines(ghost: &Ghost, place: &Place<'_>) -> (usize, bool) {
    let begun = place.before.rsplit('\n').next().unwrap_or("");
    let rest = place.after.get(ghost.replaces..).unwrap_or("");
    let rest = rest.split('\n').next().unwrap_or("");
    let found = format!("{begun}{}{rest}", ghost.text);
    let wanted = format!("{begun}{}", place.wanted);
    let (mut bytes, mut at) = (0, 0);
    let mut wanted = wanted.split('\n');
    for (index, line) in found.split('\n').enumerate() {
        let Some(expected) = wanted.next() else {
            return (bytes, false);
        };
        if line.trim_end() != expected.trim_end() {
            return (bytes, false);
        }
        at += expected.len() + usize::from(index > 0);
        bytes = at - begun.len();
    }
    (bytes, true)
}

/// How many bytes and words of a text are what is wanted.
fn right_words(text: &str, wanted: &str) -> (usize, usize) {
    let same = text.chars().zip(wanted.chars()).take_while(|(a, b)| a == b);
    let same: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let (mut bytes, mut words, mut at) = (0, 0, 0);
    while at < same {
        at += word(&text[at..]);
        if at <= same && !splits_word(wanted, at) {
            (bytes, words) = (at, words + 1);
        }
    }
    (bytes, words)
}

fn splits_word(text: &str, at: usize) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text[..at].ends_with(is_part) && text[at..].starts_with(is_part)
}

/// Bytes up to the end of the first word: letters and digits, or signs, with the white space before.
fn word(text: &str) -> usize {
    let blank = text.len() - text.trim_start().len();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut chars = text[blank..].chars();
    let Some(first) = chars.next() else {
        return text.len();
    };
    let more = chars.take_while(|c| !c.is_whitespace() && is_part(*c) == is_part(first));
    blank + first.len_utf8() + more.map(char::len_utf8).sum::<usize>()
}

/// Whether taking it would leave more brackets that close nothing than there will be in the end.
fn doubles_bracket(ghost: &Ghost, place: &Place<'_>) -> bool {
    if !ghost.text.contains([')', ']', '}']) {
        return false;
    }
    let rest = place.after.get(ghost.replaces..).unwrap_or("");
    let mut lexer = Lexer::new(place.language);
    let with = format!("{}{}", place.before, ghost.text);
    lexer.scan(&with, &mut |_, _| ControlFlow::Continue(()));
    // Behind an open string, brackets mean nothing.
    if lexer.in_text() {
        return false;
    }
    // In the middle of a change, closers stand behind the caret whose openers are yet to be typed.
    let without = unmatched(place.language, place.before, place.after);
    let in_the_end = unmatched(
        place.language,
        &(place.before.to_owned() + place.wanted),
        "",
    );
    unmatched(place.language, &with, rest) > without.max(in_the_end)
}

/// Closers that close nothing in a document. A string that is open at the caret ends there: what the
/// editor wrote behind it is code.
fn unmatched(language: Option<&'static Language>, before: &str, after: &str) -> usize {
    let mut lexer = Lexer::new(language);
    let (mut open, mut unmatched) = (Vec::new(), 0);
    for text in [before, after] {
        lexer.scan(text, &mut |_, mark| {
            match mark {
                Mark::Open(closer) => open.push(closer),
                Mark::Close(closer) => match open.iter().rposition(|open| *open == closer) {
                    Some(at) => open.truncate(at),
                    None => unmatched += 1,
                },
            }
            ControlFlow::Continue(())
        });
        lexer = lexer.in_code();
    }
    unmatched
}

/// Whether its end stands behind the caret already: the rest of the line, or the next line.
fn repeats_suffix(ghost: &Ghost, place: &Place<'_>) -> bool {
    let tells = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count() >= TELLING_SIGNS;
    let after = place.after.get(ghost.replaces..).unwrap_or("");
    let mut lines = after.lines();
    let rest = lines.next().unwrap_or("").trim();
    if tells(rest) && ghost.text.trim_end().ends_with(rest) {
        return true;
    }
    let next = lines.map(str::trim).find(|line| !line.is_empty());
    let begun = place.before.rsplit('\n').next().unwrap_or("");
    let whole = format!("{begun}{}", ghost.text.trim_end());
    let last = whole.rsplit('\n').next().unwrap_or("").trim();
    rest.is_empty() && tells(last) && next == Some(last)
}

/// What stood at the caret after one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What had happened.
    pub step: Step,
    /// What stood there, and how right it was.
    pub shown: Option<(Ghost, Verdict)>,
}

/// Counts of what was shown and what it was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that a person presses to type it all.
    pub keys: usize,
    /// Keys after which text stood.
    pub standing: usize,
    /// Texts that were shown anew, to a person who types on.
    pub shown: usize,
    /// Of these, those that were right as a whole.
    pub shown_right: usize,
    /// Texts that were replaced or taken back although what was typed agreed with them.
    pub flicker: usize,
    /// Texts with a closer that stood there already.
    pub doubled_brackets: usize,
    /// Texts that ended with what followed already.
    pub repeated_suffixes: usize,
    /// Keys that are saved by taking whole lines that are right.
    pub saved: usize,
    /// The same, of lines with code.
    pub saved_code: usize,
    /// Keys of lines with code.
    pub keys_code: usize,
    /// Keys that are saved by taking whole lines and words.
    pub saved_words: usize,
    /// Lines that are taken, at one key each.
    pub taken: usize,
    /// Texts that were shown anew to the person who takes lines.
    pub shown_to_taker: usize,
    /// Keys after which text stood, for that person.
    pub standing_for_taker: usize,
}

impl Counts {
    /// Counts what was shown in one part that was typed without a break; `text` is the passage's.
    pub fn of(moments: &[Moment], text: &str) -> Self {
        let mut counts = Self::default();
        let mut stood: Option<&Ghost> = None;
        for moment in moments {
            let typed = &text[moment.step.adds.clone()];
            let expected = expected(stood, typed);
            let is_key = usize::from(moment.step.how == How::Key);
            counts.keys += is_key;
            counts.keys_code += is_key * usize::from(moment.step.is_code);
            if moment.step.how == How::Silent {
                stood = None;
                continue;
            }
            let shown = moment.shown.as_ref().map(|(ghost, _)| ghost);
            counts.flicker += usize::from(flickers(expected, shown, &moment.step.closers));
            if let Some((ghost, verdict)) = &moment.shown {
                counts.standing += is_key;
                if expected.is_none_or(|rest| !ghost.text.starts_with(rest)) {
                    counts.shown += 1;
                    counts.shown_right += usize::from(verdict.right);
                    counts.doubled_brackets += usize::from(verdict.doubles_bracket);
                    counts.repeated_suffixes += usize::from(verdict.repeats_suffix);
                }
            }
            stood = shown;
        }
        let lines = take_lines(moments, text);
        (counts.saved, counts.saved_code) = (lines.saved, lines.saved_code);
        (counts.taken, counts.shown_to_taker) = (lines.count, lines.shown);
        counts.standing_for_taker = lines.standing;
        counts.saved_words = save_with_words(moments);
        counts
    }

    /// Adds up.
    pub fn add(&mut self, other: &Self) {
        let Self {
            keys,
            standing,
            shown,
            shown_right,
            flicker,
            doubled_brackets,
            repeated_suffixes,
            saved,
            saved_code,
            keys_code,
            saved_words,
            taken,
            shown_to_taker,
            standing_for_taker,
        } = other;
        self.keys += keys;
        self.standing += standing;
        self.shown += shown;
        self.shown_right += shown_right;
        self.flicker += flicker;
        self.doubled_brackets += doubled_brackets;
        self.repeated_suffixes += repeated_suffixes;
        self.saved += saved;
        self.saved_code += saved_code;
        self.keys_code += keys_code;
        self.saved_words += saved_words;
        self.taken += taken;
        self.shown_to_taker += shown_to_taker;
        self.standing_for_taker += standing_for_taker;
    }
}

/// What is to be left of a text that stood there once this is typed, if there is any.
pub(super) fn expected<'a>(stood: Option<&'a Ghost>, typed: &str) -> Option<&'a str> {
    let rest = stood?.text.strip_prefix(typed)?;
    (!rest.trim().is_empty()).then_some(rest)
}

/// Whether text goes although what is typed agrees with it.
///
/// Where the editor puts a closer on a line of its own, what the text has from that line on stands there
/// already, and whole lines before it are all that can stay.
pub(super) fn flickers(expected: Option<&str>, shown: Option<&Ghost>, closers: &str) -> bool {
    // White space at the end cannot be seen.
    let Some(rest) = expected.map(str::trim_end) else {
        return false;
    };
    let Some(Ghost { text, .. }) = shown else {
        return true;
    };
    let lines = closers.contains('\n')
        && rest
            .strip_prefix(text.as_str())
            .is_some_and(|more| more.starts_with('\n'));
    !text.starts_with(rest) && !lines
}

/// What somebody who takes lines did.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    saved: usize,
    saved_code: usize,
    count: usize,
    shown: usize,
    standing: usize,
}

/// What so many bytes of the text behind a moment are: the steps, their keys, the keys of code.
fn brought(moments: &[Moment], from: usize, bytes: usize) -> (usize, usize, usize) {
    let at = moments[from].step.adds.end;
    let steps = moments[from + 1..].iter();
    let steps = steps.take_while(|later| later.step.adds.end <= at + bytes);
    steps.fold((0, 0, 0), |(count, keys, code), later| {
        let key = usize::from(later.step.how == How::Key);
        let of_code = key * usize::from(later.step.is_code);
        (count + 1, keys + key, code + of_code)
    })
}

/// Types, and takes every line that is right with one key.
fn take_lines(moments: &[Moment], text: &str) -> Lines {
    let mut done = Lines::default();
    let mut index = 0;
    // The text that stood a moment ago, while nothing but typing has happened since.
    let mut stood: Option<&Ghost> = None;
    while let Some(moment) = moments.get(index) {
        let typed = &text[moment.step.adds.clone()];
        let expected = stood.and_then(|ghost| ghost.text.strip_prefix(typed));
        stood = None;
        let mut next = index + 1;
        if let Some((ghost, verdict)) = &moment.shown {
            let is_new =
                expected.is_none_or(|rest| rest.is_empty() || !ghost.text.starts_with(rest));
            done.shown += usize::from(is_new);
            done.standing += usize::from(moment.step.how == How::Key);
            stood = Some(ghost);
            let (steps, keys, code) = brought(moments, index, verdict.lines);
            if keys > 0 {
                done.count += 1;
                done.saved += keys - 1;
                done.saved_code += code.saturating_sub(1);
                // What stands behind the line is looked at before the next key.
                next = index + steps;
                stood = None;
            }
        }
        index = next;
    }
    done
}

/// Keys that are saved at most by taking lines and words, each with one key.
fn save_with_words(moments: &[Moment]) -> usize {
    let mut saved = vec![0; moments.len() + 1];
    for index in (0..moments.len()).rev() {
        let mut best = saved[index + 1];
        if let Some((_, verdict)) = &moments[index].shown {
            for (bytes, price) in [(verdict.lines, 1), verdict.words] {
                let (steps, keys, _) = brought(moments, index, bytes);
                best = best.max(saved[index + steps] + keys.saturating_sub(price));
            }
        }
        saved[index] = best;
    }
    saved[0]
}

#[cfg(test)]
mod tests {
    use super::super::typist::Passage;
    use super::*;

    fn ghost(text: &str, replaces: usize) -> Ghost {
        Ghost {
            text: text.to_owned(),
            replaces,
        }
    }

    #[track_caller]
    fn check(document: &str, wanted: &str, shown: (&str, usize), lines: usize, right: bool) {
        let (before, after) = document.split_once('|').expect("a caret");
        let place = Place {
            before,
            after,
            wanted,
            language: carat_grammars::languages::by_id("rust"),
        };
        let verdict = Verdict::of(&ghost(shown.0, shown.1), &place);
        assert_eq!((verdict.lines, verdict.right), (lines, right), "{document}");
    }

    #[test]
    fn lines_are_right_as_a_whole_with_the_closers_behind_the_caret() {
        check("let x|", " = 1;\nnext", (" = 1;", 0), 5, true);
        check("let x|", " = 1;\nnext", (" = 1", 0), 0, false);
        check("f(|)", "a, b);\n", ("a, b);", 1), 6, true);
        check("f(|)", "a, b);\n", ("a, b", 0), 0, false);
        check("f(|)", "a, b)\n", ("a, b", 0), 5, true);
        check("x {|}", "\n  a\n  b\n}", ("\n  a\n  c\n", 0), 4, false);
    }

    #[test]
    fn words_count_as_far_as_they_are_right() {
        assert_eq!(right_words(" = value.len()", " = value.length()"), (9, 3));
        assert_eq!(right_words("foo", "foo"), (3, 1));
        assert_eq!(right_words("foo", "bar"), (0, 0));
    }

    #[test]
    fn doubled_brackets_and_repeated_suffixes_are_seen() {
        let place = |before, after| Place {
            before,
            after,
            wanted: "",
            language: carat_grammars::languages::by_id("rust"),
        };
        let of = |text, replaces, place: &Place<'_>| {
            let verdict = Verdict::of(&ghost(text, replaces), place);
            (verdict.doubles_bracket, verdict.repeats_suffix)
        };
        assert_eq!(of("a)", 0, &place("f(", ")")), (true, false));
        assert_eq!(of("a)", 0, &place("f(\"", ")")), (false, false));
        // The block that is closed behind the caret is yet to be opened.
        assert_eq!(of("f(a)", 0, &place("x = ", "\n}")), (false, false));
        assert_eq!(of("f(a))", 0, &place("x = ", "\n}")), (true, false));
        // The same behind a string that is open.
        assert_eq!(of("b\");", 1, &place("x = f(\"a", ")\n}")), (false, false));
        assert_eq!(of("b\"));", 1, &place("x = f(\"a", ")\n}")), (true, false));
        assert_eq!(of("a)", 1, &place("f(", ")")), (false, false));
        assert_eq!(of("\")\"", 0, &place("f(", ")")), (false, false));
        assert_eq!(of("a + bcd", 0, &place("x = ", " bcd")), (false, true));
        assert_eq!(
            of("return 1;", 0, &place("", "\n  return 1;\n")),
            (false, true)
        );
    }

    fn moments(text: &str, shown: &[(usize, &str)]) -> Vec<Moment> {
        let passage = Passage::new(text.to_owned());
        let steps = passage.steps(carat_grammars::languages::by_id("rust"));
        let moments = steps.into_iter().map(|step| {
            let at = step.adds.end;
            let found = shown.iter().find(|(place, _)| *place == at);
            let shown = found.map(|(_, shown)| {
                let ghost = ghost(shown, 0);
                let place = Place {
                    before: &text[..at],
                    after: &step.closers,
                    wanted: &text[at..],
                    language: None,
                };
                let verdict = Verdict::of(&ghost, &place);
                (ghost, verdict)
            });
            Moment { step, shown }
        });
        moments.collect()
    }

    #[test]
    fn the_oracle_takes_right_lines_and_pays_a_key() {
        let text = "let abc = 1;\nx";
        let shown = [(3, " abc = 2;"), (5, "bc = 1;"), (6, "c = 1;")];
        let counts = Counts::of(&moments(text, &shown), text);
        assert_eq!((counts.keys, counts.standing), (14, 3));
        assert_eq!((counts.shown, counts.shown_right), (2, 1));
        // Seven keys come with one.
        assert_eq!((counts.taken, counts.saved), (1, 6));
        assert_eq!((counts.shown_to_taker, counts.standing_for_taker), (2, 2));
        // Words of the first text save four, and the line that comes later is gone then.
        assert_eq!(counts.saved_words, 6);
        // Both texts were gone while what was typed still agreed.
        assert_eq!(counts.flicker, 2);
    }

    #[test]
    fn text_that_goes_although_what_was_typed_agrees_flickers() {
        let text = "abcdef";
        let flicker = |shown: &[(usize, &str)]| Counts::of(&moments(text, shown), text).flicker;
        assert_eq!(flicker(&[(1, "bcdef"), (2, "cdef"), (3, "def")]), 1);
        assert_eq!(flicker(&[(1, "bcd"), (2, "cdef"), (3, "defgh")]), 1);
        assert_eq!(
            flicker(&[(1, "bx"), (2, "x"), (3, "def"), (4, "ef"), (5, "f")]),
            0
        );
        assert_eq!(flicker(&[(1, "bcdef"), (2, "xyz")]), 1);
    }

    #[test]
    fn text_flickers_where_it_goes_although_what_is_typed_agrees() {
        let stood = ghost("b(c) {\n    d\n}  ", 0);
        let left = expected(Some(&stood), "b(c) {\n    ");
        assert_eq!(left, Some("d\n}  "));
        assert!(flickers(left, None, ""));
        assert!(flickers(left, Some(&ghost("e", 0)), ""));
        assert!(!flickers(left, Some(&ghost("d\n}", 0)), ""));
        assert!(flickers(left, Some(&ghost("d", 0)), ""));
        assert!(!flickers(left, Some(&ghost("d", 0)), "\n}"));
        assert_eq!(expected(Some(&stood), "x"), None);
    }
}
