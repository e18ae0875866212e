//! What a text defines: names of functions, types and values, found by a language's tags query.

use std::ops::{ControlFlow, Range};

use tree_sitter::{ParseOptions, Parser, Query, QueryCursor, StreamingIterator as _};

use crate::Language;

/// Longer texts are data.
const TEXT_BYTES_MAX: usize = 400_000;

/// Deeper nested brackets nobody writes; grammars take long for them.
const NESTING_MAX: usize = 200;

/// Definitions deeper in the tree are of no use elsewhere.
const DEPTH_MAX: u32 = 40;

/// What kind of thing is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    /// Something that can be called.
    Function,
    /// A type, or what has members.
    Type,
    /// A constant or a variable.
    Value,
}

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it is.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: Range<usize>,
    /// The node that defines it; words such as `export` or `const` may stand before it.
    pub range: Range<usize>,
    /// Where its body begins, if the grammar tells.
    pub body: Option<usize>,
}

/// Finds definitions in texts of one language. Holds a parser and its memory.
pub struct Tagger {
    parser: Parser,
    query: Query,
    cursor: QueryCursor,
    /// What each capture of the query means; `None` is the name.
    captures: Vec<Option<DefinitionKind>>,
}

impl std::fmt::Debug for Tagger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tagger").finish_non_exhaustive()
    }
}

impl Tagger {
    /// A tagger for a language.
    ///
    /// # Panics
    /// If the language's query does not fit its grammar, which a test rules out.
    pub fn new(language: &Language) -> Self {
        let grammar = language.grammar();
        let mut parser = Parser::new();
        parser
            .set_language(&grammar)
            .expect("a test loads the grammar of every row");
        let query =
            Query::new(&grammar, language.tags).expect("a test reads the query of every row");
        let captures = query.capture_names().iter().map(|name| match *name {
            "function" => Some(DefinitionKind::Function),
            "type" => Some(DefinitionKind::Type),
            "value" => Some(DefinitionKind::Value),
            _ => None,
        });
        let captures = captures.collect();
        let mut cursor = QueryCursor::new();
        cursor.set_max_start_depth(Some(DEPTH_MAX));
        Self {
            parser,
            query,
            cursor,
            captures,
        }
    }

    /// What `text` defines, each once, in the order of the text. Nothing of a text that is too long or
    /// too deeply nested; `None` if `go_on` ended it, which is asked every few hundred steps.
    pub fn definitions(
        &mut self,
        text: &str,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Option<Vec<Definition>> {
        if text.len() > TEXT_BYTES_MAX || nesting(text) > NESTING_MAX {
            return Some(Vec::new());
        }
        let mut progress = |_: &tree_sitter::ParseState| go_on();
        let options = ParseOptions::new().progress_callback(&mut progress);
        let mut read = |at: usize, _| text.as_bytes().get(at..).unwrap_or_default();
        let tree = self
            .parser
            .parse_with_options(&mut read, None, Some(options));
        let Some(tree) = tree else {
            // What an interrupted parse has would be gone on with.
            self.parser.reset();
            return None;
        };
        let mut found: Vec<Definition> = Vec::new();
        let mut matches = self
            .cursor
            .matches(&self.query, tree.root_node(), text.as_bytes());
        while let Some(one) = matches.next() {
            let (mut name, mut whole) = (None, None);
            for capture in one.captures() {
                match self.captures[capture.index as usize] {
                    None => name = Some(capture.node.byte_range()),
                    Some(kind) => whole = Some((kind, capture.node)),
                }
            }
            if let (Some(name), Some((kind, node))) = (name, whole) {
                let value = node.child_by_field_name("value");
                let body = node
                    .child_by_field_name("body")
                    .or_else(|| value.and_then(|value| value.child_by_field_name("body")));
                found.push(Definition {
                    kind,
                    name,
                    range: node.byte_range(),
                    body: body.map(|body| body.start_byte()),
                });
            }
        }
        // A function that is bound to a name is found as a value, too.
        found.sort_by_key(|one| (one.name.start, one.kind != DefinitionKind::Function));
        found.dedup_by_key(|one| one.name.start);
        Some(found)
    }
}

/// How deep brackets are nested at most, whatever stands in strings.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

#[cfg(test)]
mod tests;
