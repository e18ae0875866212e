//! What the index knows, compared with what a naive search of all texts finds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Continuations as text and share in thousandths, in an order of their own.
fn answer(index: &Index, here: Here<'_>) -> (i64, Vec<(String, i64)>) {
    let mut echo = Echo::new(index, here, EchoWeights::default());
    let weight = echo.look(here.prefix.as_bytes());
    let thousandths = |x: f32| (f64::from(x) * 1000.0).round() as i64;
    let all = echo.continuations();
    let mut all: Vec<_> = all
        .map(|(text, share)| (shown(text), thousandths(share)))
        .collect();
    all.sort();
    (thousandths(weight), all)
}

/// A continuation without the line's end and what follows.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split('\n').next().unwrap_or_default().to_owned()
}

fn here<'a>(path: &'a str, prefix: &'a str) -> Here<'a> {
    Here {
        path,
        prefix,
        suffix: "",
    }
}

fn settled(files: &[(&str, &str)]) -> Index {
    let mut builder = SegmentBuilder::default();
    for (path, text) in files {
        assert!(builder.push(path, 0, text));
    }
    let mut index = Index::default();
    index.adopt(builder.build());
    index
}

fn live(files: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    for (path, text) in files {
        index.set(path, text);
    }
    index
}

const DEFINITION: &str = "\
pub fn quantize_rows(rows: &[f32], scale: f32) -> Vec<i8> {
    rows.iter().map(|row| (row / scale) as i8).collect()
}
";

#[test]
fn a_name_of_another_file_is_continued() {
    let files = [("src/rows.rs", DEFINITION)];
    for index in [settled(&files), live(&files)] {
        let (weight, continuations) = answer(
            &index,
            here("src/main.rs", "fn main() {\n    pub fn quantize"),
        );
        assert!(weight > 100, "{weight}");
        assert_eq!(
            continuations[0].0,
            "_rows(rows: &[f32], scale: f32) -> Vec<i8> {"
        );
        let mut echo = Echo::new(
            &index,
            here("src/main.rs", "fn main() {\n    pub fn "),
            EchoWeights::default(),
        );
        // What was written since belongs to the text.
        assert!(echo.look(b"fn main() {\n    pub fn quantize_rows(rows") > 0.1);
        let texts: Vec<_> = echo.continuations().map(|(text, _)| shown(text)).collect();
        assert_eq!(texts, [": &[f32], scale: f32) -> Vec<i8> {"]);
    }
}

#[test]
fn the_own_file_is_what_the_caller_says() {
    let index = settled(&[("src/main.rs", DEFINITION)]);
    let found = answer(&index, here("src/main.rs", "pub fn quantize"));
    assert_eq!(found, (0, Vec::new()));
    // A match in the own text, before the caret or after it.
    let prefix = format!("{DEFINITION}\npub fn quantize");
    let (_, continuations) = answer(&index, here("src/main.rs", &prefix));
    assert_eq!(
        continuations[0].0,
        "_rows(rows: &[f32], scale: f32) -> Vec<i8> {"
    );
    let after = Here {
        path: "src/main.rs",
        prefix: "pub fn quantize",
        suffix: &format!("\n{DEFINITION}"),
    };
    let (_, continuations) = answer(&index, after);
    assert_eq!(
        continuations[0].0,
        "_rows(rows: &[f32], scale: f32) -> Vec<i8> {"
    );
}

#[test]
fn nearer_files_count_more() {
    let files = [
        ("far/away.rs", "    let session = Session::far(options);\n"),
        ("src/near.rs", "    let session = Session::near(options);\n"),
    ];
    for index in [settled(&files), live(&files)] {
        let typed = "    let session = Session::";
        let mut echo = Echo::new(&index, here("src/main.rs", typed), EchoWeights::default());
        assert!(echo.look(typed.as_bytes()) > 0.4);
        let texts: Vec<_> = echo.continuations().map(|(text, _)| shown(text)).collect();
        assert_eq!(texts, ["near(options);", "far(options);"]);
    }
}

#[test]
fn the_end_of_a_line_is_a_continuation() {
    let index = settled(&[("a.rs", "    values.sort_unstable();\n    next();\n")]);
    let (_, continuations) = answer(&index, here("b.rs", "    values.sort_unstable();"));
    assert_eq!(continuations, [(String::new(), 1000)]);
}

/// The longest match of a naive search, in bytes, over the files but `path`.
fn naive_longest(texts: &BTreeMap<String, String>, path: &str, tail: &str) -> usize {
    let tail = &tail.as_bytes()[tail.len().saturating_sub(matches::TAIL_BYTES)..];
    let mut longest = 0;
    for (_, text) in texts.iter().filter(|(other, _)| *other != path) {
        let text = text.as_bytes();
        for end in 0..text.len() {
            let pairs = text[..end].iter().rev().zip(tail.iter().rev());
            longest = longest.max(pairs.take_while(|(a, b)| a == b).count());
        }
    }
    longest
}

/// What happens to files.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, String),
    Edit(usize, f64, f64, String),
    Remove(usize),
    Close(usize),
    Rename(usize, usize),
    /// Files are read from disk.
    Adopt(Vec<(usize, String)>),
    Tidy,
}

const PATHS: [&str; 5] = ["a.rs", "b.rs", "src/c.rs", "src/d.rs", "src/deep/e.rs"];

fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("let value = call(options);".to_owned()),
        Just("    return Err(Error::NotFound);".to_owned()),
        Just("    self.items.push(item_of(value)?);".to_owned()),
        "    [a-c]{3,12} = [a-d]{2,9}\\(ä\\);",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

fn change() -> impl Strategy<Value = Change> {
    let file = 0..PATHS.len();
    prop_oneof![
        2 => (file.clone(), text()).prop_map(|(file, text)| Change::Set(file, text)),
        6 => (file.clone(), 0.0..1.0, 0.0..1.0, text())
            .prop_map(|(file, from, to, text)| Change::Edit(file, from, to, text)),
        1 => file.clone().prop_map(Change::Remove),
        2 => file.clone().prop_map(Change::Close),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Change::Rename(from, to)),
        2 => prop::collection::vec((file, text()), 1..4).prop_map(Change::Adopt),
        1 => Just(Change::Tidy),
    ]
}

/// Applies a change to the index and to plain texts; what is open wins over the disk.
fn apply(change: &Change, index: &mut Index, texts: &mut BTreeMap<String, String>) {
    match change {
        Change::Set(file, text) => {
            index.set(PATHS[*file], text);
            texts.insert(PATHS[*file].to_owned(), text.clone());
        }
        Change::Edit(file, from, to, with) => {
            let path = PATHS[*file];
            let Some(text) = texts.get_mut(path) else {
                assert!(!index.edit(path, 0..0, with));
                return;
            };
            let place = |share: &f64| {
                let at = (share * text.len() as f64) as usize;
                (0..=at)
                    .rev()
                    .find(|&at| text.is_char_boundary(at))
                    .unwrap_or(0)
            };
            let (from, to) = (place(from), place(to));
            let range = from.min(to)..from.max(to);
            assert!(index.edit(path, range.clone(), with));
            text.replace_range(range, with);
        }
        Change::Remove(file) => {
            let known = texts.remove(PATHS[*file]).is_some();
            assert_eq!(index.remove(PATHS[*file]), known);
        }
        Change::Close(file) => index.close(PATHS[*file]),
        Change::Rename(from, to) => {
            let text = texts.remove(PATHS[*from]);
            assert_eq!(index.rename(PATHS[*from], PATHS[*to]), text.is_some());
            if let Some(text) = text {
                texts.insert(PATHS[*to].to_owned(), text);
            }
        }
        Change::Adopt(files) => {
            let files: BTreeMap<&str, &String> = files
                .iter()
                .map(|(file, text)| (PATHS[*file], text))
                .collect();
            let mut builder = SegmentBuilder::default();
            for (path, text) in files {
                assert!(builder.push(path, 0, text));
                if !index.is_open(path) {
                    texts.insert(path.to_owned(), text.clone());
                }
            }
            index.adopt(builder.build());
        }
        Change::Tidy => settle(index),
    }
}

/// Folds everything into one segment, as tidying does with much text.
fn settle(index: &mut Index) {
    let all = Tidying::all(index);
    index.adopt_tidied(all.build());
}

proptest! {
    #[test]
    fn changes_give_the_index_that_the_texts_alone_would_give(
        changes in prop::collection::vec(change(), 1..25),
        caret in text(),
    ) {
        let (mut index, mut texts) = (Index::default(), BTreeMap::new());
        for change in &changes {
            apply(change, &mut index, &mut texts);
            let paths: std::collections::BTreeSet<_> = index.paths().collect();
            prop_assert!(paths.iter().copied().eq(texts.keys().map(String::as_str)));
            for (path, text) in &texts {
                prop_assert_eq!(index.text(path), Some(text.as_str()));
            }
        }
        settle(&mut index);
        // In the same order, since the most recent of equal matches count where there are many.
        let files: Vec<_> = index.paths().map(|path| (path, texts[path].as_str())).collect();
        let afresh = settled(&files);
        for cut in (0..=caret.len()).filter(|&cut| caret.is_char_boundary(cut)) {
            let place = here("src/c.rs", &caret[..cut]);
            let found = answer(&index, place);
            prop_assert_eq!(&found, &answer(&afresh, place));
            // No long match is missed. White space is no anchor, so a tail of it may be.
            let longest = naive_longest(&texts, "src/c.rs", &caret[..cut]);
            if longest >= 2 * anchors::SHARED_MIN {
                prop_assert!(found.0 > 0 && !found.1.is_empty(), "{longest} bytes");
            }
        }
    }
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut index = settled(&[("a.rs", DEFINITION)]);
    index.set("b.rs", "let other_text = 1;\n");
    let snapshot = index.clone();
    assert!(index.edit("b.rs", 4..9, "another"));
    assert!(index.edit("a.rs", 0..3, "priv"));
    assert_eq!(snapshot.text("b.rs"), Some("let other_text = 1;\n"));
    assert_eq!(snapshot.text("a.rs"), Some(DEFINITION));
    assert_eq!(index.text("b.rs"), Some("let another_text = 1;\n"));
    assert!(
        index
            .text("a.rs")
            .is_some_and(|text| text.starts_with("priv fn"))
    );
}

#[test]
fn what_changes_while_texts_are_joined_stays() {
    let mut index = settled(&[
        ("a.rs", DEFINITION),
        ("b.rs", "let b = 1;\n"),
        ("c.rs", "let c = 1;\n"),
    ]);
    index.set("d.rs", "let d = 1;\n");
    index.set("e.rs", "let e = 1;\n");
    let tidying = Tidying::all(&index);
    assert!(index.edit("a.rs", 0..0, "// new\n"));
    assert!(index.remove("b.rs"));
    index.set("d.rs", "let d = 2;\n");
    assert!(index.remove("e.rs"));
    index.adopt_tidied(tidying.build());
    let mut paths: Vec<_> = index.paths().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a.rs", "c.rs", "d.rs"]);
    assert!(
        index
            .text("a.rs")
            .is_some_and(|text| text.starts_with("// new"))
    );
    assert_eq!(index.text("d.rs"), Some("let d = 2;\n"));
}

#[test]
fn much_that_changed_or_was_forgotten_is_joined() {
    let mut index = settled(&[("a.rs", DEFINITION), ("b.rs", "short();\n")]);
    assert!(index.tidying().is_none());
    index.remove("a.rs");
    let tidying = index.tidying().expect("most of the segment is forgotten");
    index.adopt_tidied(tidying.build());
    assert!(index.bytes() < 1000, "{}", index.bytes());
    assert!(index.tidying().is_none());
    index.set("large.rs", &DEFINITION.repeat(10_000));
    let tidying = index.tidying().expect("much text is live");
    index.adopt_tidied(tidying.build());
    assert!(index.live.is_empty());
    assert_eq!(index.text("b.rs"), Some("short();\n"));
    for n in 0..20 {
        let mut builder = SegmentBuilder::default();
        assert!(builder.push(&format!("{n}.rs"), 0, DEFINITION));
        index.adopt(builder.build());
        if let Some(tidying) = index.tidying() {
            index.adopt_tidied(tidying.build());
        }
        assert!(index.segments.len() <= 7);
    }
    assert_eq!(index.paths().count(), 22);
}

#[test]
fn a_line_between_the_same_lines_comes_back() {
    let file = "fn a() {\n    let mut out = Vec::new();\n    out.reserve(rows.len());\n    fill(&mut out);\n}\n";
    let other = "fn c() {\n    let mut out = Vec::new();\n    out.push(1);\n    done(out);\n}\n";
    let files = [("src/a.rs", file), ("src/deep/c.rs", other)];
    for index in [settled(&files), live(&files)] {
        let caret = Here {
            path: "src/b.rs",
            prefix: "fn b() {\n    let mut out = Vec::new();\n    ",
            suffix: "\n    fill(&mut out);\n}\n",
        };
        let echoes = line_echoes(&index, caret, EchoWeights::default());
        let texts: Vec<_> = echoes.iter().map(|echo| echo.text.as_str()).collect();
        assert_eq!(texts, ["out.reserve(rows.len());", "out.push(1);"]);
        assert_eq!(echoes[0].evidence.neighbors, Some(Neighbors::Both));
        assert_eq!(echoes[0].evidence.nearness, Nearness::Folder);
        assert_eq!(
            (echoes[0].evidence.places, echoes[1].evidence.places_of_all),
            (1, 2)
        );
        assert!(echoes[0].probability > echoes[1].probability);

        let typed = Here {
            prefix: "fn b() {\n    let mut out = Vec::new();\n    out.pu",
            ..caret
        };
        let echoes = line_echoes(&index, typed, EchoWeights::default());
        let texts: Vec<_> = echoes.iter().map(|echo| echo.text.as_str()).collect();
        assert_eq!(texts, ["sh(1);"]);
        let inside = Here {
            suffix: "rest of the line\n",
            ..caret
        };
        assert!(line_echoes(&index, inside, EchoWeights::default()).is_empty());
    }
}

#[test]
fn signs_alone_tell_no_place() {
    let index = settled(&[("a.rs", "    }\n    next_line();\n    }\n")]);
    let caret = Here {
        path: "b.rs",
        prefix: "    }\n    ",
        suffix: "\n    }\n",
    };
    assert!(line_echoes(&index, caret, EchoWeights::default()).is_empty());
    // With the line before, they do.
    let index = settled(&[("a.rs", "    first();\n    }\n    next_line();\n")]);
    let caret = Here {
        prefix: "    first();\n    }\n    ",
        ..caret
    };
    let echoes = line_echoes(&index, caret, EchoWeights::default());
    assert_eq!(echoes.len(), 1);
    assert_eq!(
        (echoes[0].text.as_str(), echoes[0].evidence.neighbors),
        ("next_line();", Some(Neighbors::TwoBefore))
    );
}

proptest! {
    #[test]
    fn a_new_state_of_the_disk_changes_no_open_document(
        disk in prop::collection::btree_map("[a-d]", text(), 0..4),
        later in prop::collection::btree_map("[a-d]", text(), 0..4),
        open in prop::collection::btree_map("[a-d]", text(), 0..4),
        caret in text(),
    ) {
        let of = |files: &BTreeMap<String, String>| {
            let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
            settled(&files.collect::<Vec<_>>())
        };
        let mut index = Index::default();
        index.rebase(of(&disk));
        for (path, text) in &open {
            index.set(path, text);
        }
        index.rebase(of(&later));
        let mut wanted = later.clone();
        wanted.extend(open.clone());
        let paths: std::collections::BTreeSet<_> = index.paths().collect();
        prop_assert!(paths.iter().copied().eq(wanted.keys().map(String::as_str)));
        for (path, text) in &wanted {
            prop_assert_eq!(index.text(path), Some(text.as_str()));
        }
        // What is closed is the disk's again.
        for path in open.keys() {
            index.remove(path);
        }
        index.rebase(of(&later));
        let place = here("e.rs", &caret);
        prop_assert_eq!(answer(&index, place), answer(&of(&later), place));
    }
}

#[test]
fn begun_names_go_on_as_names_that_stand_anywhere() {
    for index in [
        settled(&[("a.rs", DEFINITION)]),
        live(&[("a.rs", DEFINITION)]),
    ] {
        let before = "    let it = quanti";
        let mut echo = Echo::new(&index, here("b.rs", before), EchoWeights::default());
        let mut into = carat_engine::Continuations::default();
        let source: &mut dyn carat_engine::ContinuationSource = &mut echo;
        let weight = source.continuations(before.as_bytes(), &mut into);
        assert!(weight > 0.1, "{weight}");
        let all: Vec<_> = into.iter().map(|(rest, _)| shown(rest)).collect();
        assert!(all.contains(&"ze_rows".to_owned()), "{all:?}");
        assert!(index.has_word("quantize_rows") && !index.has_word("quanti"));
    }
}
