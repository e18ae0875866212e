//! What a client asks of a caret, and what it is answered.

use std::ops::Range;
use std::time::Duration;

use ropey::Rope;

use crate::documents::Snapshot;

/// A caret in a snapshot for which the client wants a completion.
#[derive(Clone, Debug)]
pub struct Query {
    /// The document as it was when the request arrived.
    pub snapshot: Snapshot,
    /// Byte offset of the caret in it.
    pub caret: usize,
    /// Whether the user asked for it, rather than the editor on its own.
    pub explicit: bool,
    /// What the editor's completion menu would insert; the completion must continue it.
    pub selected: Option<Selected>,
    /// How long the client is to wait at most.
    pub deadline: Duration,
    /// Most tokens of the completion; `None` leaves it to the place of the caret.
    pub max_tokens: Option<usize>,
}

/// The selected entry of an open completion menu.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What accepting it would replace.
    pub range: Range<usize>,
    /// What accepting it would insert.
    pub text: String,
}

/// The text and the caret that a model sees.
#[derive(Clone, Debug)]
pub struct Place {
    /// The text.
    pub text: Rope,
    /// Byte offset of the caret in it.
    pub caret: usize,
}

impl Query {
    /// The snapshot as if the selected entry of the menu had been accepted.
    pub(super) fn place(&self) -> Place {
        let Some(selected) = &self.selected else {
            return Place {
                text: self.snapshot.text.clone(),
                caret: self.caret,
            };
        };
        let mut text = self.snapshot.text.clone();
        let chars = text.byte_to_char(selected.range.start)..text.byte_to_char(selected.range.end);
        let start = chars.start;
        text.remove(chars);
        text.insert(start, &selected.text);
        Place {
            text,
            caret: selected.range.start + selected.text.len(),
        }
    }
}

/// How a request ends. Every request gets exactly one.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Something to show.
    Shown(Shown),
    /// Nothing to show: superseded, stale, too slow, filtered, or no model.
    Empty,
    /// The client took the request back.
    Cancelled,
}

/// A completion in the document that the client has by now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The document that `replace` refers to.
    pub snapshot: Snapshot,
    /// Byte offset of the caret in it.
    pub caret: usize,
    /// What the text replaces; empty at the caret unless a suffix is swallowed.
    pub replace: Range<usize>,
    /// The text.
    pub text: String,
}
