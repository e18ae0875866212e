//! Two models: the quick one answers at every key, the other when the caret rests.

use serde_json::json;

use super::*;
use crate::generator::ModelFacts;

const REST: Source = Source::REST;

/// A session whose settings name a model for rests, for a client that asks again.
fn two() -> Bench {
    let mut world = World::new(vec![MODEL], Encoding::Utf8);
    let options = json!({ "models": { "rest": "large.gguf" } });
    let facts = ClientFacts {
        asks_again: true,
        ..ClientFacts::default()
    };
    world.introduce_with(facts, &options);
    assert_eq!(world.loads, [None, Some("large.gguf".to_owned())]);
    world.load(Ok("m"));
    world.load_source(REST, Ok(""));
    Bench::of(world)
}

#[test]
fn a_file_with_two_names_is_loaded_once_and_no_rest_is_waited_for() {
    let mut world = World::new(vec![MODEL], Encoding::Utf8);
    for name in ["a.gguf", "link/a.gguf"] {
        world.files.insert(name.to_owned(), "/models/a.gguf".into());
    }
    let options = json!({ "models": { "typing": "a.gguf", "rest": "link/a.gguf" } });
    world.introduce_with(ClientFacts::default(), &options);
    assert_eq!(world.loads, [Some("a.gguf".to_owned())]);
    world.load(Ok("m"));
    let mut bench = Bench::of(world);
    bench.submit("let a = |");
    rests(&mut bench);
    assert!(asked(&bench, MODEL) && !asked(&bench, REST));
}

#[test]
fn what_the_model_for_rests_has_not_read_when_it_is_stopped_is_read_on() {
    let mut bench = two();
    let key = bench.submit("let a = |");
    bench.write("foo");
    bench.end();
    bench.expect(&[(key, "8..8 foo")]);
    rests(&mut bench);
    assert!(asked(&bench, REST));
    bench.world.reading_at_rest = None;
    bench.edit("let a = b");
    bench.world.wait(Duration::from_secs(6));
    assert!(!asked(&bench, REST), "nobody waits for it any more");
    let reading = bench.world.reading_at_rest.take().expect("it reads on");
    assert_eq!((reading.caret.at, reading.is_guess), (9, false));
    bench.world.wait(Duration::from_secs(1));
    bench.submit("let a = b|");
    bench.write("az");
    bench.end();
    rests(&mut bench);
    bench.world.reading_at_rest = None;
    rest_writes(&mut bench, "ar;", -0.1);
    bench.world.wait(Duration::from_secs(10));
    assert!(bench.world.reading_at_rest.is_none(), "it has read all");
}

fn asked(bench: &Bench, source: Source) -> bool {
    let mut jobs = bench.world.jobs.iter();
    jobs.any(|it| it.job.source == source && !it.job.cancel.is_cancelled())
}

/// The model for rests writes, this sure of every token.
fn rest_writes(bench: &mut Bench, text: &str, log_prob: f32) {
    let mut jobs = bench.world.jobs.iter_mut();
    let job = jobs.find(|it| it.job.source == REST).expect("it was asked");
    assert!(job.job.at_rest);
    job.log_prob = log_prob;
    bench.world.write(REST, text);
    bench.world.end(REST, Some(StopReason::StopToken));
}

fn rests(bench: &mut Bench) {
    bench.world.wait(Duration::from_millis(400));
}

#[test]
fn the_quick_model_answers_and_the_other_is_asked_once_the_caret_rests() {
    let mut bench = two();
    let key = bench.submit("let a = |");
    assert!(asked(&bench, MODEL) && !asked(&bench, REST));
    bench.write("quick");
    bench.end();
    bench.expect(&[(key, "8..8 quick")]);
    bench.world.wait(Duration::from_millis(200));
    assert!(!asked(&bench, REST), "the user may be typing");
    bench.world.wait(Duration::from_millis(200));
    assert!(asked(&bench, REST));
}

#[test]
fn who_types_on_does_not_wake_the_other_model() {
    let mut bench = two();
    for text in ["let a = |", "let a = q|", "let a = qu|"] {
        bench.submit(text);
        bench.world.wait(Duration::from_millis(170));
        assert!(!asked(&bench, REST), "{text}");
    }
    bench.edit("let a = que");
    bench.world.wait(Duration::from_secs(1));
    assert!(
        !asked(&bench, REST),
        "nobody has asked for the text as it is now"
    );
}

#[test]
fn a_line_is_replaced_by_one_that_is_surer() {
    let mut bench = two();
    let first = bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    bench.expect(&[(first, "8..8 quick")]);
    rests(&mut bench);
    rest_writes(&mut bench, "quite slow", -0.5);
    // Both are as sure: what was shown stays.
    assert_eq!(bench.world.told_again, 0);
    let again = bench.submit("let a = qui|");
    assert!(!asked(&bench, REST), "it has said what it thinks");
    bench.expect(&[(again, "11..11 ck")]);
    let second = bench.submit("let b = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    rest_writes(&mut bench, "quite slow", -0.3);
    assert_eq!(bench.world.told_again, 1);
    let surer = bench.submit("let b = |");
    bench.expect(&[(second, "8..8 quick"), (surer, "8..8 quite slow")]);
}

#[test]
fn nobody_is_told_to_ask_again_who_has_typed_on() {
    let mut bench = two();
    let key = bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    bench.edit("let a = q");
    rest_writes(&mut bench, "quite slow", -0.1);
    bench.expect(&[(key, "8..8 quick")]);
    assert_eq!(bench.world.told_again, 0);
}

#[test]
fn a_client_that_cannot_ask_again_is_not_told() {
    let mut bench = two();
    bench.world.introduce(ClientFacts::default());
    bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    rest_writes(&mut bench, "quite slow", -0.1);
    assert_eq!(bench.world.told_again, 0);
}

#[test]
fn where_the_quick_model_has_nothing_the_other_is_waited_for() {
    let mut bench = two();
    let key = bench.submit("let a = |");
    bench.end();
    bench.expect(&[]);
    rests(&mut bench);
    rest_writes(&mut bench, "slow", -0.3);
    bench.expect(&[(key, "8..8 slow")]);
    let key = bench.submit("let b = |");
    bench.end();
    bench.world.wait(Duration::from_secs(3));
    bench.expect(&[(key, "empty")]);
}

#[test]
fn the_user_who_asks_is_answered_by_both() {
    let mut bench = two();
    let key = bench.submit_as("let a = |", |wish| Wish {
        invoked: true,
        ..wish
    });
    assert!(asked(&bench, MODEL) && asked(&bench, REST));
    rest_writes(&mut bench, "slow", -0.5);
    bench.expect(&[(key, "8..8 slow")]);
}

#[test]
fn it_writes_no_longer_than_anyone_could_want() {
    let mut bench = two();
    bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    bench.world.write(REST, "slow and ");
    bench.edit("let a = s");
    assert!(asked(&bench, REST), "it is what is typed");
    bench.edit("let a = so");
    assert!(!asked(&bench, REST), "it is another text");
    bench.submit("let a = so|");
    bench.write("me");
    bench.end();
    rests(&mut bench);
    assert!(asked(&bench, REST));
    bench.world.wait(Duration::from_secs(5));
    assert!(!asked(&bench, REST));
}

#[test]
fn code_actions_go_to_their_model_and_its_failure_is_told() {
    let mut bench = two();
    bench.edit("fn main() {}");
    let act = |bench: &mut Bench| {
        let start = LineColumn { line: 0, column: 0 };
        bench.world.ask(Request::Act(ActionCommand {
            uri: URI.to_owned(),
            version: None,
            range: start..start,
            choice: ActionChoice::Action(Action::Explain),
        }));
    };
    act(&mut bench);
    let sources: Vec<Source> = bench.world.actions.iter().map(|it| it.source).collect();
    assert_eq!(sources, [REST]);
    bench.world.load_source(REST, Err("no file"));
    assert!(
        bench.world.said.iter().any(|it| it.contains("large.gguf")),
        "{:?}",
        bench.world.said
    );
    act(&mut bench);
    assert_eq!(bench.world.actions.len(), 1, "it was refused");
    bench.seen = bench.world.replies.len();
    let key = bench.submit("fn main() {|}");
    bench.write(" f();");
    bench.end();
    bench.expect(&[(key, "11..11  f();")]);
}

#[test]
fn a_language_has_a_model_of_its_own() {
    let mut world = World::new(vec![MODEL], Encoding::Utf8);
    let options = json!({ "models": { "rust": "rusty.gguf" } });
    world.introduce_with(ClientFacts::default(), &options);
    assert_eq!(world.loads, [None, Some("rusty.gguf".to_owned())]);
    world.load(Ok("m"));
    let rusty = Source::of_languages(0);
    world.load_source(rusty, Ok(""));
    let mut bench = Bench::of(world);
    let key = bench.submit("let a = |");
    assert!(asked(&bench, rusty) && !asked(&bench, MODEL));
    bench.world.write(rusty, "rust");
    bench.world.end(rusty, Some(StopReason::StopToken));
    bench.expect(&[(key, "8..8 rust")]);
}

#[test]
fn on_battery_the_model_for_rests_is_asked_only_by_hand() {
    let mut bench = two();
    bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    assert!(asked(&bench, REST));
    bench.world.happen(Event::OnBattery(true));
    assert!(
        !asked(&bench, REST),
        "what it was at is not worth the power"
    );
    let states = |bench: &Bench| {
        let status = bench.world.statuses.last().expect("a status");
        let states = status.models.iter().map(|model| model.state.name());
        states.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(states(&bench), "ready onBattery");
    bench.submit("let b = |");
    bench.write("quick");
    bench.end();
    rests(&mut bench);
    assert!(!asked(&bench, REST));
    bench.submit_as("let b = |", |wish| Wish {
        invoked: true,
        ..wish
    });
    assert!(asked(&bench, REST));
    bench.world.happen(Event::OnBattery(false));
    bench.submit("let c = |");
    rests(&mut bench);
    assert!(asked(&bench, REST));
}

#[test]
fn the_status_says_what_each_model_does() {
    let mut bench = two();
    let said = |bench: &Bench| {
        let status = bench.world.statuses.last().expect("a status");
        let models = status.models.iter();
        let said =
            models.map(|it| format!("{} {} {}", it.name, it.roles.join("+"), it.state.name()));
        said.collect::<Vec<_>>()
    };
    assert_eq!(
        said(&bench),
        ["default typing ready", "large.gguf rest+actions ready"]
    );
    bench.world.happen(Event::Engine(Report::Busy(REST, true)));
    assert_eq!(said(&bench)[1], "large.gguf rest+actions busy");
    bench.world.happen(Event::Engine(Report::Busy(REST, false)));
    bench.world.happen(Event::Engine(Report::Unloaded(REST)));
    assert_eq!(said(&bench)[1], "large.gguf rest+actions unloaded");
    let key = bench.submit("let a = |");
    bench.write("quick");
    bench.end();
    bench.expect(&[(key, "8..8 quick")]);
    rests(&mut bench);
    assert!(asked(&bench, REST), "it is loaded again for that");
    bench.world.load_source(REST, Err("gone"));
    assert_eq!(said(&bench)[1], "large.gguf rest+actions error");
}

#[test]
fn what_is_asked_of_an_unloaded_model_is_answered_when_it_is_back() {
    let mut bench = two();
    bench.world.happen(Event::Engine(Report::Unloaded(REST)));
    let key = bench.submit_as("let a = |", |wish| Wish {
        invoked: true,
        ..wish
    });
    assert!(asked(&bench, REST));
    bench.world.load_source(REST, Ok(""));
    assert!(asked(&bench, REST), "it does what was asked");
    bench.write("quick");
    bench.end();
    bench.world.write(REST, "large");
    bench.world.end(REST, Some(StopReason::StopToken));
    bench.expect(&[(key, "8..8 large")]);
}

#[test]
fn instructions_are_for_the_model_of_actions() {
    let mut bench = two();
    let mut ready = |source, takes_instructions| {
        let facts = ModelFacts {
            name: "m".to_owned(),
            tier: "small",
            takes_instructions,
        };
        let report = Report::Ready(source, Some(facts));
        bench.world.happen(Event::Engine(report));
        let status = bench.world.statuses.last().expect("a status");
        status.takes_instructions
    };
    assert_eq!(ready(REST, true), Some(true));
    assert_eq!(ready(MODEL, false), Some(true), "its file is loaded again");
}

#[test]
fn what_is_wrong_with_the_quick_model_is_said_while_the_other_computes() {
    let mut bench = two();
    bench.world.load(Err("gone"));
    for is_busy in [true, false] {
        let report = Report::Busy(REST, is_busy);
        bench.world.happen(Event::Engine(report));
        let status = bench.world.statuses.last().expect("a status");
        let said = (status.name(), status.message.as_deref());
        assert_eq!(said, ("error", Some("gone")));
    }
}
