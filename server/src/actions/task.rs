//! What the model is told to do, and how its answer begins and is read.

use std::ops::Range;

use carat_grammars::{Language, SyntaxTree};

use super::check::Rules;
use super::indentation::{self, Shown};
use super::test_location::{self, Place};
use super::unit::{self, Unit};
use super::{Action, CustomKind, Refusal, offer};

/// How an answer is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Markdown.
    Prose,
    /// The unit, rewritten.
    Rewrite(Rules),
    /// A comment that goes before the code, in place of the one that is there.
    Comment,
    /// A string at the beginning of the body, in place of the one that is there.
    Docstring {
        replaces: Range<usize>,
        /// Whether something else stands there, which moves down.
        pushes: bool,
    },
    /// Tests.
    Tests(Place),
}

/// A request, understood.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) unit: Unit,
    /// The unit as the model sees it.
    pub(super) shown: Shown,
    /// What to do, in the words for the model.
    pub(super) words: String,
    pub(super) shape: Shape,
    /// The code that the answer begins with, inside of the fence; nothing for prose.
    pub(super) opening: String,
}

/// The end of every task that wants code: the prompt has opened the fence already.
const WHOLE: &str = "Answer with the complete new version of the code above and nothing else, in one fence. \
    Write all of it out: no placeholder for code that stays as it is.";

pub(super) fn task(
    action: &Action,
    text: &str,
    language: Option<&'static Language>,
    tree: Option<&SyntaxTree>,
    path: &str,
    selection: &Range<usize>,
) -> Result<Task, Refusal> {
    match action {
        Action::Explain => {
            let words = "Explain what this code does and how: its purpose first, then what is not obvious \
                (edge cases, side effects, errors, cost). Write Markdown, at most 150 words, no headings. \
                Do not repeat the code.";
            prose(text, tree, selection, words)
        }
        Action::Custom(custom) if custom.kind == CustomKind::Explain => {
            prose(text, tree, selection, custom.prompt.trim())
        }
        Action::Refactor { instruction } => {
            let (words, rules) = match instruction.as_deref().map(str::trim).filter(|words| !words.is_empty()) {
                Some(words) => (words.to_owned(), rules_for(offer::own_words(words))),
                None => (
                    "Make this code simpler and easier to read. Keep what it does and its signature.".to_owned(),
                    Rules { name: true, place: true, comments: true, lines_percent: 30 },
                ),
            };
            rewrite(text, tree, selection, &words, rules)
        }
        Action::Custom(custom) => rewrite(
            text,
            tree,
            selection,
            custom.prompt.trim(),
            rules_for(&custom.prompt),
        ),
        Action::Fix { message, at } => {
            let line_start = text[..at.start.min(text.len())]
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
            let line = text[line_start..].lines().next().unwrap_or_default().trim();
            let words = format!(
                "A compiler or linter reports for the line `{line}`:\n{}\n\nRepair the cause with the smallest change that is right.",
                message.trim()
            );
            let around = if selection.is_empty() { at } else { selection };
            rewrite(
                text,
                tree,
                around,
                &words,
                Rules {
                    name: true,
                    place: true,
                    comments: true,
                    lines_percent: 60,
                },
            )
        }
        Action::Document => document(text, language, tree, selection),
        Action::WriteTests => write_tests(text, language, tree, path, selection),
    }
}

fn prose(
    text: &str,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
    words: &str,
) -> Result<Task, Refusal> {
    let unit = unit::to_explain(text, tree, selection)?;
    let shown = indentation::show(text, &unit.range);
    let selected = unit::trimmed(text, selection);
    let part = text[selected].replace("\r\n", "\n");
    let words = if part.is_empty() || part.len() * 4 > shown.text.len() * 3 {
        words.to_owned()
    } else {
        format!("{words}\n\nThe user has selected this part of it; say most about it:\n{part}")
    };
    Ok(Task {
        unit,
        shown,
        words,
        shape: Shape::Prose,
        opening: String::new(),
    })
}

fn rewrite(
    text: &str,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
    words: &str,
    rules: Rules,
) -> Result<Task, Refusal> {
    let unit = unit::to_rewrite(text, tree, selection)?;
    let shown = indentation::show(text, &unit.range);
    let name = unit.item.as_ref().and_then(|item| item.name.clone());
    // Comments before the item are written out for the model as well: reading costs a tenth of writing.
    let opening = match name.filter(|_| rules.name) {
        Some(name) => shown.until(text, &unit.range, name.end),
        None if rules.comments => shown.until(text, &unit.range, code_after_comments(text, &unit)),
        None => String::new(),
    };
    let words = format!("{words}\n\n{WHOLE}");
    Ok(Task {
        unit,
        shown,
        words,
        shape: Shape::Rewrite(rules),
        opening,
    })
}

/// Where the line begins that comes after the comments before an item; where there are none, the unit.
fn code_after_comments(text: &str, unit: &Unit) -> usize {
    let start = unit.range.start;
    let comments = unit
        .item
        .as_ref()
        .map_or(start..start, |item| item.comments.clone());
    if comments.is_empty() || comments.start < start || comments.end > unit.range.end {
        return start;
    }
    let blanks = text[comments.end..unit.range.end].len()
        - text[comments.end..unit.range.end].trim_start().len();
    comments.end + blanks
}

/// What an instruction allows: a rename loses the name, a clean-up loses lines, who speaks of a class
/// may want one around the code, and who speaks of comments may mean those before the item, which are
/// kept otherwise.
fn rules_for(words: &str) -> Rules {
    let words = format!(" {}", words.to_lowercase());
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let shrinks = [
        "simpl", "short", "remov", "delet", "drop", "clean", "dedup", "dupl", "extract", "split",
        "inline", "concise", "strip",
    ];
    Rules {
        name: !says(&[
            "renam",
            "name",
            "comment",
            "doc",
            "attribute",
            "decorat",
            "split",
            "convert",
            "turn into",
            "public",
            "private",
            "visib",
            "async",
        ]),
        comments: !says(&["comment", "doc"]),
        place: !says(&[
            "wrap",
            "nest",
            " move",
            "module",
            "convert",
            "turn into",
            "trait",
            " impl",
            "class",
            "struct",
            "closure",
        ]),
        lines_percent: if says(&shrinks) { 0 } else { 60 },
    }
}

fn document(
    text: &str,
    language: Option<&'static Language>,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
) -> Result<Task, Refusal> {
    let (Some(language), Some(tree)) = (language, tree) else {
        return Err(Refusal::NoDocumentation);
    };
    let mut unit = unit::named(text, Some(tree), selection)?;
    let item = unit.item.clone().ok_or(Refusal::NoItem)?;
    let shown = shown_part(text, &item.range);
    let name = unit.name(text).unwrap_or_default().to_owned();
    let say = "Say what it is for, then what a caller must know (errors, panics, units), briefly and in plain English. Do not repeat its code.";
    if let (true, Some(body)) = (language.blocks_by_indentation, &item.body) {
        let existing = tree.docstring(body.clone());
        let pushes = existing.is_none();
        let replaces = existing.unwrap_or(body.start..body.start);
        unit.range = replaces.clone();
        return Ok(Task {
            unit,
            shown,
            words: format!(
                "Write the docstring of `{name}`. {say}\n\nAnswer with the docstring and nothing else, in one fence."
            ),
            shape: Shape::Docstring { replaces, pushes },
            opening: "\"\"\"".to_owned(),
        });
    }
    unit.range = if item.comments.is_empty() {
        item.range.start..item.range.start
    } else {
        item.comments.clone()
    };
    let opening = match language.id {
        "rust" => "///".to_owned(),
        "go" => format!("// {name}"),
        _ if language.block_comment.is_some() => "/**".to_owned(),
        _ => language.line_comment.to_owned(),
    };
    Ok(Task {
        unit,
        shown,
        words: format!(
            "Write the documentation comment that goes before `{name}`. {say}\n\nAnswer with the comment and nothing else, in one fence."
        ),
        shape: Shape::Comment,
        opening,
    })
}

fn write_tests(
    text: &str,
    language: Option<&'static Language>,
    tree: Option<&SyntaxTree>,
    path: &str,
    selection: &Range<usize>,
) -> Result<Task, Refusal> {
    let unit = unit::named(text, tree, selection)?;
    let (Some(language), Some(tree)) = (language, tree) else {
        return Err(Refusal::NoItem);
    };
    let name = unit.name(text).unwrap_or_default().to_owned();
    let place = test_location::place(text, language, tree, path);
    let words = format!(
        "Write unit tests of `{name}`: the usual case, the edge cases, the errors. {}\n\nAnswer with the tests and nothing else, in one fence.",
        place.words()
    );
    Ok(Task {
        shown: shown_part(text, &unit.range),
        unit,
        words,
        opening: place.opening().to_owned(),
        shape: Shape::Tests(place),
    })
}

/// An item as far as it can be shown; only rewriting needs all of it.
fn shown_part(text: &str, range: &Range<usize>) -> Shown {
    let piece = &text[range.clone()];
    let end = piece
        .match_indices('\n')
        .nth(unit::LINES_MAX)
        .map_or(piece.len(), |(newline, _)| newline);
    indentation::show(text, &(range.start..range.start + end))
}
