//! A document as a plain list of characters: slow, and right at a glance.

use std::ops::Range;

/// The unit in which columns count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Bytes.
    Utf8,
    /// UTF-16 code units.
    Utf16,
    /// Characters.
    Utf32,
}

impl Units {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Utf16, Self::Utf32];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf32 => "utf-32",
        }
    }

    fn of(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// The text of a document, with lines found by walking over it.
#[derive(Clone, Debug)]
pub struct NaiveText {
    chars: Vec<char>,
    units: Units,
}

impl NaiveText {
    /// A document whose columns count in `units`.
    pub fn new(text: &str, units: Units) -> Self {
        Self {
            chars: text.chars().collect(),
            units,
        }
    }

    /// Replaces a range of (line, column) positions; `None` is the whole document.
    pub fn replace(&mut self, range: Option<Range<(u32, u32)>>, text: &str) {
        let range = match range {
            None => 0..self.chars.len(),
            Some(range) => {
                let (a, b) = (self.index(range.start), self.index(range.end));
                a.min(b)..a.max(b)
            }
        };
        self.chars.splice(range, text.chars());
    }

    /// The position of the character with index `at`.
    pub fn position(&self, at: usize) -> (u32, u32) {
        let lines = self.lines();
        let line = lines
            .iter()
            .rposition(|(start, _)| *start <= at)
            .unwrap_or(0);
        let column: usize = self.chars[lines[line].0..at]
            .iter()
            .map(|c| self.units.of(*c))
            .sum();
        (line as u32, column as u32)
    }

    /// Byte offset of a position.
    pub fn byte(&self, position: (u32, u32)) -> usize {
        self.chars[..self.index(position)]
            .iter()
            .map(|c| c.len_utf8())
            .sum()
    }

    /// Count of characters.
    pub fn len(&self) -> usize {
        self.chars.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// Index of the character at a position; beyond a line's end is its end, inside of a character its start.
    fn index(&self, (line, column): (u32, u32)) -> usize {
        let Some(&(start, end)) = self.lines().get(line as usize) else {
            return self.chars.len();
        };
        let mut left = column as usize;
        for at in start..end {
            let width = self.units.of(self.chars[at]);
            if left < width {
                return at;
            }
            left -= width;
        }
        end
    }

    /// Start and end, without the line end, of every line. Line ends are LF, CRLF and CR.
    fn lines(&self) -> Vec<(usize, usize)> {
        let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
        while at < self.chars.len() {
            let width = match (self.chars[at], self.chars.get(at + 1)) {
                ('\r', Some('\n')) => 2,
                ('\r' | '\n', _) => 1,
                _ => 0,
            };
            if width > 0 {
                lines.push((start, at));
                start = at + width;
            }
            at += width.max(1);
        }
        lines.push((start, self.chars.len()));
        lines
    }
}

impl std::fmt::Display for NaiveText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.chars.iter().try_for_each(|c| write!(f, "{c}"))
    }
}
