//! Brackets, strings and comments, without syntax.
//!
//! A lexer that knows the strings and comments of a language and nothing else is right about nearly
//! all code, broken code included, and costs microseconds. What it does not know stands as wrong in
//! its corpus: code inside of strings (`f"{x}"`, `` `${x}` ``) is text, and raw strings with a
//! delimiter of the author's own choice (`R"x(...)x"`) end too early.

use std::ops::ControlFlow;

use crate::Language;
use crate::languages::StringSyntax;

/// The longest character literal, `'\u{10FFFF}'`.
const CHARACTER_LITERAL_BYTES_MAX: usize = 12;

/// String literals of files in an unknown language.
const COMMON_STRINGS: &[StringSyntax] = &[StringSyntax {
    open: "\"",
    close: "\"",
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

/// What a place in a text is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Code.
    #[default]
    Code,
    /// A comment, or documentation in a string with a quote of three characters.
    Comment,
    /// Any other string literal.
    String,
}

/// A bracket or quote; each is known by the text that closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Opens; this would close it.
    Open(&'static str),
    /// Closes what this text closes.
    Close(&'static str),
}

/// Walks through text and reports what opens and closes; strings are reported only where they close
/// although they began before the text.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    language: Option<&'static Language>,
    inside: Inside,
    /// The string that the text began in.
    began_in: Option<&'static str>,
    escaped: bool,
    /// What begins anything but plain code.
    begins: Beginnings,
}

impl Lexer {
    /// At the beginning of a text; `None` is a file in an unknown language.
    pub fn new(language: Option<&'static Language>) -> Self {
        Self {
            language,
            inside: Inside::Code,
            began_in: None,
            escaped: false,
            begins: Beginnings::of(language),
        }
    }

    /// A lexer that goes on from here with another text.
    #[must_use]
    pub fn resumed(self) -> Self {
        let began_in = if let Inside::String(string) = self.inside {
            Some(string.close)
        } else {
            None
        };
        Self { began_in, ..self }
    }

    /// What the place behind all that was scanned is part of.
    pub fn place(&self) -> Place {
        match self.inside {
            Inside::Code => Place::Code,
            Inside::LineComment | Inside::BlockComment => Place::Comment,
            Inside::String(string) if string.close.len() == 3 => Place::Comment,
            Inside::String(_) => Place::String,
        }
    }

    /// Calls `on` with every mark and its position until it breaks.
    pub fn scan(&mut self, text: &str, on: &mut dyn FnMut(usize, Mark) -> ControlFlow<()>) {
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

    /// Whether it stands in a string or a comment.
    pub fn in_text(&self) -> bool {
        self.inside != Inside::Code
    }

    /// What closes the string that the text began in, as long as nothing has closed it.
    pub fn began_in(&self) -> Option<&'static str> {
        self.began_in
    }

    /// The same language, in code.
    #[must_use]
    pub fn in_code(self) -> Self {
        Self::new(self.language)
    }

    fn step_code(&mut self, rest: &str) -> (usize, Option<Mark>) {
        let plain = self.begins.plain_bytes(rest.as_bytes());
        if plain > 0 {
            return (plain, None);
        }
        let first = rest.as_bytes()[0];
        let strings = strings_of(self.language);
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
        if let Some(string) = strings.iter().find(|string| rest.starts_with(string.open)) {
            self.inside = Inside::String(*string);
            return (string.open.len(), None);
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
        let first = rest.as_bytes()[0];
        let close = string.close.as_bytes().first();
        let tells = |byte| Some(&byte) == close || byte == b'\\' || byte == b'\n';
        if !tells(first) {
            return (until(rest, tells), None);
        }
        if rest.starts_with(string.close) {
            self.inside = Inside::Code;
            return (string.close.len(), self.began_in.take().map(Mark::Close));
        }
        if first == b'\n' && !string.spans_lines {
            self.inside = Inside::Code;
            self.began_in = None;
        }
        self.escaped = first == b'\\' && string.escapes;
        (character_length(rest), None)
    }
}

/// String literals of a language.
fn strings_of(language: Option<&'static Language>) -> &'static [StringSyntax] {
    language.map_or(COMMON_STRINGS, |language| language.strings)
}

/// With which bytes brackets, literals and comments begin.
#[derive(Clone, Copy, Debug)]
struct Beginnings {
    /// The first byte of one.
    first: [First; 256],
    /// The second byte of one that has more than one.
    is_second: [bool; 256],
}

/// What a byte may be the first of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Plain code.
    Nothing,
    /// Something, if a second byte of such follows: without that, every `r` and `b` of Rust's code would
    /// have to be looked at.
    Several,
    /// Something.
    One,
}

impl Beginnings {
    fn of(language: Option<&'static Language>) -> Self {
        let mut all = Self {
            first: [First::Nothing; 256],
            is_second: [false; 256],
        };
        let comments = language.into_iter().flat_map(|language| {
            let block = language.block_comment.map_or("", |(open, _)| open);
            [language.line_comment, block]
        });
        let strings = strings_of(language).iter().map(|string| string.open);
        for text in comments.chain(strings) {
            match text.as_bytes() {
                [] => {}
                [first] => all.first[usize::from(*first)] = First::One,
                [first, second, ..] => {
                    let known = &mut all.first[usize::from(*first)];
                    if *known == First::Nothing {
                        *known = First::Several;
                    }
                    all.is_second[usize::from(*second)] = true;
                }
            }
        }
        for byte in *b"()[]{}'" {
            all.first[usize::from(byte)] = First::One;
        }
        all
    }

    /// How many bytes it is to what may be none of plain code, which begins a character.
    fn plain_bytes(&self, text: &[u8]) -> usize {
        let second = |at: usize| {
            text.get(at + 1)
                .is_some_and(|byte| self.is_second[usize::from(*byte)])
        };
        let special =
            text.iter()
                .enumerate()
                .position(|(at, byte)| match self.first[usize::from(*byte)] {
                    First::Nothing => false,
                    First::Several => second(at),
                    First::One => true,
                });
        special.unwrap_or(text.len())
    }
}

/// How far it is to the next of these bytes, each of which begins a character; at least one byte.
fn until(rest: &str, tells: impl Fn(u8) -> bool) -> usize {
    let behind = &rest.as_bytes()[1..];
    let next = behind.iter().position(|byte| tells(*byte));
    next.map_or(rest.len(), |at| at + 1)
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

#[cfg(test)]
mod tests;
