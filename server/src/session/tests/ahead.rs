//! What is read ahead: where, when, and that nothing is read while somebody waits.

use super::*;

/// What was ordered to be read since the last look: the document's text, the caret.
fn reading(bench: &mut Bench) -> Option<(String, Option<usize>)> {
    let job = bench.world.reading.take()?;
    let caret = (!job.is_guess).then_some(job.caret.at);
    Some((job.caret.text.to_string(), caret))
}

fn here(text: &str, caret: usize) -> (String, Option<usize>) {
    (text.to_owned(), Some(caret))
}

#[test]
fn an_opened_document_is_read_as_far_as_is_needed_anywhere() {
    let mut bench = Bench::new();
    bench.edit("let a = ");
    assert_eq!(reading(&mut bench), Some(("let a = ".to_owned(), None)));
}

#[test]
fn who_types_and_rests_has_the_text_read_without_asking() {
    let mut bench = Bench::new();
    bench.edit("let a = ;");
    reading(&mut bench);
    bench.edit("let a = f;");
    bench.world.wait(Duration::from_millis(100));
    bench.edit("let a = fo;");
    bench.world.wait(Duration::from_millis(200));
    assert_eq!(reading(&mut bench), None, "no rest yet");
    bench.world.wait(Duration::from_millis(100));
    assert_eq!(reading(&mut bench), Some(here("let a = fo;", 10)));
    bench.world.wait(Duration::from_secs(10));
    assert_eq!(reading(&mut bench), None, "once");
}

#[test]
fn what_a_cancelled_completion_has_not_read_is_read_on() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    reading(&mut bench);
    bench.cancel(key);
    assert_eq!(reading(&mut bench), None, "it may be adopted");
    bench.world.wait(GRACE);
    assert_eq!(reading(&mut bench), Some(here("let a = ", 8)));
}

#[test]
fn what_was_read_for_an_answer_is_not_read_again() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    reading(&mut bench);
    bench.write("foo");
    bench.cancel(key);
    bench.world.wait(GRACE);
    assert!(bench.stopped());
    assert_eq!(reading(&mut bench), None);
}

#[test]
fn a_slow_model_that_has_not_read_all_in_time_reads_on() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    reading(&mut bench);
    bench.world.wait(DEADLINE + BACKGROUND);
    bench.expect(&[(key, "empty")]);
    assert!(!bench.stopped(), "it goes on for a while");
    bench.world.wait(BACKGROUND);
    assert!(bench.stopped());
    assert_eq!(reading(&mut bench), Some(here("let a = ", 8)));
}

#[test]
fn nothing_is_read_for_who_has_paused_or_closed_or_gone() {
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    reading(&mut bench);
    bench.world.ask(Request::Toggle);
    assert!(bench.stopped(), "paused is honoured at once");
    bench.expect(&[(key, "empty"), (RequestKey(2), "Paused(true)")]);
    bench.edit("let a = f");
    bench.world.wait(Duration::from_secs(1));
    assert_eq!(reading(&mut bench), None);
    bench.world.ask(Request::Toggle);
    bench.edit("let a = fo");
    bench.world.close(URI);
    bench.world.wait(Duration::from_secs(1));
    assert_eq!(reading(&mut bench), None);
    bench.edit("let a = foo");
    bench.edit("let a = fo");
    bench.world.happen(Event::Left);
    bench.world.wait(Duration::from_secs(1));
    bench.world.check_end();
}

#[test]
fn a_longer_prompt_is_read_when_the_user_pauses() {
    let longer = |bench: &mut Bench| {
        let job = bench.world.reading.take()?;
        job.is_longer.then_some(job.caret.at)
    };
    let mut bench = Bench::new();
    let key = bench.submit("let a = |");
    bench.write("foo");
    let to_read = || Event::Engine(Report::ToRead(URI.into(), 8));
    bench.world.happen(to_read());
    bench.end();
    bench.expect(&[(key, "8..8 foo")]);
    reading(&mut bench);
    bench.world.wait(Duration::from_secs(3));
    assert_eq!(longer(&mut bench), None, "no pause yet");
    bench.edit("let a = f");
    bench.world.happen(to_read());
    bench.world.wait(Duration::from_secs(3));
    assert_eq!(reading(&mut bench), Some(here("let a = f", 9)), "for a key");
    bench.world.wait(Duration::from_secs(2));
    assert_eq!(longer(&mut bench), Some(9), "where the caret is by now");
    bench.world.wait(Duration::from_secs(10));
    assert_eq!(longer(&mut bench), None, "once");
    bench.world.happen(to_read());
    bench.world.close(URI);
    bench.world.wait(Duration::from_secs(10));
    assert_eq!(longer(&mut bench), None);
}
