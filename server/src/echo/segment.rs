//! Texts that no longer change, with tables that find a piece or a line of them.
//!
//! The tables are positions sorted by the upper bits of a hash, behind a directory of where each
//! value begins: 4 bytes for each anchor (one in four and a half bytes of text), 4 for each line, and
//! less than one for the directories. What is found is compared with the text, so that equal hashes
//! of different texts cost time and nothing else.

use super::anchors;
use super::lines;
use super::words::Words;

/// No segment is longer; positions fit four bytes with room to spare.
pub(super) const BYTES_MAX: usize = 32 << 20;

/// Stands between two files, so that nothing matches across them.
const SEPARATOR: u8 = 0;

/// A file's part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// What the file system said of it, so that a changed file is noticed; 0 if nothing is known.
    pub stamp: u64,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Some files' texts, and where to find what in them.
#[derive(Debug)]
pub struct Segment {
    text: Vec<u8>,
    /// In the order of the text: those that come later are the more recent ones.
    files: Vec<SegmentFile>,
    /// Indices of the files in the order of their paths.
    by_path: Vec<u32>,
    anchors: Table,
    lines: Table,
    words: Words,
}

/// Texts that become a segment.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    text: Vec<u8>,
    files: Vec<SegmentFile>,
}

impl SegmentBuilder {
    /// Appends a file; `false` if it has no room here.
    pub fn push(&mut self, path: &str, stamp: u64, text: &str) -> bool {
        let start = self.text.len();
        if start + text.len() + 1 > BYTES_MAX {
            return false;
        }
        self.text.extend_from_slice(text.as_bytes());
        self.files.push(SegmentFile {
            path: path.to_owned(),
            stamp,
            start: start as u32,
            end: self.text.len() as u32,
        });
        self.text.push(SEPARATOR);
        true
    }

    /// Bytes of text so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Sorts the tables: about a second for 100 MB.
    pub fn build(mut self) -> Segment {
        self.text.shrink_to_fit();
        let text = &self.text;
        let mut by_path: Vec<u32> = (0..self.files.len() as u32).collect();
        by_path.sort_by_key(|&file| self.files[file as usize].path.as_str());
        Segment {
            by_path,
            anchors: Table::build(text.len() / 9, |put| {
                anchors::each(text, |at, hash| put(hash, at as u32));
            }),
            lines: Table::build(text.len() / 120, |put| {
                lines::each(text, |start, line| {
                    put(anchors::text_hash(line), start as u32);
                });
            }),
            words: Words::of(text),
            text: self.text,
            files: self.files,
        }
    }
}

impl Segment {
    /// The text of all files.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The files, the least recent first.
    pub fn files(&self) -> &[SegmentFile] {
        &self.files
    }

    /// A file's text.
    pub fn text_of(&self, file: &SegmentFile) -> &[u8] {
        &self.text[file.start as usize..file.end as usize]
    }

    /// The index of a file.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        let name = |file: &u32| self.files[*file as usize].path.as_str();
        let at = self.by_path.binary_search_by(|file| name(file).cmp(path));
        at.ok().map(|at| self.by_path[at] as usize)
    }

    /// The index of the file at a position of the text.
    pub(super) fn file_at(&self, position: u32) -> usize {
        self.files.partition_point(|file| file.end < position)
    }

    /// Where pieces with this hash may stand, in the order of the text.
    pub(super) fn pieces(&self, hash: u32) -> &[u32] {
        self.anchors.get(hash)
    }

    /// Where lines with this hash may begin, behind their indentation, in the order of the text.
    pub(super) fn lines(&self, hash: u32) -> &[u32] {
        self.lines.get(hash)
    }

    /// The words of all files, and the text that they are in.
    pub(super) fn words(&self) -> (&[u8], &Words) {
        (&self.text, &self.words)
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        let paths: usize = self.files.iter().map(|file| file.path.len() + 52).sum();
        let tables = self.anchors.bytes() + self.lines.bytes() + self.words.bytes();
        self.text.len() + tables + paths
    }
}

/// Positions by hash.
#[derive(Debug, Default)]
struct Table {
    /// How far a hash is shifted to become an index of the directory.
    shift: u32,
    /// Where the positions of each value begin, and the end of the last.
    directory: Vec<u32>,
    positions: Vec<u32>,
}

impl Table {
    /// Collects what `each` puts, in two passes, so that no second copy is in memory; `expected`
    /// is a guess of the number of entries.
    fn build(expected: usize, each: impl Fn(&mut dyn FnMut(u32, u32))) -> Self {
        let bits = (expected / 4).max(16).ilog2().min(24);
        let shift = 32 - bits;
        let mut directory = vec![0u32; (1 << bits) + 1];
        each(&mut |hash, _| directory[(hash >> shift) as usize + 1] += 1);
        for at in 1..directory.len() {
            directory[at] += directory[at - 1];
        }
        let mut positions = vec![0; directory[1 << bits] as usize];
        // Filling moves each beginning to the next one's; the directory is shifted back afterwards.
        each(&mut |hash, position| {
            let at = &mut directory[(hash >> shift) as usize];
            positions[*at as usize] = position;
            *at += 1;
        });
        directory.rotate_right(1);
        directory[0] = 0;
        Self {
            shift,
            directory,
            positions,
        }
    }

    fn get(&self, hash: u32) -> &[u32] {
        let at = (hash >> self.shift) as usize;
        &self.positions[self.directory[at] as usize..self.directory[at + 1] as usize]
    }

    fn bytes(&self) -> usize {
        4 * (self.directory.len() + self.positions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_and_line_is_found_where_it_stands() {
        let mut builder = SegmentBuilder::default();
        let first: String = (0..300)
            .map(|n| format!("    let value_{n} = call({});\n", n % 17))
            .collect();
        assert!(builder.push("src/a.rs", 1, &first));
        assert!(builder.push("src/b.rs", 2, &first.replace("value", "other")));
        let segment = builder.build();
        let mut count = 0;
        anchors::each(segment.text(), |at, hash| {
            count += 1;
            assert!(segment.pieces(hash).contains(&(at as u32)));
        });
        assert!(count > 1000);
        let line = b"let other_299 = call(10);";
        let places = segment.lines(anchors::text_hash(line));
        let found = places
            .iter()
            .filter(|&&at| segment.text()[at as usize..].starts_with(line));
        assert_eq!(found.count(), 1);
    }

    #[test]
    fn positions_belong_to_files() {
        let mut builder = SegmentBuilder::default();
        for (path, text) in [("a", "one\n"), ("b", ""), ("c", "three\n")] {
            assert!(builder.push(path, 0, text));
        }
        let segment = builder.build();
        for (index, file) in segment.files().iter().enumerate() {
            for position in file.start..=file.end {
                assert_eq!(segment.file_at(position), index);
            }
        }
        assert_eq!(segment.text_of(&segment.files()[2]), b"three\n");
    }

    #[test]
    fn the_tables_cost_less_than_the_promised_bytes() {
        let text: String = (0..40_000)
            .map(|n: u32| {
                format!(
                    "    let value_{n} = call({}, \"{:x}\");\n",
                    n % 1017,
                    n.wrapping_mul(2_654_435_769)
                )
            })
            .collect();
        let (bytes, lines) = (text.len(), text.lines().count());
        let mut builder = SegmentBuilder::default();
        assert!(builder.push("a.rs", 0, &text));
        let segment = builder.build();
        // A token of the embedded model has 3.6 bytes of code.
        let promised = bytes * 10 / 36 * 6 + lines * 16;
        assert!(
            segment.bytes() - bytes < promised,
            "{} of {promised}",
            segment.bytes() - bytes
        );
    }
}
