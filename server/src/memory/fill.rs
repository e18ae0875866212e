//! Reads a workspace into its memory: what is kept of it first, then what has changed since.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use carat_engine::CancelToken;
use ignore::WalkBuilder;

use super::{Memory, Store, rules};
use crate::completion::mask;
use crate::echo::SegmentBuilder;

/// The user's own list of what is not to be remembered, in the form of `.gitignore`.
const IGNORE_FILE: &str = ".caratignore";

/// Texts are taken in after so many bytes, so that what was read counts soon.
const BATCH_BYTES: usize = 8 << 20;

/// Memory that a byte of text takes together with its tables, in tenths.
const BYTES_PER_TEXT_BYTE_TENTHS: u64 = 22;

/// More files than this are not listed.
const FILES_MAX: usize = 200_000;

/// Work is interrupted after this time, to leave the processor to others.
const SLICE: Duration = Duration::from_millis(20);

/// How much a memory may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for texts and tables.
    pub bytes_max: u64,
    /// Of the time, this share in percent is worked.
    pub work_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            work_percent: 50,
        }
    }
}

/// What came of reading a workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Files that are remembered.
    pub files: usize,
    /// Files that were read now, since they were new or changed.
    pub read: usize,
    /// Files that have no room.
    pub no_room: usize,
    /// Kept files that were damaged, and are made anew.
    pub damaged: usize,
}

/// A file of the workspace.
struct Found {
    path: String,
    full_path: PathBuf,
    /// When it was changed, for the order; the most recent last.
    changed: u64,
    stamp: u64,
    bytes: u64,
}

impl Memory {
    /// Reads the workspace; `stop` ends it early, and what was read is kept. Whoever calls has a
    /// thread for it.
    pub fn fill(&mut self, store: Option<&Store>, limits: &Limits, stop: &CancelToken) -> Filled {
        let mut pace = Pace::new(limits.work_percent);
        let mut filled = Filled::default();
        if let Some(store) = store {
            let (segments, damaged) = store.read(self.root());
            filled.damaged = damaged;
            if damaged > 0 {
                tracing::warn!(damaged, "files of the memory are damaged and made anew");
            }
            for segment in segments {
                self.index.adopt(segment);
                pace.rest();
            }
        }
        let mut found = list(self.root(), stop, &mut pace);
        filled.no_room = drop_what_has_no_room(&mut found, limits.bytes_max);
        let known = self.stamps();
        let mut changed = filled.damaged > 0;
        if !stop.is_cancelled() {
            let found: HashSet<&str> = found.iter().map(|file| file.path.as_str()).collect();
            for gone in known.keys().filter(|path| !found.contains(path.as_str())) {
                changed |= self.index.forget_settled(gone);
            }
        }
        let mut builder = SegmentBuilder::default();
        for file in &found {
            if stop.is_cancelled() {
                break;
            }
            if known.get(&file.path) == Some(&file.stamp) {
                continue;
            }
            pace.rest();
            let Some(text) = read(file) else {
                // It was text once, perhaps.
                changed |= self.index.forget_settled(&file.path);
                continue;
            };
            filled.read += 1;
            changed = true;
            if builder.len() + text.len() > BATCH_BYTES {
                self.index.adopt(std::mem::take(&mut builder).build());
                self.tidy();
            }
            builder.push(&file.path, file.stamp, &text);
        }
        if !builder.is_empty() {
            self.index.adopt(builder.build());
            self.tidy();
        }
        filled.files = self.index.paths().count();
        if changed && let Some(store) = store {
            self.keep(store);
        }
        filled
    }

    /// Reads one file again, after it was changed on disk.
    pub fn refresh(&mut self, path: &str) {
        let full_path = self.root().join(path);
        let metadata = fs::symlink_metadata(&full_path).ok();
        let file = metadata
            .filter(|metadata| metadata.is_file() && is_remembered(self.root(), &full_path))
            .and_then(|metadata| found(self.root(), &full_path, &metadata));
        match file.and_then(|file| Some((read(&file)?, file.stamp))) {
            Some((text, stamp)) => self.index.set_settled(path, stamp, &text),
            None => {
                self.index.forget_settled(path);
            }
        }
    }

    /// Writes what was read from disk; texts that are only in an editor are not written.
    fn keep(&self, store: &Store) {
        let written = store.write(self.root(), self.index.kept_texts());
        if let Err(error) = written {
            tracing::warn!(%error, folder = %store.folder().display(), "the memory cannot be kept");
        }
    }

    fn stamps(&self) -> HashMap<String, u64> {
        self.index
            .kept_texts()
            .flatten()
            .map(|(path, stamp, _)| (path.to_owned(), stamp))
            .collect()
    }
}

fn list(root: &Path, stop: &CancelToken, pace: &mut Pace) -> Vec<Found> {
    let mut all = Vec::new();
    for entry in walk(root).build().flatten() {
        if stop.is_cancelled() || all.len() == FILES_MAX {
            break;
        }
        pace.rest();
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if let Some(metadata) = is_file.then(|| entry.metadata().ok()).flatten() {
            all.extend(found(root, entry.path(), &metadata));
        }
    }
    all.sort_by(|a, b| (a.changed, &a.path).cmp(&(b.changed, &b.path)));
    all
}

fn walk(root: &Path) -> WalkBuilder {
    let mut walk = WalkBuilder::new(root);
    walk.require_git(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .max_filesize(Some(rules::FILE_BYTES_MAX))
        .filter_entry(|entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            !is_folder
                || entry.depth() == 0
                || rules::walks_into(&entry.file_name().to_string_lossy())
        });
    walk
}

/// Whether the walk would come to this file: only the folders on its way are looked at.
fn is_remembered(root: &Path, path: &Path) -> bool {
    let target = path.to_owned();
    let mut walk = walk(root);
    walk.filter_entry(move |entry| {
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        target.starts_with(entry.path())
            && (!is_folder
                || entry.depth() == 0
                || rules::walks_into(&entry.file_name().to_string_lossy()))
    });
    walk.build().flatten().any(|entry| entry.path() == path)
}

fn found(root: &Path, full_path: &Path, metadata: &Metadata) -> Option<Found> {
    let parts: Vec<&str> = full_path
        .strip_prefix(root)
        .ok()?
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<_>>()?;
    let path = parts.join("/");
    if !rules::reads(&path) || metadata.len() > rules::FILE_BYTES_MAX {
        return None;
    }
    let changed = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.map_or(0, |time| time.as_nanos() as u64);
    Some(Found {
        path,
        full_path: full_path.to_owned(),
        changed,
        // 0 means that nothing is known.
        stamp: (changed.rotate_left(20) ^ metadata.len()).max(1),
        bytes: metadata.len(),
    })
}

/// Leaves the files that were changed last; returns how many have no room.
fn drop_what_has_no_room(found: &mut Vec<Found>, bytes_max: u64) -> usize {
    let mut room = bytes_max * 10 / BYTES_PER_TEXT_BYTE_TENTHS;
    let fits = found.iter().rev().take_while(|file| {
        let fits = file.bytes <= room;
        room = room.saturating_sub(file.bytes);
        fits
    });
    let dropped = found.len() - fits.count();
    found.drain(..dropped);
    dropped
}

fn read(file: &Found) -> Option<String> {
    let bytes = fs::read(&file.full_path).ok()?;
    let text = rules::text(&bytes)?;
    Some(mask(text).into_owned())
}

/// Works and rests in turns.
struct Pace {
    work_percent: u32,
    since: Instant,
}

impl Pace {
    fn new(work_percent: u32) -> Self {
        Self {
            work_percent: work_percent.clamp(1, 100),
            since: Instant::now(),
        }
    }

    fn rest(&mut self) {
        let worked = self.since.elapsed();
        if worked >= SLICE && self.work_percent < 100 {
            std::thread::sleep(worked * (100 - self.work_percent) / self.work_percent);
            self.since = Instant::now();
        }
    }
}
