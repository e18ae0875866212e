//! Random sequences of everything that can happen: every request is answered exactly once, one
//! generation of a model lives at most, nothing stale is shown. `world.rs` checks after every step.

use proptest::prelude::*;

use super::world::{ECHO, World};
use super::*;
use crate::actions::{Change, Outcome};
use crate::mailbox::{ActionEnd, ActionKey, Stage};

/// Sequences in a run.
const CASES: u32 = 10_000;

const URIS: [&str; 2] = ["file:///w/a.rs", "untitled:b"];

/// What happens in one step. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Open(usize, &'static str),
    Close(usize),
    /// An edit at positions, or of everything.
    Edit(usize, Option<[(u32, u32); 2]>, &'static str),
    /// Text at a caret: document, line, column, for a menu, asked for by the user.
    Ask(usize, u32, u32, bool, bool),
    AskSelected(usize, u32, [u32; 2], &'static str),
    Record,
    Menu(usize),
    Toggle,
    Snooze(u64),
    Language(bool),
    Why(usize, u32, u32),
    Dismiss,
    Others,
    Act(usize, bool),
    Cancel(usize),
    CancelAction(u64),
    Configure(&'static str),
    Pulled(Option<&'static str>),
    ProjectsRead,
    Saved,
    Folders(bool),
    /// A source, and whether it can answer.
    Load(Source, bool),
    Write(Source, &'static str),
    End(Source),
    Fail(Source),
    Acting(u64),
    Acted(u64, bool),
    Allowed(u64, bool),
    Wait(u64),
    Leave,
}

fn texts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "f",
        "fo",
        "foo(",
        "()",
        ")",
        "x",
        "é",
        "\u{1F600}",
        "\n",
        "let a = ",
        "fn f() {\n    \n}",
        "a\r\nb",
    ])
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        5 => Just(Source::MODEL),
        1 => Just(ECHO),
        3 => Just(Source::REST),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let document = || 0usize..2;
    let place = || (0u32..4, 0u32..12);
    let options = || {
        prop::sample::select(vec![
            "{}",
            r#"{"enable": false}"#,
            r#"{"trigger": "manual"}"#,
            r#"{"deadlineMs": 10}"#,
            r#"{"delayMs": 30}"#,
            r#"{"disabledGlobs": ["*.rs"]}"#,
            r#"{"model": "other"}"#,
            "[1]",
        ])
    };
    let written = prop::sample::select(vec![
        "f",
        "fo",
        "foo(x)",
        "o(",
        ");",
        "\n    y",
        "é\u{1F600}",
    ]);
    prop_oneof![
        4 => (document(), texts()).prop_map(|(uri, text)| Step::Open(uri, text)),
        1 => document().prop_map(Step::Close),
        8 => (document(), place(), texts())
            .prop_map(|(uri, at, text)| Step::Edit(uri, Some([at, at]), text)),
        4 => (document(), place(), place(), texts())
            .prop_map(|(uri, start, end, text)| Step::Edit(uri, Some([start, end]), text)),
        1 => (document(), texts()).prop_map(|(uri, text)| Step::Edit(uri, None, text)),
        10 => (document(), place(), prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(uri, (line, column), menu, invoked)| Step::Ask(uri, line, column, menu, invoked)),
        2 => (document(), 0u32..3, [0u32..6, 0u32..6], texts())
            .prop_map(|(uri, line, columns, text)| Step::AskSelected(uri, line, columns, text)),
        1 => Just(Step::Record),
        1 => document().prop_map(Step::Menu),
        1 => Just(Step::Toggle),
        1 => (0u64..2).prop_map(Step::Snooze),
        1 => any::<bool>().prop_map(Step::Language),
        1 => (document(), place()).prop_map(|(uri, (line, column))| Step::Why(uri, line, column)),
        1 => Just(Step::Dismiss),
        1 => Just(Step::Others),
        2 => (document(), any::<bool>()).prop_map(|(uri, prose)| Step::Act(uri, prose)),
        3 => (0usize..8).prop_map(Step::Cancel),
        1 => (1u64..5).prop_map(Step::CancelAction),
        1 => options().prop_map(Step::Configure),
        1 => prop::option::of(options()).prop_map(Step::Pulled),
        1 => Just(Step::ProjectsRead),
        1 => Just(Step::Saved),
        1 => any::<bool>().prop_map(Step::Folders),
        2 => (source(), prop::bool::weighted(0.8)).prop_map(|(source, loads)| Step::Load(source, loads)),
        10 => (source(), written).prop_map(|(source, text)| Step::Write(source, text)),
        5 => source().prop_map(Step::End),
        1 => source().prop_map(Step::Fail),
        2 => (1u64..5).prop_map(Step::Acting),
        2 => (1u64..5, any::<bool>()).prop_map(|(key, fails)| Step::Acted(key, fails)),
        2 => (1u64..5, any::<bool>()).prop_map(|(key, allowed)| Step::Allowed(key, allowed)),
        4 => prop::sample::select(vec![1u64, 20, 50, 200, 1000, 5000]).prop_map(Step::Wait),
        1 => Just(Step::Leave),
    ]
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Open(uri, text) => world.open(URIS[*uri], text),
        Step::Close(uri) => world.close(URIS[*uri]),
        Step::Edit(uri, range, text) => world.change(URIS[*uri], *range, text),
        Step::Ask(uri, line, column, menu, invoked) => {
            let wish = Wish {
                menu: *menu,
                invoked: *invoked,
                ..World::wish(URIS[*uri], *line, *column)
            };
            world.ask(Request::Complete(wish));
        }
        Step::AskSelected(uri, line, [start, end], text) => {
            let at = |column| LineColumn {
                line: *line,
                column,
            };
            let wish = Wish {
                selected: Some((at(*start)..at(*end), (*text).to_owned())),
                ..World::wish(URIS[*uri], *line, *end)
            };
            world.ask(Request::Complete(wish));
        }
        Step::Record => drop(world.ask(Request::LastRecord)),
        Step::Menu(uri) => drop(world.ask(Request::Menu(URIS[*uri].to_owned()))),
        Step::Toggle => drop(world.ask(Request::Toggle)),
        Step::Act(uri, prose) => {
            let start = LineColumn { line: 0, column: 0 };
            let action = if *prose {
                Action::Explain
            } else {
                Action::Document
            };
            world.ask(Request::Act(ActionCommand {
                uri: URIS[*uri].to_owned(),
                version: None,
                range: start..start,
                choice: ActionChoice::Action(action),
            }));
        }
        Step::Cancel(number) => {
            let keys: Vec<RequestKey> = world.requests.keys().rev().copied().collect();
            if let Some(key) = keys.get(*number) {
                world.happen(Event::Cancelled(*key));
            }
        }
        Step::CancelAction(key) => world.happen(Event::ActionCancelled(ActionKey(*key))),
        Step::Configure(options) => world.happen(Event::Configured(value(options))),
        Step::Pulled(options) => world.happen(Event::Pulled(options.map(value))),
        Step::ProjectsRead => world.happen(Event::ProjectsRead(Vec::new())),
        Step::Saved => world.happen(Event::FileChanged("/w/.carat.toml".into())),
        Step::Folders(added) => {
            let folder = vec![std::path::PathBuf::from("/w")];
            world.happen(if *added {
                Event::FoldersChanged(folder, Vec::new())
            } else {
                Event::FoldersChanged(Vec::new(), folder)
            });
        }
        Step::Load(source, loads) => {
            world.load_source(*source, loads.then_some("m").ok_or("no file"));
        }
        Step::Write(source, text) => drop(world.write(*source, text)),
        Step::End(source) => world.end(*source, Some(StopReason::StopToken)),
        Step::Fail(source) => world.end(*source, None),
        Step::Acting(key) => {
            let acting = Report::Acting(ActionKey(*key), Stage::Writing(1));
            world.happen(Event::Engine(acting));
        }
        Step::Acted(key, fails) => {
            let key = ActionKey(*key);
            let job = world.actions.iter().find(|job| job.key == key);
            let Some(job) = job else { return };
            let range = 0..job.request.text.len_bytes().min(1);
            let end = if *fails {
                ActionEnd::Failed("it failed".to_owned())
            } else {
                let change = Change {
                    range: range.clone(),
                    text: "new".to_owned(),
                };
                ActionEnd::Outcome(Outcome::Change(change), vec![(range, "new".to_owned())])
            };
            world.act(key, end);
        }
        Step::Allowed(key, allowed) => {
            world.happen(Event::ProgressAllowed(ActionKey(*key), *allowed));
        }
        Step::Wait(ms) => world.wait(Duration::from_millis(*ms)),
        Step::Leave => world.happen(Event::Left),
        step => take_command(world, step),
    }
}

/// The commands by which users are left alone.
fn take_command(world: &mut World, step: &Step) {
    match step {
        Step::Snooze(seconds) => {
            world.ask(Request::Snooze(Duration::from_secs(*seconds)));
        }
        Step::Language(enabled) => {
            world.ask(Request::SetLanguage("rust".to_owned(), *enabled));
        }
        Step::Why(uri, line, column) => {
            let wish = World::wish(URIS[*uri], *line, *column);
            world.ask(Request::Why(Some(wish)));
        }
        Step::Dismiss => drop(world.ask(Request::Dismiss)),
        Step::Others => world.offer_others(Source::MODEL, &["foo(y)", "x"]),
        step => panic!("{step:?} is no command"),
    }
}

fn value(options: &str) -> Value {
    serde_json::from_str(options).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_every_request_is_answered_once(
        encoding in prop_oneof![Just(Encoding::Utf8), Just(Encoding::Utf16), Just(Encoding::Utf32)],
        pulls in any::<bool>(),
        echo in any::<bool>(),
        two in any::<bool>(),
        loaded in prop::bool::weighted(0.8),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut sources = vec![Source::MODEL];
        if echo {
            sources.push(ECHO);
        }
        let mut world = World::new(sources, encoding);
        let options = if two { json!({ "models": { "rest": "large" } }) } else { json!({}) };
        world.introduce_with(World::able(encoding, pulls), &options);
        if loaded {
            world.load(Ok("m"));
        }
        world.open(URIS[0], "let a = ");
        for step in &steps {
            take(&mut world, step);
        }
        world.happen(Event::Left);
        world.check_end();
        let mut loads = world.loads.clone();
        loads.sort();
        loads.dedup();
        prop_assert_eq!(loads.len(), world.loads.len(), "a model is started once");
    }
}
