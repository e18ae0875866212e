//! Where something is to be proposed, and what is known there.

use super::index::Index;

/// The document with the caret. Its text is taken from here; what the index has under its path is ignored.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// Relative to the workspace.
    pub path: &'a str,
    /// All text before the caret.
    pub prefix: &'a str,
    /// All text after the caret.
    pub suffix: &'a str,
}

/// What is known when something is to be proposed.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The texts of the workspace.
    pub index: &'a Index,
    /// The document with the caret, relative to the workspace.
    pub path: &'a str,
}
