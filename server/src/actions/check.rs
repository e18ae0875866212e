//! Whether an answer can be trusted with the user's file: what a model gets wrong is found here.

use std::ops::Range;

use carat_grammars::{Edit, Item, Language, SyntaxTree};
use ropey::Rope;

use super::unit::Unit;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not one piece of code in one fence, or cut off.
    #[error("it is not one complete block of code")]
    NoFence,
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// It breaks the file's syntax.
    #[error("it does not parse")]
    Syntax,
    /// The item is gone.
    #[error("`{name}` is no longer in it")]
    NameLost {
        /// Its name.
        name: String,
    },
    /// The item stands inside of another one.
    #[error("it writes the code around `{name}` once more")]
    Wrapped {
        /// Its name.
        name: String,
    },
    /// It stands for code instead of being code.
    #[error("it leaves code out (`{line}`)")]
    Placeholder {
        /// What stands for the code.
        line: String,
    },
    /// Much of the code is missing.
    #[error("it has {after} lines where there were {before}")]
    Shrunk {
        /// Lines before.
        before: usize,
        /// Lines in the answer.
        after: usize,
    },
    /// Something else than documentation.
    #[error("it is no documentation comment")]
    NoComment,
    /// No test in it.
    #[error("there is no test in it")]
    NoTest,
}

/// What a rewritten unit must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// An item of the same kind and name.
    pub(super) name: bool,
    /// An item of the same kind, if there still is one, that stands in nothing new.
    pub(super) place: bool,
    /// The comments before it, which are written for the model.
    pub(super) comments: bool,
    /// At least this share of its lines, in percent.
    pub(super) lines_percent: usize,
}

/// Units with fewer lines may shrink: half of four lines says nothing.
const SHORT_LINES: usize = 8;

/// Checks `new`, which replaces `range` of `text`. Without a tree there is no syntax to check.
pub(super) fn rewritten(
    text: &str,
    tree: Option<&SyntaxTree>,
    unit: &Unit,
    new: &str,
    rules: Rules,
) -> Result<(), Fault> {
    let old = &text[unit.range.clone()];
    placeholder(old, new, tree.map(SyntaxTree::language))?;
    let count = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let (before, after) = (count(old), count(new));
    if before >= SHORT_LINES && after * 100 < before * rules.lines_percent {
        return Err(Fault::Shrunk { before, after });
    }
    let Some(tree) = tree else { return Ok(()) };
    let changed = parsed(text, tree, &unit.range, new)?;
    let (Some(item), Some(name)) = (&unit.item, unit.name(text)) else {
        return Ok(());
    };
    let end = unit.range.start + new.len();
    let mut inside = changed.items();
    inside.retain(|found| found.code.start >= unit.range.start && found.code.end <= end);
    let place = |name: &Range<usize>| {
        new.get(name.start.checked_sub(unit.range.start)?..name.end.checked_sub(unit.range.start)?)
    };
    let is_kept = |found: &&Item| {
        let same_name = || found.name.as_ref().and_then(place) == Some(name);
        found.kind == item.kind && (!rules.name || same_name())
    };
    let is_wrapped = |kept: &Item| {
        let around = |other: &Item| {
            other.code != kept.code
                && other.code.start <= kept.code.start
                && kept.code.end <= other.code.end
        };
        inside.iter().any(around)
    };
    let kept: Vec<&Item> = inside.iter().filter(is_kept).collect();
    let name = name.to_owned();
    if kept.is_empty() && rules.name {
        return Err(Fault::NameLost { name });
    }
    // Small models write the `impl` around a method, which is parsed as if it could stand there.
    if rules.place && !kept.is_empty() && kept.iter().all(|kept| is_wrapped(kept)) {
        return Err(Fault::Wrapped { name });
    }
    Ok(())
}

/// The tree of `text` with `new` in place of `range`; a fault if that has more errors than before.
pub(super) fn parsed(
    text: &str,
    tree: &SyntaxTree,
    range: &Range<usize>,
    new: &str,
) -> Result<SyntaxTree, Fault> {
    let mut rope = Rope::from_str(text);
    let mut changed = tree.clone();
    changed.edit(&Edit::replacing(&rope, range.clone(), new));
    let chars = rope.byte_to_char(range.start)..rope.byte_to_char(range.end);
    let start = chars.start;
    rope.remove(chars);
    rope.insert(start, new);
    changed.reparse(&rope);
    if changed.error_count() > tree.error_count() {
        return Err(Fault::Syntax);
    }
    Ok(changed)
}

/// Words with which models say that code stands here.
const STANDS_FOR_CODE: &[&str] = &[
    "existing code",
    "rest of the",
    "rest of your",
    "remaining code",
    "remains the same",
    "remains unchanged",
    "remain unchanged",
    "remain the same",
    "same as before",
    "code here",
    "code goes here",
    "implementation here",
    "other methods",
    "omitted for brevity",
    "unchanged code",
    "previous code",
];

/// Code that says it is not there.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "raise NotImplementedError"];

/// A line that stands for code and did not stand there before.
pub(super) fn placeholder(old: &str, new: &str, language: Option<&Language>) -> Result<(), Fault> {
    let was_there = |line: &str| old.lines().any(|before| before.trim() == line);
    let found = new
        .lines()
        .map(str::trim)
        .find(|line| stands_for_code(line, language) && !was_there(line));
    match found {
        Some(line) => Err(Fault::Placeholder {
            line: line.chars().take(60).collect(),
        }),
        None => Ok(()),
    }
}

fn stands_for_code(line: &str, language: Option<&Language>) -> bool {
    if matches!(line, "..." | "…") || UNFINISHED.iter().any(|word| line.contains(word)) {
        return true;
    }
    let comment = match language {
        Some(language) => comment_text(line, language),
        None => ["//", "#", "/*", "--", ";", "<!--"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark)),
    };
    let Some(comment) = comment else { return false };
    let comment = comment.trim().trim_end_matches("*/").trim().to_lowercase();
    if comment.starts_with("...") || comment.starts_with('…') {
        return true;
    }
    STANDS_FOR_CODE.iter().any(|words| comment.contains(words))
        && (comment.ends_with("...")
            || comment.ends_with('…')
            || comment.ends_with(')')
            || comment.len() < 48)
}

/// What a comment says: of a line, or behind its code.
fn comment_text<'a>(line: &'a str, language: &Language) -> Option<&'a str> {
    let marks = [
        Some(language.line_comment),
        language.block_comment.map(|(open, _)| open),
    ];
    marks
        .into_iter()
        .flatten()
        .filter_map(|mark| line.find(mark).map(|at| &line[at + mark.len()..]))
        .max_by_key(|text| text.len())
        .map(|text| text.trim_start_matches(['/', '*', '!']))
}
