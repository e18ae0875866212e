//! A key costs the same in a small file and in a large one: nothing looks at whole texts.

use super::*;
use crate::documents::{Change, Opened};

/// Time of some keys, each an edit and a request, in the middle of a text of so many bytes.
fn keys(bytes: usize) -> Duration {
    let line = "    let value = compute(first, second); // a line of code\n";
    let lines = bytes / line.len();
    let mut session = Session::new(None);
    let mut happen = |event| session.handle(event, Instant::now());
    happen(Event::Opened(Opened {
        uri: URI.to_owned(),
        language_id: "rust".to_owned(),
        version: 0,
        text: line.repeat(lines),
    }));
    let begun = Instant::now();
    for key in 0..200 {
        let at = LineColumn {
            line: (lines / 2) as u32,
            column: key,
        };
        let change = Change {
            range: Some(at..at),
            text: "x".to_owned(),
        };
        happen(Event::Changed(URI.to_owned(), None, vec![change]));
        let wish = World::wish(URI, at.line, key + 1);
        let effects = happen(Event::Requested(
            RequestKey(u64::from(key)),
            Request::Complete(wish),
        ));
        let asks = effects.iter().any(|it| matches!(it, Effect::Complete(_)));
        assert!(asks, "{effects:?}");
    }
    begun.elapsed()
}

#[test]
fn a_key_costs_as_much_in_a_large_file_as_in_a_small_one() {
    let least = |bytes| (0..5).map(|_| keys(bytes)).min().expect("some rounds");
    let (small, large) = (least(32 << 10), least(32 << 20));
    // Whatever looked at all of a text would cost a thousand times as much.
    assert!(large < small * 20, "{large:?} instead of {small:?}");
}
