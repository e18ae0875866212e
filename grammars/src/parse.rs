//! The syntax tree of one document, kept up to date edit by edit.

use std::fmt;
use std::ops::Range;

use ropey::Rope;
use tree_sitter::{InputEdit, Node, Parser, Point, Tree};

use crate::Language;

/// One replacement of text, in the coordinates that the tree needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit(InputEdit);

impl Edit {
    /// The edit that puts `new` in place of the bytes `old` of `before`, the text as it was.
    ///
    /// # Panics
    /// If `old` is not within `before`.
    pub fn replacing(before: &Rope, old: Range<usize>, new: &str) -> Self {
        let start = point(before, old.start);
        let end = match new.rfind('\n') {
            Some(newline) => Point {
                row: start.row + new.bytes().filter(|byte| *byte == b'\n').count(),
                column: new.len() - newline - 1,
            },
            None => Point {
                row: start.row,
                column: start.column + new.len(),
            },
        };
        Self(InputEdit {
            start_byte: old.start,
            old_end_byte: old.end,
            new_end_byte: old.start + new.len(),
            start_position: start,
            old_end_position: point(before, old.end),
            new_end_position: end,
        })
    }
}

/// Row and column of a byte as tree-sitter counts them: rows end at `\n` alone.
///
/// The rope also ends lines at a lone `\r`, so its line index cannot be used: the newlines are
/// counted in its chunks.
fn point(text: &Rope, byte: usize) -> Point {
    let (mut row, mut line_start, mut seen) = (0, 0, 0);
    for chunk in text.byte_slice(..byte).chunks() {
        let newlines = chunk.bytes().filter(|byte| *byte == b'\n').count();
        if newlines > 0 {
            row += newlines;
            line_start = seen + chunk.rfind('\n').map_or(0, |newline| newline + 1);
        }
        seen += chunk.len();
    }
    Point {
        row,
        column: byte - line_start,
    }
}

/// A document's syntax tree.
///
/// The order of calls is: [`edit`](Self::edit) once per change, then [`reparse`](Self::reparse) once
/// with the text after all of them; many edits thus cost one parse.
#[derive(Clone)]
pub struct SyntaxTree {
    language: &'static Language,
    tree: Tree,
}

impl fmt::Debug for SyntaxTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyntaxTree")
            .field("language", &self.language.id)
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl SyntaxTree {
    /// Parses a whole document.
    pub fn parse(language: &'static Language, text: &Rope) -> Self {
        Self {
            language,
            tree: parse(language, text, None),
        }
    }

    /// Moves the tree's nodes to where an edit put them; the nodes in the edit are out of date until
    /// the next [`reparse`](Self::reparse).
    pub fn edit(&mut self, edit: &Edit) {
        self.tree.edit(&edit.0);
    }

    /// Brings the tree up to date with `text`, looking only at what the edits touched.
    pub fn reparse(&mut self, text: &Rope) {
        self.tree = parse(self.language, text, Some(&self.tree));
    }

    /// The language it was parsed as.
    pub fn language(&self) -> &'static Language {
        self.language
    }

    /// The node of the whole document.
    pub fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }
}

fn parse(language: &'static Language, text: &Rope, old: Option<&Tree>) -> Tree {
    let mut parser = Parser::new();
    parser
        .set_language(&language.grammar())
        .expect("a test loads the grammar of every row");
    let mut read = |byte: usize, _: Point| -> &[u8] {
        if byte >= text.len_bytes() {
            return &[];
        }
        let (chunk, start, ..) = text.chunk_at_byte(byte);
        &chunk.as_bytes()[byte - start..]
    };
    parser
        .parse_with_options(&mut read, old, None)
        .expect("a parse without a deadline gives a tree")
}

#[cfg(test)]
mod tests;
