//! Names that an answer uses, and whether they exist.

use std::collections::HashSet;
use std::sync::LazyLock;

use carat_grammars::Language;
use memchr::memmem::find_iter;

use crate::echo::Index;

/// Answers of at least this probability may have new names: the model has seen them elsewhere.
pub(super) const SURE: f64 = 0.5;

/// Shorter names are parameters of closures and counters, which nothing declares.
const NAME_BYTES_MIN: usize = 3;

static RUST: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("names/rust.txt").lines().collect());

static PYTHON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("names/python.txt").lines().collect());

/// The names of a language's standard library, keywords included.
fn standard(language: &Language) -> Option<&'static HashSet<&'static str>> {
    match language.id {
        "rust" => Some(&RUST),
        "python" => Some(&PYTHON),
        _ => None,
    }
}

/// Words after which a name is declared.
const DECLARING: &[&str] = &[
    "let",
    "mut",
    "fn",
    "struct",
    "enum",
    "mod",
    "type",
    "const",
    "static",
    "trait",
    "for",
    "def",
    "class",
    "as",
    "import",
    "union",
    "macro_rules",
    "lambda",
    "global",
    "nonlocal",
    "ref",
];

/// The first name of an answer that stands nowhere in the document or the workspace, is not declared by the answer and
/// is none of the standard library; `None` too where too little is known of the language.
pub(super) fn unknown(
    line: &str,
    typed: &str,
    text: &str,
    (prefix, suffix, texts): (&str, &str, &Index),
    language: &Language,
) -> Option<String> {
    let standard = standard(language)?;
    let whole = format!("{line}{typed}{text}");
    let caret = line.len() + typed.len();
    if is_import(whole.trim_start(), language) {
        return None;
    }
    let mut previous = "";
    let mut declared = HashSet::new();
    let mut candidates = Vec::new();
    for (at, name) in identifiers(&whole, language) {
        let end = at + name.len();
        if DECLARING.contains(&previous) || is_bound(&whole, at, whole[end..].trim_start()) {
            declared.insert(name);
        }
        if end > caret && name.len() >= NAME_BYTES_MIN && !standard.contains(name) {
            candidates.push((at, name));
        }
        previous = name;
    }
    let exists = |at: usize, name: &str| {
        // The beginning of a name that stands before the caret is no evidence for it.
        let own = prefix.len() - line.len() + at.min(line.len());
        stands_in(name, &prefix[..own]) || stands_in(name, suffix) || texts.has_word(name)
    };
    candidates
        .into_iter()
        .find(|(at, name)| !declared.contains(name) && !exists(*at, name))
        .map(|(_, name)| name.to_owned())
}

/// Names of other crates and modules come in here, where no file has used them yet.
fn is_import(line: &str, language: &Language) -> bool {
    match language.id {
        "rust" => {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.starts_with("use ") || line.starts_with("extern ")
        }
        _ => line.starts_with("import ") || line.starts_with("from "),
    }
}

/// Whether the name at `at` is bound here: by `=`, as a parameter or pattern, or as a field.
fn is_bound(whole: &str, at: usize, after: &str) -> bool {
    let assigned = after.starts_with('=') && !after.starts_with("==") || after.starts_with(":=");
    let annotated = after.starts_with(':') && !after.starts_with("::");
    let before = &whole[..at];
    let line = before.rsplit('\n').next().unwrap_or("");
    let rest = after.split('\n').next().unwrap_or("");
    let pattern = line.contains("let ") && !line.contains('=')
        || rest.contains("=>")
        || line.matches('|').count() % 2 == 1
        || line.trim_start().starts_with("for ") && !line.contains(" in ");
    assigned || annotated || pattern
}

/// Identifiers outside of strings and comments, with their places.
fn identifiers<'t>(text: &'t str, language: &Language) -> Vec<(usize, &'t str)> {
    let is_start = |c: char| c.is_alphabetic() || c == '_';
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with(language.line_comment) {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if c == '\'' && language.character_literals {
            // A character or a lifetime: neither is a name that must exist.
            let length = 1 + rest[1..].find(|c| !is_part(c)).unwrap_or(rest.len() - 1);
            at += length + usize::from(rest[length..].starts_with('\''));
        } else if c == '"' || c == '\'' || c == '`' {
            at += 1 + string_length(&rest[1..], c);
        } else if is_start(c) {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            found.push((at, &rest[..length]));
            at += length;
        } else if c.is_ascii_digit() {
            at += rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        } else {
            at += c.len_utf8();
        }
    }
    found
}

/// Bytes up to the end of a string, its closing quote included.
fn string_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Whether a text has a name as a word.
fn stands_in(name: &str, text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    find_iter(text.as_bytes(), name.as_bytes())
        .any(|at| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}
