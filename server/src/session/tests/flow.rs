//! What typing does to what is shown: text that was typed against raises the bar in its line, text that
//! is being typed stays.

use super::*;
use crate::completion::{Knowledge, Silence, Thresholds};

/// A model whose answers are right with one in ten, just enough.
pub(super) fn unsure() -> Bench {
    let mut bench = Bench::new();
    bench.world.knowledge = Knowledge {
        thresholds: Some(Thresholds::of_model("any")),
        ..Knowledge::default()
    };
    bench
}

impl Bench {
    pub(super) fn answer_unsure(&mut self, answer: &str) {
        let last = self.world.jobs.last_mut();
        last.expect("it is asked").log_prob = -2.3;
        self.write(answer);
        self.end();
    }
}

#[test]
fn a_text_that_was_typed_against_raises_the_bar_for_the_next_one_in_its_line() {
    let mut bench = unsure();
    let key = bench.submit("let a = |\n");
    bench.answer_unsure("12 + 3");
    bench.expect(&[(key, "8..8 12 + 3")]);
    let key = bench.submit("let a = 4|\n");
    bench.answer_unsure("5 + 6");
    bench.expect(&[(key, "empty")]);
    let silence = bench.silence().expect("a reason");
    assert!(
        matches!(silence, Silence::Contradicted { times: 1, .. }),
        "{silence:?}"
    );
    assert!(
        silence
            .to_string()
            .contains("typed against 1 proposal in this line")
    );
    // Who asks sees it all the same.
    let key = bench.submit_as("let a = 4|\n", |wish| Wish {
        invoked: true,
        ..wish
    });
    bench.answer_unsure("5 + 6");
    bench.expect(&[(key, "9..9 5 + 6")]);
    // Another line is another matter.
    let key = bench.submit("let a = 4\nlet c = |\n");
    bench.answer_unsure("12 + 3");
    bench.expect(&[(key, "18..18 12 + 3")]);
}

#[test]
fn a_closer_of_the_editor_is_not_typed_against_the_text() {
    let mut bench = unsure();
    let key = bench.submit("f|\n");
    bench.answer_unsure("(x).g()");
    bench.expect(&[(key, "1..1 (x).g()")]);
    let key = bench.submit("f(|)\n");
    bench.expect(&[(key, "2..3 x).g()")]);
    let key = bench.submit("f(y|)\n");
    bench.answer_unsure("z");
    bench.expect(&[(key, "empty")]);
}

#[test]
fn what_leaves_a_bracket_open_stays_before_the_closer_of_the_editor() {
    let mut bench = Bench::new();
    let key = bench.submit("f|\n");
    bench.write("(x,");
    bench.end();
    bench.expect(&[(key, "1..1 (x,")]);
    let key = bench.submit("f(|)\n");
    bench.expect(&[(key, "2..2 x,")]);
}

#[test]
fn what_stands_there_stays_while_it_is_typed_whatever_else_there_is() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let key = bench.submit("let a = |;");
    bench.world.write(ECHO, "value()");
    bench.world.end(ECHO, Some(StopReason::StopToken));
    bench.world.wait(DEADLINE);
    bench.expect(&[(key, "8..8 value()")]);
    // The better source comes too late with another one.
    bench.write("var");
    bench.end();
    let key = bench.submit("let a = v|;");
    bench.expect(&[(key, "9..9 alue()")]);
    let key = bench.submit("let a = va|;");
    bench.expect(&[(key, "10..10 lue()")]);
}

#[test]
fn what_stands_there_stays_while_its_closer_is_typed_over() {
    let mut bench = Bench::of(World::with_sources(&[ECHO, MODEL]));
    let key = bench.submit("f(x|)");
    bench.world.write(ECHO, ").g()");
    bench.world.end(ECHO, Some(StopReason::StopToken));
    bench.world.wait(DEADLINE);
    bench.expect(&[(key, "3..4 ).g()")]);
    bench.write(").h()");
    bench.end();
    // The text is the same, the caret is not.
    let key = bench.submit("f(x)|");
    bench.expect(&[(key, "4..4 .g()")]);
}
