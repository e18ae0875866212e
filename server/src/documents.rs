//! The open documents: their text, kept equal to the client's by incremental edits.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use carat_grammars::{Language, languages};
use ropey::Rope;

use crate::positions::{self, Encoding, LineColumn};

#[cfg(test)]
mod tests;

/// A document as the client hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its name, whatever its scheme.
    pub uri: String,
    /// The client's name of the language.
    pub language_id: String,
    /// The client's version number.
    pub version: i32,
    /// The text.
    pub text: String,
}

/// One edit: new text for a range, or for the whole document.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is replaced; `None` is the whole document.
    pub range: Option<Range<LineColumn>>,
    /// What it is replaced with.
    pub text: String,
}

/// What one change did to a text: the bytes that differ, and nothing around them.
///
/// Everything that follows a document takes its edits from here; nobody compares texts to find them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What was replaced, in bytes of the text before.
    pub range: Range<usize>,
    /// What stands there now.
    pub text: String,
}

impl Edit {
    /// The replacement of `range` of `before`, without what it leaves as it is; `None` if that is all.
    /// Costs one look at what is replaced.
    pub fn trimmed(before: &Rope, range: Range<usize>, text: &str) -> Option<Self> {
        let old = before.byte_slice(range.clone());
        let same = |(a, b): &(char, char)| a == b;
        let ahead = old.chars().zip(text.chars()).take_while(same);
        let ahead: usize = ahead.map(|(c, _)| c.len_utf8()).sum();
        let (start, text) = (range.start + ahead, &text[ahead..]);
        let old = before.byte_slice(start..range.end);
        let behind = old.chars_at(old.len_chars()).reversed();
        let behind = behind.zip(text.chars().rev()).take_while(same);
        let behind: usize = behind.map(|(c, _)| c.len_utf8()).sum();
        let (end, text) = (range.end - behind, &text[..text.len() - behind]);
        (start < end || !text.is_empty()).then(|| Self {
            range: start..end,
            text: text.to_owned(),
        })
    }

    /// What `text` has in place of [`Self::range`], in bytes of the text after.
    pub fn new_range(&self) -> Range<usize> {
        self.range.start..self.range.start + self.text.len()
    }

    /// What takes the edit back; `before` is the text that it was for.
    #[must_use]
    pub fn inverse(&self, before: &Rope) -> Self {
        Self {
            range: self.new_range(),
            text: before.byte_slice(self.range.clone()).to_string(),
        }
    }

    /// Makes the edit.
    pub fn apply(&self, text: &mut Rope) {
        let start = text.byte_to_char(self.range.start);
        text.remove(start..text.byte_to_char(self.range.end));
        text.insert(start, &self.text);
    }
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
    /// What the language is, where it is known.
    pub language: Option<&'static Language>,
    /// What models are told that it is called.
    pub path: Arc<str>,
    /// The text.
    pub text: Rope,
}

/// All open documents by URI. One owner applies edits in wire order; all others hold [`Snapshot`]s.
#[derive(Debug, Default)]
pub struct Documents {
    open: HashMap<Arc<str>, Snapshot>,
}

/// A document after a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The document now.
    pub now: Snapshot,
    /// What was done to it, each to the result of the one before.
    pub edits: Vec<Edit>,
    /// The version went back; the edits are applied all the same, as their order on the wire is what counts.
    pub version_went_back: bool,
}

/// A change that could not be applied.
#[derive(Debug, PartialEq, Eq)]
pub enum SyncFault {
    /// The document is not open; the change is ignored.
    NotOpen,
}

impl Documents {
    /// Takes over a document, which `path` says what to call; one that is open already is replaced.
    pub fn open(&mut self, opened: Opened, path: &str) -> Snapshot {
        let uri: Arc<str> = opened.uri.into();
        let language = languages::of_document(&opened.language_id, path.as_ref());
        let snapshot = Snapshot {
            uri: Arc::clone(&uri),
            version: opened.version,
            language,
            language_id: opened.language_id.into(),
            path: path.into(),
            text: Rope::from_str(&opened.text),
        };
        self.open.insert(uri, snapshot.clone());
        snapshot
    }

    /// Calls all documents by what `path` makes of their URIs.
    pub fn rename(&mut self, path: impl Fn(&str) -> String) {
        for document in self.open.values_mut() {
            document.path = path(&document.uri).into();
        }
    }

    /// All open documents, in no order that means something.
    pub fn iter(&self) -> impl Iterator<Item = &Snapshot> {
        self.open.values()
    }

    /// Applies changes one after the other, each to the result of the one before, and says what they
    /// did, in the same order. Without a version, the document keeps the one that it has.
    pub fn change(
        &mut self,
        uri: &str,
        version: Option<i32>,
        changes: &[Change],
        encoding: Encoding,
    ) -> Result<Changed, SyncFault> {
        let document = self.open.get_mut(uri).ok_or(SyncFault::NotOpen)?;
        let edits = changes
            .iter()
            .filter_map(|change| apply(&mut document.text, change, encoding))
            .collect();
        let from = document.version;
        document.version = version.unwrap_or(from);
        Ok(Changed {
            now: document.clone(),
            edits,
            version_went_back: document.version < from,
        })
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

fn apply(text: &mut Rope, change: &Change, encoding: Encoding) -> Option<Edit> {
    let range = match &change.range {
        Some(range) => {
            let a = positions::offset(text, encoding, range.start);
            let b = positions::offset(text, encoding, range.end);
            a.min(b)..a.max(b)
        }
        None => 0..text.len_bytes(),
    };
    let edit = Edit::trimmed(text, range, &change.text)?;
    edit.apply(text);
    Some(edit)
}
