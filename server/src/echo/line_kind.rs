//! What a line is about to say, told by its beginning: what follows a name where it is declared is not
//! what follows it where it is used, and neither is prose.

use memchr::{memchr, memchr3, memrchr3};

/// A line up to a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    /// Anything else.
    Other,
    /// A comment that the line began with.
    Comment,
    /// A name that is being declared, before its parameters.
    Declaration,
}

/// Where lines are longer, it is not looked for their beginning.
const LINE_BYTES_MAX: usize = 200;

/// Words before a name that is declared.
const DECLARING: &[&[u8]] = &[
    b"fn",
    b"def",
    b"func",
    b"function",
    b"class",
    b"struct",
    b"enum",
    b"trait",
    b"interface",
    b"mod",
    b"namespace",
];

/// Modifiers and the word that declares stand in the first words.
const WORDS_MAX: usize = 5;

/// What comments begin with; some need a blank, since code may begin with the sign alone.
const COMMENTS: &[&[u8]] = &[b"//", b"/*", b"* ", b"# ", b"-- "];

impl LineKind {
    /// Of the last line of a text.
    pub(super) fn of(text: &[u8]) -> Self {
        let from = text.len().saturating_sub(LINE_BYTES_MAX);
        let near = &text[from..];
        let start = memrchr3(b'\n', b'\r', 0, near);
        let line = near[start.map_or(0, |end| end + 1)..].trim_ascii_start();
        if COMMENTS.iter().any(|sign| line.starts_with(sign)) {
            return Self::Comment;
        }
        // Rust says who sees a name, and Go whose method it is, in brackets before it.
        let before_name = line.starts_with(b"pub(") || line.starts_with(b"func (");
        let closed = before_name.then(|| memchr(b')', line)).flatten();
        let head = closed.map_or(line, |end| &line[end + 1..]);
        // This tells of most lines, and costs less than a look at their words.
        let in_head = memchr3(b'(', b'=', b'{', head).is_none();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let mut words = line.split(|byte| !is_word(byte)).take(WORDS_MAX);
        if in_head && words.any(|word| DECLARING.contains(&word)) {
            Self::Declaration
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_by_its_beginning() {
        use LineKind::{Comment, Declaration, Other};
        for (text, kind) in [
            ("", Other),
            ("a();\n    // equiva", Comment),
            ("a();\n * equiva", Comment),
            ("*equiva", Other),
            ("#[derive", Other),
            ("# a word", Comment),
            ("// before\nlet a = equiva", Other),
            ("pub(crate) fn trunc", Declaration),
            ("    def _truncate_vis", Declaration),
            ("def _truncate(text: str, n: i", Other),
            ("cut = _truncate_vis", Other),
            ("func (r *Router) getAll", Declaration),
            ("func (r *Router) getAll(a", Other),
            ("export async function split", Declaration),
            ("function f() { split", Other),
            ("handlers.push(function spl", Other),
        ] {
            assert_eq!(LineKind::of(text.as_bytes()), kind, "{text}");
        }
    }
}
