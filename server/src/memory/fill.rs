//! Reads a workspace into its memory: what is kept of it first, then what has changed since.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use carat_engine::CancelToken;
use ignore::WalkBuilder;

use super::{Memory, Store, rules};
use crate::completion::{is_secret_file, mask};
use crate::echo::{Index, SegmentBuilder};
use crate::workspace::Folder;

/// Texts are taken in after so many bytes: what was read counts soon, and the later, larger ones need
/// not be joined.
const BATCHES_BYTES: [usize; 3] = [4 << 20, 12 << 20, 28 << 20];

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
    /// In the memory.
    name: String,
    full_path: PathBuf,
    /// When it was changed, for the order; the most recent last.
    changed: u64,
    stamp: u64,
    bytes: u64,
}

impl Memory {
    /// Reads the workspace: what is kept of it if nothing is known yet, then what differs on the disk.
    /// `stop` ends it early, and what was read is kept. `heard` gets what is known whenever that is
    /// much more. Whoever calls has a thread for it.
    pub fn fill(
        &mut self,
        store: Option<&Store>,
        limits: &Limits,
        stop: &CancelToken,
        heard: &mut dyn FnMut(&Index),
    ) -> Filled {
        let mut pace = Pace::new(limits.work_percent);
        let mut filled = Filled::default();
        if let Some(store) = store.filter(|_| self.index.paths().next().is_none()) {
            filled.damaged = self.recall(store, &mut pace);
            heard(&self.index);
        }
        let mut found = Vec::new();
        for folder in &self.folders {
            found.append(&mut list(folder, &folder.root, stop, &mut pace));
        }
        found.sort_by(|a, b| (a.changed, &a.name).cmp(&(b.changed, &b.name)));
        filled.no_room = drop_what_has_no_room(&mut found, limits.bytes_max);
        let known = self.stamps();
        let mut changed = filled.damaged > 0;
        if !stop.is_cancelled() {
            let found: HashSet<&str> = found.iter().map(|file| file.name.as_str()).collect();
            for gone in known.keys().filter(|path| !found.contains(path.as_str())) {
                changed |= self.index.forget_settled(gone);
            }
        }
        let mut builder = SegmentBuilder::default();
        let mut batches = BATCHES_BYTES.iter();
        let mut batch = batches.next();
        let mut kept_bytes = self.index.bytes();
        for file in &found {
            if stop.is_cancelled() {
                break;
            }
            if known.get(&file.name) == Some(&file.stamp) {
                continue;
            }
            pace.rest();
            let Some(text) = read(file) else {
                // It was text once, perhaps.
                changed |= self.index.forget_settled(&file.name);
                continue;
            };
            filled.read += 1;
            changed = true;
            if batch.is_some_and(|bytes| builder.len() + text.len() > *bytes) {
                self.index.adopt(std::mem::take(&mut builder).build());
                self.tidy();
                heard(&self.index);
                batch = batches.next().or(batch);
                // A process that is killed has read little in vain, and writes at most twice as much.
                if let Some(store) = store.filter(|_| self.index.bytes() > 2 * kept_bytes) {
                    self.keep(store);
                    kept_bytes = self.index.bytes();
                }
            }
            builder.push(&file.name, file.stamp, &text);
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

    /// Takes what is kept; returns how many files of it were damaged.
    fn recall(&mut self, store: &Store, pace: &mut Pace) -> usize {
        let mut damaged = 0;
        for folder in &self.folders {
            let (segments, broken) = store.read(&folder.root, &folder.prefix);
            damaged += broken;
            for segment in segments {
                self.index.adopt(segment);
                pace.rest();
            }
        }
        if damaged > 0 {
            tracing::warn!(damaged, "files of the memory are damaged and made anew");
        }
        damaged
    }

    /// Reads a file again, or all files of a folder, after it was changed on disk.
    pub fn refresh(&mut self, path: &Path, limits: &Limits) {
        let of_folder = |folder: &&Folder| path.starts_with(&folder.root);
        let Some(folder) = self.folders.iter().find(of_folder).cloned() else {
            return;
        };
        let Some(name) = folder.name_of(path) else {
            return;
        };
        let found = list(&folder, path, &CancelToken::new(), &mut Pace::new(100));
        let names: HashSet<&str> = found.iter().map(|file| file.name.as_str()).collect();
        let inside = format!("{name}/");
        let gone = self.index.paths().filter(|known| {
            (*known == name || known.starts_with(&inside)) && !names.contains(known)
        });
        let gone: Vec<String> = gone.map(str::to_owned).collect();
        for gone in &gone {
            self.index.forget_settled(gone);
        }
        for file in &found {
            if self.index.stamp(&file.name) == Some(file.stamp) {
                continue;
            }
            match read(file) {
                Some(text) if self.has_room(&text, limits) => {
                    self.index.set_settled(&file.name, file.stamp, &text);
                }
                _ => {
                    self.index.forget_settled(&file.name);
                }
            }
        }
        self.tidy();
    }

    fn has_room(&self, text: &str, limits: &Limits) -> bool {
        let bytes = text.len() as u64 * BYTES_PER_TEXT_BYTE_TENTHS / 10;
        self.index.bytes() as u64 + bytes <= limits.bytes_max
    }

    /// Writes what was read from disk; texts that are only in an editor are not written.
    fn keep(&self, store: &Store) {
        for folder in &self.folders {
            let files = self.index.kept_texts().map(|files| {
                let of_folder = files.into_iter().filter_map(|(name, stamp, text)| {
                    Some((name.strip_prefix(folder.prefix.as_str())?, stamp, text))
                });
                of_folder.collect::<Vec<_>>()
            });
            let written = store.write(&folder.root, files.filter(|files| !files.is_empty()));
            if let Err(error) = written {
                tracing::warn!(%error, folder = %store.folder().display(), "the memory cannot be kept");
            }
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

/// The files at a path: one, or those in a folder, as far as the walk from the workspace's folder
/// comes to them.
fn list(folder: &Folder, path: &Path, stop: &CancelToken, pace: &mut Pace) -> Vec<Found> {
    let mut all = Vec::new();
    for entry in walk(&folder.root, path).build().flatten() {
        if stop.is_cancelled() || all.len() == FILES_MAX {
            break;
        }
        pace.rest();
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if let Some(metadata) = is_file.then(|| entry.metadata().ok()).flatten() {
            all.extend(found(folder, entry.path(), &metadata));
        }
    }
    all
}

fn walk(root: &Path, to: &Path) -> WalkBuilder {
    let mut walk = WalkBuilder::new(root);
    let to = to.to_owned();
    walk.require_git(false)
        .add_custom_ignore_filename(rules::IGNORE_FILE)
        .max_filesize(Some(rules::FILE_BYTES_MAX))
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let on_the_way = entry.path().starts_with(&to) || to.starts_with(entry.path());
            on_the_way
                && (!is_folder
                    || entry.depth() == 0
                    || rules::walks_into(&entry.file_name().to_string_lossy()))
        });
    walk
}

fn found(folder: &Folder, full_path: &Path, metadata: &Metadata) -> Option<Found> {
    let name = folder.name_of(full_path)?;
    let place = full_path.to_string_lossy();
    // The folder that makes a file secret may be the root itself, or lie above it.
    let left_out = folder.left_out.find(&place).is_some() || is_secret_file(&place);
    if left_out || !rules::reads(&name) || metadata.len() > rules::FILE_BYTES_MAX {
        return None;
    }
    let changed = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.map_or(0, |time| time.as_nanos() as u64);
    Some(Found {
        name,
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
    text_of(&fs::read(&file.full_path).ok()?)
}

/// What is remembered of a file's bytes: text that a person wrote, without the secrets in it.
pub fn text_of(bytes: &[u8]) -> Option<String> {
    Some(mask(rules::text(bytes)?).into_owned())
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
