//! The unit of an action: the smallest item around the selection, else the statements it touches.

use std::ops::Range;

use carat_grammars::{Item, SyntaxTree};

use super::Refusal;

/// More lines are not rewritten at once: at ten tokens a second they take minutes, and long answers
/// lose code.
pub(super) const LINES_MAX: usize = 120;

/// Around a caret that stands in no item, this many lines on each side are explained.
const LINES_AROUND: usize = 30;

/// A piece of the text that an action is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where it stands.
    pub range: Range<usize>,
    /// The item that it is; none for statements and lines.
    pub item: Option<Item>,
}

impl Unit {
    /// Its name.
    pub fn name<'a>(&self, text: &'a str) -> Option<&'a str> {
        let name = self.item.as_ref()?.name.clone()?;
        text.get(name)
    }
}

/// The item to rewrite, or the statements that are selected, within the bounds of one answer.
pub(super) fn to_rewrite(
    text: &str,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
) -> Result<Unit, Refusal> {
    let selected = trimmed(text, selection);
    let item = tree.and_then(|tree| item_at(text, tree, &selected));
    let mut whole = None;
    if let Some(item) = item {
        let lines = line_count(&text[item.range.clone()]);
        if lines <= LINES_MAX {
            return Ok(Unit {
                range: item.range.clone(),
                item: Some(item),
            });
        }
        let name = item.name.and_then(|name| text.get(name));
        let what = name.map_or_else(|| "the code here".to_owned(), |name| format!("`{name}`"));
        whole = Some(too_long(what, lines));
    }
    if selected.is_empty() {
        return Err(whole.unwrap_or(Refusal::NoItem));
    }
    let range = match tree {
        Some(tree) => tree
            .enclosing_statements(selected.clone())
            .unwrap_or_else(|| whole_lines(text, &selected)),
        None => whole_lines(text, &selected),
    };
    let count = line_count(&text[range.clone()]);
    if count > LINES_MAX {
        return Err(too_long("the selection".to_owned(), count));
    }
    Ok(Unit { range, item: None })
}

/// The named item at the selection, however long.
pub(super) fn named(
    text: &str,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
) -> Result<Unit, Refusal> {
    let item = tree
        .and_then(|tree| item_at(text, tree, &trimmed(text, selection)))
        .filter(|item| item.name.is_some())
        .ok_or(Refusal::NoItem)?;
    Ok(Unit {
        range: item.range.clone(),
        item: Some(item),
    })
}

/// What to explain: the item, the selection, else what stands around the caret.
pub(super) fn to_explain(
    text: &str,
    tree: Option<&SyntaxTree>,
    selection: &Range<usize>,
) -> Result<Unit, Refusal> {
    match to_rewrite(text, tree, selection) {
        Ok(unit) => return Ok(unit),
        Err(Refusal::NoItem) => {}
        Err(other) if !trimmed(text, selection).is_empty() => return Err(other),
        // Of a long item, what stands around the caret.
        Err(_) => {}
    }
    let at = selection.start.min(text.len());
    let before = text[..at]
        .rmatch_indices('\n')
        .nth(LINES_AROUND)
        .map_or(0, |(newline, _)| newline + 1);
    let after = text[at..]
        .match_indices('\n')
        .nth(LINES_AROUND)
        .map_or(text.len(), |(newline, _)| at + newline);
    let range = trimmed(text, &(before..after));
    if range.is_empty() {
        return Err(Refusal::NoItem);
    }
    Ok(Unit {
        range: whole_lines(text, &range),
        item: None,
    })
}

/// The item at a selection. A caret stands for its line as well: in the indentation before an item,
/// or behind its last bracket, it means that item and not the one around it.
pub(super) fn item_at(text: &str, tree: &SyntaxTree, selected: &Range<usize>) -> Option<Item> {
    let exact = tree.enclosing_item(selected.clone());
    if !selected.is_empty() {
        return exact;
    }
    let line = trimmed(text, &line_of(text, selected.start));
    let of_line = if line.is_empty() {
        None
    } else {
        tree.enclosing_item(line)
    };
    [exact, of_line]
        .into_iter()
        .flatten()
        .min_by_key(|item| item.range.len())
}

fn too_long(what: String, lines: usize) -> Refusal {
    Refusal::TooLong {
        what,
        lines,
        max: LINES_MAX,
    }
}

fn line_count(text: &str) -> usize {
    text.trim_end().lines().count()
}

fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |newline| at + newline);
    start..end
}

/// The selection without the white space at its ends; a caret if nothing is left.
pub(super) fn trimmed(text: &str, selection: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(selection.start.min(selection.end));
    let end = text.ceil_char_boundary(selection.end.max(selection.start).min(text.len()));
    let selected = &text[start..end];
    if selected.trim().is_empty() {
        return start..start;
    }
    let lead = selected.len() - selected.trim_start().len();
    start + lead..start + selected.trim_end().len()
}

/// From the first character to the last of the lines that a range touches, indentation aside.
fn whole_lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let lines = line_of(text, range.start).start..line_of(text, range.end).end;
    trimmed(text, &lines)
}
