//! The longest pieces of known text that end like the text so far, and how they go on.

use carat_engine::{ContinuationSource, Continuations};
use memchr::memmem::Finder;

use super::anchors;
use super::here::Here;
use super::index::{Index, Loaded};
use super::line_kind::LineKind;
use super::names::Names;
use super::weights::EchoWeights;

/// The end of the text so far that is compared.
pub(super) const TAIL_BYTES: usize = 160;

/// Matches that are weighed; the rest is shorter than these.
const MATCHES_MAX: usize = 48;

/// Matches whose lines are looked at for these: every decoded token pays for it.
const KIND_CHECKS_MAX: usize = 4 * MATCHES_MAX;

/// Continuations that are handed out.
const CONTINUATIONS_MAX: usize = 16;

/// Bytes of a continuation: as many as the engine keeps.
const CONTINUATION_BYTES: usize = carat_engine::CONTINUATION_BYTES;

/// The least number of bytes that are looked for.
const KEY_BYTES_MIN: usize = 8;

/// Bytes beyond white space that a key must have, and its length at most.
const KEY_SIGNS_MIN: usize = 3;
const KEY_BYTES_MAX: usize = 64;

/// Comparisons for each answer: of a whole text, of all segments, and of one anchor in them.
const SCAN_CHECKS_MAX: usize = 1500;
const SEGMENT_CHECKS_MAX: usize = 600;
const ANCHOR_CHECKS_MAX: usize = 160;

/// Matches for which there is room: of the own file, of segments and of some live texts.
const MATCHES_ROOM: usize = 3 * SCAN_CHECKS_MAX + SEGMENT_CHECKS_MAX;

/// Bytes of texts without tables that are scanned for one answer, for the own file before and
/// after the caret and for all other ones together.
const PREFIX_BYTES_MAX: usize = 256 << 10;
const SUFFIX_BYTES_MAX: usize = 128 << 10;
const LIVE_BYTES_MAX: usize = 256 << 10;

/// A text is scanned in blocks, the nearest to the caret first.
const BLOCK_BYTES: usize = 32 << 10;

/// What may come next, for one caret. Memory is taken once; answers take none.
#[derive(Debug)]
pub struct Echo<'a> {
    index: &'a Index,
    here: Here<'a>,
    weights: EchoWeights,
    /// By segment, the own file's part of its text.
    own: Vec<(u32, u32)>,
    tail: Vec<u8>,
    /// What the last bytes of the tail are worth, by their number.
    worth: Vec<f32>,
    anchors: Vec<(usize, u32)>,
    /// Entries, segment and place in the anchors.
    buckets: Vec<(usize, usize, usize)>,
    matches: Vec<Match>,
    continuations: Vec<Continuation>,
    names: Names<'a>,
}

/// Which text a match is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Prefix,
    Suffix,
    Live(usize),
    Segment(usize),
}

/// A place in a known text that is preceded by the end of the text so far.
#[derive(Clone, Copy, Debug)]
struct Match {
    home: Home,
    /// Where it goes on.
    at: usize,
    /// Its length in bytes and what its place is worth.
    length: f32,
}

#[derive(Clone, Copy, Debug)]
struct Continuation {
    home: Home,
    start: usize,
    end: usize,
    share: f32,
    /// Of its matches.
    length: f32,
    places: usize,
}

/// The rest of a line that goes on like the text so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestOfLine<'a> {
    pub(super) text: &'a [u8],
    /// Of all that matched, weighed by length.
    pub(super) share: f32,
    /// The longest match, in bytes and what its place is worth.
    pub(super) length: f32,
    /// How many matches go on like this.
    pub(super) places: usize,
}

impl<'a> Echo<'a> {
    /// Prepares for one caret.
    pub fn new(index: &'a Index, here: Here<'a>, weights: EchoWeights) -> Self {
        let own = index.segments.iter().map(|loaded| {
            let file = loaded.segment.find(here.path)?;
            let file = &loaded.segment.files()[file];
            Some((file.start, file.end))
        });
        Self {
            index,
            here,
            weights,
            own: own.map(|range| range.unwrap_or((u32::MAX, 0))).collect(),
            tail: Vec::with_capacity(TAIL_BYTES),
            worth: Vec::with_capacity(TAIL_BYTES + 1),
            anchors: Vec::with_capacity(TAIL_BYTES),
            buckets: Vec::with_capacity(TAIL_BYTES * index.segments.len()),
            matches: Vec::with_capacity(MATCHES_ROOM),
            continuations: Vec::with_capacity(MATCHES_MAX),
            names: Names::new(index, here),
        }
    }

    /// Looks for how a text goes on, of which these are the last bytes; returns the weight of the
    /// answer, 0 to 1. The continuations are then in [`Echo::continuations`].
    pub fn look(&mut self, text: &[u8]) -> f32 {
        self.matches.clear();
        self.continuations.clear();
        self.take_tail(text);
        let Some(key) = key_bytes(&self.tail) else {
            return 0.0;
        };
        self.scan_own(key);
        self.scan_live(key);
        self.search_segments();
        let (longest, sum) = self.merge();
        let share = self.continuations.first().map_or(0.0, |best| best.share);
        self.weights.weight(longest, sum * share, share)
    }

    /// What may come next, the most probable first, with its share; the shares make 1. A
    /// continuation ends with the line's end and the next line's indentation, or earlier.
    pub fn continuations(&self) -> impl Iterator<Item = (&[u8], f32)> {
        let all = self.continuations.iter();
        all.map(|one| (&self.text(one.home)[one.start..one.end], one.share))
    }

    /// The same as whole rests of lines, without what ends the line.
    pub(super) fn rests_of_lines(&self) -> impl Iterator<Item = RestOfLine<'_>> {
        self.continuations.iter().map(|one| {
            let text = &self.text(one.home)[one.start..];
            let end = text
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r' | 0));
            RestOfLine {
                text: &text[..end.unwrap_or(text.len())],
                share: one.share,
                length: one.length,
                places: one.places,
            }
        })
    }

    fn text(&self, home: Home) -> &[u8] {
        match home {
            Home::Prefix => self.here.prefix.as_bytes(),
            Home::Suffix => self.here.suffix.as_bytes(),
            Home::Live(at) => self.index.live[at].text.as_bytes(),
            Home::Segment(at) => self.index.segments[at].segment.text(),
        }
    }

    fn take_tail(&mut self, text: &[u8]) {
        self.tail.clear();
        let from = text.len().saturating_sub(TAIL_BYTES);
        self.tail.extend_from_slice(&text[from..]);
        self.worth.clear();
        self.worth.push(0.0);
        let (mut worth, mut blank) = (0.0, false);
        for byte in self.tail.iter().rev() {
            let is_blank = byte.is_ascii_whitespace();
            worth += if blank && is_blank {
                self.weights.blank
            } else {
                1.0
            };
            blank = is_blank;
            self.worth.push(worth);
        }
    }

    fn scan_own(&mut self, key: usize) {
        let bonus = self.weights.same_file + self.weights.same_folder;
        let (prefix, suffix) = (self.here.prefix.as_bytes(), self.here.suffix.as_bytes());
        let from = prefix.len().saturating_sub(PREFIX_BYTES_MAX);
        let to = suffix.len().min(SUFFIX_BYTES_MAX);
        let finder = Finder::new(&self.tail[self.tail.len() - key..]);
        let mut out = Found::new(&mut self.matches, &self.tail, &self.worth, key);
        out.scan_backward(&finder, prefix, from, Home::Prefix, bonus);
        out.scan_forward(&finder, suffix, 0..to, Home::Suffix, bonus);
    }

    fn scan_live(&mut self, key: usize) {
        let finder = Finder::new(&self.tail[self.tail.len() - key..]);
        let mut bytes = LIVE_BYTES_MAX;
        let mut out = Found::new(&mut self.matches, &self.tail, &self.worth, key);
        for (at, live) in self.index.live.iter().enumerate().rev() {
            if *live.path == *self.here.path {
                continue;
            }
            let bonus = self.weights.bonus(self.here.path, &live.path);
            let text = live.text.as_bytes();
            let end = text.len().min(bytes);
            out.scan_forward(&finder, text, 0..end, Home::Live(at), bonus);
            bytes -= end;
        }
    }

    fn search_segments(&mut self) {
        if self.index.segments.is_empty() {
            return;
        }
        self.anchors.clear();
        let anchors = &mut self.anchors;
        anchors::each(&self.tail, |at, hash| anchors.push((at, hash)));
        self.buckets.clear();
        for (segment, loaded) in self.index.segments.iter().enumerate() {
            for (at, (_, hash)) in self.anchors.iter().enumerate() {
                let entries = loaded.segment.pieces(*hash).len();
                if entries > 0 {
                    self.buckets.push((entries, segment, at));
                }
            }
        }
        // Rare pieces tell most.
        self.buckets.sort_unstable();
        let mut checks = SEGMENT_CHECKS_MAX;
        for &(_, at, anchor) in &self.buckets {
            let loaded = &self.index.segments[at];
            let text = loaded.segment.text();
            let (offset, hash) = self.anchors[anchor];
            let ahead = self.tail.len() - offset;
            for &position in loaded
                .segment
                .pieces(hash)
                .iter()
                .rev()
                .take(ANCHOR_CHECKS_MAX)
            {
                if checks == 0 {
                    return;
                }
                checks -= 1;
                let position = position as usize;
                if text.get(position..position + ahead) != Some(&self.tail[offset..]) {
                    continue;
                }
                let end = position + ahead;
                let bytes = ahead + shared_end(&text[..position], &self.tail[..offset]);
                if let Some(found) = self.settled(loaded, at, end, bytes) {
                    self.matches.push(found);
                }
            }
        }
    }

    /// A match in a segment, unless it is in the own file or in one that has changed since.
    fn settled(&self, loaded: &Loaded, at: usize, end: usize, bytes: usize) -> Option<Match> {
        let (own_start, own_end) = self.own[at];
        if (own_start..=own_end).contains(&(end as u32)) {
            return None;
        }
        let file = loaded.segment.file_at(end as u32);
        let path = &loaded.segment.files()[file].path;
        loaded.is_alive(file).then(|| Match {
            home: Home::Segment(at),
            at: end,
            length: self.worth[bytes] + self.weights.bonus(self.here.path, path),
        })
    }

    /// Of the matches, the first ones in lines of this kind.
    fn keep_of_kind(&mut self, own: LineKind) {
        let mut kept = 0;
        for at in 0..self.matches.len().min(KIND_CHECKS_MAX) {
            let found = self.matches[at];
            let before = &self.text(found.home)[..found.at];
            if LineKind::of(before) == own {
                self.matches[kept] = found;
                kept += 1;
                if kept == MATCHES_MAX {
                    break;
                }
            }
        }
        self.matches.truncate(kept);
    }

    /// Makes continuations of the longest matches; returns the length of the longest, and how many there
    /// are, where shorter ones count less.
    fn merge(&mut self) -> (f32, f32) {
        let own = LineKind::of(&self.tail);
        // The longest first, the most recent of equals first.
        self.matches.sort_unstable_by(|a, b| {
            let length = b.length.total_cmp(&a.length);
            length.then((a.home, b.at).cmp(&(b.home, a.at)))
        });
        self.matches.dedup_by_key(|found| (found.home, found.at));
        self.keep_of_kind(own);
        let longest = self.matches.first().map_or(0.0, |found| found.length);
        let mut sum = 0.0;
        for at in 0..self.matches.len() {
            let Match {
                home,
                at: start,
                length,
            } = self.matches[at];
            let text = self.text(home);
            let end = start + continuation_bytes(&text[start..]);
            let share = ((length - longest) / self.weights.decay_bytes).exp();
            sum += share;
            let same =
                |one: &Continuation| self.text(one.home)[one.start..one.end] == text[start..end];
            match self.continuations.iter().position(same) {
                Some(one) => {
                    self.continuations[one].share += share;
                    self.continuations[one].places += 1;
                }
                None => self.continuations.push(Continuation {
                    home,
                    start,
                    end,
                    share,
                    length,
                    places: 1,
                }),
            }
        }
        self.continuations
            .sort_unstable_by(|a, b| b.share.total_cmp(&a.share));
        for one in self.continuations.iter().skip(CONTINUATIONS_MAX) {
            sum -= one.share;
        }
        self.continuations.truncate(CONTINUATIONS_MAX);
        for one in &mut self.continuations {
            one.share /= sum;
        }
        (longest, sum)
    }
}

impl EchoWeights {
    /// What a match in the file `path` is worth more for a caret in `own`.
    fn bonus(&self, own: &str, path: &str) -> f32 {
        let folder = |path: &'_ str| path.rfind('/').map_or(0, |end| end + 1);
        if own[..folder(own)] == path[..folder(path)] {
            self.same_folder
        } else {
            0.0
        }
    }
}

/// Collects the matches of texts that are scanned.
struct Found<'a> {
    matches: &'a mut Vec<Match>,
    tail: &'a [u8],
    worth: &'a [f32],
    key: usize,
}

impl<'a> Found<'a> {
    fn new(matches: &'a mut Vec<Match>, tail: &'a [u8], worth: &'a [f32], key: usize) -> Self {
        Self {
            matches,
            tail,
            worth,
            key,
        }
    }

    /// Scans `text[range]`; a match may not begin before the text.
    fn scan_forward(
        &mut self,
        finder: &Finder<'_>,
        text: &[u8],
        range: std::ops::Range<usize>,
        home: Home,
        bonus: f32,
    ) {
        let limit = self.matches.len() + SCAN_CHECKS_MAX;
        let limit = limit.min(MATCHES_ROOM - SEGMENT_CHECKS_MAX);
        for found in finder.find_iter(&text[range.clone()]) {
            let at = range.start + found + self.key;
            if at >= text.len() || self.matches.len() >= limit {
                return;
            }
            let known = self.tail.len() - self.key;
            let bytes = self.key + shared_end(&text[..at - self.key], &self.tail[..known]);
            self.matches.push(Match {
                home,
                at,
                length: self.worth[bytes] + bonus,
            });
        }
    }

    /// Scans `text[from..]` in blocks from its end on.
    fn scan_backward(
        &mut self,
        finder: &Finder<'_>,
        text: &[u8],
        from: usize,
        home: Home,
        bonus: f32,
    ) {
        let limit = self.matches.len() + SCAN_CHECKS_MAX;
        let mut end = text.len();
        while end > from && self.matches.len() < limit {
            let start = from.max(end.saturating_sub(BLOCK_BYTES));
            // A key may begin in this block and end in the next one.
            let stop = text.len().min(end + self.key - 1);
            self.scan_forward(finder, text, start..stop, home, bonus);
            end = start;
        }
    }
}

/// How many bytes at the end are looked for: enough that white space alone does not match.
fn key_bytes(tail: &[u8]) -> Option<usize> {
    let mut signs = 0;
    for (at, byte) in tail.iter().rev().take(KEY_BYTES_MAX).enumerate() {
        signs += usize::from(!byte.is_ascii_whitespace());
        if signs >= KEY_SIGNS_MIN && at + 1 >= KEY_BYTES_MIN {
            return Some(at + 1);
        }
    }
    None
}

/// How many bytes both end with; 0 bytes stand between files and match nothing.
fn shared_end(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.iter().rev().zip(b.iter().rev());
    pairs.take_while(|(a, b)| a == b && **a != 0).count()
}

/// The length of the rest of the line, its end and the next line's indentation, or less.
fn continuation_bytes(text: &[u8]) -> usize {
    let text = &text[..text.len().min(CONTINUATION_BYTES)];
    let file_end = text.iter().position(|&byte| byte == 0);
    let text = &text[..file_end.unwrap_or(text.len())];
    let Some(line) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
        return text.len();
    };
    let next = text[line..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace());
    next.map_or(text.len(), |next| line + next)
}

impl ContinuationSource for Echo<'_> {
    fn continuations(&mut self, text: &[u8], into: &mut Continuations) -> f32 {
        let weight = self.look(text);
        // What longer matches leave open, names may fill.
        let of_names = (1.0 - weight) * self.names.look(text, self.weights.names);
        if weight > 0.0 {
            for (continuation, share) in Echo::continuations(self) {
                into.push(continuation, weight * share);
            }
        }
        if of_names > 0.0 {
            for (rest, share) in self.names.rests() {
                into.push(rest, of_names * share);
            }
        }
        weight + of_names
    }
}

#[cfg(test)]
mod tests {
    use super::super::SegmentBuilder;
    use super::*;

    #[test]
    fn answers_take_no_memory() {
        // As many matches as there can be: in the own file, in live texts and in a segment.
        let text = "    let value = call(options);\n".repeat(3000);
        let mut index = Index::default();
        let mut builder = SegmentBuilder::default();
        assert!(builder.push("settled.rs", 0, &text));
        index.adopt(builder.build());
        for name in ["a.rs", "b.rs", "c.rs"] {
            index.set(name, &text);
        }
        let here = Here {
            path: "own.rs",
            prefix: &text,
            suffix: &text,
        };
        let mut echo = Echo::new(&index, here, EchoWeights::default());
        let places = |echo: &Echo<'_>| {
            (
                (
                    echo.tail.as_ptr(),
                    echo.worth.as_ptr(),
                    echo.anchors.as_ptr(),
                ),
                (
                    echo.buckets.as_ptr(),
                    echo.matches.as_ptr(),
                    echo.continuations.as_ptr(),
                ),
            )
        };
        let before = places(&echo);
        for cut in (text.len() - 300..=text.len()).rev() {
            assert!(echo.look(&text.as_bytes()[..cut]) > 0.0);
            assert!(echo.continuations().count() > 0);
        }
        assert_eq!(places(&echo), before);
    }
}
