//! Positions on the wire (line, character in the negotiated encoding) to byte offsets in a rope, and back.
//!
//! Inside the server every position is a UTF-8 byte offset. Conversions never fail: what lies outside
//! of the text is clamped, what lies inside of a character is rounded down, as clients do send both.

use ropey::Rope;

/// The unit in which the client counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units, the protocol's default.
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

impl Encoding {
    /// The encoding to use with a client that offers `offered`: utf-8 if it is there, else utf-16,
    /// else utf-32; utf-16 if nothing known is offered, as the protocol demands.
    pub fn negotiate<'a>(offered: impl Iterator<Item = &'a str>) -> Self {
        let mut best = None;
        for name in offered {
            match name {
                "utf-8" => return Self::Utf8,
                "utf-16" => best = Some(Self::Utf16),
                "utf-32" => best = best.or(Some(Self::Utf32)),
                _ => {}
            }
        }
        best.unwrap_or(Self::Utf16)
    }
}

/// A position as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Zero-based line.
    pub line: u32,
    /// Zero-based offset in the line, in the units of the negotiated [`Encoding`].
    pub column: u32,
}

/// The byte offset of `position`; past a line's end is its end, past the last line is the text's end.
pub fn offset(text: &Rope, encoding: Encoding, position: LineColumn) -> usize {
    let line = position.line as usize;
    if line >= text.len_lines() {
        return text.len_bytes();
    }
    let column = position.column as usize;
    let (start, end) = (text.line_to_char(line), content_end(text, line));
    let char_idx = match encoding {
        Encoding::Utf8 => {
            let byte = (text.char_to_byte(start) + column).min(text.char_to_byte(end));
            text.byte_to_char(byte)
        }
        Encoding::Utf16 => {
            let unit = (text.char_to_utf16_cu(start) + column).min(text.char_to_utf16_cu(end));
            text.utf16_cu_to_char(unit)
        }
        Encoding::Utf32 => (start + column).min(end),
    };
    text.char_to_byte(char_idx)
}

/// The position of a byte offset; `byte` past the end is the end, inside of a character its start.
pub fn line_column(text: &Rope, encoding: Encoding, byte: usize) -> LineColumn {
    let char_idx = text.byte_to_char(byte.min(text.len_bytes()));
    let line = text.char_to_line(char_idx);
    let start = text.line_to_char(line);
    let column = match encoding {
        Encoding::Utf8 => text.char_to_byte(char_idx) - text.char_to_byte(start),
        Encoding::Utf16 => text.char_to_utf16_cu(char_idx) - text.char_to_utf16_cu(start),
        Encoding::Utf32 => char_idx - start,
    };
    LineColumn {
        line: line as u32,
        column: column as u32,
    }
}

/// Char index of the end of a line, before its line end (LF, CRLF or CR).
fn content_end(text: &Rope, line: usize) -> usize {
    if line + 1 >= text.len_lines() {
        return text.len_chars();
    }
    let start = text.line_to_char(line);
    let mut end = text.line_to_char(line + 1);
    if end > start && text.char(end - 1) == '\n' {
        end -= 1;
        if end > start && text.char(end - 1) == '\r' {
            end -= 1;
        }
    } else if end > start && text.char(end - 1) == '\r' {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> LineColumn {
        LineColumn { line, column }
    }

    #[test]
    fn counts_in_the_negotiated_units() {
        let text = Rope::from_str("a\u{1F600}é|\r\nnext");
        for (encoding, column) in [
            (Encoding::Utf8, 7),
            (Encoding::Utf16, 4),
            (Encoding::Utf32, 3),
        ] {
            assert_eq!(offset(&text, encoding, at(0, column)), 7, "{encoding:?}");
            assert_eq!(
                line_column(&text, encoding, 7),
                at(0, column),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn clamps_past_the_line_and_past_the_text() {
        let text = Rope::from_str("ab\r\ncd\re\n");
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            assert_eq!(offset(&text, encoding, at(0, 99)), 2);
            assert_eq!(offset(&text, encoding, at(1, u32::MAX)), 6);
            assert_eq!(offset(&text, encoding, at(2, 1)), 8);
            assert_eq!(offset(&text, encoding, at(3, 5)), 9);
            assert_eq!(offset(&text, encoding, at(u32::MAX, 0)), 9);
        }
    }

    #[test]
    fn rounds_down_inside_of_a_character() {
        let text = Rope::from_str("x\u{1F600}y");
        assert_eq!(offset(&text, Encoding::Utf16, at(0, 2)), 1);
        assert_eq!(offset(&text, Encoding::Utf8, at(0, 3)), 1);
        assert_eq!(line_column(&text, Encoding::Utf16, 3), at(0, 1));
    }

    #[test]
    fn knows_the_line_ends_of_the_protocol_and_no_others() {
        let text = Rope::from_str("a\u{2028}b\u{85}c\u{b}d\u{c}e\u{2029}f\ng");
        assert_eq!(text.len_lines(), 2);
        assert_eq!(
            offset(&text, Encoding::Utf32, at(0, 99)),
            text.len_bytes() - 2
        );
    }

    #[test]
    fn negotiates_what_was_offered() {
        for (offered, expected) in [
            (vec![], Encoding::Utf16),
            (vec!["utf-16"], Encoding::Utf16),
            (vec!["utf-32", "utf-8", "utf-16"], Encoding::Utf8),
            (vec!["utf-32", "utf-16"], Encoding::Utf16),
            (vec!["utf-32"], Encoding::Utf32),
            (vec!["utf-7"], Encoding::Utf16),
        ] {
            assert_eq!(
                Encoding::negotiate(offered.iter().copied()),
                expected,
                "{offered:?}"
            );
        }
    }
}
