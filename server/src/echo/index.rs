//! Which texts are known, and in what state: settled in segments, or still changing.

use std::ops::Range;
use std::sync::Arc;

use super::segment::{BYTES_MAX, Segment, SegmentBuilder};
use super::words;

/// The texts of a workspace. A clone is a snapshot: it shares all texts and costs a few pointers,
/// so that whoever reads never waits for who writes.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The oldest first.
    pub(super) segments: Vec<Loaded>,
    /// Texts that changed since they were put into a segment; the last changed one last.
    pub(super) live: Vec<Live>,
    /// Documents whose text an editor decides, whatever the disk holds.
    open: Vec<Arc<str>>,
}

/// A segment, and which of its files still are as they were.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) segment: Arc<Segment>,
    alive: Arc<Vec<bool>>,
}

/// A text that is not in a segment.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) path: Arc<str>,
    pub(super) text: Arc<String>,
    /// As in [`super::SegmentFile`].
    stamp: u64,
}

impl Loaded {
    pub(super) fn is_alive(&self, file: usize) -> bool {
        self.alive[file]
    }

    fn alive_bytes(&self) -> usize {
        let files = self.segment.files().iter().zip(self.alive.iter());
        let alive = files.filter(|(_, alive)| **alive);
        alive
            .map(|(file, _)| self.segment.text_of(file).len())
            .sum()
    }

    /// Forgets a file; says whether it was known.
    fn kill(&mut self, path: &str) -> bool {
        let Some(file) = self.segment.find(path).filter(|&file| self.alive[file]) else {
            return false;
        };
        Arc::make_mut(&mut self.alive)[file] = false;
        true
    }
}

/// Live texts beyond this are worth a segment.
const LIVE_BYTES_MAX: usize = 1 << 20;

/// More segments than this are worth joining.
const SEGMENTS_MAX: usize = 6;

impl Index {
    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        if let Some(live) = self.live.iter().find(|live| &*live.path == path) {
            return Some(&live.text);
        }
        let (loaded, file) = self.find_settled(path)?;
        let segment = &loaded.segment;
        std::str::from_utf8(segment.text_of(&segment.files()[file])).ok()
    }

    /// Whether a name of at least three bytes stands in any text; files that were forgotten a moment
    /// ago may still count.
    pub fn has_word(&self, word: &str) -> bool {
        let word = word.as_bytes();
        let mut segments = self.segments.iter();
        let mut live = self.live.iter();
        segments.any(|loaded| {
            let (text, words) = loaded.segment.words();
            words.contains(text, word)
        }) || live.any(|live| words::stands_in(word, live.text.as_bytes()))
    }

    /// What the file system said of a file when it was read; `None` if an editor decides its text, or
    /// none is known.
    pub fn stamp(&self, path: &str) -> Option<u64> {
        let live = self.live.iter().find(|live| &*live.path == path);
        let stamp = if let Some(live) = live {
            live.stamp
        } else {
            let (loaded, file) = self.find_settled(path)?;
            loaded.segment.files()[file].stamp
        };
        (stamp != 0).then_some(stamp)
    }

    /// The paths of all files, in no order that means something.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let settled = self.segments.iter().flat_map(|loaded| {
            let files = loaded.segment.files().iter().zip(loaded.alive.iter());
            files
                .filter(|(_, alive)| **alive)
                .map(|(file, _)| file.path.as_str())
        });
        settled.chain(self.live.iter().map(|live| &*live.path))
    }

    /// Sets the whole text of an open document. It becomes the most recent text unless nothing changed.
    pub fn set(&mut self, path: &str, text: &str) {
        if !self.is_open(path) {
            self.open.push(Arc::from(path));
        }
        if self.text(path) != Some(text) {
            self.put(path, 0, text.to_owned());
        }
    }

    /// Sets the text of a file as the disk holds it, unless it is open.
    pub fn set_settled(&mut self, path: &str, stamp: u64, text: &str) {
        if !self.is_open(path) {
            self.put(path, stamp, text.to_owned());
        }
    }

    /// A document is no longer open: from now on the disk decides. Its text stays until then.
    pub fn close(&mut self, path: &str) {
        self.open.retain(|open| **open != *path);
    }

    /// Whether an editor decides this text.
    pub fn is_open(&self, path: &str) -> bool {
        self.open.iter().any(|open| **open == *path)
    }

    /// Takes `disk` for what the disk holds; what is open stays as it is.
    pub fn rebase(&mut self, disk: Self) {
        let mut before = std::mem::replace(self, disk);
        self.open = std::mem::take(&mut before.open);
        // Least recent first, as they are kept.
        let of_live = before.live.iter().map(|live| Arc::clone(&live.path));
        let mut paths: Vec<Arc<str>> = of_live.collect();
        let settled = self.open.iter().filter(|open| !paths.contains(open));
        let settled: Vec<_> = settled.map(Arc::clone).collect();
        paths.splice(0..0, settled);
        for path in &paths {
            let text = before.text(path);
            if !self.is_open(path) || self.text(path) == text {
                continue;
            }
            self.forget(path);
            let live = before.live.iter().find(|live| live.path == *path);
            let live = live.cloned().or_else(|| {
                Some(Live {
                    path: Arc::clone(path),
                    text: Arc::new(text?.to_owned()),
                    stamp: 0,
                })
            });
            self.live.extend(live);
        }
    }

    fn put(&mut self, path: &str, stamp: u64, text: String) {
        self.forget(path);
        self.live.push(Live {
            path: Arc::from(path),
            text: Arc::new(text),
            stamp,
        });
    }

    /// Replaces a range of bytes of a file's text; `false`, and nothing happens, if there is no
    /// such file or range.
    pub fn edit(&mut self, path: &str, range: Range<usize>, with: &str) -> bool {
        let fits = |text: &str| text.get(range.clone()).is_some();
        if !self.text(path).is_some_and(fits) {
            return false;
        }
        if let Some(at) = self.live.iter().position(|live| &*live.path == path) {
            let live = self.live.remove(at);
            self.live.push(live);
        } else {
            let text = self.text(path).unwrap_or_default().to_owned();
            self.put(path, 0, text);
        }
        if let Some(live) = self.live.last_mut() {
            live.stamp = 0;
            Arc::make_mut(&mut live.text).replace_range(range, with);
        }
        true
    }

    /// Forgets a file, also an open one; says whether it was known.
    pub fn remove(&mut self, path: &str) -> bool {
        self.close(path);
        self.forget(path)
    }

    /// Forgets what the disk held of a file, unless it is open; says whether it was known.
    pub fn forget_settled(&mut self, path: &str) -> bool {
        !self.is_open(path) && self.forget(path)
    }

    fn forget(&mut self, path: &str) -> bool {
        let before = self.live.len();
        self.live.retain(|live| &*live.path != path);
        let was_live = self.live.len() < before;
        self.segments
            .iter_mut()
            .fold(was_live, |was, loaded| loaded.kill(path) || was)
    }

    /// Moves a file; says whether it was known.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(text) = self.text(from).map(str::to_owned) else {
            return false;
        };
        let was_open = self.is_open(from);
        self.remove(from);
        self.remove(to);
        if was_open {
            self.open.push(Arc::from(to));
        }
        self.put(to, 0, text);
        true
    }

    /// Takes in files that were read from disk; what is open stays as it is.
    pub fn adopt(&mut self, segment: Segment) {
        let mut alive = vec![true; segment.files().len()];
        for (file, alive) in segment.files().iter().zip(&mut alive) {
            *alive = !self.is_open(&file.path);
            if *alive {
                self.forget(&file.path);
            }
        }
        self.push(segment, alive);
    }

    fn push(&mut self, segment: Segment, alive: Vec<bool>) {
        self.segments.push(Loaded {
            segment: Arc::new(segment),
            alive: Arc::new(alive),
        });
        self.segments.retain(|loaded| loaded.alive.contains(&true));
    }

    fn find_settled(&self, path: &str) -> Option<(&Loaded, usize)> {
        self.segments.iter().find_map(|loaded| {
            let file = loaded.segment.find(path)?;
            loaded.alive[file].then_some((loaded, file))
        })
    }

    /// What the disk held, some files at a time: path, stamp and text.
    pub fn kept_texts(&self) -> impl Iterator<Item = Vec<(&str, u64, &str)>> {
        let settled = self.segments.iter().map(|loaded| {
            let files = loaded.segment.files().iter().zip(loaded.alive.iter());
            let files = files.filter(|(file, alive)| **alive && file.stamp != 0);
            files
                .filter_map(|(file, _)| {
                    let text = std::str::from_utf8(loaded.segment.text_of(file)).ok()?;
                    Some((file.path.as_str(), file.stamp, text))
                })
                .collect::<Vec<_>>()
        });
        let live = self.live.iter().filter(|live| live.stamp != 0);
        let live = live
            .map(|live| (&*live.path, live.stamp, live.text.as_str()))
            .collect();
        settled
            .chain(std::iter::once(live))
            .filter(|files| !files.is_empty())
    }

    /// Memory that all texts and tables take.
    pub fn bytes(&self) -> usize {
        let live: usize = self.live.iter().map(|live| live.text.capacity()).sum();
        let segments = self.segments.iter();
        live + segments.map(|loaded| loaded.segment.bytes()).sum::<usize>()
    }

    /// What should be joined: live texts if there are many, and segments that are small or mostly
    /// forgotten. Costs little; [`Tidying::build`] does not, and runs on a thread of its own.
    pub fn tidying(&self) -> Option<Tidying> {
        let live_bytes: usize = self.live.iter().map(|live| live.text.len()).sum();
        let fold_live = live_bytes > LIVE_BYTES_MAX;
        let mut sizes: Vec<(usize, usize)> = self
            .segments
            .iter()
            .map(Loaded::alive_bytes)
            .enumerate()
            .map(|(at, bytes)| (bytes, at))
            .collect();
        sizes.sort_unstable();
        let wasteful =
            |&(bytes, at): &(usize, usize)| bytes * 2 < self.segments[at].segment.text().len();
        let crowded = self.segments.len() + usize::from(fold_live) > SEGMENTS_MAX;
        if !fold_live && !crowded && !sizes.iter().any(wasteful) {
            return None;
        }
        let mut room = BYTES_MAX.saturating_sub(if fold_live {
            live_bytes + self.live.len()
        } else {
            0
        });
        let mut joined: Vec<usize> = Vec::new();
        for (bytes, at) in &sizes {
            let cost = bytes + self.segments[*at].segment.files().len();
            let worth = wasteful(&(*bytes, *at)) || (crowded && cost * 2 <= BYTES_MAX);
            if worth && cost <= room {
                room -= cost;
                joined.push(*at);
            }
        }
        // Joining one whole segment with nothing is no gain.
        let gains = fold_live
            || joined.len() > 1
            || joined
                .iter()
                .any(|&at| wasteful(&(self.segments[at].alive_bytes(), at)));
        joined.sort_unstable();
        gains.then(|| Tidying {
            segments: joined.iter().map(|&at| self.segments[at].clone()).collect(),
            live: if fold_live {
                self.live.clone()
            } else {
                Vec::new()
            },
        })
    }

    /// Takes in what [`Tidying::build`] made. Files that changed meanwhile stay as they are now.
    pub fn adopt_tidied(&mut self, tidied: Tidied) {
        let Tidied { segment, of } = tidied;
        let alive = segment.files().iter().map(|file| {
            let settled = of.segments.iter().any(|old| {
                let now = self
                    .segments
                    .iter()
                    .find(|now| Arc::ptr_eq(&now.segment, &old.segment));
                let file = old.segment.find(&file.path).filter(|&file| old.alive[file]);
                file.is_some_and(|file| now.is_some_and(|now| now.alive[file]))
            });
            let same_text = |live: &&Live| {
                of.live
                    .iter()
                    .any(|old| old.path == live.path && Arc::ptr_eq(&old.text, &live.text))
            };
            let live = self.live.iter().find(|live| *live.path == *file.path);
            settled || live.is_some_and(|live| same_text(&live))
        });
        let alive: Vec<bool> = alive.collect();
        self.segments.retain(|now| {
            !of.segments
                .iter()
                .any(|old| Arc::ptr_eq(&now.segment, &old.segment))
        });
        for (file, _) in segment
            .files()
            .iter()
            .zip(&alive)
            .filter(|(_, alive)| **alive)
        {
            self.live.retain(|live| *live.path != *file.path);
        }
        // Joined files are older than what came meanwhile.
        self.push(segment, alive);
    }
}

/// Texts to be joined into one segment.
#[derive(Debug)]
pub struct Tidying {
    segments: Vec<Loaded>,
    live: Vec<Live>,
}

/// A segment that takes the place of others.
#[derive(Debug)]
pub struct Tidied {
    segment: Segment,
    of: Tidying,
}

impl Tidying {
    /// Everything.
    #[cfg(test)]
    pub(super) fn all(index: &Index) -> Self {
        Self {
            segments: index.segments.clone(),
            live: index.live.clone(),
        }
    }

    /// Builds the segment: about 10 ms for each MB.
    pub fn build(self) -> Tidied {
        let mut builder = SegmentBuilder::default();
        for loaded in &self.segments {
            for (at, file) in loaded.segment.files().iter().enumerate() {
                if loaded.is_alive(at)
                    && let Ok(text) = std::str::from_utf8(loaded.segment.text_of(file))
                {
                    builder.push(&file.path, file.stamp, text);
                }
            }
        }
        for live in &self.live {
            builder.push(&live.path, live.stamp, &live.text);
        }
        Tidied {
            segment: builder.build(),
            of: self,
        }
    }
}
