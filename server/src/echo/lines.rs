//! Lines of a text, without their indentation.

/// A line with at least this many letters or digits tells where one is.
const TELLING_SIGNS: usize = 3;

/// Calls `found` with the start and the bytes of every line that tells something, in order.
pub(super) fn each(text: &[u8], mut found: impl FnMut(usize, &[u8])) {
    let mut at = 0;
    for line in text.split(|&byte| byte == b'\n' || byte == 0) {
        let trimmed = line.trim_ascii();
        if tells(trimmed) {
            found(at + line.len() - line.trim_ascii_start().len(), trimmed);
        }
        at += line.len() + 1;
    }
}

/// Whether a line is more than signs.
pub(super) fn tells(line: &[u8]) -> bool {
    let signs = line
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric() || **byte >= 0x80);
    signs.take(TELLING_SIGNS).count() == TELLING_SIGNS
}

/// The bounds of the line that holds the place `at`, without white space on either side.
pub(super) fn line_at(text: &[u8], at: usize) -> (usize, usize) {
    let ends = |byte: &u8| *byte == b'\n' || *byte == 0;
    let start = text[..at].iter().rposition(ends).map_or(0, |end| end + 1);
    let end = text[at..]
        .iter()
        .position(ends)
        .map_or(text.len(), |end| at + end);
    let line = &text[start..end];
    let start = start + line.len() - line.trim_ascii_start().len();
    (start, start + line.trim_ascii().len())
}

/// How far a neighbor may be; more blank lines than that separate.
const BLANK_BYTES_MAX: usize = 200;

/// The nonblank line after the place `end` of the same file.
pub(super) fn line_after(text: &[u8], end: usize) -> Option<(usize, usize)> {
    let rest = &text[end..text.len().min(end + BLANK_BYTES_MAX)];
    let first = rest.iter().position(|&byte| byte == b'\n' || byte == 0)?;
    if rest[first] == 0 {
        return None;
    }
    let blank = rest[first..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())?;
    let start = end + first + blank;
    (text[start] != 0).then(|| line_at(text, start))
}

/// The nonblank line before the place `start` of the same file.
pub(super) fn line_before(text: &[u8], start: usize) -> Option<(usize, usize)> {
    let from = start.saturating_sub(BLANK_BYTES_MAX);
    let rest = &text[from..start];
    let last = rest.iter().rposition(|&byte| byte == b'\n' || byte == 0)?;
    if rest[last] == 0 {
        return None;
    }
    let filled = rest[..last]
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())?;
    (rest[filled] != 0).then(|| line_at(text, from + filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_their_neighbors_and_their_file() {
        let text = b"  a = 1;;;;;\n\n    }\n  done(a);\n\0other();\n";
        let mut found = Vec::new();
        each(text, |start, line| {
            found.push((start, String::from_utf8_lossy(line).into_owned()));
        });
        let is = |start: usize, line: &str| (start, line.to_owned());
        assert_eq!(found, [is(22, "done(a);"), is(32, "other();")]);
        let line = |bounds: Option<(usize, usize)>| bounds.map(|(a, b)| &text[a..b]);
        assert_eq!(line(Some(line_at(text, 5))), Some(&b"a = 1;;;;;"[..]));
        assert_eq!(line(line_after(text, 12)), Some(&b"}"[..]));
        assert_eq!(line(line_before(text, 22)), Some(&b"}"[..]));
        assert_eq!(line(line_before(text, 18)), Some(&b"a = 1;;;;;"[..]));
        assert_eq!(line(line_before(text, 2)), None);
        assert_eq!(line(line_after(text, 30)), None);
        assert_eq!(line(line_before(text, 32)), None);
        assert_eq!(line(line_after(text, 40)), None);
    }
}
