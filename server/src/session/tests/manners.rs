//! When the session leaves the user alone: delays, pauses, dismissals, what follows an acceptance; and
//! what it counts.

use super::*;
use crate::completion::{Knowledge, Silence};
use crate::documents::{Change, Opened};
use crate::settings::Pause;
use crate::status::Status;

const DELAY: Duration = Duration::from_millis(300);

fn delayed() -> Bench {
    let mut bench = Bench::new();
    let options = json!({ "delayMs": DELAY.as_millis() as u64 });
    bench.world.happen(Event::Configured(options));
    bench
}

impl Bench {
    fn status(&self) -> &Status {
        self.world.statuses.last().expect("a status")
    }

    /// Asks where a text has `|`, gets an answer.
    fn answered(&mut self, text: &str, answer: &str) {
        self.submit(text);
        self.write(answer);
        self.end();
        self.seen = self.world.replies.len();
    }
}

#[test]
fn new_text_waits_until_no_key_has_come_for_a_while() {
    let mut bench = delayed();
    let first = bench.submit("let a = |");
    bench.world.wait(DELAY / 2);
    assert!(!bench.runs(), "not even begun");
    let second = bench.submit("let a = f|");
    bench.expect(&[(first, "empty")]);
    bench.world.wait(DELAY);
    assert!(bench.runs());
    bench.write("oo(x)");
    bench.end();
    bench.expect(&[(second, "9..9 oo(x)")]);
    // What stands there stays while it is typed through.
    let third = bench.submit("let a = fo|");
    bench.expect(&[(third, "10..10 o(x)")]);
}

#[test]
fn the_deadline_begins_when_the_delay_is_over() {
    let mut bench = delayed();
    let key = bench.submit("let a = |");
    bench.world.wait(DELAY);
    bench.world.wait(DEADLINE / 2);
    bench.expect(&[]);
    bench.write("foo(1) + ba");
    bench.world.wait(DEADLINE / 2);
    bench.expect(&[(key, "8..8 foo(1) +")]);
    let late = bench.submit("let b = |");
    bench.world.wait(DELAY + DEADLINE + BACKGROUND);
    bench.expect(&[(late, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::Slow { ms: 700 }));
}

#[test]
fn what_the_user_asks_for_and_menus_are_not_delayed() {
    let mut bench = delayed();
    bench.submit_as("let a = |", asked);
    assert!(bench.runs());
    let menu = |wish| Wish { menu: true, ..wish };
    let mut bench = delayed();
    bench.submit_as("let a = |", menu);
    assert!(bench.runs());
}

#[test]
fn a_delayed_request_is_cancelled_and_edited_like_any_other() {
    let mut bench = delayed();
    let key = bench.submit("let a = |");
    bench.cancel(key);
    bench.expect(&[(key, "cancelled")]);
    let key = bench.submit("let a = |");
    bench.edit("let a = x");
    bench.expect(&[(key, "empty")]);
    bench.world.happen(Event::Left);
    bench.world.check_end();
}

#[test]
fn a_snooze_ends_by_itself_or_when_the_user_resumes() {
    let mut bench = Bench::new();
    let minutes = |minutes: u64| Request::Snooze(Duration::from_secs(60 * minutes));
    let snooze = bench.world.ask(minutes(5));
    let key = bench.submit("let a = |");
    bench.expect(&[(snooze, "Paused(true)"), (key, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::Paused));
    assert_eq!(bench.status().name(), "paused");
    assert!(matches!(bench.status().pause, Pause::Until(_)));
    bench.world.wait(Duration::from_mins(5));
    assert_eq!(bench.status().name(), "ready");
    bench.submit("let a = |");
    assert!(bench.runs());

    bench.world.ask(minutes(5));
    let resume = bench.world.ask(Request::Toggle);
    bench.seen = bench.world.replies.len() - 1;
    bench.expect(&[(resume, "Paused(false)")]);
    bench.world.ask(minutes(5));
    let resume = bench.world.ask(minutes(0));
    bench.seen = bench.world.replies.len() - 1;
    bench.expect(&[(resume, "Paused(false)")]);
    bench.world.happen(Event::Left);
    bench.world.check_end();
}

#[test]
fn a_language_is_off_until_the_server_ends() {
    let mut bench = Bench::new();
    let off = Request::SetLanguage("rust".to_owned(), false);
    let key = bench.world.ask(off);
    let empty = bench.submit("let a = |");
    bench.expect(&[(key, "Language(\"rust\", false)"), (empty, "empty")]);
    let why = bench.status().quiet.as_ref().map(ToString::to_string);
    assert!(why.is_some_and(|why| why.contains("rust")));
    bench
        .world
        .ask(Request::SetLanguage("rust".to_owned(), true));
    assert_eq!(bench.status().quiet, None, "at once");
    bench.submit("let a = |");
    assert!(bench.runs());
}

#[test]
fn a_file_that_the_user_leaves_out_is_shown_to_no_model() {
    let mut bench = Bench::new();
    bench.submit("let a = |");
    let options = json!({ "disabledGlobs": ["a.rs"] });
    bench.world.happen(Event::Configured(options));
    let texts = |bench: &Bench| bench.world.session.requests.texts.clone();
    assert_eq!(texts(&bench).text(URI), None, "the echo forgets it");
    let key = bench.submit_as("let b = |", asked);
    let reply = bench.world.replies.last().expect("a reply");
    assert_eq!((reply.0, describe(&reply.1)), (key, "empty".to_owned()));
    let pattern = "a.rs".to_owned();
    assert_eq!(bench.silence(), Some(Silence::DisabledFile { pattern }));
    bench.world.ask(Request::Act(ActionCommand {
        uri: URI.to_owned(),
        version: None,
        range: LineColumn { line: 0, column: 0 }..LineColumn { line: 0, column: 3 },
        choice: ActionChoice::Action(Action::Explain),
    }));
    assert!(
        bench.world.actions.is_empty(),
        "code actions are models too"
    );
    let said = bench.world.said.last().expect("a refusal");
    assert!(said.contains("disabledGlobs"), "{said}");
    bench.world.happen(Event::Configured(Value::Null));
    assert!(texts(&bench).text(URI).is_some());
}

fn knows_python() -> Bench {
    let mut bench = Bench::new();
    bench.world.knowledge = Knowledge {
        model: "the embedded model".to_owned(),
        languages: Some(vec!["python".to_owned()]),
        ..Knowledge::default()
    };
    bench
}

#[test]
fn a_language_that_the_model_does_not_know_is_told_once_and_the_status_says_so() {
    let mut bench = knows_python();
    bench.answered("let a = |", "");
    let quiet = bench.status().quiet.as_ref().map(ToString::to_string);
    let quiet = quiet.expect("a reason");
    assert!(
        quiet.starts_with("the embedded model knows Python, not Rust"),
        "{quiet}"
    );
    assert_eq!(bench.world.said.len(), 1, "{:?}", bench.world.said);
    bench.answered("let a = f|", "");
    assert_eq!(bench.world.said.len(), 1, "once is enough");

    bench.world.happen(Event::Opened(Opened {
        uri: "file:///b.py".to_owned(),
        language_id: "python".to_owned(),
        version: 0,
        text: "a = ".to_owned(),
    }));
    let known = carat_tests::NaiveText::new("a = ", carat_tests::Units::Utf8);
    bench.world.texts.insert("file:///b.py".to_owned(), known);
    let wish = World::wish("file:///b.py", 0, 4);
    bench.world.ask(Request::Complete(wish));
    bench.write("1");
    bench.end();
    assert_eq!(bench.status().quiet, None);
}

#[test]
fn a_client_with_a_status_bar_gets_no_message() {
    let mut world = World::new(vec![MODEL], Encoding::Utf8);
    world.introduce(ClientFacts {
        status: true,
        ..ClientFacts::default()
    });
    world.load(Ok("m"));
    world.knowledge = knows_python().world.knowledge;
    let mut bench = Bench::of(world);
    bench.answered("let a = |", "");
    assert!(bench.status().quiet.is_some());
    assert_eq!(bench.world.said, Vec::<String>::new());
}

#[test]
fn huge_and_generated_files_have_a_reason() {
    let mut bench = Bench::new();
    bench.answered("// @generated by a program\nlet a = |", "1");
    assert_eq!(bench.status().quiet, Some(Silence::Generated));
    let huge = "let a = 1;\n".repeat(200_000) + "let a = |";
    bench.answered(&huge, "1");
    assert_eq!(bench.status().quiet, Some(Silence::Huge));
    bench.answered("let a = |", "1");
    assert_eq!(bench.status().quiet, None);
}

#[test]
fn the_rest_of_what_was_taken_in_part_stays_whatever_is_shown_while_typing() {
    let mut bench = Bench::new();
    let options = json!({ "shortest": 20 });
    bench.world.happen(Event::Configured(options));
    let key = bench.submit_as("let a = |;", asked);
    bench.write("foo(1)");
    bench.end();
    bench.expect(&[(key, "8..8 foo(1)")]);
    let key = bench.submit("let a = f|;");
    bench.expect(&[(key, "empty")]);
    let key = bench.submit_as("let a = |;", asked);
    bench.expect(&[(key, "8..8 foo(1)")]);
    bench.insert(0, 8, "foo");
    let key = bench.submit("let a = foo|;");
    bench.expect(&[(key, "11..11 (1)")]);
}

#[test]
fn settings_that_change_hold_for_what_is_there_already() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo(1)");
    bench.end();
    bench.expect(&[(key, "8..8 foo(1)")]);
    let options = json!({ "shortest": 20 });
    bench.world.happen(Event::Configured(options.clone()));
    let key = bench.submit("let a = |");
    bench.write("foo(1)");
    bench.end();
    bench.expect(&[(key, "empty")]);
    // Settings that stay as they are cost nothing.
    bench.world.happen(Event::Configured(options));
    let key = bench.submit("let a = f|");
    bench.expect(&[(key, "empty")]);
}

#[test]
fn why_asks_as_the_editor_does_and_tells_what_comes_of_it() {
    let mut bench = knows_python();
    bench.edit("let a = ");
    let wish = World::wish(URI, 0, 8);
    let why = bench.world.ask(Request::Why(Some(wish.clone())));
    bench.write("");
    bench.end();
    bench.expect(&[(why, "record of 8")]);
    match &bench.world.replies.last().expect("a reply").1 {
        Reply::Record(Some(record)) => {
            assert!(matches!(
                record.silence,
                Some(Silence::UnknownLanguage { .. })
            ));
        }
        other => panic!("{other:?}"),
    }
    bench.world.knowledge = Knowledge::default();
    bench.edit("let ab = ");
    let why = bench.world.ask(Request::Why(Some(World::wish(URI, 0, 9))));
    bench.write("1;");
    bench.end();
    bench.expect(&[(why, "record of 9")]);
    assert_eq!(bench.silence(), None);
    assert_eq!(bench.world.counted, [0; 3], "nothing was shown");
    let unknown = Wish {
        uri: "file:///none.rs".to_owned(),
        ..wish
    };
    let why = bench.world.ask(Request::Why(Some(unknown)));
    bench.expect(&[(why, "not open")]);
}

#[test]
fn what_is_shown_and_taken_is_counted_once() {
    let mut bench = Bench::new();
    bench.answered("let a = |;", "foo(bar)");
    assert_eq!(bench.world.counted, [1, 0, 0]);
    bench.submit("let a = f|;");
    bench.submit("let a = fo|;");
    assert_eq!(
        bench.world.counted,
        [1, 0, 0],
        "typed through is no other text"
    );
    bench.insert(0, 10, "o(bar)");
    assert_eq!(bench.world.counted, [1, 1, 5]);
    bench.insert(0, 16, ".x");
    assert_eq!(bench.world.counted, [1, 1, 5], "the rest is typed");
}

#[test]
fn text_that_is_taken_in_parts_counts_once_and_every_key_of_it() {
    let mut bench = Bench::new();
    bench.answered("let a = |;", "foo(bar).baz()");
    bench.insert(0, 8, "foo");
    assert_eq!(bench.world.counted, [1, 1, 2]);
    bench.submit("let a = foo|;");
    bench.insert(0, 11, "(bar)");
    assert_eq!(bench.world.counted, [1, 1, 6]);
    bench.submit("let a = foo(bar)|;");
    bench.insert(0, 16, ".");
    bench.insert(0, 17, "baz()");
    assert_eq!(bench.world.counted, [1, 1, 10]);
}

#[test]
fn typing_is_not_taking() {
    let mut bench = Bench::new();
    bench.answered("let a = |;", "foo");
    for (column, key) in [(8, "f"), (9, "o"), (10, "o")] {
        bench.insert(0, column, key);
    }
    assert_eq!(bench.world.counted, [1, 0, 0]);
    bench.answered("let b = |;", "foo");
    bench.insert(0, 8, "bar");
    assert_eq!(bench.world.counted, [2, 0, 0]);
}

#[test]
fn what_was_undone_is_not_counted_and_not_offered_again_there() {
    let mut bench = Bench::new();
    bench.answered("let a = f(|);", "x, y)");
    bench.world.change(URI, Some([(0, 10), (0, 11)]), "x, y)");
    assert_eq!(bench.world.counted, [1, 1, 3]);
    bench.delete(0, 10..14);
    assert_eq!(bench.world.counted, [1, 0, 0]);
    let again = bench.submit("let a = f(|);");
    bench.expect(&[(again, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::Dismissed));
    let typed = bench.submit("let a = f(x|);");
    bench.expect(&[(typed, "empty")]);
    // Another text, another place, or a user who asks: that is something else.
    bench.submit("let a = f(z|);");
    bench.write(".w)");
    bench.end();
    let answer = describe(&bench.world.replies.last().expect("a reply").1);
    assert_eq!(answer, "11..11 .w");
    let elsewhere = bench.submit("\nlet a = f();\nlet a = f(|);");
    bench.write("x, y)");
    bench.end();
    bench.seen = bench.world.replies.len() - 1;
    bench.expect(&[(elsewhere, "24..24 x, y")]);
}

#[test]
fn a_file_is_left_out_by_its_whole_path_wherever_the_workspace_begins() {
    let mut bench = Bench::new();
    let secret = "file:///home/u/.aws/credentials";
    bench.world.open(secret, "[default]\nregion = ");
    assert_eq!(
        bench.world.session.left_out(secret),
        Some(Silence::SecretFile)
    );
    let texts = &bench.world.session.requests.texts;
    let known = texts.paths().filter(|path| path.contains("credentials"));
    assert_eq!(known.count(), 0, "the echo does not know it");

    let cell = "vscode-notebook-cell:/w/private/a.ipynb#W0sZmlsZQ%3D%3D";
    assert_eq!(bench.world.session.left_out(cell), None);
    let options = json!({ "disabledGlobs": ["private"] });
    bench.world.happen(Event::Configured(options));
    let pattern = "private".to_owned();
    assert_eq!(
        bench.world.session.left_out(cell),
        Some(Silence::DisabledFile { pattern })
    );
}

#[test]
fn what_was_dismissed_on_an_empty_line_is_not_offered_for_what_is_typed_there() {
    let mut bench = Bench::new();
    bench.answered("let x = 1;\n|", "let a = foo();");
    bench.world.ask(Request::Dismiss);
    bench.seen = bench.world.replies.len();
    bench.insert(1, 0, "l");
    let typed = bench.submit("let x = 1;\nl|");
    bench.write("et a = foo();");
    bench.end();
    bench.expect(&[(typed, "empty")]);
    // Lines that are pasted above it push it down.
    bench.insert(1, 0, "let y = 2;\n");
    let moved = bench.submit("let x = 1;\nlet y = 2;\nl|");
    bench.write("et a = foo();");
    bench.end();
    bench.expect(&[(moved, "empty")]);
}

#[test]
fn what_was_dismissed_is_not_offered_again_there_unless_asked() {
    let mut bench = Bench::new();
    bench.answered("let x = 1;\nlet a = |;", "foo()");
    bench.world.ask(Request::Dismiss);
    bench.seen = bench.world.replies.len();
    let again = bench.submit("let x = 1;\nlet a = |;");
    bench.expect(&[(again, "empty")]);
    // The place moves with the text above it.
    bench.insert(0, 0, "let y = 2;\n");
    let moved = bench.submit("let y = 2;\nlet x = 1;\nlet a = |;");
    bench.write("foo()");
    bench.end();
    bench.expect(&[(moved, "empty")]);
    let key = bench.submit_as("let y = 2;\nlet x = 1;\nlet a = |;", asked);
    bench.write("foo()");
    bench.end();
    bench.expect(&[(key, "30..30 foo()")]);
}

#[test]
fn who_asks_gets_the_answers_of_the_better_source_whatever_the_other_is_sure_of() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let sure = |bench: &mut Bench| {
        let last = bench
            .world
            .jobs
            .iter_mut()
            .rfind(|it| it.job.source == ECHO);
        last.expect("it is asked").log_prob = -0.01;
        bench.world.write(ECHO, "echo()");
        bench.world.end(ECHO, Some(StopReason::StopToken));
    };
    let typed = bench.submit("let a = |;");
    sure(&mut bench);
    bench.expect(&[(typed, "8..8 echo()")]);
    bench.write("model()");
    bench.end();
    let asked = bench.submit_as("let bc = |;", asked);
    sure(&mut bench);
    bench.expect(&[]);
    bench.world.offer_others(MODEL, &["other()"]);
    bench.write("model()");
    bench.end();
    bench.expect(&[(asked, "9..9 model() | 9..9 other()")]);
}

#[test]
fn what_follows_an_acceptance_is_there_at_once_or_not_at_all() {
    let mut bench = Bench::new();
    bench.answered("let a = |", "foo();");
    bench.insert(0, 8, "foo();");
    let follow = bench.submit("let a = foo();|");
    bench.world.wait(Duration::from_millis(99));
    bench.expect(&[]);
    bench.world.wait(Duration::from_millis(1));
    bench.expect(&[(follow, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::AfterAcceptance));
    assert!(!bench.stopped(), "the next key may use it");
    bench.write("\nlet b = 1;");
    bench.end();
    bench.expect(&[]);

    let mut bench = delayed();
    bench.submit("let a = |");
    bench.world.wait(DELAY);
    bench.write("foo();");
    bench.end();
    bench.insert(0, 8, "foo();");
    let follow = bench.submit("let a = foo();|");
    bench.write("\nlet b = 1;");
    bench.end();
    let (key, reply) = bench.world.replies.last().expect("a reply");
    assert_eq!(
        (*key, describe(reply).as_str()),
        (follow, "14..14 \nlet b = 1;")
    );
}

#[test]
fn statistics_can_be_switched_off() {
    let mut bench = Bench::new();
    bench
        .world
        .happen(Event::Configured(json!({ "statistics": false })));
    bench.answered("let a = |;", "foo(bar)");
    bench.insert(0, 8, "foo(bar)");
    assert_eq!(bench.world.counted, [0; 3]);
}

#[test]
fn a_change_of_everything_forgets_what_stood_there() {
    let mut bench = Bench::new();
    bench.answered("let a = |;", "foo(bar)");
    let change = Change {
        range: None,
        text: String::new(),
    };
    bench.world.texts.insert(
        URI.to_owned(),
        carat_tests::NaiveText::new("", carat_tests::Units::Utf8),
    );
    bench
        .world
        .happen(Event::Changed(URI.to_owned(), None, vec![change]));
    bench.world.ask(Request::Dismiss);
    bench.insert(0, 0, "foo(bar)");
    assert_eq!(bench.world.counted, [1, 0, 0]);
}
