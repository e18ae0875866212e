//! Items: the functions, types and blocks that have a name, and the comments that belong to them.
//!
//! An item is what a user means by "this function": its wrapper (`export`, decorators, `template`)
//! and the comments and attributes right before it are part of it.

use std::ops::Range;

use tree_sitter::Node;

use crate::SyntaxTree;
use crate::item_syntax::ItemSyntax;

#[cfg(test)]
mod tests;

/// Values that make a binding an item.
const BOUND: &[&str] = &[
    "arrow_function",
    "function_expression",
    "generator_function",
    "class",
];

/// Kinds that are items only where they are defined: `struct S x;` mentions one.
const NEEDS_BODY: &[&str] = &[
    "struct_specifier",
    "union_specifier",
    "enum_specifier",
    "class_specifier",
];

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Everything: leading comments and attributes, wrappers, the item.
    pub range: Range<usize>,
    /// The comments that `range` begins with; empty where there are none.
    pub comments: Range<usize>,
    /// The item with its wrappers, without what leads it.
    pub code: Range<usize>,
    /// The grammar's name of the item's kind.
    pub kind: &'static str,
    /// Its name: for an `impl` the type, for a method in C++ the whole path.
    pub name: Option<Range<usize>>,
    /// What stands in its braces, or is indented.
    pub body: Option<Range<usize>>,
}

impl SyntaxTree {
    /// The smallest item that covers `range`, which may also lie in the comments before it.
    pub fn enclosing_item(&self, range: Range<usize>) -> Option<Item> {
        let syntax = self.language().items;
        let mut node = Some(
            self.root()
                .descendant_for_byte_range(range.start, range.end)?,
        );
        while let Some(current) = node {
            if is_item(syntax, current) {
                return Some(item(syntax, current));
            }
            // A wrapper is part of what it wraps, also where the caret stands on its own word.
            if syntax.wrappers.contains(&current.kind())
                && let Some(inner) = wrapped(syntax, current)
            {
                return Some(item(syntax, inner));
            }
            if let Some(led) = led_by(syntax, current)
                && item(syntax, led).range.start <= range.start
            {
                return Some(item(syntax, led));
            }
            node = current.parent();
        }
        None
    }

    /// The shortest run of whole statements or members that covers `range`.
    pub fn enclosing_statements(&self, range: Range<usize>) -> Option<Range<usize>> {
        let syntax = self.language().items;
        let mut node = Some(
            self.root()
                .descendant_for_byte_range(range.start, range.end)?,
        );
        while let Some(current) = node {
            if syntax.containers.contains(&current.kind()) {
                let mut cursor = current.walk();
                let touched: Vec<_> = current
                    .named_children(&mut cursor)
                    .filter(|child| {
                        child.start_byte() < range.end.max(range.start + 1)
                            && range.start < child.end_byte()
                    })
                    .collect();
                let (first, last) = (touched.first()?, touched.last()?);
                let run = first.start_byte()..last.end_byte();
                if run.start <= range.start && range.end <= run.end {
                    return Some(run);
                }
            }
            node = current.parent();
        }
        None
    }

    /// All items in the order in which they begin, nested ones after those around them.
    pub fn items(&self) -> Vec<Item> {
        let syntax = self.language().items;
        let (mut found, mut pending) = (Vec::new(), vec![self.root()]);
        while let Some(node) = pending.pop() {
            if is_item(syntax, node) {
                found.push(item(syntax, node));
            }
            let mut cursor = node.walk();
            let children: Vec<_> = node.named_children(&mut cursor).collect();
            pending.extend(children.into_iter().rev());
        }
        found
    }

    /// Number of places that are not as the grammar has it: errors and tokens that are missing.
    pub fn error_count(&self) -> usize {
        let (mut count, mut pending) = (0, vec![self.root()]);
        while let Some(node) = pending.pop() {
            if node.is_error() || node.is_missing() {
                count += 1;
            }
            if node.has_error() {
                let mut cursor = node.walk();
                pending.extend(node.children(&mut cursor));
            }
        }
        count
    }

    /// The end of the comments that the text begins with.
    pub fn leading_comments_end(&self) -> usize {
        let root = self.root();
        let mut cursor = root.walk();
        root.children(&mut cursor)
            .take_while(|child| self.language().items.comments.contains(&child.kind()))
            .last()
            .map_or(0, |comment| comment.end_byte())
    }

    /// The string that documents the item whose body is `body`, where the language has such strings.
    pub fn docstring(&self, body: Range<usize>) -> Option<Range<usize>> {
        let block = self
            .root()
            .descendant_for_byte_range(body.start, body.end)?;
        let first = if block.kind() == "block" {
            block.named_child(0)?
        } else {
            block
        };
        let string = if first.kind() == "expression_statement" {
            first.named_child(0)?
        } else {
            first
        };
        (string.kind() == "string" && string.start_byte() == body.start)
            .then(|| string.byte_range())
    }
}

fn is_item(syntax: &ItemSyntax, node: Node<'_>) -> bool {
    let kind = node.kind();
    if NEEDS_BODY.contains(&kind) && node.child_by_field_name("body").is_none() {
        return false;
    }
    syntax.items.contains(&kind) || (syntax.bindings.contains(&kind) && bound(node).is_some())
}

/// The part of a binding that has the name, if its value is a function or a class.
fn bound(node: Node<'_>) -> Option<Node<'_>> {
    let holds = |node: &Node<'_>| {
        node.child_by_field_name("value")
            .is_some_and(|value| BOUND.contains(&value.kind()))
    };
    if holds(&node) {
        return Some(node);
    }
    let mut cursor = node.walk();
    let mut declarators = node.named_children(&mut cursor);
    declarators.find(|child| child.kind() == "variable_declarator" && holds(child))
}

/// The item in a wrapper.
fn wrapped<'a>(syntax: &ItemSyntax, wrapper: Node<'a>) -> Option<Node<'a>> {
    let mut node = wrapper;
    loop {
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        if let Some(found) = children.iter().find(|child| is_item(syntax, **child)) {
            return Some(*found);
        }
        node = *children
            .iter()
            .find(|child| syntax.wrappers.contains(&child.kind()))?;
    }
}

/// The item after a comment or an attribute.
fn led_by<'a>(syntax: &ItemSyntax, node: Node<'a>) -> Option<Node<'a>> {
    let leads = |kind: &str| syntax.comments.contains(&kind) || syntax.attributes.contains(&kind);
    if !leads(node.kind()) {
        return None;
    }
    let mut next = node.next_named_sibling()?;
    while leads(next.kind()) {
        next = next.next_named_sibling()?;
    }
    if is_item(syntax, next) {
        Some(next)
    } else {
        wrapped(syntax, next).filter(|_| syntax.wrappers.contains(&next.kind()))
    }
}

fn item(syntax: &ItemSyntax, node: Node<'_>) -> Item {
    let mut outer = node;
    while let Some(parent) = outer
        .parent()
        .filter(|parent| syntax.wrappers.contains(&parent.kind()))
    {
        outer = parent;
    }
    let mut start = outer;
    let mut comments_end = None;
    while let Some(lead) = lead_of(syntax, start) {
        comments_end = if syntax.comments.contains(&lead.kind()) {
            comments_end.or(Some(lead.end_byte()))
        } else {
            // Comments behind an attribute are not at the beginning.
            None
        };
        start = lead;
    }
    let begin = start.start_byte();
    let named = bound(node).unwrap_or(node);
    Item {
        range: begin..outer.end_byte(),
        comments: begin..comments_end.unwrap_or(begin),
        code: outer.byte_range(),
        kind: kind_name(syntax, node.kind()),
        name: name(named).map(|name| name.byte_range()),
        body: body(named).map(|body| body.byte_range()),
    }
}

/// The comment or attribute right before a node, if it belongs to it.
fn lead_of<'a>(syntax: &ItemSyntax, node: Node<'a>) -> Option<Node<'a>> {
    let lead = node.prev_named_sibling()?;
    let kind = lead.kind();
    let is_comment = syntax.comments.contains(&kind);
    if !is_comment && !syntax.attributes.contains(&kind) {
        return None;
    }
    // A blank line between them parts them; a comment behind other code belongs to that code.
    let end = lead.end_position();
    let last_row = end.row - usize::from(end.column == 0 && end.row > lead.start_position().row);
    let adjacent = node.start_position().row <= last_row + 1;
    let own_line = lead.prev_sibling().is_none_or(|before| {
        let before_end = before.end_position();
        before_end.row < lead.start_position().row || before_end.column == 0
    });
    let inner = lead.child_by_field_name("inner").is_some();
    (adjacent && !inner && (own_line || !is_comment)).then_some(lead)
}

/// The table's own spelling of a kind, which outlives the tree.
fn kind_name(syntax: &ItemSyntax, kind: &str) -> &'static str {
    let mut known = syntax.items.iter().chain(syntax.bindings);
    known.find(|name| **name == kind).copied().unwrap_or("item")
}

fn name(node: Node<'_>) -> Option<Node<'_>> {
    if let Some(name) = node.child_by_field_name("name") {
        return Some(name);
    }
    match node.kind() {
        "impl_item" => node.child_by_field_name("type"),
        "field_definition" => node.child_by_field_name("property"),
        "type_declaration" => {
            let mut cursor = node.walk();
            let first = node.named_children(&mut cursor).next();
            first.and_then(|spec| spec.child_by_field_name("name"))
        }
        _ => {
            let mut declarator = node.child_by_field_name("declarator")?;
            loop {
                let inner = declarator.child_by_field_name("declarator").or_else(|| {
                    // A reference has its declarator without a field.
                    (declarator.kind() == "reference_declarator")
                        .then(|| declarator.named_child(0))
                        .flatten()
                });
                match inner {
                    Some(inner) => declarator = inner,
                    None => return Some(declarator),
                }
            }
        }
    }
}

fn body(node: Node<'_>) -> Option<Node<'_>> {
    node.child_by_field_name("body").or_else(|| {
        node.child_by_field_name("value")
            .and_then(|value| value.child_by_field_name("body"))
    })
}
