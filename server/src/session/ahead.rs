//! What is read ahead while nobody waits: where the next completion is expected.
//!
//! A slow model reads a text for seconds before it can write. So it reads the text around the caret as
//! soon as a document is opened, whenever the user rests, and on where a cancelled completion stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::documents::{Changed, Snapshot};
use crate::mailbox::GenerationKey;

/// A pause in typing after which the text is read at its caret, for clients that have not asked there.
const REST: Duration = Duration::from_millis(250);

/// Where something is to be read. The newest place counts: there is one caret.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    spot: Option<Spot>,
}

/// A place in a document, and from when on it may be read.
#[derive(Debug)]
struct Spot {
    uri: Arc<str>,
    /// Byte offset; `None` where only the document is known.
    caret: Option<usize>,
    from: Instant,
    /// The generation that reads there, if one was asked for.
    generation: Option<GenerationKey>,
}

/// What is to be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) uri: Arc<str>,
    /// Byte offset; `None` if it is known of the document only that it is open.
    pub(super) caret: Option<usize>,
}

impl Ahead {
    /// A document was opened: what is needed wherever its caret is.
    pub(super) fn opened(&mut self, document: &Snapshot, now: Instant) {
        self.look(Arc::clone(&document.uri), None, now, None);
    }

    /// A generation for a caret was asked for: if it is stopped before it has read all, the rest is due.
    pub(super) fn asked(
        &mut self,
        uri: &Arc<str>,
        caret: usize,
        generation: GenerationKey,
        now: Instant,
    ) {
        self.look(Arc::clone(uri), Some(caret), now, Some(generation));
    }

    /// A document was edited: the caret is behind the edit.
    pub(super) fn edited(&mut self, changed: &Changed, now: Instant) {
        if let Some(edit) = changed.edits.last() {
            let caret = edit.new_range().end;
            self.look(Arc::clone(&changed.now.uri), Some(caret), now + REST, None);
        }
    }

    /// A generation has read its prompt: there is nothing left to read.
    pub(super) fn has_read(&mut self, generation: GenerationKey) {
        self.spot
            .take_if(|spot| spot.generation == Some(generation));
    }

    /// What was read of a document is to be read anew, in another size.
    pub(super) fn read_anew(&mut self, uri: &Arc<str>, caret: usize, now: Instant) {
        if self.spot.is_none() {
            self.look(Arc::clone(uri), Some(caret), now, None);
        }
    }

    /// A document was closed.
    pub(super) fn closed(&mut self, uri: &str) {
        self.spot.take_if(|spot| *spot.uri == *uri);
    }

    /// Nothing is to be read any more.
    pub(super) fn forget(&mut self) {
        self.spot = None;
    }

    /// When [`Self::take`] has something.
    pub(super) fn due(&self) -> Option<Instant> {
        self.spot.as_ref().map(|spot| spot.from)
    }

    /// What is to be read, once.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        let spot = self.spot.take_if(|spot| spot.from <= now)?;
        Some(Due {
            uri: spot.uri,
            caret: spot.caret,
        })
    }

    fn look(
        &mut self,
        uri: Arc<str>,
        caret: Option<usize>,
        from: Instant,
        generation: Option<GenerationKey>,
    ) {
        self.spot = Some(Spot {
            uri,
            caret,
            from,
            generation,
        });
    }
}
