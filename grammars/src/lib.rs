//! Languages as data: their strings and comments, syntax trees, and items with names and comments.
//!
//! A language is a row of [`languages::ALL`]; [`SyntaxTree`] is its tree over a rope, kept up to
//! date edit by edit. Parsing never fails: broken code, the daily input of a completion engine,
//! gives a tree with error nodes, and a file in an unknown language simply has no tree. The crate
//! does no I/O and knows neither editors nor models. All positions are UTF-8 byte offsets.
//!
//! ```
//! use carat_grammars::{Edit, SyntaxTree, languages};
//! use ropey::Rope;
//!
//! let rust = languages::by_id("rust").expect("a row of the table");
//! let mut text = Rope::from_str("fn main() {}");
//! let mut tree = SyntaxTree::parse(rust, &text);
//!
//! let edit = Edit::replacing(&text, 11..11, "let x = 1;");
//! text.insert(11, "let x = 1;");
//! tree.edit(&edit);
//! tree.reparse(&text);
//! assert_eq!(tree.root().kind(), "source_file");
//! ```

mod item_syntax;
mod items;
pub mod languages;
mod lexer;
mod parse;
mod tags;

pub use item_syntax::ItemSyntax;
pub use items::Item;
pub use languages::Language;
pub use lexer::{Lexer, Mark, Place};
pub use parse::{Edit, SyntaxTree};
pub use tags::{Definition, DefinitionKind, Tagger};
