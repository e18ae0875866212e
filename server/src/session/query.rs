//! What a client asks of a caret, and what it is answered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::completion::{Caret, Manners};
use crate::documents::{Edit, Snapshot};
use crate::mailbox::Source;

/// A caret in a snapshot for which the client wants a completion.
#[derive(Clone, Debug)]
pub struct Query {
    /// The document as it was when the request arrived.
    pub snapshot: Snapshot,
    /// Byte offset of the caret in it.
    pub caret: usize,
    /// Who is asked, the one that is heard first before the others.
    pub sources: Vec<Source>,
    /// Which of them is asked only when the caret rests.
    pub rest: Option<Source>,
    /// Whether the user asked for it, rather than the editor on its own.
    pub explicit: bool,
    /// Whether it is for an entry of a menu, rather than for ghost text.
    pub menu: bool,
    /// What the editor's completion menu would insert; the completion must continue it.
    pub selected: Option<Selected>,
    /// How long no key must come before sources are asked.
    pub delay: Duration,
    /// How long the client is to wait at most, from then on.
    pub deadline: Duration,
    /// How much longer it may wait for the first text, if there is none by then.
    pub patience: Duration,
    /// Most tokens of the completion; `None` leaves it to the place of the caret.
    pub max_tokens: Option<usize>,
    /// What the user wants to see.
    pub manners: Arc<Manners>,
    /// What the memory calls the document.
    pub remembered_as: Arc<str>,
}

/// The selected entry of an open completion menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// What accepting it would replace.
    pub range: Range<usize>,
    /// What accepting it would insert.
    pub text: String,
}

impl Query {
    /// What accepting the selected entry of the menu would change in the snapshot.
    pub(super) fn acceptance(&self) -> Option<Edit> {
        let selected = self.selected.as_ref()?;
        Edit::trimmed(&self.snapshot.text, selected.range.clone(), &selected.text)
    }

    /// Whether a source is one that is asked only when the caret rests. Who asks by hand asks them all.
    pub(super) fn waits_for_rest(&self, source: Source) -> bool {
        self.rest == Some(source) && !self.explicit
    }

    /// Who answers at every key.
    pub(super) fn typing(&self) -> Option<Source> {
        let mut sources = self.sources.iter();
        sources.find(|source| self.rest != Some(**source)).copied()
    }

    /// What sources see: the snapshot as if the selected entry of the menu had been accepted.
    pub(super) fn place(&self) -> Caret {
        let mut text = self.snapshot.text.clone();
        if let Some(acceptance) = self.acceptance() {
            acceptance.apply(&mut text);
        }
        let at = match &self.selected {
            Some(selected) => selected.range.start + selected.text.len(),
            None => self.caret,
        };
        Caret {
            text,
            at,
            path: self.snapshot.path.clone(),
            language: self.snapshot.language,
            explicit: self.explicit,
            max_tokens: self.max_tokens,
            language_id: Arc::clone(&self.snapshot.language_id),
            manners: Arc::clone(&self.manners),
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
    /// What may stand there instead: what is replaced, and by what.
    pub others: Vec<(Range<usize>, String)>,
}
