//! The rope document against a naive model, and what it does with protocol violations.

use carat_tests::{NaiveText, Units};
use proptest::prelude::*;

use super::*;

const URI: &str = "file:///a.rs";

fn units(encoding: Encoding) -> Units {
    match encoding {
        Encoding::Utf8 => Units::Utf8,
        Encoding::Utf16 => Units::Utf16,
        Encoding::Utf32 => Units::Utf32,
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("a"), 2 => Just(" "), 2 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r"),
        1 => Just("é"), 1 => Just("漢"), 2 => Just("\u{1F600}"), 1 => Just("\u{2028}"),
        1 => Just("\u{85}"), 1 => Just("\u{b}"), 1 => Just("e\u{301}"), 1 => Just("fn main() {"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn position() -> impl Strategy<Value = LineColumn> {
    (0u32..9, prop_oneof![9 => 0u32..14, 1 => Just(u32::MAX)])
        .prop_map(|(line, column)| LineColumn { line, column })
}

fn change() -> impl Strategy<Value = Change> {
    (
        prop::option::weighted(0.95, (position(), position())),
        text(),
    )
        .prop_map(|(range, text)| Change {
            range: range.map(|(start, end)| start..end),
            text,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_agree_with_a_naive_model(
        encoding in prop_oneof![Just(Encoding::Utf8), Just(Encoding::Utf16), Just(Encoding::Utf32)],
        start in text(),
        edits in proptest::collection::vec(proptest::collection::vec(change(), 1..3), 1..24),
    ) {
        let mut documents = Documents::default();
        open(&mut documents, URI, "rust", 0, &start);
        let mut naive = NaiveText::new(&start, units(encoding));
        for (i, changes) in edits.iter().enumerate() {
            let mut followed = documents.snapshot(URI).expect("open").text;
            let changed = documents.change(URI, Some(i as i32 + 1), changes, encoding).expect("open");
            for edit in &changed.edits {
                let touched = followed.byte_slice(edit.range.clone()).to_string();
                prop_assert_ne!(touched.chars().next(), edit.text.chars().next());
                prop_assert_ne!(touched.chars().last(), edit.text.chars().last());
                edit.apply(&mut followed);
                prop_assert_eq!(followed.byte_slice(edit.new_range()).to_string(), edit.text.as_str());
            }
            prop_assert_eq!(&followed, &changed.now.text);
            for change in changes {
                let range = change.range.as_ref();
                let range = range.map(|range| (range.start.line, range.start.column)..(range.end.line, range.end.column));
                naive.replace(range, &change.text);
            }
            let snapshot = documents.snapshot(URI).expect("open");
            prop_assert_eq!(snapshot.text.to_string(), naive.to_string());
            documents.assert_invariants();
        }
    }

    #[test]
    fn positions_survive_a_round_trip(text in text(), position in position()) {
        let rope = Rope::from_str(&text);
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let byte = positions::offset(&rope, encoding, position);
            prop_assert!(text.is_char_boundary(byte));
            let back = positions::line_column(&rope, encoding, byte);
            prop_assert_eq!(positions::offset(&rope, encoding, back), byte);
        }
    }
}

fn open(documents: &mut Documents, uri: &str, language_id: &str, version: i32, text: &str) {
    let opened = Opened {
        uri: uri.to_owned(),
        language_id: language_id.to_owned(),
        version,
        text: text.to_owned(),
    };
    documents.open(opened, "a.rs");
}

fn insertion(text: &str) -> Change {
    let start = LineColumn { line: 0, column: 0 };
    Change {
        range: Some(start..start),
        text: text.to_owned(),
    }
}

#[test]
fn an_edit_of_an_unknown_document_is_reported_and_ignored() {
    let mut documents = Documents::default();
    let result = documents.change(URI, Some(1), &[insertion("x")], Encoding::Utf8);
    assert_eq!(result.err(), Some(SyncFault::NotOpen));
    assert!(documents.snapshot(URI).is_none());
    assert!(!documents.close(URI));
}

#[test]
fn a_version_that_goes_back_is_reported_and_applied() {
    let mut documents = Documents::default();
    open(&mut documents, URI, "rust", 7, "b");
    let changed = documents.change(URI, Some(3), &[insertion("a")], Encoding::Utf8);
    let changed = changed.expect("open");
    assert!(changed.version_went_back);
    assert_eq!(
        (changed.now.version, changed.now.text.to_string().as_str()),
        (3, "ab")
    );
    let changed = documents
        .change(URI, None, &[], Encoding::Utf8)
        .expect("open");
    assert_eq!((changed.now.version, changed.version_went_back), (3, false));
}

#[test]
fn a_second_open_replaces_the_first() {
    let mut documents = Documents::default();
    open(&mut documents, URI, "rust", 1, "one");
    open(&mut documents, URI, "c", 1, "two");
    let snapshot = documents.snapshot(URI).expect("open");
    assert_eq!(
        (snapshot.text.to_string().as_str(), &*snapshot.language_id),
        ("two", "c")
    );
    documents.assert_invariants();
}

#[test]
fn snapshots_do_not_see_later_edits() {
    let mut documents = Documents::default();
    open(&mut documents, URI, "rust", 1, "b");
    let before = documents.snapshot(URI).expect("open");
    documents
        .change(URI, Some(2), &[insertion("a")], Encoding::Utf8)
        .expect("open");
    assert_eq!(before.text.to_string(), "b");
}

#[test]
fn an_edit_is_what_differs_and_no_more() {
    let check = |before: &str, range, text, expected: Option<(Range<usize>, &str)>| {
        let edit = Edit::trimmed(&Rope::from_str(before), range, text);
        let expected = expected.map(|(range, text)| Edit {
            range,
            text: text.to_owned(),
        });
        assert_eq!(edit, expected, "{before:?} {text:?}");
    };
    check("let fo;", 4..6, "foobar", Some((6..6, "obar")));
    check("f()", 2..3, ")", None);
    check("aé", 1..3, "è", Some((1..3, "è")));
    check("aaa", 0..3, "aa", Some((2..3, "")));
    check("aa", 0..2, "aaa", Some((2..2, "a")));
    check("one two", 0..7, "one\ntwo", Some((3..4, "\n")));
}
