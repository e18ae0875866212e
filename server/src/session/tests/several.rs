//! Several answers for a user who asked: which stay, and what becomes of them.

use super::flow::unsure;
use super::*;

impl Bench {
    /// Asks by hand at `|`, and is answered with these, the first of which counts most.
    fn asked_for(&mut self, text: &str, answers: &[&str]) {
        self.submit_as(text, asked);
        let (first, others) = answers.split_first().expect("an answer");
        self.world.offer_others(MODEL, others);
        self.write(first);
        self.end();
        self.seen = self.world.replies.len();
    }
}

#[test]
fn who_asks_gets_other_answers_as_well() {
    let mut bench = Bench::new();
    let key = bench.submit_as("let a = |", asked);
    bench.write("foo(1)");
    bench.world.offer_others(MODEL, &["bar(2)", "baz"]);
    bench.end();
    bench.expect(&[(key, "8..8 foo(1) | 8..8 bar(2) | 8..8 baz")]);
    let key = bench.submit_as("let a = f|", asked);
    bench.expect(&[(key, "9..9 oo(1)")]);
    // While typing there is one, but none of what was asked for goes away.
    let key = bench.submit("let a = |");
    bench.expect(&[(key, "8..8 foo(1) | 8..8 bar(2) | 8..8 baz")]);
    let key = bench.submit("let a = b|");
    bench.expect(&[(key, "9..9 ar(2) | 9..9 az")]);
    assert!(!bench.runs(), "the engine has nothing to do");
    let key = bench.submit("let a = baz|");
    assert!(bench.runs(), "nothing is left, so there is a new one");
    bench.cancel(key);
    bench.expect(&[(key, "cancelled")]);
}

#[test]
fn the_rest_of_any_answer_stays_that_was_taken_in_part() {
    let mut bench = Bench::new();
    let options = json!({ "shortest": 20 });
    bench.world.happen(Event::Configured(options));
    let key = bench.submit_as("let a = |;", asked);
    bench.write("foo(1)");
    bench.world.offer_others(MODEL, &["bar(2)", "bar[3]"]);
    bench.end();
    bench.expect(&[(key, "8..8 foo(1) | 8..8 bar(2) | 8..8 bar[3]")]);
    bench.insert(0, 8, "bar");
    let key = bench.submit("let a = bar|;");
    bench.expect(&[(key, "11..11 (2) | 11..11 [3]")]);
    bench.insert(0, 11, "[3]");
    assert_eq!(bench.world.counted, [1, 1, 4], "shown, taken, keys saved");
}

#[test]
fn who_takes_one_of_several_answers_is_not_offered_what_a_longer_one_has_more() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |;", &["foo(1)", "foo", "foo(1) + 2"]);
    for whole in ["foo", "foo(1)"] {
        let key = bench.submit(&format!("let a = {whole}|;"));
        bench.write(" + b");
        bench.end();
        let at = 8 + whole.len();
        bench.expect(&[(key, &format!("{at}..{at}  + b"))]);
    }
    let key = bench.submit("let a = f|;");
    bench.expect(&[(key, "9..9 oo(1) | 9..9 oo | 9..9 oo(1) + 2")]);
}

#[test]
fn several_answers_are_dismissed_together() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |", &["foo(1)", "bar(2)"]);
    bench.world.ask(Request::Dismiss);
    bench.seen = bench.world.replies.len();
    for text in ["let a = f|", "let a = b|"] {
        let key = bench.submit(text);
        bench.expect(&[(key, "empty")]);
        assert_eq!(bench.silence(), Some(Silence::Dismissed));
    }
}

#[test]
fn who_types_one_of_several_answers_types_against_none() {
    let mut bench = unsure();
    let several = |bench: &mut Bench, text: &str| {
        bench.submit_as(text, asked);
        bench.world.offer_others(MODEL, &["45"]);
        bench.answer_unsure("12 + 3");
        bench.seen = bench.world.replies.len();
    };
    several(&mut bench, "let a = |\n");
    bench.edit("let a = 4\n");
    bench.edit("let a = 45\n");
    let key = bench.submit("let a = 45 - |\n");
    bench.answer_unsure("12 + 3");
    bench.expect(&[(key, "13..13 12 + 3")]);
    several(&mut bench, "let a = b + |\n");
    bench.submit("let a = b + 5|\n");
    bench.answer_unsure("5 + 6");
    let silence = bench.silence().expect("a reason");
    assert!(
        matches!(silence, Silence::Contradicted { times: 1, .. }),
        "{silence:?}"
    );
}

#[test]
fn nobody_has_other_answers_who_has_not_asked() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.world.offer_others(MODEL, &["bar(2)"]);
    bench.write("foo(1)");
    bench.end();
    bench.expect(&[(key, "8..8 foo(1)")]);
    bench.submit("let a = b|");
    assert!(bench.runs(), "it is another text");
}

#[test]
fn who_asks_again_gets_more_than_what_is_left() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |", &["foo(1)", "bar(2)"]);
    let key = bench.submit_as("let a = b|", asked);
    assert!(bench.runs());
    bench.world.offer_others(MODEL, &["ox"]);
    bench.write("uild()");
    bench.end();
    bench.expect(&[(key, "9..9 uild() | 9..9 ox")]);
}

#[test]
fn another_answer_that_is_not_shown_does_not_keep_the_model_from_being_asked() {
    let mut bench = Bench::new();
    let options = json!({ "shortest": 20 });
    bench.world.happen(Event::Configured(options));
    bench.asked_for("let a = |", &["foo(1)", "bar(2)"]);
    bench.submit("let a = b|");
    assert!(bench.runs());
}

#[test]
fn an_answer_that_is_taken_word_by_word_goes_on_where_another_ends() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |;", &["foo(1) + 2", "foo(1)"]);
    bench.insert(0, 8, "foo");
    let key = bench.submit("let a = foo|;");
    bench.expect(&[(key, "11..11 (1) + 2 | 11..11 (1)")]);
    bench.insert(0, 11, "(1)");
    let key = bench.submit("let a = foo(1)|;");
    bench.expect(&[(key, "14..14  + 2")]);
}

#[test]
fn what_was_undone_of_one_answer_lifts_no_bar_for_another() {
    let mut bench = Bench::new();
    let options = json!({ "shortest": 20 });
    bench.world.happen(Event::Configured(options));
    bench.asked_for("let a = |;", &["foo(1)", "bar(2)"]);
    bench.insert(0, 8, "foo");
    bench.delete(0, 8..11);
    bench.seen = bench.world.replies.len();
    let key = bench.submit("let a = b|;");
    bench.write("ar(2)");
    bench.end();
    bench.expect(&[(key, "empty")]);
}

#[test]
fn a_word_that_is_undone_is_undone_for_all_answers_that_begin_with_it() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |;", &["foo(1)", "bar(2)", "bar[3]"]);
    bench.insert(0, 8, "bar");
    bench.delete(0, 8..11);
    bench.seen = bench.world.replies.len();
    let key = bench.submit("let a = |;");
    bench.expect(&[(key, "8..8 foo(1)")]);
    let key = bench.submit("let a = b|;");
    bench.write("ar[3]");
    bench.end();
    bench.expect(&[(key, "empty")]);
    assert_eq!(bench.silence(), Some(Silence::Dismissed));
}

#[test]
fn an_answer_that_was_undone_stays_away_while_another_is_typed() {
    let mut bench = Bench::new();
    bench.asked_for("let a = |;", &["bar(2)", "bar[3]"]);
    bench.insert(0, 8, "bar[3]");
    bench.delete(0, 8..14);
    let key = bench.submit("let a = |;");
    bench.expect(&[(key, "8..8 bar(2)")]);
    let key = bench.submit("let a = b|;");
    bench.expect(&[(key, "9..9 ar(2)")]);
}
