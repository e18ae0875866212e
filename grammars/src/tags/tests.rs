//! What counts as a definition, language by language, and that hostile texts cost little.

use super::*;
use crate::languages;

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The names of functions, types and values, in the order of the text.
fn names(language: &str, text: &str) -> Vec<String> {
    let language = languages::by_id(language).expect("a row of the table");
    let found = Tagger::new(language).definitions(text, &mut go_on);
    let found = found.expect("nobody ended it");
    found
        .into_iter()
        .map(|one| {
            let kind = match one.kind {
                DefinitionKind::Function => 'f',
                DefinitionKind::Type => 't',
                DefinitionKind::Value => 'v',
            };
            format!("{kind} {}", &text[one.name])
        })
        .collect()
}

#[test]
fn every_query_fits_its_grammar() {
    for language in languages::ALL {
        let mut tagger = Tagger::new(language);
        assert!(tagger.captures.contains(&None), "{}", language.id);
        assert_eq!(tagger.definitions("", &mut go_on), Some(Vec::new()));
    }
}

#[test]
fn definitions_are_found_in_every_language() {
    let mut samples = vec![
        (
            "rust",
            "pub struct A { b: u8 }\nimpl A { fn c(&self) {} }\nconst D: u8 = 1;\nmacro_rules! e { () => {} }",
            "t A, f c, v D, f e",
        ),
        (
            "python",
            "LIMIT = 1\nclass A:\n    def b(self):\n        x = 1\n\ndef c(): pass\n",
            "v LIMIT, t A, f b, f c",
        ),
        (
            "javascript",
            "export const a = (b) => b;\nfunction c() {}\nclass D { e() {} }\nconst f = 1;\n",
            "f a, f c, t D, f e, v f",
        ),
        ("javascriptreact", "const A = () => <b/>;\n", "f A"),
        (
            "typescript",
            "export interface A { b(): void }\ntype C = A;\nenum D { E }\nabstract class F { abstract g(): void; h() {} }\nexport const i: number = 1;\n",
            "t A, f b, t C, t D, t F, f g, f h, v i",
        ),
        (
            "typescriptreact",
            "export function A(): B { return <c/>; }\n",
            "f A",
        ),
        (
            "go",
            "package a\ntype B struct{}\nfunc (b B) C() {}\nfunc D() {}\nconst E = 1\nvar F = 2\n",
            "t B, f C, f D, v E, v F",
        ),
        (
            "c",
            "#define A 1\nstruct B { int c; };\nint d(int e);\nstatic char *f(void) { return 0; }\ntypedef struct B G;\n",
            "v A, t B, f d, f f, t G",
        ),
        (
            "cpp",
            "class A { void b(); void c() {} };\nvoid A::b() {}\nint d() { return 1; }\n",
            "t A, f b, f c, f b, f d",
        ),
        (
            "java",
            "class A { int b; void c() {} }\ninterface D { int e(); }\nenum F { G }\nrecord H(int i) {}\n",
            "t A, f c, t D, f e, t F, t H",
        ),
        (
            "lua",
            "local function a() end\nfunction b.c() end\nfunction b:d() end\n",
            "f a, f c, f d",
        ),
        ("zig", "const a = 1;\npub fn b() void {}\n", "v a, f b"),
    ];
    if cfg!(feature = "all-languages") {
        samples.extend([
            (
                "csharp",
                "namespace A { class B { int C { get; } void D() {} } interface E {} }\n",
                "t B, v C, f D, t E",
            ),
            (
                "ruby",
                "module A\n  class B\n    def c; end\n    def self.d; end\n  end\nend\n",
                "t A, t B, f c, f d",
            ),
            (
                "php",
                "<?php\nfunction a() {}\nclass B { function c() {} }\ninterface D {}\n",
                "f a, t B, f c, t D",
            ),
            (
                "kotlin",
                "class A { fun b() {} }\nobject C\nfun d(): Int = 1\n",
                "t A, f b, t C, f d",
            ),
            (
                "swift",
                "class A { func b() {} }\nprotocol C { func d() }\n",
                "t A, f b, t C, f d",
            ),
            (
                "scala",
                "class A { def b = 1 }\nobject C\ntrait D { def e: Int }\n",
                "t A, f b, t C, t D, f e",
            ),
        ]);
    }
    assert_eq!(samples.len(), languages::ALL.len(), "a sample of each");
    for (language, text, expected) in samples {
        assert_eq!(names(language, text).join(", "), expected, "{language}");
    }
}

#[test]
fn a_body_begins_where_the_signature_ends() {
    let text = "export const a = (b) => {\n  c();\n};\nfn x";
    let language = languages::by_id("javascript").expect("a row");
    let found = Tagger::new(language).definitions(text, &mut go_on);
    let found = found.expect("nobody ended it");
    let body = found[0].body.expect("a body");
    assert_eq!(&text[..body], "export const a = (b) => ");
}

#[test]
fn broken_long_and_nested_texts_give_what_can_be_had() {
    assert_eq!(names("rust", "fn a( {\nfn b() {}\n"), ["f b"]);
    let deep = "fn a() {}\n".to_owned() + &"(".repeat(100_000);
    assert_eq!(names("rust", &deep), Vec::<String>::new());
    let long = "fn a() {}\n".repeat(TEXT_BYTES_MAX / 10 + 1);
    assert_eq!(names("rust", &long), Vec::<String>::new());
}

#[test]
fn a_parse_ends_when_nobody_wants_it_and_the_next_one_is_whole() {
    let language = languages::by_id("rust").expect("a row");
    let mut tagger = Tagger::new(language);
    let text = "fn a() { b(1, 2, 3); }\n".repeat(5_000);
    assert_eq!(
        tagger.definitions(&text, &mut || ControlFlow::Break(())),
        None
    );
    let found = tagger.definitions("fn c() {}", &mut go_on);
    assert_eq!(found.expect("nobody ended it").len(), 1);
}
