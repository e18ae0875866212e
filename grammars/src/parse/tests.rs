//! Incremental parsing equals parsing afresh, and broken code is ordinary input.

use proptest::prelude::*;
use ropey::Rope;

use crate::{Edit, SyntaxTree, languages};

/// What programs are made of, in the languages of the table, together with what breaks them.
const PIECES: &[&str] = &[
    "fn f(x: u8) {",
    "}",
    "(",
    ")",
    "[",
    "]",
    "let a = 1;",
    "def g():\n    ",
    "class A {",
    "if x:",
    "\"",
    "'",
    "`",
    "\n",
    "\r\n",
    "\r",
    "    ",
    "// c\n",
    "# c\n",
    "/*",
    "*/",
    "func h() int {",
    "import os\n",
    "#include <a.h>\n",
    "<div>",
    "</div>",
    "=>",
    "é",
    "😊",
    "\u{2028}",
    "\0",
    "struct S { int x; };",
    "r#\"",
    "'''",
    ";",
    "return ",
];

fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

fn boundary(text: &str, wanted: usize) -> usize {
    let wanted = wanted.min(text.len());
    (0..=wanted)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .expect("0 is a boundary")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_fresh(
        language in 0..languages::ALL.len(),
        start in program(),
        edits in prop::collection::vec((0usize..200, 0usize..60, program()), 1..6),
        at_once in any::<bool>(),
    ) {
        let language = &languages::ALL[language];
        let mut text = Rope::from_str(&start);
        let mut tree = SyntaxTree::parse(language, &text);
        for (from, length, new) in edits {
            let plain = text.to_string();
            let from = boundary(&plain, from);
            let to = boundary(&plain, from + length);
            tree.edit(&Edit::replacing(&text, from..to, &new));
            // Not Rope::insert in the middle of CRLF by chars: byte offsets are mapped through chars.
            let chars = text.byte_to_char(from)..text.byte_to_char(to);
            text.remove(chars.clone());
            text.insert(chars.start, &new);
            if !at_once {
                tree.reparse(&text);
            }
        }
        tree.reparse(&text);
        let fresh = SyntaxTree::parse(language, &text);
        prop_assert_eq!(tree.root().end_byte(), fresh.root().end_byte());
        prop_assert_eq!(tree.root().has_error(), fresh.root().has_error());
        // Where the code is broken, tree-sitter may recover in another way when it starts from an
        // old tree; where it is not, the trees are equal.
        if !fresh.root().has_error() {
            prop_assert_eq!(tree.root().to_sexp(), fresh.root().to_sexp());
        }
    }
}

#[test]
fn typing_a_program_keeps_the_tree_fresh() {
    let program = "// a 😊\r\nfn area(radius: f64) -> f64 {\r\n    let pi = 3.14;\r\n    pi * radius\r\n}\r\n";
    let rust = languages::by_id("rust").expect("a row of the table");
    let mut text = Rope::new();
    let mut tree = SyntaxTree::parse(rust, &text);
    for (at, typed) in program.char_indices() {
        let typed = typed.to_string();
        tree.edit(&Edit::replacing(&text, at..at, &typed));
        text.insert(text.len_chars(), &typed);
        tree.reparse(&text);
    }
    assert_eq!(
        tree.root().to_sexp(),
        SyntaxTree::parse(rust, &Rope::from_str(program))
            .root()
            .to_sexp()
    );
    assert!(!tree.root().has_error());
}

#[test]
fn rows_end_at_line_feeds_alone() {
    let rust = languages::by_id("rust").expect("a row of the table");
    let text = Rope::from_str("a\rb\u{2028}c\nd");
    let mut tree = SyntaxTree::parse(rust, &text);
    let edit = Edit::replacing(&text, 8..8, "x\ny");
    tree.edit(&edit);
    let edited = Rope::from_str("a\rb\u{2028}c\nx\nyd");
    tree.reparse(&edited);
    assert_eq!(tree.root().end_position().row, 2);
    assert_eq!(
        tree.root().to_sexp(),
        SyntaxTree::parse(rust, &edited).root().to_sexp()
    );
}
