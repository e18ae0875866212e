//! Brackets and quotes around the caret: which of them the answer may close.
//!
//! A scanner that knows the strings and comments of a language, but no syntax, is right about nearly
//! all code, broken code included, and costs microseconds.

use std::ops::ControlFlow;

use carat_grammars::Language;
use carat_grammars::languages::StringSyntax;

/// How far from the caret brackets are looked for. Functions and classes are shorter than this; a
/// larger window would only cost time.
const WINDOW_BYTES: usize = 32 * 1024;

/// The longest character literal, `'\u{10FFFF}'`.
const CHARACTER_LITERAL_BYTES_MAX: usize = 12;

/// String literals of files in an unknown language.
const COMMON_STRINGS: &[StringSyntax] = &[StringSyntax {
    quote: "\"",
    spans_lines: false,
    escapes: true,
}];

/// What the scanner is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    BlockComment,
    String(StringSyntax),
}

/// A bracket or quote; each is known by the text that closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Open(&'static str),
    Close(&'static str),
}

/// Walks through text and reports what opens and closes; strings are reported only where they close
/// although they began before the text.
#[derive(Clone, Copy, Debug)]
struct Scanner {
    language: Option<&'static Language>,
    inside: Inside,
    /// The string that the text began in.
    began_in: Option<&'static str>,
    escaped: bool,
}

impl Scanner {
    fn new(language: Option<&'static Language>) -> Self {
        Self {
            language,
            inside: Inside::Code,
            began_in: None,
            escaped: false,
        }
    }

    /// A scanner that goes on from here with another text.
    fn resumed(self) -> Self {
        let began_in = if let Inside::String(string) = self.inside {
            Some(string.quote)
        } else {
            None
        };
        Self { began_in, ..self }
    }

    /// Calls `on` with every mark and its position until it breaks.
    fn scan(&mut self, text: &str, on: &mut dyn FnMut(usize, Mark) -> ControlFlow<()>) {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let (length, mark) = match self.inside {
                Inside::Code => self.step_code(rest),
                Inside::LineComment => (self.step_line_comment(rest), None),
                Inside::BlockComment => (self.step_block_comment(rest), None),
                Inside::String(string) => self.step_string(rest, string),
            };
            if let Some(mark) = mark
                && on(at, mark).is_break()
            {
                return;
            }
            at += length;
        }
    }

    fn step_code(&mut self, rest: &str) -> (usize, Option<Mark>) {
        let strings = self
            .language
            .map_or(COMMON_STRINGS, |language| language.strings);
        let first = rest.as_bytes()[0];
        let mark = match first {
            b'(' => Some(Mark::Open(")")),
            b'[' => Some(Mark::Open("]")),
            b'{' => Some(Mark::Open("}")),
            b')' => Some(Mark::Close(")")),
            b']' => Some(Mark::Close("]")),
            b'}' => Some(Mark::Close("}")),
            _ => None,
        };
        if mark.is_some() {
            return (1, mark);
        }
        if let Some(language) = self.language {
            if rest.starts_with(language.line_comment) {
                self.inside = Inside::LineComment;
                return (language.line_comment.len(), None);
            }
            if let Some((open, _)) = language
                .block_comment
                .filter(|(open, _)| rest.starts_with(open))
            {
                self.inside = Inside::BlockComment;
                return (open.len(), None);
            }
            if first == b'\'' && language.character_literals {
                return (character_literal(rest).unwrap_or(1), None);
            }
        }
        if let Some(string) = strings.iter().find(|string| rest.starts_with(string.quote)) {
            self.inside = Inside::String(*string);
            return (string.quote.len(), None);
        }
        (character_length(rest), None)
    }

    fn step_line_comment(&mut self, rest: &str) -> usize {
        match rest.find('\n') {
            Some(newline) => {
                self.inside = Inside::Code;
                newline + 1
            }
            None => rest.len(),
        }
    }

    fn step_block_comment(&mut self, rest: &str) -> usize {
        let close = self
            .language
            .and_then(|language| language.block_comment)
            .map_or("", |(_, close)| close);
        match rest.find(close) {
            Some(end) => {
                self.inside = Inside::Code;
                end + close.len().max(1)
            }
            None => rest.len(),
        }
    }

    fn step_string(&mut self, rest: &str, string: StringSyntax) -> (usize, Option<Mark>) {
        if self.escaped {
            self.escaped = false;
            return (character_length(rest), None);
        }
        if rest.starts_with(string.quote) {
            self.inside = Inside::Code;
            return (string.quote.len(), self.began_in.take().map(Mark::Close));
        }
        let first = rest.as_bytes()[0];
        if first == b'\n' && !string.spans_lines {
            self.inside = Inside::Code;
            self.began_in = None;
        }
        self.escaped = first == b'\\' && string.escapes;
        (character_length(rest), None)
    }
}

fn character_length(rest: &str) -> usize {
    rest.chars().next().map_or(1, char::len_utf8)
}

/// Length of the character literal that `rest` begins with; a lifetime is none.
fn character_literal(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        characters.next()?;
        let (end, _) = characters
            .take_while(|(at, _)| *at < CHARACTER_LITERAL_BYTES_MAX)
            .find(|(_, c)| *c == '\'')?;
        return Some(end + 1);
    }
    match characters.next() {
        Some((end, '\'')) if first != '\'' && first != '\n' => Some(end + 1),
        _ => None,
    }
}

/// Where an opener that encloses the caret is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Nowhere: the answer may close it.
    Missing,
    /// On the caret's line, where nothing but closers follows; the answer may write it anew.
    OnLine,
    /// Further down, or behind other text.
    Below,
}

/// The brackets and quotes that enclose a caret.
#[derive(Clone, Debug)]
pub(super) struct Enclosing {
    /// From the innermost to the outermost: what closes it, and where.
    pairs: Vec<(&'static str, Closed)>,
    scanner: Scanner,
    /// What follows on the caret's line, without white space at its end.
    rest: String,
}

/// How much of an answer fits between what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// This much of the answer may stay.
    pub(super) keep: usize,
    /// This much of the text after the caret the answer has written anew.
    pub(super) replace: usize,
    /// Whether the answer was cut where it met what follows on the caret's line, so that the white
    /// space at its end stands between the two.
    pub(super) meets_rest: bool,
    /// Whether nothing that the model might still write could stay.
    pub(super) finished: bool,
}

impl Enclosing {
    /// Looks at the text around a caret.
    pub(super) fn new(prefix: &str, suffix: &str, language: Option<&'static Language>) -> Self {
        let window =
            &prefix[prefix.ceil_char_boundary(prefix.len().saturating_sub(WINDOW_BYTES))..];
        let mut scanner = Scanner::new(language);
        let mut open: Vec<&'static str> = Vec::new();
        scanner.scan(window, &mut |_, mark| {
            match mark {
                Mark::Open(closer) => open.push(closer),
                Mark::Close(closer) => pop_through(&mut open, closer),
            }
            ControlFlow::Continue(())
        });
        let scanner = scanner.resumed();
        open.extend(scanner.began_in);
        let rest = suffix.split(['\n', '\r']).next().unwrap_or("").trim_end();
        // A string that begins on the caret's line is taken to end there; the user has yet to close it.
        let line = prefix.rsplit('\n').next().unwrap_or("");
        let string_on_line = scanner.began_in.is_some_and(|quote| line.contains(quote));
        let (closers, complete) = closers_after(suffix, rest, scanner, string_on_line);
        Self {
            pairs: pair_up(&open, &closers, complete),
            scanner,
            rest: rest.to_owned(),
        }
    }

    /// Whether the caret is inside a string or a comment.
    pub(super) fn in_text(&self) -> bool {
        self.scanner.inside != Inside::Code
    }

    /// How much of `text`, put at the caret, closes nothing that is closed already.
    pub(super) fn fit(&self, text: &str) -> Fit {
        let mut scanner = self.scanner;
        let mut inner: Vec<&'static str> = Vec::new();
        let mut outer = self.pairs.iter();
        let mut rewritten = 0;
        let mut first_rewritten = None;
        let mut cut = None;
        scanner.scan(text, &mut |at, mark| {
            match mark {
                Mark::Open(closer) => inner.push(closer),
                // Brackets that cross inside the answer are its own affair.
                Mark::Close(_) if inner.pop().is_some() => {}
                Mark::Close(closer) => match outer.next() {
                    Some((expected, Closed::Missing)) if *expected == closer => {}
                    Some((expected, Closed::OnLine)) if *expected == closer => {
                        rewritten += 1;
                        first_rewritten.get_or_insert(at);
                    }
                    _ => {
                        cut = Some(at);
                        return ControlFlow::Break(());
                    }
                },
            }
            ControlFlow::Continue(())
        });
        let end = cut.unwrap_or(text.len());
        let fit = Fit {
            keep: end,
            replace: 0,
            meets_rest: false,
            finished: cut.is_some(),
        };
        let Some(first) = first_rewritten else {
            return fit;
        };
        let tail = text[first..end].trim_end();
        if !self.rest.starts_with(tail)
            && let Some(replace) = self.rewritten_by(tail, rewritten)
        {
            return Fit { replace, ..fit };
        }
        Fit {
            keep: first,
            meets_rest: true,
            ..fit
        }
    }

    /// The longest beginning of the rest of the line whose characters `tail` has in the same order,
    /// if it holds exactly the closers that `tail` wrote anew.
    fn rewritten_by(&self, tail: &str, closers: usize) -> Option<usize> {
        let mut written = tail.chars();
        let mut replace = 0;
        for wanted in self.rest.chars() {
            if !written.any(|c| c == wanted) {
                break;
            }
            replace += wanted.len_utf8();
        }
        let mut count = 0;
        let mut scanner = self.scanner;
        scanner.scan(&self.rest[..replace], &mut |_, mark| {
            count += usize::from(matches!(mark, Mark::Close(_)));
            ControlFlow::Continue(())
        });
        (count == closers).then_some(replace)
    }
}

/// Whether a text has nothing but what editors close by themselves and what ends statements.
pub(super) fn only_closers(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || ")]}>\"'`;,:?".contains(c))
}

/// Takes the innermost opener of this kind, and those inside it, which nothing closed.
fn pop_through(open: &mut Vec<&'static str>, closer: &str) {
    if let Some(at) = open.iter().rposition(|expected| *expected == closer) {
        open.truncate(at);
    }
}

/// The closers after the caret whose openers stand before it, in order, and whether all of the text
/// was seen.
fn closers_after(
    suffix: &str,
    rest: &str,
    mut scanner: Scanner,
    string_on_line: bool,
) -> (Vec<(&'static str, Closed)>, bool) {
    let on_line = if only_closers(rest) {
        Closed::OnLine
    } else {
        Closed::Below
    };
    let mut inner = Vec::new();
    let mut closers = Vec::new();
    let mut collect = |closed: Closed, mark: Mark| {
        match mark {
            Mark::Open(closer) => inner.push(closer),
            Mark::Close(closer) => {
                if inner.contains(&closer) {
                    pop_through(&mut inner, closer);
                } else {
                    closers.push((closer, closed));
                }
            }
        }
        ControlFlow::Continue(())
    };
    scanner.scan(rest, &mut |_, mark| collect(on_line, mark));
    if string_on_line && scanner.began_in.is_some() {
        scanner = Scanner::new(scanner.language);
    }
    let end = suffix.floor_char_boundary(suffix.len().min(rest.len() + WINDOW_BYTES));
    scanner.scan(&suffix[rest.len()..end], &mut |_, mark| {
        collect(Closed::Below, mark)
    });
    (closers, end == suffix.len())
}

/// Finds for every opener (outermost first) its closer (nearest first); gives the innermost first.
fn pair_up(
    open: &[&'static str],
    closers: &[(&'static str, Closed)],
    complete: bool,
) -> Vec<(&'static str, Closed)> {
    if complete {
        pair_from_outside(open, closers)
    } else {
        pair_from_inside(open, closers)
    }
}

/// Where all of the text was seen, the outermost pairs are sure, and where closers are too few it is
/// the innermost openers that lack theirs: the user is writing there.
fn pair_from_outside(
    open: &[&'static str],
    closers: &[(&'static str, Closed)],
) -> Vec<(&'static str, Closed)> {
    let mut left = closers;
    let mut pairs = Vec::with_capacity(open.len());
    for opener in open {
        let closer = left.iter().rposition(|(closer, _)| closer == opener);
        pairs.push((*opener, closer.map_or(Closed::Missing, |at| left[at].1)));
        left = &left[..closer.unwrap_or(left.len())];
    }
    pairs.reverse();
    pairs
}

/// Where the text goes on unseen, the nearest closers are sure; blocks may end beyond it, brackets
/// and quotes do not.
fn pair_from_inside(
    open: &[&'static str],
    closers: &[(&'static str, Closed)],
) -> Vec<(&'static str, Closed)> {
    let mut left = closers;
    let mut pairs = Vec::with_capacity(open.len());
    for (index, opener) in open.iter().enumerate().rev() {
        // A closer that no opener waits for is a mistake of the document.
        while left
            .first()
            .is_some_and(|(closer, _)| !open[..=index].contains(closer))
        {
            left = &left[1..];
        }
        let closed = match left.first() {
            Some((closer, closed)) if closer == opener => {
                left = &left[1..];
                *closed
            }
            None if *opener == "}" => Closed::Below,
            _ => Closed::Missing,
        };
        pairs.push((*opener, closed));
    }
    pairs
}

#[cfg(test)]
mod tests;
