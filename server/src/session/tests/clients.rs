//! What real clients do, whether the protocol allows it or hardly, and what they are told.

use serde_json::json;

use super::world::World;
use super::*;
use crate::completion::mask;
use crate::documents::{Change, Opened};
use crate::echo::Index;
use crate::memory::Recalled;

/// A session that has a model and a client that counts like this.
fn ready(encoding: Encoding) -> World {
    let mut world = World::new(vec![MODEL], encoding);
    world.introduce(World::able(encoding, false));
    world.load(Ok("m"));
    world
}

/// Lets a session take an event that the client's own text does not show.
fn happen(world: &mut World, event: Event) -> Vec<Effect> {
    world.session.handle(event, world.now)
}

fn open(world: &mut World, uri: &str, text: &str) {
    let opened = Opened {
        uri: uri.to_owned(),
        language_id: "rust".to_owned(),
        version: 0,
        text: text.to_owned(),
    };
    happen(world, Event::Opened(opened));
}

fn at(line: u32, column: u32) -> LineColumn {
    LineColumn { line, column }
}

fn change(from: LineColumn, to: LineColumn, text: &str) -> Change {
    Change {
        range: Some(from..to),
        text: text.to_owned(),
    }
}

fn text(world: &World, uri: &str) -> String {
    let snapshot = world.session.documents.snapshot(uri).expect("open");
    snapshot.text.to_string()
}

/// The caret that sources are asked about, in bytes.
fn asked(world: &mut World, uri: &str, line: u32, column: u32) -> Option<usize> {
    let request = Request::Complete(World::wish(uri, line, column));
    let effects = happen(world, Event::Requested(RequestKey(1), request));
    effects.iter().find_map(|effect| match effect {
        Effect::Complete(job) => Some(job.caret.at),
        _ => None,
    })
}

#[test]
fn a_document_that_was_never_opened_has_no_completions() {
    let mut bench = Bench::new();
    let wish = World::wish("file:///never.rs", 0, 0);
    let key = bench.world.ask(Request::Complete(wish));
    bench.expect(&[(key, "not open")]);
    bench
        .world
        .happen(Event::Closed("file:///never.rs".to_owned()));
    let edit = vec![change(at(0, 0), at(0, 1), "x")];
    let edited = Event::Changed("file:///never.rs".to_owned(), Some(1), edit);
    bench.world.happen(edited);
    let alive = bench.submit("let a = |");
    bench.write("1;");
    bench.end();
    bench.expect(&[(alive, "8..8 1;")]);
}

#[test]
fn ranges_beyond_the_text_or_turned_round_are_taken_as_far_as_they_go() {
    let mut world = ready(Encoding::Utf16);
    open(&mut world, URI, "one");
    open(&mut world, URI, "two");
    let beyond = change(at(99, 99), at(u32::MAX, u32::MAX), "!");
    happen(
        &mut world,
        Event::Changed(URI.to_owned(), Some(9), vec![beyond]),
    );
    let turned = change(at(0, 2), at(0, 1), "");
    happen(
        &mut world,
        Event::Changed(URI.to_owned(), Some(3), vec![turned]),
    );
    assert_eq!(text(&world, URI), "to!");
    assert_eq!(asked(&mut world, URI, 77, u32::MAX), Some(3));
}

#[test]
fn changes_of_one_message_apply_in_order() {
    let mut world = ready(Encoding::Utf16);
    open(&mut world, URI, "");
    let all = Change {
        range: None,
        text: "a\u{1F600}b\n".to_owned(),
    };
    let changes = vec![
        all,
        change(at(0, 3), at(0, 3), "X"),
        change(at(0, 1), at(0, 3), ""),
        change(at(1, 0), at(1, 0), "end"),
    ];
    happen(&mut world, Event::Changed(URI.to_owned(), Some(2), changes));
    assert_eq!(text(&world, URI), "aXb\nend");
    let name = world.session.workspace.remembered_as(URI);
    let known = world.session.requests.texts.text(&name);
    assert_eq!(known, Some("aXb\nend"), "for the echo as well");
    let secret = change(at(0, 0), at(0, 0), "password = \"hunter2hunter2\"\n");
    let changes = vec![change(at(1, 0), at(1, 3), "more"), secret];
    happen(&mut world, Event::Changed(URI.to_owned(), Some(3), changes));
    let now = text(&world, URI);
    assert!(now.ends_with("aXb\nmore"), "{now}");
    let known = world.session.requests.texts.text(&name);
    assert_eq!(known, Some(&*mask(&now)), "without the secret");
    assert_ne!(known, Some(now.as_str()));
}

#[test]
fn documents_of_all_schemes_are_served() {
    let mut world = ready(Encoding::Utf16);
    for uri in [
        "untitled:Untitled-1",
        "git:/project/a.rs?ref=HEAD",
        "vscode-notebook-cell:/a.ipynb#W0s",
        "not a uri %zz",
        "",
    ] {
        open(&mut world, uri, "x = ");
        assert_eq!(asked(&mut world, uri, 0, 4), Some(4), "{uri}");
    }
}

#[test]
fn documents_are_kept_without_a_model() {
    let mut bench = Bench::of(World::new(vec![MODEL], Encoding::Utf8));
    bench.world.introduce(ClientFacts::default());
    bench.world.load(Err("no file"));
    bench.world.open(URI, "one\r\ntwo");
    bench.world.change(URI, Some([(1, 0), (1, 3)]), "\u{1F600}");
    let key = bench.world.ask(Request::Complete(World::wish(URI, 1, 4)));
    let record = bench.world.ask(Request::LastRecord);
    bench.expect(&[(key, "empty"), (record, "record of 9")]);
}

#[test]
fn a_document_of_ten_megabytes_and_a_line_of_one() {
    let mut world = ready(Encoding::Utf16);
    let line = "let \u{1F600} = 漢字;\n";
    open(&mut world, URI, &line.repeat(10_000_000 / line.len()));
    let edit = change(at(300_000, 4), at(300_000, 6), "x");
    happen(
        &mut world,
        Event::Changed(URI.to_owned(), Some(1), vec![edit]),
    );
    let caret = asked(&mut world, URI, 300_000, 5).expect("the model is asked");
    let document = world.session.documents.snapshot(URI).expect("open");
    let before = document.text.byte_slice(caret - 6..caret).to_string();
    assert_eq!(before, "\nlet x");

    open(&mut world, URI, &"\u{1F600}".repeat(250_000));
    let half = change(at(0, 400_000), at(0, 400_001), "");
    happen(
        &mut world,
        Event::Changed(URI.to_owned(), Some(2), vec![half]),
    );
    assert_eq!(asked(&mut world, URI, 0, 400_000), Some(800_000));
}

#[test]
fn a_bad_setting_is_named_once_and_the_others_count() {
    let mut bench = Bench::of(World::new(vec![MODEL], Encoding::Utf8));
    let options = json!({ "deadlineMs": "soon", "trigger": "manual" });
    let facts = ClientFacts::default();
    bench.world.introduce_with(facts, &options);
    bench.world.load(Ok("m"));
    let said = bench.world.said.clone();
    assert!(
        matches!(&said[..], [one] if one.contains("`deadlineMs`") && one.contains("soon")),
        "{said:?}"
    );
    let unasked = bench.submit("let a = |");
    bench.expect(&[(unasked, "empty")]);
    bench.world.happen(Event::Configured(options));
    let automatic = json!({ "trigger": "automatic" });
    bench.world.happen(Event::Configured(automatic));
    bench.submit("let a = |");
    assert!(bench.runs());
    assert_eq!(bench.world.said, said, "told once");
}

#[test]
fn the_model_that_the_client_is_asked_for_is_loaded() {
    let mut world = World::new(vec![MODEL], Encoding::Utf8);
    world.introduce(World::able(Encoding::Utf8, true));
    assert_eq!(world.loads, [] as [Option<String>; 0]);
    let options = json!({ "model": "26b" });
    world.happen(Event::Pulled(Some(options)));
    assert_eq!(world.loads, [None, Some("26b".to_owned())]);
}

#[test]
fn the_status_follows_the_model() {
    let mut bench = Bench::of(World::new(vec![MODEL], Encoding::Utf8));
    bench.world.introduce(ClientFacts::default());
    bench.world.load(Ok("m"));
    bench.world.happen(Event::Engine(Report::Busy(MODEL, true)));
    let wrote = Report::Wrote(MODEL, 20, Duration::from_secs(2));
    bench.world.happen(Event::Engine(wrote));
    bench
        .world
        .happen(Event::Engine(Report::Busy(MODEL, false)));
    bench.world.ask(Request::Toggle);
    bench.world.ask(Request::Toggle);
    bench.world.load(Err("gone"));
    let names: Vec<_> = bench.world.statuses.iter().map(Status::name).collect();
    let expected = [
        "loading", "ready", "busy", "busy", "ready", "paused", "ready", "error",
    ];
    assert_eq!(names, expected);
    assert_eq!(bench.world.statuses[0].model, None);
    let rested = &bench.world.statuses[4];
    assert_eq!(rested.model.as_deref(), Some("m"));
    assert_eq!(rested.takes_instructions, Some(true));
    assert_eq!(rested.tokens_per_second, Some(10.0));
    let last = bench.world.statuses.last();
    let why = last.and_then(|status| status.message.as_deref());
    assert_eq!(why, Some("gone"));
}

#[test]
fn a_workspace_that_no_client_watches_is_looked_through_when_files_are_saved() {
    for watches in [false, true] {
        let mut world = World::new(vec![MODEL], Encoding::Utf8);
        world.introduce(ClientFacts {
            watches,
            ..ClientFacts::default()
        });
        world.load(Ok("m"));
        world.happen(Event::FoldersChanged(vec!["/w".into()], Vec::new()));
        let first = world.looks;
        assert_eq!(first, 1);
        let mut save = || {
            world.happen(Event::FileChanged("/w/a.rs".into()));
            let looks = world.looks - first;
            world.wait(Duration::from_secs(40));
            looks
        };
        let looks = [save(), save(), save()];
        let expected = if watches { [0, 0, 0] } else { [1, 1, 2] };
        assert_eq!(looks, expected);
    }
}

#[test]
fn a_folder_within_another_takes_nothing_from_the_memory() {
    let mut world = World::ready();
    world.happen(Event::FoldersChanged(vec!["/w".into()], Vec::new()));
    let mut index = Index::default();
    index.set("src/known.rs", "fn known() {}\n");
    world.happen(Event::Recalled(Box::new(Recalled {
        number: 1,
        index,
        files: 1,
        bytes: 14,
        no_room: 0,
        is_whole: true,
    })));
    let knows = |world: &World| world.session.requests.texts.text("src/known.rs").is_some();
    assert!(knows(&world));
    let inner = || vec!["/w/vendor/lib".into()];
    for (added, removed) in [(inner(), Vec::new()), (Vec::new(), inner())] {
        world.happen(Event::FoldersChanged(added, removed));
        assert!(knows(&world));
    }
}
