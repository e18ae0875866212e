//! What is chosen for a caret, and that it stays while it may.

use std::ops::ControlFlow;

use carat_grammars::languages;

use super::*;

const STORE: &str = "/// Keeps records.
pub struct LedgerStore {
    records: Vec<Record>,
}

impl LedgerStore {
    pub fn insert_ledger_record(&mut self, key: RecordKey, record: Record) -> Result<(), LedgerError> {
        self.records.push(record);
        Ok(())
    }

    pub fn compact_ledger(&mut self) {}
}
";

const ALIKE: &str =
    "fn saves_twice(store: &mut LedgerStore, key: RecordKey) -> Result<(), LedgerError> {
    let record = Record::of(key);
    store.insert_ledger_record(key, record.clone())?;
    store.insert_ledger_record(key, record)
}
";

fn index(files: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    for (path, text) in files {
        index.set(path, text);
    }
    index
}

/// What is chosen at `|`, with a token for each four bytes.
fn chosen(index: &Index, document: &str, tokens_max: usize) -> Chosen {
    let (prefix, suffix) = document.split_once('|').expect("a caret");
    let known = Known {
        index,
        path: "src/own.rs",
    };
    let mut outline = Outline::default();
    assert!(outline.learn(index, known.path, &mut || ControlFlow::Continue(())));
    let spot = Spot {
        prefix,
        suffix,
        language: languages::by_id("rust"),
    };
    choose(&spot, known, &outline, tokens_max, &|text| {
        text.len().div_ceil(4)
    })
}

fn files(chosen: &Chosen) -> Vec<&str> {
    chosen
        .excerpts
        .iter()
        .map(|one| one.path.as_str())
        .collect()
}

#[test]
fn definitions_of_the_names_around_come_with_like_places_behind_them() {
    let index = index(&[
        ("src/store.rs", STORE),
        ("src/twice.rs", ALIKE),
        ("src/other.rs", "pub fn nothing_alike(a: u8) -> u8 { a }\n"),
        ("src/own.rs", "fn own() {}\n"),
    ]);
    let document = "fn saves(store: &mut LedgerStore, key: RecordKey) -> Result<(), LedgerError> {\n    let record = Record::of(key);\n    store.insert_ledger_record(key, rec|\n}\n";
    let found = chosen(&index, document, 400);
    assert_eq!(files(&found), ["src/store.rs", "src/twice.rs"]);
    assert_eq!(
        found.excerpts[0].text,
        "pub struct LedgerStore {\n    records: Vec<Record>,\n}\npub fn insert_ledger_record(&mut self, key: RecordKey, record: Record) -> Result<(), LedgerError>"
    );
    assert_eq!(found.excerpts[1].text, ALIKE.trim_end());
    assert_eq!(chosen(&index, document, 0).excerpts, []);
}

#[test]
fn the_budget_holds() {
    let many: Vec<(String, String)> = (0..40)
        .map(|n| (format!("src/f{n}.rs"), format!("pub fn function_{n}(argument: Argument{n}) -> Result{n} {{\n    todo(argument)\n}}\n")))
        .collect();
    let files: Vec<_> = many
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let index = index(&files);
    let calls: String = (0..40)
        .map(|n| format!("    function_{n}(argument)?;\n"))
        .collect();
    for tokens_max in [16, 64, 200, 800] {
        let found = chosen(
            &index,
            &format!("fn own() {{\n{calls}    |\n}}\n"),
            tokens_max,
        );
        let told: usize = found
            .excerpts
            .iter()
            .map(|one| one.text.len().div_ceil(4))
            .sum();
        assert!(told <= tokens_max, "{told} of {tokens_max}");
    }
}

#[test]
fn imported_files_offer_what_they_define_and_homonyms_are_told_of_imports_alone() {
    let mut files = vec![(
        "src/shapes.rs",
        "pub fn area_of(shape: &Shape) -> f64 { 0.0 }\npub fn new() -> Shape { Shape }\n",
    )];
    let paths: Vec<String> = (0..10).map(|n| format!("lib/f{n}.rs")).collect();
    files.extend(
        paths
            .iter()
            .map(|path| (path.as_str(), "pub fn new() -> Other { Other }\n")),
    );
    let index = index(&files);
    let found = chosen(
        &index,
        "use crate::shapes;\n\nfn own() {\n    let a = shapes::new();\n    |\n}\n",
        300,
    );
    assert_eq!(super::tests::files(&found), ["src/shapes.rs"]);
    let text = &found.excerpts[0].text;
    assert!(
        text.contains("pub fn area_of(shape: &Shape) -> f64")
            && text.contains("pub fn new() -> Shape"),
        "{text}"
    );
    let found = chosen(&index, "fn own() {\n    let a = new();\n    |\n}\n", 300);
    assert_eq!(super::tests::files(&found), Vec::<&str>::new());
}

#[test]
fn a_choice_stays_until_much_of_it_would_be_another() {
    let of = |lines: std::ops::Range<usize>, tokens_max| Chosen {
        excerpts: vec![Excerpt {
            path: "a.rs".to_owned(),
            text: lines.map(|n| format!("fn function_{n}()\n")).collect(),
        }],
        tokens_max,
    };
    let mut chosen = Chosen::default();
    assert!(chosen.renew(of(0..9, 100)));
    assert!(!chosen.renew(of(0..9, 100)));
    assert!(!chosen.renew(of(2..11, 100)), "a quarter is new");
    assert_eq!(chosen, of(0..9, 100));
    assert!(chosen.renew(of(5..14, 100)));
    assert!(chosen.renew(of(5..14, 200)), "there is more room");
    assert!(
        !chosen.renew(Chosen {
            excerpts: Vec::new(),
            tokens_max: 200
        }),
        "nothing is no better"
    );
}
