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

/// A pause after which more is read than what a completion needs: a prompt that may be longer costs
/// seconds of all cores, and rests between words are not to be filled with that.
const PAUSE: Duration = Duration::from_secs(4);

/// Where something is to be read. The newest place counts: there is one caret.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    spot: Option<Spot>,
    /// Where prompts may be longer.
    longer: Option<Spot>,
    /// Where the model for rests was asked and may not have read all.
    at_rest: Option<Spot>,
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
    /// Whether only the model for rests has it to read.
    pub(super) at_rest: bool,
    /// Whether prompts there may be longer than they are.
    pub(super) is_longer: bool,
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
        self.pauses_later(uri, caret, now);
        self.look(Arc::clone(uri), Some(caret), now, Some(generation));
    }

    /// The model for rests was asked: it reads for seconds, and is stopped by the next key.
    pub(super) fn asked_at_rest(
        &mut self,
        uri: &Arc<str>,
        caret: usize,
        generation: GenerationKey,
        now: Instant,
    ) {
        self.at_rest = Some(Spot {
            uri: Arc::clone(uri),
            caret: Some(caret),
            from: now,
            generation: Some(generation),
        });
    }

    /// A document was edited: the caret is behind the edit.
    pub(super) fn edited(&mut self, changed: &Changed, now: Instant) {
        if let Some(edit) = changed.edits.last() {
            let caret = edit.new_range().end;
            let at_rest = self.at_rest.as_mut();
            if let Some(spot) = at_rest.filter(|spot| spot.uri == changed.now.uri) {
                spot.caret = Some(caret);
            }
            self.pauses_later(&changed.now.uri, caret, now);
            self.look(Arc::clone(&changed.now.uri), Some(caret), now + REST, None);
        }
    }

    /// A generation has read its prompt: there is nothing left to read.
    pub(super) fn has_read(&mut self, generation: GenerationKey) {
        for spot in [&mut self.spot, &mut self.at_rest] {
            spot.take_if(|spot| spot.generation == Some(generation));
        }
    }

    /// Prompts of a document may be longer, and are read anew for that, when the user pauses.
    pub(super) fn may_be_longer(&mut self, uri: &Arc<str>, caret: usize, now: Instant) {
        // An edit may have come meanwhile: then the caret is where that was.
        if self.longer.as_ref().is_none_or(|spot| spot.uri != *uri) {
            self.longer = Some(Spot {
                uri: Arc::clone(uri),
                caret: Some(caret),
                from: now + PAUSE,
                generation: None,
            });
        }
    }

    /// The user is at work in a document, and there.
    fn pauses_later(&mut self, uri: &str, caret: usize, now: Instant) {
        if let Some(spot) = &mut self.longer {
            spot.from = now + PAUSE;
            if *spot.uri == *uri {
                spot.caret = Some(caret);
            }
        }
    }

    /// A document was closed.
    pub(super) fn closed(&mut self, uri: &str) {
        for spot in [&mut self.spot, &mut self.at_rest, &mut self.longer] {
            spot.take_if(|spot| *spot.uri == *uri);
        }
    }

    /// Nothing is to be read any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// When [`Self::take`] has something.
    pub(super) fn due(&self) -> Option<Instant> {
        let spots = [&self.spot, &self.at_rest, &self.longer];
        spots.into_iter().flatten().map(|spot| spot.from).min()
    }

    /// What is to be read, once.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        let due = |spot: &mut Spot| spot.from <= now;
        let of_all = self.spot.take_if(due);
        let at_rest = of_all.is_none();
        let needed = of_all.or_else(|| self.at_rest.take_if(due));
        let is_longer = needed.is_none();
        let spot = needed.or_else(|| self.longer.take_if(due))?;
        if !at_rest || is_longer {
            // That one reads there, too.
            self.at_rest.take_if(|other| other.uri == spot.uri);
        }
        Some(Due {
            uri: spot.uri,
            caret: spot.caret,
            at_rest: at_rest && !is_longer,
            is_longer,
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
