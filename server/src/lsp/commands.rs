//! The names of the commands that clients may execute.

/// Tells what the last completion was asked and answered.
pub(super) const LAST_PROMPT: &str = "carat.lastPrompt";
/// Pauses completion, or resumes it.
pub(super) const TOGGLE: &str = "carat.toggle";

pub(super) const EXPLAIN: &str = "carat.explain";
pub(super) const REFACTOR: &str = "carat.refactor";
pub(super) const DOCUMENT: &str = "carat.document";
pub(super) const WRITE_TESTS: &str = "carat.writeTests";
pub(super) const FIX: &str = "carat.fix";
pub(super) const CUSTOM: &str = "carat.custom";

/// All of them, as `initialize` announces them.
pub(super) const ALL: [&str; 8] = [
    LAST_PROMPT,
    TOGGLE,
    EXPLAIN,
    REFACTOR,
    DOCUMENT,
    WRITE_TESTS,
    FIX,
    CUSTOM,
];

/// The command by which tests see what the scripted generator is doing.
#[cfg(feature = "testing")]
pub(super) const ACTIVITY: &str = "carat.testing.activity";
