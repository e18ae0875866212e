//! What stands around a caret: the names that are used there, and the files that its file imports.

use std::collections::HashSet;

use super::Spot;

/// Bytes before and behind the caret whose names are looked at.
const BEFORE_BYTES: usize = 1500;
const BEHIND_BYTES: usize = 500;

/// Shorter names stand everywhere.
const NAME_BYTES_MIN: usize = 3;

/// How lines begin that name other files.
const IMPORTS: &[&str] = &[
    "use ",
    "pub use ",
    "mod ",
    "pub mod ",
    "import ",
    "from ",
    "#include",
    "using ",
    "require ",
    "require_relative ",
    "export ",
    "@import",
    "open ",
];

/// Words of such lines that are no name of a file.
const NO_FILES: &[&str] = &[
    "use", "pub", "mod", "import", "from", "include", "using", "as", "crate", "self", "super",
];

/// Lines of a file in which imports are looked for.
const IMPORT_LINES_MAX: usize = 300;

#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// Names, those nearest before the caret first, each once.
    pub(super) names: Vec<&'a str>,
    /// All words of the same text, for comparison with others.
    pub(super) words: Vec<&'a str>,
    /// What imported files may be called, without what follows the last dot.
    files: HashSet<&'a str>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(spot: &Spot<'a>) -> Self {
        let start = spot.prefix.len().saturating_sub(BEFORE_BYTES);
        let before = &spot.prefix[spot.prefix.ceil_char_boundary(start)..];
        let behind = &spot.suffix[..spot.suffix.floor_char_boundary(BEHIND_BYTES)];
        // The window may begin in a word, and what is typed is no name yet.
        let begun = before.rfind(|c| !is_of_word(c)).map_or(0, |at| at + 1);
        let begun = before.ceil_char_boundary(begun);
        let mut words: Vec<&str> = words(&before[..begun]).collect();
        words.reverse();
        words.extend(self::words(behind));
        let mut seen = HashSet::new();
        let names = words.iter().filter(|word| seen.insert(**word));
        Self {
            names: names.copied().collect(),
            files: imported(spot.prefix).chain(imported(spot.suffix)).collect(),
            words,
        }
    }

    /// Whether the file imports one of this name, as far as words tell.
    pub(super) fn imports(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name);
        let folder = path.rsplit('/').nth(1).unwrap_or_default();
        // `mod.rs`, `__init__.py` and `index.ts` are called by their folder.
        let stem = match stem {
            "mod" | "__init__" | "index" => folder,
            stem => stem,
        };
        self.files.contains(stem)
    }
}

fn imported(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take(IMPORT_LINES_MAX).map(str::trim_start);
    let lines = lines.filter(|line| {
        IMPORTS.iter().any(|begin| line.starts_with(begin)) || line.contains("require(")
    });
    lines
        .flat_map(|line| line.split(|c: char| !(is_of_word(c) || c == '-')))
        .filter(|word| word.len() >= 2 && !NO_FILES.contains(word))
}

/// The words of a text that may be names.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c| !is_of_word(c));
    words.filter(|word| {
        word.len() >= NAME_BYTES_MIN && !word.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
