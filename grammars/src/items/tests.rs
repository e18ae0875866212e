//! What counts as one item, language by language.

use ropey::Rope;

use crate::{SyntaxTree, languages};

/// `|` is the caret; `expected` is kind, name and the lines that the item has.
#[track_caller]
fn check(language: &str, source: &str, expected: Option<(&str, &str, &str)>) {
    let caret = source.find('|').expect("a caret");
    let text = source.replacen('|', "", 1);
    let language = languages::by_id(language).expect("a row of the table");
    let tree = SyntaxTree::parse(language, &Rope::from_str(&text));
    let found = tree.enclosing_item(caret..caret);
    let found = found.as_ref().map(|item| {
        let name = item.name.clone().map_or("", |name| &text[name]);
        (item.kind, name, text[item.range.clone()].trim_end())
    });
    assert_eq!(found, expected, "{source}");
}

#[test]
fn rust_items_have_their_comments_and_attributes() {
    check(
        "rust",
        "use a::b;\n\n/// Doc.\n#[must_use]\npub fn f(x: u8) -> u8 {\n    x| + 1\n}\n",
        Some((
            "function_item",
            "f",
            "/// Doc.\n#[must_use]\npub fn f(x: u8) -> u8 {\n    x + 1\n}",
        )),
    );
    check(
        "rust",
        "impl fmt::Display for A {\n    fn g(&self) {}\n|\n}\n",
        Some((
            "impl_item",
            "A",
            "impl fmt::Display for A {\n    fn g(&self) {}\n\n}",
        )),
    );
    check(
        "rust",
        "/// About| f.\nfn f() {}\n",
        Some(("function_item", "f", "/// About f.\nfn f() {}")),
    );
    check(
        "rust",
        "//! The file.\nfn f() {|}\n",
        Some(("function_item", "f", "fn f() {}")),
    );
    check(
        "rust",
        "const A: u8 = 1; // one\nfn f() {|}\n",
        Some(("function_item", "f", "fn f() {}")),
    );
    check(
        "rust",
        "// apart\n\nfn f() {|}\n",
        Some(("function_item", "f", "fn f() {}")),
    );
    check("rust", "use a::|b;\nfn f() {}\n", None);
}

#[test]
fn wrappers_are_part_of_their_item() {
    check(
        "python",
        "@cache\ndef f(x):\n    return |x\n",
        Some((
            "function_definition",
            "f",
            "@cache\ndef f(x):\n    return x",
        )),
    );
    check(
        "python",
        "@ca|che\ndef f(x):\n    return x\n",
        Some((
            "function_definition",
            "f",
            "@cache\ndef f(x):\n    return x",
        )),
    );
    check(
        "typescript",
        "// Doc.\nexport const f = (x: number) => {\n  return |x;\n};\n",
        Some((
            "lexical_declaration",
            "f",
            "// Doc.\nexport const f = (x: number) => {\n  return x;\n};",
        )),
    );
    check(
        "cpp",
        "template <class T>\nT& A<T>::get(int i) { return |v[i]; }\n",
        Some((
            "function_definition",
            "A<T>::get",
            "template <class T>\nT& A<T>::get(int i) { return v[i]; }",
        )),
    );
}

#[test]
fn names_are_found_where_each_language_has_them() {
    check(
        "c",
        "static char *f(int a) { |return 0; }\n",
        Some((
            "function_definition",
            "f",
            "static char *f(int a) { return 0; }",
        )),
    );
    check(
        "c",
        "struct S { int |x; };\n",
        Some(("struct_specifier", "S", "struct S { int x; }")),
    );
    check(
        "go",
        "// F is.\nfunc (a *A) F() int { |return 1 }\n",
        Some((
            "method_declaration",
            "F",
            "// F is.\nfunc (a *A) F() int { return 1 }",
        )),
    );
    check(
        "go",
        "type A struct {\n\tx| int\n}\n",
        Some(("type_declaration", "A", "type A struct {\n\tx int\n}")),
    );
    check(
        "javascript",
        "class A {\n  m() { |return 1; }\n}\n",
        Some(("method_definition", "m", "m() { return 1; }")),
    );
    check("javascript", "const x = |1;\n", None);
    check(
        "typescriptreact",
        "interface P { a|: string }\n",
        Some(("interface_declaration", "P", "interface P { a: string }")),
    );
}

#[test]
fn statements_are_whole() {
    let text = "fn f() {\n    let a = 1;\n    let b = 2;\n    if a { g(b); }\n}\n";
    let language = languages::by_id("rust").expect("rust");
    let tree = SyntaxTree::parse(language, &Rope::from_str(text));
    let run = |from: &str, to: &str| {
        let start = text.find(from).expect("from");
        let end = text.find(to).expect("to") + to.len();
        tree.enclosing_statements(start..end)
            .map(|range| &text[range])
    };
    assert_eq!(run("a = 1", "b ="), Some("let a = 1;\n    let b = 2;"));
    assert_eq!(run("g", "(b)"), Some("g(b);"));
    assert_eq!(run("b = 2", "if a"), Some("let b = 2;\n    if a { g(b); }"));
}

#[test]
fn errors_are_counted() {
    let rust = languages::by_id("rust").expect("rust");
    let count = |text: &str| SyntaxTree::parse(rust, &Rope::from_str(text)).error_count();
    assert_eq!(count("fn f() { g(1); }\n"), 0);
    assert!(count("fn f() { g(1; }\n") > 0);
    assert!(count("fn f() { g(1); \n") > 0);
    assert!(count("fn f() { let x = @@; }\n") > 0);
}

#[test]
fn docstrings_are_found() {
    let python = languages::by_id("python").expect("python");
    for (text, expected) in [
        (
            "def f():\n    \"\"\"Doc.\"\"\"\n    return 1\n",
            Some("\"\"\"Doc.\"\"\""),
        ),
        ("def f():\n    'Doc.'\n", Some("'Doc.'")),
        ("def f():\n    return 'x'\n", None),
    ] {
        let tree = SyntaxTree::parse(python, &Rope::from_str(text));
        let item = tree.enclosing_item(5..5).expect("a function");
        let found = tree.docstring(item.body.expect("a body"));
        assert_eq!(found.map(|range| &text[range]), expected, "{text}");
    }
}

#[test]
fn all_items_in_order() {
    let rust = languages::by_id("rust").expect("rust");
    let text = "mod a { fn b() {} }\nstruct C;\n";
    let tree = SyntaxTree::parse(rust, &Rope::from_str(text));
    let names: Vec<_> = tree
        .items()
        .into_iter()
        .filter_map(|item| item.name.map(|name| &text[name]))
        .collect();
    assert_eq!(names, ["a", "b", "C"]);
}
