//! Passwords, keys and tokens: files that hold them, and text that looks like one.

use std::borrow::Cow;
use std::ops::Range;

/// Patterns of file names, one a line.
const FILES: &str = include_str!("secret_files.txt");

/// How issuers begin their tokens.
const PREFIXES: &str = include_str!("secret_prefixes.txt");

/// Names of values that are secrets, in lower case without `_` and `-`.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "token",
    "credential",
    "privatekey",
    "accesskey",
    "authkey",
];

/// A value shorter than this is no secret, whatever its name.
const NAMED_BYTES_MIN: usize = 6;

/// Random text shorter than this is not told from a name.
const RANDOM_BYTES_MIN: usize = 20;

/// Hashes in hexadecimal are shorter than keys only below this.
const HEX_BYTES_MIN: usize = 32;

/// Of two neighboring characters, this share is of two kinds (upper, lower, digit) in random text at
/// least; in names of several words it is a quarter.
const CHANGES_MIN: f64 = 0.35;

/// An answer that has this much of a secret repeats it.
const PART_BYTES_MIN: usize = 8;

/// Secrets are looked for so far from the caret.
const NEAR_BYTES: usize = 8 * 1024;

/// Around an answer's caret this much is looked at for the beginning of a secret.
const LINE_BYTES_MAX: usize = 400;

/// What a model sees in place of a secret.
pub(in crate::completion) const MASK: &str = "***";

fn lines(data: &'static str) -> impl Iterator<Item = &'static str> {
    data.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether a file is one that holds secrets, by its path.
pub fn is_secret_file(path: &str) -> bool {
    let path = path.replace('\\', "/").to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or("");
    lines(FILES).any(|pattern| match pattern.rsplit_once('/') {
        Some(_) => {
            let depth = pattern.matches('/').count() + 1;
            let start = path.rmatch_indices('/').nth(depth - 1);
            let end = start.map_or(path.as_str(), |(at, _)| &path[at + 1..]);
            matches(pattern, end)
        }
        None => matches(pattern, name),
    })
}

/// Whether `text` is the pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(first) else {
        return false;
    };
    let mut starts = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    starts.any(|at| matches(rest, &text[at..]))
}

/// Text without its secrets, for a model.
pub fn mask(text: &str) -> Cow<'_, str> {
    mask_part(text, 0..text.len())
}

/// A part of a text without its secrets, also those of which it has only an end or a beginning.
pub fn mask_part(text: &str, part: Range<usize>) -> Cow<'_, str> {
    let start = text.ceil_char_boundary(part.start.saturating_sub(LINE_BYTES_MAX));
    let end = text.floor_char_boundary(part.end.saturating_add(LINE_BYTES_MAX).min(text.len()));
    let found = find(&text[start..end]);
    let (mut masked, mut from) = (String::new(), part.start);
    for secret in found {
        let (secret_start, secret_end) = (start + secret.start, start + secret.end);
        if secret_end <= part.start || secret_start >= part.end {
            continue;
        }
        masked.push_str(&text[from..secret_start.max(from)]);
        masked.push_str(MASK);
        from = secret_end.min(part.end);
    }
    if from == part.start {
        return Cow::Borrowed(&text[part]);
    }
    masked.push_str(&text[from..part.end]);
    Cow::Owned(masked)
}

/// Characters that keys and tokens are made of.
fn is_key_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-.~".contains(c)
}

/// Where secrets stand, in order.
pub fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    private_keys(text, &mut found);
    let keys = found.len();
    for run in runs(text) {
        if found[..keys].iter().any(|key| key.contains(&run.start)) {
            continue;
        }
        // `KEY=value` is one run: what counts stands behind the sign.
        let mut start = run.start;
        for part in text[run.clone()].split('=') {
            let value = start..start + part.len();
            start = value.end + 1;
            if is_secret(text, &value, run.start) {
                found.push(value);
            }
        }
    }
    found.sort_by_key(|secret| secret.start);
    found
}

/// Runs of key characters that are long enough for anything.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(is_key_character)?;
            let end = text[start..]
                .find(|c| !is_key_character(c))
                .map_or(text.len(), |length| start + length);
            at = end;
            if end - start >= NAMED_BYTES_MIN {
                return Some(start..end);
            }
        }
    })
}

/// Whether a value is a secret, by itself or by what stands before it. The run of key characters that
/// it is in begins at `run`.
fn is_secret(text: &str, value: &Range<usize>, run: usize) -> bool {
    let body = &text[value.clone()];
    if body.len() < NAMED_BYTES_MIN {
        return false;
    }
    if has_issuer(body) {
        return true;
    }
    let before = text[..value.start].trim_end_matches([' ', '\t']);
    let quoted = before.ends_with(['"', '\'', '`']);
    if !quoted && !before.ends_with([':', '=']) {
        return false;
    }
    let named = (quoted || value.start > run) && is_named_secret(before);
    let digits = body.bytes().any(|b| b.is_ascii_digit());
    named && digits && !body.contains('.') || is_random(body)
}

/// Whether a text has what begins as an issuer's tokens do, and is as long.
fn has_issuer(body: &str) -> bool {
    lines(PREFIXES).any(|line| {
        let (prefix, length) = line.split_once(' ').unwrap_or((line, "16"));
        let length = length.parse().unwrap_or(16);
        body.match_indices(prefix).any(|(at, _)| {
            let rest = &body[at + prefix.len()..];
            // `task-123456789` has `sk-` in it.
            let whole_word = !body[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            (whole_word || prefix.len() > 3)
                && rest.len() >= length
                && rest.bytes().any(|b| b.is_ascii_digit())
        })
    })
}

/// Whether what stands before a value names it as a secret: `api_key = "`, `"password": "`.
fn is_named_secret(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or("");
    let line = &line[line.ceil_char_boundary(line.len().saturating_sub(80))..];
    let name = line.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let sign = &line[name.len()..];
    if !sign.contains([':', '=']) {
        return false;
    }
    let name = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    let name: String = name
        .take(1)
        .flat_map(str::chars)
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    NAMES.iter().any(|secret| name.ends_with(secret))
}

/// Whether a text was drawn by chance rather than written.
fn is_random(body: &str) -> bool {
    let body = body.trim_matches(['=', '.', '-']);
    // Version numbers, paths, addresses and UUIDs are long as well.
    if body.len() < RANDOM_BYTES_MIN || is_uuid(body) {
        return false;
    }
    let words = body.split(['.', '/', '_', '-']).map(str::len).max();
    if words < Some(RANDOM_BYTES_MIN - 4) {
        return false;
    }
    let hexadecimal = body.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal && body.len() < HEX_BYTES_MIN {
        return false;
    }
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    if digits < 2 || digits == body.len() {
        return false;
    }
    changes(body) >= CHANGES_MIN && distinct(body) >= 10
}

fn is_uuid(body: &str) -> bool {
    body.len() == 36 && body.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// The share of neighbors of two kinds.
fn changes(body: &str) -> f64 {
    let kind = |b: u8| match b {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = body.as_bytes();
    let changed = bytes.windows(2).filter(|two| kind(two[0]) != kind(two[1]));
    changed.count() as f64 / (bytes.len() - 1).max(1) as f64
}

fn distinct(body: &str) -> usize {
    let mut seen = [false; 256];
    body.bytes().for_each(|b| seen[usize::from(b)] = true);
    seen.iter().filter(|seen| **seen).count()
}

/// Blocks between `-----BEGIN ... PRIVATE KEY-----` and their end, or the end of the text.
fn private_keys(text: &str, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(at) = text[from..].find("-----BEGIN ") {
        let start = from + at;
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |end| start + end);
        from = line_end;
        if text[start..line_end].contains("PRIVATE KEY") {
            let end = text[line_end..]
                .find("-----END ")
                .map_or(text.len(), |end| line_end + end);
            found.push(line_end..end);
            from = end;
        }
    }
}

/// Whether an answer shows a secret: one of its own, the rest of one that has been begun, or a part
/// of one that stands in the document.
pub(super) fn shows_secret(
    line: &str,
    typed: &str,
    text: &str,
    prefix: &str,
    suffix: &str,
    known: &[String],
) -> bool {
    let parts = known
        .iter()
        .flat_map(|secret| secret.as_bytes().windows(PART_BYTES_MIN));
    let whole = format!("{typed}{text}");
    if parts.into_iter().any(|part| memmem(whole.as_bytes(), part)) {
        return true;
    }
    if text.contains(MASK) && !line.contains(MASK) {
        return true;
    }
    if !text.bytes().any(|b| b.is_ascii_digit()) && !text.contains("-----BEGIN") {
        // Neither issuers nor chance do without digits in so many characters.
        return false;
    }
    let line = &line[line.ceil_char_boundary(line.len().saturating_sub(LINE_BYTES_MAX))..];
    let whole = format!("{line}{typed}{text}");
    let caret = line.len() + typed.len();
    if find(&whole).iter().any(|secret| secret.end > caret) {
        return true;
    }
    runs(text).any(|run| {
        let part = &text[run];
        part.len() >= PART_BYTES_MIN
            && part.bytes().any(|b| b.is_ascii_digit())
            && [prefix, suffix]
                .iter()
                .any(|document| is_part_of_secret(part, document))
    })
}

/// The secrets near a caret, of which no answer may have a part.
pub(in crate::completion) fn around(prefix: &str, suffix: &str) -> Vec<String> {
    let before = &prefix[prefix.ceil_char_boundary(prefix.len().saturating_sub(NEAR_BYTES))..];
    let after = &suffix[..suffix.floor_char_boundary(suffix.len().min(NEAR_BYTES))];
    [before, after]
        .iter()
        .flat_map(|text| find(text).into_iter().map(|secret| text[secret].to_owned()))
        .filter(|secret| secret.len() >= PART_BYTES_MIN)
        .collect()
}

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Whether a secret of the document has this part.
fn is_part_of_secret(part: &str, document: &str) -> bool {
    document.match_indices(part).take(4).any(|(at, _)| {
        let line_start = document[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = document[at..]
            .find('\n')
            .map_or(document.len(), |end| at + end);
        let start = document.ceil_char_boundary(line_start.max(at.saturating_sub(LINE_BYTES_MAX)));
        let end = document.floor_char_boundary(line_end.min(at + LINE_BYTES_MAX));
        let near = &document[start..end.max(start)];
        find(near)
            .iter()
            .any(|secret| (start + secret.start..start + secret.end).contains(&at))
    })
}
