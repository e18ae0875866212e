//! The life cycle step by step: who is answered what, in which order, and what keeps running.

use carat_engine::TokenId;
use ropey::Rope;

use super::*;
use crate::arbiter::query::Selected;
use crate::completion::{self, Parts};
use crate::documents::Edit;
use crate::prompt::{FimMarks, PromptBudget, PromptForm, Vocabulary};

const URI: &str = "file:///a.rs";
const DEADLINE: Duration = Duration::from_millis(700);

/// A vocabulary of bytes.
struct Bytes;

impl Vocabulary for Bytes {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        text.bytes().map(TokenId::from).collect()
    }

    fn bos(&self) -> TokenId {
        256
    }

    fn control(&self, _text: &str) -> Option<TokenId> {
        None
    }

    fn fill_in_the_middle(&self) -> Option<FimMarks> {
        None
    }
}

/// A life cycle with an engine that does what the test says.
struct Bench {
    cycle: LifeCycle,
    now: Instant,
    /// The document's text, once there was a request.
    document: Option<Rope>,
    job: Option<Job>,
    answers: Vec<(RequestKey, Answer)>,
}

impl Bench {
    fn new() -> Self {
        let cycle = LifeCycle {
            model: ModelState::Ready,
            ..LifeCycle::default()
        };
        Self {
            cycle,
            now: Instant::now(),
            document: None,
            job: None,
            answers: Vec::new(),
        }
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(key, answer) => self.answers.push((key, answer)),
                Effect::Start(job) => self.job = Some(job),
                Effect::Expire(..) => {}
            }
        }
        self.cycle.assert_invariants();
    }

    fn submit_query(&mut self, query: Query) -> RequestKey {
        let (key, effects) = self.cycle.submit(query, self.now);
        self.take(effects);
        key
    }

    /// Asks for the caret at `|`, after an edit if the text is another one.
    fn submit(&mut self, text: &str) -> RequestKey {
        self.edit(&text.replace('|', ""));
        self.submit_query(query(text))
    }

    fn edit(&mut self, text: &str) {
        let now = snapshot(text, 2);
        let before = self.document.replace(now.text.clone());
        let edits = before.and_then(|old| Edit::trimmed(&old, 0..old.len_bytes(), text));
        let Some(edit) = edits else { return };
        let changed = Changed {
            now,
            edits: vec![edit],
            version_went_back: false,
        };
        let effects = self.cycle.edited(&changed, self.now);
        self.take(effects);
    }

    fn cancel(&mut self, key: RequestKey) {
        let effects = self.cycle.cancel(key, self.now);
        self.take(effects);
    }

    fn deadline(&mut self, key: RequestKey) {
        let effects = self.cycle.deadline(key, self.now);
        self.take(effects);
    }

    /// The engine takes the job and writes some text.
    fn write(&mut self, text: &str) -> bool {
        let job = self.job.clone().expect("a job");
        let (prefix, suffix) = (
            job.place.text.byte_slice(..job.place.caret),
            job.place.text.byte_slice(job.place.caret..),
        );
        let query = completion::Query {
            prefix: &prefix.to_string(),
            suffix: &suffix.to_string(),
            ..Default::default()
        };
        let plan = completion::plan(
            &query,
            PromptForm::Plain,
            &PromptBudget::default(),
            &Parts::default(),
            &Bytes,
        );
        if !self.cycle.planned(job.key, &Arc::new(plan)) {
            return false;
        }
        let (go_on, effects) = self.cycle.produced(job.key, text, self.now);
        self.take(effects);
        go_on
    }

    /// The engine comes to the end of its text.
    fn end(&mut self) {
        let key = self.job.take().expect("a job").key;
        let effects = self.cycle.ended(key, Some(StopReason::StopToken), self.now);
        self.take(effects);
    }

    fn stopped(&self) -> bool {
        self.job
            .as_ref()
            .is_some_and(|job| job.cancel.is_cancelled())
    }

    /// Lets time pass and all timers of the job run.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        if let Some(key) = self.job.as_ref().map(|job| job.key) {
            self.cycle.expire(key, self.now);
        }
        self.cycle.assert_invariants();
    }

    /// Takes the answers so far, as text: `key:text`.
    #[track_caller]
    fn expect(&mut self, expected: &[(RequestKey, &str)]) {
        let seen: Vec<(RequestKey, String)> = self
            .answers
            .drain(..)
            .map(|(key, answer)| (key, describe(&answer)))
            .collect();
        let expected: Vec<(RequestKey, String)> = expected
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect();
        assert_eq!(seen, expected);
    }
}

fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Shown(shown) => format!(
            "{}..{} {}",
            shown.replace.start, shown.replace.end, shown.text
        ),
        Answer::Empty => "empty".to_owned(),
        Answer::Cancelled => "cancelled".to_owned(),
    }
}

fn snapshot(text: &str, version: i32) -> Snapshot {
    Snapshot {
        uri: URI.into(),
        version,
        language_id: "rust".into(),
        text: Rope::from_str(text),
    }
}

fn insertion(at: usize, text: &str) -> Edit {
    Edit {
        range: at..at,
        text: text.to_owned(),
    }
}

fn query(text: &str) -> Query {
    let caret = text.find('|').expect("a caret");
    Query {
        snapshot: snapshot(&text.replace('|', ""), 1),
        caret,
        explicit: false,
        selected: None,
        deadline: DEADLINE,
        max_tokens: None,
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
fn a_newer_request_supersedes_and_the_older_is_answered_first() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |");
    let old = bench.job.clone().expect("a job");
    let second = bench.submit("let bcd = |");
    bench.expect(&[(first, "empty")]);
    assert!(old.cancel.is_cancelled());
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
    let third = bench.submit("let a = foo(1)|;");
    assert!(
        bench.job.is_some(),
        "nothing is left, so there is a new generation"
    );
    bench.expect(&[]);
    bench.cancel(third);
    bench.expect(&[(third, "cancelled")]);
}

#[test]
fn a_pair_that_the_editor_closes_is_typed_through() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |;");
    bench.write("f(uri, x)");
    bench.end();
    bench.expect(&[(first, "8..8 f(uri, x)")]);
    // `(` was typed, `)` came by itself; the rest replaces it.
    let second = bench.submit("let a = f(|);");
    bench.expect(&[(second, "10..11 uri, x)")]);
    let third = bench.submit("let a = f(uri, x|);");
    bench.expect(&[(third, "16..17 )")]);
    assert!(bench.job.is_none(), "all came from the first generation");
}

#[test]
fn a_closer_that_is_typed_over_is_typed_through() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = f(|);");
    bench.write("x).y(1)");
    bench.end();
    bench.expect(&[(first, "10..11 x).y(1)")]);
    let second = bench.submit("let a = f(x|);");
    bench.expect(&[(second, "11..12 ).y(1)")]);
    let third = bench.submit("let a = f(x)|;");
    bench.expect(&[(third, "12..12 .y(1)")]);
    assert!(bench.job.is_none(), "all came from the first generation");
}

#[test]
fn a_pair_that_closes_while_the_engine_writes_keeps_its_work() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |;");
    bench.write("f(");
    bench.edit("let a = f();");
    assert!(!bench.stopped());
    bench.write("x)");
    bench.end();
    bench.expect(&[(first, "10..11 x)")]);
}

#[test]
fn a_closer_that_the_answer_does_not_have_is_another_text() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |;");
    bench.write("f[1]");
    bench.end();
    bench.expect(&[(first, "8..8 f[1]")]);
    bench.submit("let a = f(|);");
    assert!(bench.job.is_some(), "it starts anew");
}

#[test]
fn a_cancelled_generation_lives_for_the_grace_time() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.cancel(key);
    bench.expect(&[(key, "cancelled")]);
    bench.wait(GRACE / 2);
    assert!(!bench.stopped());
    bench.wait(GRACE / 2);
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
    bench.wait(GRACE / 2);
    let second = bench.submit("let a = fo|");
    bench.wait(GRACE * 2);
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
    let other = Changed {
        now: Snapshot {
            uri: "file:///b.rs".into(),
            ..snapshot("x", 9)
        },
        edits: vec![insertion(0, "x")],
        version_went_back: false,
    };
    let effects = bench.cycle.edited(&other, bench.now);
    bench.take(effects);
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
fn the_deadline_answers_what_is_safe_and_the_rest_goes_on_for_a_while() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo(1) + ba");
    bench.deadline(key);
    bench.expect(&[(key, "8..8 foo(1) +")]);
    assert!(!bench.stopped());
    bench.wait(BACKGROUND);
    assert!(bench.stopped());
}

#[test]
fn nothing_safe_at_the_deadline_is_nothing() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.deadline(key);
    bench.expect(&[(key, "empty")]);
    bench.write("foo");
    bench.end();
    let again = bench.submit("let a = |");
    bench.expect(&[(again, "8..8 foo")]);
}

#[test]
fn a_failed_generation_answers_nothing_and_is_not_kept() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    let job = bench.job.take().expect("a job").key;
    let effects = bench.cycle.ended(job, None, bench.now);
    bench.take(effects);
    bench.expect(&[(key, "empty")]);
    bench.submit("let a = |");
    assert!(bench.job.is_some(), "it is tried again");
}

#[test]
fn a_closed_document_answers_and_forgets() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    let effects = bench.cycle.closed(URI, bench.now);
    bench.take(effects);
    bench.expect(&[(key, "empty")]);
    assert!(bench.stopped());
}

#[test]
fn a_model_that_failed_answers_at_once() {
    let mut bench = Bench::new();
    bench.cycle.model = ModelState::Failed;
    let key = bench.submit("let a = |");
    bench.expect(&[(key, "empty")]);
    assert!(bench.job.is_none());
    assert!(
        bench
            .cycle
            .record()
            .is_some_and(|(record, complete)| complete && record.caret == 8)
    );
}

#[test]
fn what_the_user_asks_for_is_not_answered_from_what_the_editor_asked_for() {
    let mut bench = Bench::new();
    bench.submit("let a = |");
    bench.write("foo");
    bench.end();
    bench.submit_query(Query {
        explicit: true,
        ..query("let a = |")
    });
    assert!(bench.job.is_some());
}

#[test]
fn the_selected_entry_of_a_menu_is_continued() {
    let mut bench = Bench::new();
    let selected = Some(Selected {
        range: 8..10,
        text: "foobar".to_owned(),
    });
    let key = bench.submit_query(Query {
        selected,
        ..query("let a = fo|;")
    });
    let place = bench.job.clone().expect("a job").place;
    assert_eq!(
        (place.text.to_string().as_str(), place.caret),
        ("let a = foobar;", 14)
    );
    bench.write("(1)");
    bench.end();
    bench.expect(&[(key, "8..10 foobar(1)")]);
}

#[test]
fn the_record_tells_of_the_last_request() {
    let mut bench = Bench::new();
    bench.submit("let a = |");
    assert!(bench.cycle.record().is_some_and(|(_, complete)| !complete));
    bench.write("1;");
    bench.edit("let a = 1");
    bench.end();
    let (record, complete) = bench.cycle.record().expect("a record");
    assert!(complete);
    assert_eq!(
        (
            record.snapshot.text.to_string().as_str(),
            record.snapshot.version,
            record.caret
        ),
        ("let a = ", 1, 8)
    );
    assert!(
        record.prompt.ends_with("let a"),
        "what stands before the caret is left to the answer: {:?}",
        record.prompt
    );
    assert_eq!(record.completion, ";");
}

#[test]
fn random_sequences_answer_every_request_once() {
    let texts = [
        "let a = |",
        "let a = f|",
        "let a = fo|",
        "let a = x|",
        "let bc = |;",
    ];
    let mut random = carat_tests::Random::new(7);
    for _ in 0..300 {
        let mut bench = Bench::new();
        let mut keys = Vec::new();
        for _ in 0..40 {
            let text = *random.pick(&texts);
            match random.below(8) {
                0..=2 => keys.push(bench.submit(text)),
                3 => bench.edit(&text.replace('|', "")),
                4 if !keys.is_empty() => bench.cancel(*random.pick(&keys)),
                5 if !keys.is_empty() => bench.deadline(*random.pick(&keys)),
                6 if bench.job.is_some() => drop(bench.write("fo")),
                7 if bench.job.is_some() => bench.end(),
                _ => bench.wait(GRACE / 3),
            }
        }
        let effects = bench.cycle.halt(bench.now);
        bench.take(effects);
        let mut answered: Vec<RequestKey> = bench.answers.iter().map(|(key, _)| *key).collect();
        answered.sort_by_key(|key| key.0);
        assert_eq!(answered, keys);
    }
}
