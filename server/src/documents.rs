//! The open documents: their text, kept equal to the client's by incremental edits.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ropey::Rope;

use crate::positions::{self, Encoding, LineColumn};

#[cfg(test)]
mod tests;

/// One edit: new text for a range, or for the whole document.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is replaced; `None` is the whole document.
    pub range: Option<Range<LineColumn>>,
    /// What it is replaced with.
    pub text: String,
}

/// A document at one moment; cheap to clone, since ropes share their nodes.
///
/// Whoever needs a syntax tree parses it from here, on its own thread: edits never wait for a parser.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The document's name, whatever its scheme.
    pub uri: Arc<str>,
    /// The client's version number.
    pub version: i32,
    /// The client's name of the language.
    pub language_id: Arc<str>,
    /// The text.
    pub text: Rope,
}

/// All open documents by URI. One owner applies edits in wire order; all others hold [`Snapshot`]s.
#[derive(Debug, Default)]
pub struct Documents {
    open: HashMap<Arc<str>, Snapshot>,
}

/// An edit that could not be applied as sent.
#[derive(Debug, PartialEq, Eq)]
pub enum SyncFault {
    /// The document is not open; the edit is ignored.
    NotOpen,
    /// The version did not grow; the edit is applied, as its order on the wire is what counts.
    VersionWentBack {
        /// The version before.
        from: i32,
        /// The version of the edit.
        to: i32,
    },
}

impl Documents {
    /// Takes over a document; one that is open already is replaced.
    pub fn open(&mut self, uri: &str, language_id: &str, version: i32, text: &str) -> Snapshot {
        let uri: Arc<str> = uri.into();
        let snapshot = Snapshot {
            uri: Arc::clone(&uri),
            version,
            language_id: language_id.into(),
            text: Rope::from_str(text),
        };
        self.open.insert(uri, snapshot.clone());
        snapshot
    }

    /// Applies changes one after the other, each to the result of the one before.
    pub fn change(
        &mut self,
        uri: &str,
        version: i32,
        changes: &[Change],
        encoding: Encoding,
    ) -> Result<(), SyncFault> {
        let document = self.open.get_mut(uri).ok_or(SyncFault::NotOpen)?;
        for change in changes {
            apply(&mut document.text, change, encoding);
        }
        let from = std::mem::replace(&mut document.version, version);
        if version < from {
            return Err(SyncFault::VersionWentBack { from, to: version });
        }
        Ok(())
    }

    /// Forgets a document; false if it was not open.
    pub fn close(&mut self, uri: &str) -> bool {
        self.open.remove(uri).is_some()
    }

    /// The document as it is now, if it is open.
    pub fn snapshot(&self, uri: &str) -> Option<Snapshot> {
        self.open.get(uri).cloned()
    }

    /// Panics if the state contradicts itself; for tests.
    pub fn assert_invariants(&self) {
        for (uri, document) in &self.open {
            assert_eq!(
                uri, &document.uri,
                "documents are filed under their own name"
            );
            document.text.assert_integrity();
            document.text.assert_invariants();
        }
    }
}

fn apply(text: &mut Rope, change: &Change, encoding: Encoding) {
    let Some(range) = &change.range else {
        *text = Rope::from_str(&change.text);
        return;
    };
    let a = positions::offset(text, encoding, range.start);
    let b = positions::offset(text, encoding, range.end);
    let (start, end) = (text.byte_to_char(a.min(b)), text.byte_to_char(a.max(b)));
    text.remove(start..end);
    text.insert(start, &change.text);
}
