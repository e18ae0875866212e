//! Pairs that the editor closes, and closers that are typed over.

use super::*;

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
    assert!(!bench.runs(), "all came from the first generation");
}

#[test]
fn of_two_pairs_the_one_that_the_answer_leaves_open_stays_closed() {
    let mut bench = Bench::new();
    let first = bench.submit("let a = |;");
    bench.write("f(() => {");
    bench.end();
    bench.expect(&[(first, "8..8 f(() => {")]);
    let second = bench.submit("let a = f(|);");
    bench.expect(&[(second, "10..11 () => {")]);
    let third = bench.submit("let a = f((|));");
    bench.expect(&[(third, "11..12 ) => {")]);
    assert!(!bench.runs(), "all came from the first generation");
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
    assert!(!bench.runs(), "all came from the first generation");
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
    assert!(bench.runs(), "it starts anew");
}
