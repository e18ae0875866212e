//! Reading what stands in a Markdown fence.

use super::check::Fault;

/// Whether an answer has closed its fence, so that no more need be written.
pub(super) fn is_closed(answer: &str, fence: &str) -> bool {
    closing(answer, fence).is_some()
}

/// The code in an answer whose fence the prompt has opened: up to the line that closes it.
///
/// An answer that never closes it was cut off or is no code; one that opens another is not one piece.
pub(super) fn code(answer: &str, fence: &str) -> Result<String, Fault> {
    let end = closing(answer, fence).ok_or(Fault::NoFence)?;
    let code = &answer[..end];
    if code
        .lines()
        .any(|line| line.trim_start().starts_with(fence))
    {
        return Err(Fault::NoFence);
    }
    let code = code.trim_end();
    // Blank lines before the code are no part of it; its first line's indentation is.
    let blank = code.lines().take_while(|line| line.trim().is_empty());
    let skip: usize = blank.map(|line| line.len() + 1).sum();
    let code = code.get(skip..).unwrap_or_default();
    if code.trim().is_empty() {
        return Err(Fault::Empty);
    }
    Ok(code.to_owned())
}

/// Where the line begins that holds the closing fence and nothing else.
fn closing(answer: &str, fence: &str) -> Option<usize> {
    let mut at = 0;
    for line in answer.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with(fence) && bare.bytes().all(|byte| byte == b'`') {
            return Some(at);
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_fence_and_nothing_else() {
        for (answer, expected) in [
            ("fn f() {}\n```", Ok("fn f() {}")),
            ("fn f() {}\n```\nThis is better.", Ok("fn f() {}")),
            ("\n\n    fn f() {}\n\n```\n", Ok("    fn f() {}")),
            (
                "/// `x` and ```y```\nfn f() {}\n```",
                Ok("/// `x` and ```y```\nfn f() {}"),
            ),
            ("fn f() {}", Err(Fault::NoFence)),
            ("fn f() {}``` ", Err(Fault::NoFence)),
            ("```rust\nfn f() {}\n```", Err(Fault::NoFence)),
            ("\n\n```", Err(Fault::Empty)),
            ("```", Err(Fault::Empty)),
        ] {
            assert_eq!(
                code(answer, "```"),
                expected.map(str::to_owned),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn a_fence_is_closed_by_one_as_long() {
        assert!(is_closed("x\n````", "````"));
        assert!(!is_closed("x\n```", "````"));
        assert!(!is_closed("x\n``", "```"));
    }
}
