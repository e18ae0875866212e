//! What a request gets when its time is over, and what it then still waits for.

use super::*;

#[test]
fn the_deadline_answers_what_is_safe_and_the_rest_goes_on_for_a_while() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo(1) + ba");
    bench.world.wait(DEADLINE);
    bench.expect(&[(key, "8..8 foo(1) +")]);
    assert!(!bench.stopped());
    bench.world.wait(BACKGROUND);
    assert!(bench.stopped());
}

#[test]
fn without_anything_at_the_deadline_the_first_text_is_the_answer() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.world.wait(DEADLINE);
    bench.write("fo");
    bench.expect(&[]);
    bench.write("o(1) + b");
    bench.expect(&[(key, "8..8 foo(1) +")]);
    bench.submit("let b = |");
    let menu = bench.submit_as("let c = |", |wish| Wish { menu: true, ..wish });
    bench.world.wait(DEADLINE);
    bench.expect(&[(RequestKey(2), "empty"), (menu, "empty")]);
}

#[test]
fn nothing_in_the_longest_time_is_nothing() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.world.wait(DEADLINE);
    bench.world.wait(BACKGROUND);
    bench.expect(&[(key, "empty")]);
    bench.write("foo");
    bench.end();
    let again = bench.submit("let a = |");
    bench.expect(&[(again, "8..8 foo")]);
}
