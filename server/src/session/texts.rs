//! What the echo knows: the workspace as the disk has it, and over that the open documents as they are
//! typed, without the secrets in them.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asked::is_secret;
use super::effect::Effect;
use super::{Session, Start};
use crate::completion::{mask, mask_part};
use crate::documents::{Changed, Edit};
use crate::echo::Index;
use crate::memory::{FILE_BYTES_MAX, Recalled, is_ignore_file, may_be_read};
use crate::status::Remembered;
use crate::workspace::Folder;

/// Which workspace is remembered, and how much of it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Counts the readings.
    number: u64,
    folders: Vec<Folder>,
    bytes_max: u64,
    /// When they were last read for want of a client that watches them.
    looked: Option<Instant>,
}

/// So often may a workspace be looked through that no client watches.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

impl Session {
    /// A document was opened, or is called by another name.
    pub(super) fn remember_whole(&mut self, uri: &str, text: &str) {
        let name = self.workspace.remembered_as(uri);
        if self.disabled(uri).is_none() && !is_secret(uri) {
            remember_whole(&mut self.requests.texts, &name, text);
        }
    }

    /// A document was changed.
    pub(super) fn remember(&mut self, changed: &Changed) {
        let (uri, text) = (&changed.now.uri, &changed.now.text);
        if self.disabled(uri).is_some() || is_secret(uri) {
            return;
        }
        let name = self.workspace.remembered_as(uri);
        let texts = &mut self.requests.texts;
        if text.len_bytes() as u64 > FILE_BYTES_MAX {
            // Its own lines are read from the document; others can do without them.
            texts.remove(&name);
            return;
        }
        if changed.edits.is_empty() {
            return;
        }
        let edits = changed.edits.iter();
        let before = edits.clone().rev().fold(text.len_bytes(), |after, edit| {
            after + edit.range.len() - edit.text.len()
        });
        // Where a secret was masked, it is shorter.
        let same = texts.text(&name).is_some_and(|known| known.len() == before);
        let mut apply = |edit: &Edit| {
            texts.edit(&name, edit.range.clone(), &edit.text) && {
                let known = texts.text(&name).unwrap_or_default();
                // A change of a name makes a secret of the text beside it.
                let line = lines_around(known, edit.new_range());
                matches!(mask_part(known, line), Cow::Borrowed(_))
            }
        };
        if !(same && edits.clone().all(&mut apply)) {
            remember_whole(texts, &name, &text.to_string());
        }
    }

    /// The documents are called by other names, or others are left out.
    pub(super) fn remember_all(&mut self) {
        self.requests.texts = Index::default();
        let documents: Vec<_> = self.documents.iter().cloned().collect();
        for document in documents {
            if document.text.len_bytes() as u64 <= FILE_BYTES_MAX {
                self.remember_whole(&document.uri, &document.text.to_string());
            }
        }
    }

    /// A document was closed: the disk says what it holds from now on.
    pub(super) fn forget(&mut self, uri: &str, effects: &mut Vec<Effect>) {
        let name = self.workspace.remembered_as(uri);
        if self.requests.texts.remove(&name)
            && let Some(path) = crate::file_uri::path(uri)
        {
            self.look(&path, effects);
        }
    }

    /// Lets the workspace be read, if it is another one than before, or another part of it. Nothing is
    /// read before it is known what the user wants.
    pub(super) fn remember_workspace(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.start, Start::Done) {
            return;
        }
        let bytes_max = self.settings.user().memory_bytes_max;
        let folders = match bytes_max {
            0 => Vec::new(),
            _ => self.workspace.folders(),
        };
        let left_out = &self.settings.user().disabled;
        let folders = folders.into_iter().map(|folder| Folder {
            left_out: Arc::clone(left_out),
            ..folder
        });
        let folders: Vec<_> = folders.collect();
        let wanted = &mut self.wanted;
        if (&wanted.folders, wanted.bytes_max) == (&folders, bytes_max)
            || folders.is_empty() && wanted.folders.is_empty()
        {
            return;
        }
        (wanted.folders, wanted.bytes_max) = (folders, bytes_max);
        self.read_workspace(effects);
        self.status.remembered = None;
        if self.wanted.folders.is_empty() {
            self.requests.texts.rebase(Index::default());
        }
    }

    fn read_workspace(&mut self, effects: &mut Vec<Effect>) {
        let wanted = &mut self.wanted;
        wanted.number += 1;
        effects.push(Effect::ReadWorkspace(
            wanted.number,
            wanted.folders.clone(),
            wanted.bytes_max,
        ));
    }

    /// Others may have changed as well: clients that watch no files tell of those alone that they write.
    pub(super) fn look_again(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let looked = self.wanted.looked;
        let is_time = looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_AGAIN);
        if is_time && !self.wanted.folders.is_empty() {
            self.wanted.looked = Some(now);
            self.read_workspace(effects);
        }
    }

    /// A file may have changed on disk.
    pub(super) fn look(&mut self, path: &Path, effects: &mut Vec<Effect>) {
        let mut folders = self.wanted.folders.iter();
        let Some(folder) = folders.find(|folder| path.starts_with(&folder.root)) else {
            return;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_ignore_file(&name) {
            return self.read_workspace(effects);
        }
        let inside = folder.name_of(path);
        if inside.is_some_and(|name| may_be_read(&name[folder.prefix.len()..])) {
            effects.push(Effect::LookAt(path.to_owned()));
        }
    }

    /// More is known of the workspace.
    pub(super) fn recalled(&mut self, recalled: Recalled) {
        if recalled.number != self.wanted.number || self.wanted.folders.is_empty() {
            return;
        }
        self.status.remembered = Some(Remembered {
            files: recalled.files,
            bytes: recalled.bytes,
            no_room: recalled.no_room,
            is_reading: !recalled.is_whole,
        });
        self.requests.texts.rebase(recalled.index);
        self.requests.forget_echoes();
    }
}

/// Lets the echo know a document as it is, without the secrets in it, unless it is too long to be anybody's
/// code.
fn remember_whole(texts: &mut Index, name: &str, text: &str) {
    if text.len() as u64 > FILE_BYTES_MAX {
        texts.remove(name);
    } else {
        texts.set(name, &mask(text));
    }
}

/// The whole lines that hold a range of a text.
fn lines_around(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
    let end = text[range.end..].find('\n');
    start..end.map_or(text.len(), |end| range.end + end)
}
