//! The session step by step: who is answered what, in which order, and what keeps running.

mod actions;
mod ahead;
mod cascade;
mod clients;
mod deadlines;
mod flow;
mod large;
mod manners;
mod pairs;
mod sequences;
mod several;
mod world;

use std::ops::Range;

use carat_engine::StopReason;
use serde_json::json;

use super::start::FIRST_CONFIGURATION;
use super::*;
use crate::actions::Action;
use crate::positions::{Encoding, LineColumn};
use world::{ECHO, World};

const URI: &str = "file:///a.rs";
const MODEL: Source = Source::MODEL;
const DEADLINE: Duration = Duration::from_millis(700);

/// One document, carets as `|`.
struct Bench {
    world: World,
    seen: usize,
}

impl Bench {
    fn new() -> Self {
        Self::of(World::ready())
    }

    fn of(world: World) -> Self {
        Self { world, seen: 0 }
    }

    fn edit(&mut self, text: &str) {
        match self.world.texts.get(URI) {
            None => self.world.open(URI, text),
            Some(known) if known.to_string() == text => {}
            Some(_) => self.world.change(URI, None, text),
        }
    }

    /// Asks for the caret at `|`, after an edit if the text is another one.
    fn submit(&mut self, text: &str) -> RequestKey {
        self.submit_as(text, |wish| wish)
    }

    fn submit_as(&mut self, text: &str, change: impl FnOnce(Wish) -> Wish) -> RequestKey {
        self.edit(&text.replace('|', ""));
        let before = &text[..text.find('|').expect("a caret")];
        let line = before.matches('\n').count() as u32;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let wish = change(World::wish(URI, line, column as u32));
        self.world.ask(Request::Complete(wish))
    }

    /// A change of one line, as editors send it.
    fn insert(&mut self, line: u32, column: u32, text: &str) {
        let at = (line, column);
        self.world.change(URI, Some([at, at]), text);
    }

    fn delete(&mut self, line: u32, columns: Range<u32>) {
        let range = [(line, columns.start), (line, columns.end)];
        self.world.change(URI, Some(range), "");
    }

    fn write(&mut self, text: &str) -> bool {
        self.world.write(MODEL, text)
    }

    fn end(&mut self) {
        self.world.end(MODEL, Some(StopReason::StopToken));
    }

    fn cancel(&mut self, key: RequestKey) {
        self.world.happen(Event::Cancelled(key));
    }

    fn stopped(&self) -> bool {
        self.world.stopped(MODEL)
    }

    /// Why the last request was answered nothing.
    fn silence(&mut self) -> Option<Silence> {
        self.world.ask(Request::LastRecord);
        self.seen = self.world.replies.len();
        match &self.world.replies.last()?.1 {
            Reply::Record(Some(record)) => record.silence.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn runs(&self) -> bool {
        !self.world.jobs.is_empty()
    }

    /// Takes the replies so far, as text: `key:text`.
    #[track_caller]
    fn expect(&mut self, expected: &[(RequestKey, &str)]) {
        let new = &self.world.replies[self.seen..];
        let seen: Vec<_> = new.iter().map(|(key, it)| (*key, describe(it))).collect();
        let expected = expected
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()));
        assert_eq!(seen, expected.collect::<Vec<_>>());
        self.seen = self.world.replies.len();
    }
}

/// As who presses a key for it.
fn asked(wish: Wish) -> Wish {
    Wish {
        invoked: true,
        ..wish
    }
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Completion(Answer::Shown(shown)) => {
            let first = (shown.replace.clone(), shown.text.clone());
            let all = std::iter::once(&first).chain(&shown.others);
            let all =
                all.map(|(replace, text)| format!("{}..{} {text}", replace.start, replace.end));
            all.collect::<Vec<_>>().join(" | ")
        }
        Reply::Completion(Answer::Empty) => "empty".to_owned(),
        Reply::Completion(Answer::Cancelled) => "cancelled".to_owned(),
        Reply::NotOpen => "not open".to_owned(),
        Reply::Record(Some(record)) => format!("record of {}", record.caret),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_request_is_answered_when_its_generation_ends() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    assert!(bench.write("12;"));
    bench.expect(&[]);
    bench.end();
    bench.expect(&[(key, "8..8 12;")]);
}

#[test]
fn a_job_knows_the_other_documents_as_they_are_now() {
    const OTHER: &str = "file:///other.rs";
    let mut bench = Bench::new();
    bench.world.open(OTHER, "fn first() {}\n");
    bench.submit("let a = |");
    let texts = |bench: &Bench| bench.world.jobs[0].job.texts.clone();
    assert_eq!(texts(&bench).text(OTHER), Some("fn first() {}\n"));
    bench.world.change(OTHER, None, "fn second() {}\n");
    bench.submit("let ab = |");
    assert_eq!(texts(&bench).text(OTHER), Some("fn second() {}\n"));
    assert_eq!(texts(&bench).text(URI), Some("let ab = "));
    bench.world.close(OTHER);
    bench.submit("let abc = |");
    assert_eq!(texts(&bench).text(OTHER), None);
}

#[test]
fn the_echo_knows_no_secrets() {
    const OTHER: &str = "file:///other.rs";
    let secret = "ghp_a8Kd93kfLs0Qm2Zx7Vb1Nc5Hj6Tg4RwEy9uP";
    let mut bench = Bench::new();
    bench
        .world
        .open(OTHER, &format!("let key = \"{secret}\";\nlet other = 1;\n"));
    bench
        .world
        .open("file:///.env", "PASSWORD=hunter2hunter2\n");
    let text = |bench: &Bench| {
        let texts = &bench.world.session.requests.texts;
        texts.text(OTHER).unwrap_or_default().to_owned()
    };
    assert!(text(&bench).contains("let other = 1;") && !text(&bench).contains(secret));
    bench.world.change(OTHER, Some([(1, 12), (1, 13)]), "2");
    assert!(text(&bench).contains("let other = 2;") && !text(&bench).contains(secret));
    bench.world.change(OTHER, None, "let key = \"\";\n");
    bench.world.change(OTHER, Some([(0, 11), (0, 11)]), secret);
    assert!(text(&bench).contains("let key") && !text(&bench).contains(secret));
    let texts = &bench.world.session.requests.texts;
    assert_eq!(texts.text("file:///.env"), None);
}

#[test]
fn a_newer_request_supersedes_and_the_older_is_answered_first() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |\nb");
    let old = bench.world.jobs[0].job.cancel.clone();
    let second = bench.submit("let a = \nb|");
    bench.expect(&[(first, "empty")]);
    assert!(old.is_cancelled());
    bench.write("1;");
    bench.end();
    bench.expect(&[(second, "10..10 1;")]);
}

#[test]
fn text_that_is_typed_through_is_answered_with_the_rest() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |;");
    bench.write("foo(1)");
    bench.end();
    bench.expect(&[(first, "8..8 foo(1)")]);
    let second = bench.submit("let a = fo|;");
    bench.expect(&[(second, "10..10 o(1)")]);
    assert!(!bench.runs(), "the engine has nothing to do");
    let third = bench.submit("let a = foo(1)|;");
    assert!(bench.runs(), "nothing is left, so there is a new one");
    bench.expect(&[]);
    bench.cancel(third);
    bench.expect(&[(third, "cancelled")]);
}

#[test]
fn a_cancelled_generation_lives_for_the_grace_time() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.cancel(key);
    bench.expect(&[(key, "cancelled")]);
    bench.world.wait(GRACE / 2);
    assert!(!bench.stopped());
    bench.world.wait(GRACE / 2);
    assert!(bench.stopped());
    assert!(!bench.write("late"), "the engine is told to stop");
}

#[test]
fn a_cancelled_generation_is_adopted_by_a_request_that_agrees() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |");
    bench.write("foo");
    bench.cancel(first);
    bench.edit("let a = fo");
    assert!(!bench.stopped());
    bench.world.wait(GRACE / 2);
    let second = bench.submit("let a = fo|");
    bench.world.wait(GRACE * 2);
    assert!(!bench.stopped(), "somebody waits again");
    bench.write("(x);");
    bench.end();
    bench.expect(&[(first, "cancelled"), (second, "10..10 o(x);")]);
}

#[test]
fn an_edit_that_disagrees_stops_at_once_and_answers() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo");
    bench.edit("let a = x");
    assert!(bench.stopped());
    bench.expect(&[(key, "empty")]);
}

#[test]
fn what_is_typed_before_there_is_text_is_judged_when_there_is() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.edit("let a = f");
    assert!(bench.write("fo"));
    bench.expect(&[]);
    bench.edit("let a = foo");
    assert!(!bench.write("l"));
    assert!(bench.stopped());
    bench.expect(&[(key, "empty")]);
}

#[test]
fn an_edit_before_the_caret_stops_a_cancelled_generation_at_once() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.cancel(key);
    bench.edit("let b = ");
    assert!(bench.stopped());
}

#[test]
fn an_edit_of_another_document_changes_nothing() {
    let mut bench = Bench::new();
    bench.submit("let a = |");
    bench.world.open("file:///b.rs", "x");
    bench.world.change("file:///b.rs", None, "y");
    assert!(!bench.stopped());
    bench.expect(&[]);
}

#[test]
fn a_request_that_waits_is_answered_for_the_text_as_typed_on() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo");
    bench.edit("let a = fo");
    bench.write("(x)");
    bench.end();
    bench.expect(&[(key, "10..10 o(x)")]);
}

#[test]
fn a_line_end_typed_while_waiting_makes_the_request_stale() {
    let mut bench = Bench::new();
    let key = bench.submit("if a {|");
    bench.write("\n    b");
    bench.edit("if a {\n");
    bench.expect(&[(key, "empty")]);
    assert!(!bench.stopped(), "the next request can still adopt it");
}

#[test]
fn a_failed_generation_answers_nothing_and_is_not_kept() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.world.end(MODEL, None);
    bench.expect(&[(key, "empty")]);
    bench.submit("let a = |");
    assert!(bench.runs(), "it is tried again");
}

#[test]
fn a_closed_document_answers_and_forgets() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.world.close(URI);
    bench.expect(&[(key, "empty")]);
    assert!(bench.stopped());
    let wish = World::wish(URI, 0, 0);
    let after = bench.world.ask(Request::Complete(wish));
    bench.expect(&[(after, "not open")]);
}

#[test]
fn a_model_that_failed_answers_at_once_and_is_named() {
    let mut bench = Bench::new();
    bench.world.load(Err("no file"));
    assert_eq!(bench.world.said, ["cannot complete code: no file"]);
    let key = bench.submit("let a = |");
    bench.expect(&[(key, "empty")]);
    assert!(!bench.runs());
    let record = bench.world.ask(Request::LastRecord);
    bench.expect(&[(record, "record of 8")]);
}

#[test]
fn a_model_on_its_way_is_waited_for_as_long_as_the_request_may_take() {
    let mut bench = Bench::of(World::new(vec![MODEL], Encoding::Utf8));
    bench.world.introduce(ClientFacts::default());
    let early = bench.submit("let a = |");
    bench.world.wait(DEADLINE / 2);
    bench.expect(&[]);
    bench.world.wait(DEADLINE / 2);
    bench.expect(&[(early, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::Loading));
    let late = bench.submit("let b = |");
    bench.world.wait(DEADLINE / 2);
    bench.world.load(Ok("m"));
    bench.write("1;");
    bench.end();
    bench.expect(&[(late, "8..8 1;")]);
}

#[test]
fn a_model_that_is_replaced_says_nothing_more() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |");
    bench.write("old");
    bench.end();
    bench.expect(&[(first, "8..8 old")]);
    bench.world.load(Ok("another"));
    bench.submit("let a = |");
    assert!(bench.runs(), "the new one is asked");
}

#[test]
fn what_the_user_asks_for_is_not_answered_from_what_the_editor_asked_for() {
    let mut bench = Bench::new();
    bench.submit("let a = |");
    bench.write("foo");
    bench.end();
    bench.submit_as("let a = |", |wish| Wish {
        invoked: true,
        ..wish
    });
    assert!(bench.runs());
}

fn selecting(columns: std::ops::Range<u32>, text: &str) -> impl FnOnce(Wish) -> Wish {
    let at = |column| LineColumn { line: 0, column };
    let selected = Some((at(columns.start)..at(columns.end), text.to_owned()));
    |wish| Wish { selected, ..wish }
}

#[test]
fn the_selected_entry_of_a_menu_is_continued() {
    let mut bench = Bench::new();
    let key = bench.submit_as("let a = fo|;", selecting(8..10, "foobar"));
    let place = &bench.world.jobs[0].job.caret;
    assert_eq!(
        (place.text.to_string().as_str(), place.at),
        ("let a = foobar;", 14)
    );
    bench.write("(1)");
    bench.end();
    bench.expect(&[(key, "8..10 foobar(1)")]);
    let accepted = bench.submit("let a = foobar|;");
    bench.expect(&[(accepted, "14..14 (1)")]);
}

#[test]
fn an_entry_that_does_not_end_at_the_caret_is_none() {
    let mut bench = Bench::new();
    bench.submit_as("let a = fo|;", selecting(8..9, "foobar"));
    assert_eq!(bench.world.jobs[0].job.caret.text, "let a = fo;");
}

#[test]
fn the_record_is_of_the_request_before_and_no_later_one() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |\nb");
    let reader = bench.world.ask(Request::LastRecord);
    bench.expect(&[]);
    let second = bench.submit("let a = \nb|");
    bench.expect(&[(first, "empty"), (reader, "record of 8")]);
    bench.write("1;");
    bench.end();
    bench.expect(&[(second, "10..10 1;")]);
    let reader = bench.world.ask(Request::LastRecord);
    bench.expect(&[(reader, "record of 10")]);
    match &bench.world.replies.last().expect("a reply").1 {
        Reply::Record(Some(record)) => {
            assert!(record.prompt.contains("let a = "), "{:?}", record.prompt);
            assert_eq!(record.completion, "1;");
            let model = record.model.as_ref().map(|model| model.name.as_str());
            assert_eq!(model, Some("m"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_sources_the_better_is_heard_and_the_other_where_it_has_nothing() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let first = bench.submit("let a = |;");
    bench.world.write(ECHO, "echo");
    bench.world.end(ECHO, Some(StopReason::StopToken));
    bench.expect(&[]);
    bench.write("model");
    bench.end();
    bench.expect(&[(first, "8..8 model")]);
    // What the other said is kept as well, for text that is typed through it.
    let second = bench.submit("let a = ec|;");
    bench.expect(&[]);
    bench.end();
    bench.expect(&[(second, "10..10 ho")]);
}

#[test]
fn at_the_deadline_the_best_of_what_there_is_counts() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let key = bench.submit("let a = |;");
    bench.world.write(ECHO, "echo");
    bench.world.end(ECHO, Some(StopReason::StopToken));
    bench.world.wait(DEADLINE);
    bench.expect(&[(key, "8..8 echo")]);
    assert!(!bench.stopped(), "the model goes on for a while");
}

#[test]
fn a_second_source_that_fails_takes_nothing_from_the_model() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let status = bench.world.session.status.clone();
    let key = bench.submit("let a = |;");
    bench.world.load_source(ECHO, Err("no index"));
    assert!(bench.world.stopped(ECHO) && !bench.stopped());
    bench.write("model");
    bench.end();
    bench.expect(&[(key, "8..8 model")]);
    let alone = bench.submit("let b = |;");
    let asked = |it: &&world::Running| !it.job.cancel.is_cancelled();
    let asked = bench.world.jobs.iter().filter(asked).count();
    assert_eq!(asked, 1, "the other is asked no more");
    bench.write("model");
    bench.end();
    bench.expect(&[(alone, "8..8 model")]);
    assert_eq!(bench.world.session.status, status);
    assert!(bench.world.said.is_empty(), "{:?}", bench.world.said);
}

#[test]
fn settings_that_come_late_count_from_then_on() {
    let mut bench = Bench::of(World::new(vec![MODEL], Encoding::Utf8));
    let facts = World::able(Encoding::Utf8, true);
    bench
        .world
        .introduce_with(facts, &json!({ "enable": false }));
    assert!(bench.world.loads.is_empty(), "the client is asked first");
    bench.world.wait(FIRST_CONFIGURATION);
    assert_eq!(bench.world.loads.len(), 1, "it is not waited for for ever");
    bench.world.load(Ok("m"));
    let off = bench.submit("let a = |");
    bench.expect(&[(off, "empty")]);
    let options = json!({ "enable": true });
    bench.world.happen(Event::Pulled(Some(options)));
    bench.submit("let a = |");
    assert!(bench.runs());
    assert_eq!(bench.world.loads.len(), 1, "the model is started once");
}

#[test]
fn a_pause_and_a_manual_trigger_answer_nothing_unasked() {
    let mut bench = Bench::new();
    let toggle = bench.world.ask(Request::Toggle);
    let paused = bench.submit("let a = |");
    bench.expect(&[(toggle, "Paused(true)"), (paused, "empty")]);
    bench.world.ask(Request::Toggle);
    let manual = json!({ "trigger": "manual" });
    bench.world.happen(Event::Configured(manual));
    bench.submit("let a = |");
    assert!(!bench.runs());
    bench.submit_as("let a = |", |wish| Wish {
        invoked: true,
        ..wish
    });
    assert!(bench.runs());
}

#[test]
fn languages_are_switched_off_while_the_server_runs() {
    let mut bench = Bench::new();
    let off = json!({ "languages": { "rust": false } });
    bench.world.happen(Event::Configured(off));
    let key = bench.submit("let a = |");
    bench.expect(&[(key, "empty")]);
    bench
        .world
        .happen(Event::Configured(json!({ "enable": false })));
    let key = bench.submit("let a = |");
    bench.expect(&[(key, "empty")]);
    bench.world.happen(Event::Configured(Value::Null));
    bench.submit("let a = |");
    assert!(bench.runs());
}

#[test]
fn a_document_is_called_by_its_place_in_the_folders() {
    let mut world = World::ready();
    let uri = "file:///project/src/a.rs";
    world.open(uri, "x");
    let path = |world: &World| {
        let snapshot = world.session.documents.snapshot(uri).expect("open");
        snapshot.path.to_string()
    };
    assert_eq!(path(&world), "a.rs");
    let folders = vec!["/project".into()];
    world.happen(Event::FoldersChanged(folders, Vec::new()));
    assert_eq!(path(&world), "src/a.rs");
    assert_eq!(world.reads, 1, "projects are read elsewhere, not here");
}
