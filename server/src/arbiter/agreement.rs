//! Whether a text is another one plus what a user typed at its caret.

use ropey::Rope;

/// No completion is longer, so a longer difference cannot be one that was typed through.
const TYPED_BYTES_MAX: usize = 4096;

/// What was typed at byte `caret` of `base` to get `now`, wherever the caret is by then.
///
/// `None` if anything else changed as well. Costs one comparison of the texts.
pub(super) fn typed_since(base: &Rope, caret: usize, now: &Rope) -> Option<String> {
    let suffix_bytes = base.len_bytes() - caret;
    let end = now.len_bytes().checked_sub(suffix_bytes)?;
    if end < caret || end - caret > TYPED_BYTES_MAX {
        return None;
    }
    // The parts of `now` may cut characters where it is another text.
    let typed = now.get_byte_slice(caret..end)?;
    let intact = now.get_byte_slice(end..)? == base.byte_slice(caret..)
        && now.get_byte_slice(..caret)? == base.byte_slice(..caret);
    intact.then(|| typed.to_string())
}

/// The same for a caret that is known: what was typed must end there.
pub(super) fn typed_until(
    base: &Rope,
    caret: usize,
    now: &Rope,
    now_caret: usize,
) -> Option<String> {
    typed_since(base, caret, now).filter(|typed| caret + typed.len() == now_caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, now: &str, expected: Option<&str>) {
        let caret = base.find('|').expect("a caret");
        let base = Rope::from_str(&base.replace('|', ""));
        let typed = typed_since(&base, caret, &Rope::from_str(now));
        assert_eq!(typed.as_deref(), expected);
    }

    #[test]
    fn finds_what_was_typed() {
        check("fn |() {}", "fn () {}", Some(""));
        check("fn |() {}", "fn main() {}", Some("main"));
        check("a|", "aé\u{1F600}", Some("é\u{1F600}"));
    }

    #[test]
    fn refuses_any_other_change() {
        check("fn |() {}", "fn main() { }", None);
        check("fn |() {}", "fN main() {}", None);
        check("fn |() {}", "fn ) {}", None);
        check("ab|cd", "abd", None);
        check("a|é", "a\u{1F600}\u{1F600}", None);
    }

    #[test]
    fn wants_the_caret_behind_what_was_typed() {
        let (base, now) = (Rope::from_str("f()"), Rope::from_str("foo()"));
        assert_eq!(typed_until(&base, 1, &now, 3).as_deref(), Some("oo"));
        assert_eq!(typed_until(&base, 1, &now, 2), None);
    }
}
