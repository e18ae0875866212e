//! Code actions step by step: where a change lands, what is told on the way, what is refused.

use super::world::World;
use super::*;
use crate::mailbox::{ActionEnd, ActionKey, Stage};

fn order(uri: &str, action: Action) -> Request {
    let start = LineColumn { line: 0, column: 0 };
    Request::Act(ActionCommand {
        uri: uri.to_owned(),
        version: None,
        range: start..start,
        choice: ActionChoice::Action(action),
    })
}

/// A world whose client can do everything, with a document of three lines.
fn able() -> World {
    let mut world = World::new(vec![MODEL], Encoding::Utf16);
    world.introduce(World::able(Encoding::Utf16, false));
    world.load(Ok("m"));
    world.open(URI, "one\ntwo\nthree\n");
    world
}

fn change(range: std::ops::Range<usize>) -> ActionEnd {
    let change = crate::actions::Change {
        range: range.clone(),
        text: "TWO".to_owned(),
    };
    let outcome = crate::actions::Outcome::Change(change);
    ActionEnd::Outcome(outcome, vec![(range, "TWO".to_owned())])
}

#[test]
fn a_change_lands_where_the_code_stands_by_then() {
    let mut world = able();
    world.ask(order(URI, Action::Document));
    let key = ActionKey(1);
    world.happen(Event::ProgressAllowed(key, true));
    world.change(URI, Some([(0, 0), (0, 0)]), "zero\n");
    world.act(key, change(4..7));
    match &world.delivered[..] {
        [Delivery::Edit { edits, .. }] => assert_eq!(edits, &[(9..12, "TWO".to_owned())]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn code_that_was_edited_meanwhile_is_left_alone() {
    let mut world = able();
    world.ask(order(URI, Action::Document));
    world.happen(Event::ProgressAllowed(ActionKey(1), true));
    world.change(URI, Some([(1, 1), (1, 2)]), "W");
    world.act(ActionKey(1), change(4..7));
    assert!(world.delivered.is_empty());
    assert!(world.said[0].contains("edited while"), "{:?}", world.said);
}

#[test]
fn what_ends_before_the_client_allows_progress_is_held_for_a_while() {
    let mut world = able();
    world.ask(order(URI, Action::Document));
    world.act(ActionKey(1), change(4..7));
    assert!(world.delivered.is_empty());
    world.wait(Duration::from_secs(2));
    assert_eq!(world.delivered.len(), 1, "the client has had its time");
    world.happen(Event::ProgressAllowed(ActionKey(1), true));
    assert_eq!(world.delivered.len(), 1);
}

#[test]
fn progress_is_told_at_a_readers_speed() {
    let mut world = able();
    world.ask(order(URI, Action::Explain));
    let key = ActionKey(1);
    world.happen(Event::ProgressAllowed(key, true));
    let written = |pieces| Event::Engine(Report::Acting(key, Stage::Writing(pieces)));
    let mut told = 0;
    for pieces in 0..100 {
        let effects = world.session.handle(written(pieces), world.now);
        told += effects.len();
    }
    assert_eq!(told, 1);
    let due = world.session.due().expect("the last is told later");
    let effects = world.session.handle(Event::Tick, due);
    let last = matches!(&effects[..], [Effect::Progress(_, Progress::Report(what))] if what.contains("99"));
    assert!(last, "{effects:?}");
}

#[test]
fn too_many_actions_and_none_without_a_model_are_refused_in_words() {
    let mut world = able();
    for _ in 0..5 {
        world.ask(order(URI, Action::Explain));
    }
    assert_eq!(world.actions.len(), 4);
    assert!(world.said[0].contains("4 code actions"), "{:?}", world.said);
    world.load(Err("gone"));
    world.wait(Duration::from_secs(2));
    let failed = world.said.iter().filter(|said| said.contains("doctor"));
    assert_eq!(failed.count(), 4, "{:?}", world.said);
    world.ask(order(URI, Action::Explain));
    assert!(
        world
            .said
            .last()
            .is_some_and(|said| said.contains("doctor"))
    );
}

#[test]
fn an_action_on_a_closed_document_ends_and_one_in_prose_goes_on() {
    let mut world = able();
    world.ask(order(URI, Action::Document));
    world.ask(order(URI, Action::Explain));
    for key in [1, 2] {
        world.happen(Event::ProgressAllowed(ActionKey(key), true));
    }
    world.close(URI);
    assert!(world.said[0].contains("closed"), "{:?}", world.said);
    let prose = crate::actions::Outcome::Prose("It is short.".to_owned());
    world.act(ActionKey(2), ActionEnd::Outcome(prose, Vec::new()));
    assert!(matches!(&world.delivered[..], [Delivery::Show { .. }]));
}

#[test]
fn a_selection_behind_emoji_is_in_bytes() {
    let text = "const F: &str = \"\u{1F600}\u{1F600}\"; fn g() { let x = \"\u{1F600}\"; h(); }\n";
    let mut world = able();
    world.open(URI, text);
    let byte = text.find("h();").expect("h");
    let column = text[..byte].encode_utf16().count() as u32;
    let at = LineColumn { line: 0, column };
    world.ask(Request::Act(ActionCommand {
        uri: URI.to_owned(),
        version: None,
        range: at..at,
        choice: ActionChoice::Action(Action::Document),
    }));
    assert_eq!(world.actions[0].request.selection, byte..byte);
}

#[test]
fn a_menu_that_is_out_of_date_is_refused() {
    let mut world = able();
    let start = LineColumn { line: 0, column: 0 };
    world.ask(Request::Act(ActionCommand {
        uri: URI.to_owned(),
        version: Some(7),
        range: start..start,
        choice: ActionChoice::Action(Action::Explain),
    }));
    assert!(world.actions.is_empty());
    assert!(world.said[0].contains("open it again"), "{:?}", world.said);
}

fn version_of(world: &World) -> i32 {
    let document = world.session.documents.snapshot(URI);
    document.expect("it is open").version
}

/// `carat.document` for the caret's place in a version of the document.
fn ordered_of(version: i32, line: u32) -> Request {
    let at = LineColumn { line, column: 0 };
    Request::Act(ActionCommand {
        uri: URI.to_owned(),
        version: Some(version),
        range: at..at,
        choice: ActionChoice::Action(Action::Document),
    })
}

#[test]
fn an_order_means_the_text_that_its_menu_was_opened_on() {
    let mut world = able();
    let version = version_of(&world);
    world.ask(Request::Menu(URI.to_owned()));
    world.change(URI, Some([(0, 0), (0, 0)]), "zero\n");
    world.ask(Request::Menu(URI.to_owned()));
    world.change(URI, Some([(0, 0), (0, 0)]), "minus\n");
    world.ask(ordered_of(version, 1));
    assert_eq!(world.said, Vec::<String>::new());
    let request = &world.actions[0].request;
    assert_eq!(request.text.to_string(), "one\ntwo\nthree\n");
    assert_eq!(request.selection, 4..4);
    world.happen(Event::ProgressAllowed(ActionKey(1), true));
    world.change(URI, Some([(0, 0), (0, 0)]), "least\n");
    world.act(ActionKey(1), change(4..7));
    match &world.delivered[..] {
        [Delivery::Edit { edits, .. }] => assert_eq!(edits, &[(21..24, "TWO".to_owned())]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_menu_is_forgotten_behind_others_behind_many_edits_and_with_its_document() {
    let refuses = |world: &mut World, version: i32| {
        let before = world.said.len();
        world.ask(ordered_of(version, 0));
        world.said.len() > before
    };
    let mut world = able();
    let version = version_of(&world);
    for _ in 0..9 {
        world.ask(Request::Menu(URI.to_owned()));
        world.change(URI, Some([(0, 0), (0, 0)]), "x");
    }
    assert!(refuses(&mut world, version));
    assert!(!refuses(&mut world, version + 1));
    for _ in 0..200 {
        world.change(URI, Some([(0, 0), (0, 0)]), "x");
    }
    assert!(refuses(&mut world, version + 1));
    let version = version_of(&world);
    world.ask(Request::Menu(URI.to_owned()));
    world.close(URI);
    world.open(URI, "another\n");
    world.change(URI, Some([(0, 0), (0, 0)]), "x");
    assert!(refuses(&mut world, version));
}

#[test]
fn a_model_that_only_completes_says_how_to_get_another() {
    let mut world = able();
    world.ask(order(URI, Action::Explain));
    world.happen(Event::ProgressAllowed(ActionKey(1), true));
    let refusal = crate::actions::Refusal::NoInstructions;
    world.act(ActionKey(1), ActionEnd::Refused(refusal));
    let [said] = &world.said[..] else {
        panic!("{:?}", world.said);
    };
    assert!(
        said.contains("carat model pull 26b") && said.contains("`model`"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}
