//! Whole lines that stood between the same lines before: candidates with their evidence.

use memchr::memmem::Finder;

use super::anchors;
use super::index::Index;
use super::lines::{line_after, line_at, line_before, tells};
use super::matches::Here;

/// What a line and the caret have in common, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Neighbors {
    /// The previous line and the next one.
    Both,
    /// The two previous lines.
    TwoBefore,
    /// The next line.
    After,
    /// The previous line.
    Before,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// In the same file.
    File,
    /// In a file of the same folder.
    Folder,
    /// Elsewhere in the workspace.
    Workspace,
}

/// A line that the user wrote in a like place.
#[derive(Clone, Debug, PartialEq)]
pub struct LineEcho {
    /// What follows the caret: the line without what is typed of it.
    pub text: String,
    /// The best of its places.
    pub neighbors: Neighbors,
    /// The nearest of its places.
    pub nearness: Nearness,
    /// In how many places it stands.
    pub places: usize,
    /// How many places have these neighbors, whatever line stands there.
    pub places_of_all: usize,
    /// How likely it is the line that the user wants, 0 to 1.
    pub probability: f32,
}

/// Candidates that are handed out.
const CANDIDATES_MAX: usize = 8;

/// Places that are looked at for one line: of a text, and of a segment.
const PLACES_MAX: usize = 200;

/// Texts longer than this are searched near the caret only.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// The lines that may stand at the caret, the most likely first.
pub fn line_echoes(index: &Index, here: Here<'_>) -> Vec<LineEcho> {
    let Some(caret) = Caret::new(here) else {
        return Vec::new();
    };
    let mut search = Search {
        caret: &caret,
        all: Vec::new(),
    };
    search.own(here);
    let folder = |path: &'_ str| path.rfind('/').map_or(0, |end| end + 1);
    let nearness = |path: &str| {
        if here.path[..folder(here.path)] == path[..folder(path)] {
            Nearness::Folder
        } else {
            Nearness::Workspace
        }
    };
    for live in index.live.iter().rev() {
        if *live.path != *here.path {
            let text = live.text.as_bytes();
            let text = &text[..text.len().min(TEXT_BYTES_MAX)];
            search.text(text, nearness(&live.path));
        }
    }
    for loaded in index.segments.iter().rev() {
        let segment = &loaded.segment;
        let text = segment.text();
        for key in caret.keys() {
            let places = segment.lines(anchors::text_hash(key));
            for &at in places.iter().rev().take(PLACES_MAX) {
                let file = segment.file_at(at);
                let path = &segment.files()[file].path;
                if loaded.is_alive(file) && *path != here.path {
                    search.place(text, at as usize, key, nearness(path));
                }
            }
        }
    }
    search.best()
}

/// The lines around the caret, without white space on either side.
struct Caret<'a> {
    before: &'a [u8],
    before_that: &'a [u8],
    after: &'a [u8],
    /// What is typed of the caret's line.
    typed: &'a [u8],
}

impl<'a> Caret<'a> {
    /// `None` if no line around the caret tells anything, or if text follows it in its line.
    fn new(here: Here<'a>) -> Option<Self> {
        let (prefix, suffix) = (here.prefix.as_bytes(), here.suffix.as_bytes());
        let rest = suffix
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = prefix
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        let text = |all: &'a [u8], bounds: Option<(usize, usize)>| {
            bounds.map_or(&b""[..], |(start, end)| &all[start..end])
        };
        let before = line_before(prefix, line);
        let before_that = before.and_then(|(start, _)| line_before(prefix, start));
        let caret = Self {
            before: text(prefix, before),
            before_that: text(prefix, before_that),
            after: text(suffix, line_after(suffix, rest.len())),
            typed: prefix[line..].trim_ascii_start(),
        };
        (rest.trim_ascii().is_empty() && caret.keys().next().is_some()).then_some(caret)
    }

    /// The lines whose other places are looked at.
    fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let before = if tells(self.before) {
            self.before
        } else {
            self.before_that
        };
        [before, self.after].into_iter().filter(|line| tells(line))
    }
}

/// A line found, not yet cut.
struct Candidate<'a> {
    line: &'a [u8],
    neighbors: Neighbors,
    nearness: Nearness,
    places: usize,
    /// The order in which it came: the nearest and most recent first.
    order: usize,
}

struct Search<'a> {
    caret: &'a Caret<'a>,
    all: Vec<Candidate<'a>>,
}

impl<'a> Search<'a> {
    /// Looks at the caret's own text, before the caret first.
    fn own(&mut self, here: Here<'a>) {
        let (prefix, suffix) = (here.prefix.as_bytes(), here.suffix.as_bytes());
        // A line is cut off where a long text is; no line equals the piece, or none that matters.
        self.text(
            &prefix[prefix.len().saturating_sub(TEXT_BYTES_MAX)..],
            Nearness::File,
        );
        self.text(&suffix[..suffix.len().min(TEXT_BYTES_MAX)], Nearness::File);
    }

    /// Looks at all places of a text without tables.
    fn text(&mut self, text: &'a [u8], nearness: Nearness) {
        for key in self.caret.keys() {
            for at in Finder::new(key).find_iter(text).take(PLACES_MAX) {
                self.place(text, at, key, nearness);
            }
        }
    }

    /// Looks at the neighbors of a place where the line `key` may begin.
    fn place(&mut self, text: &'a [u8], at: usize, key: &[u8], nearness: Nearness) {
        if !text[at..].starts_with(key) {
            return;
        }
        let (start, end) = line_at(text, at);
        if (start, end) != (at, at + key.len()) {
            return;
        }
        let line = |bounds: Option<(usize, usize)>| bounds.map_or(&b""[..], |(a, b)| &text[a..b]);
        let caret = self.caret;
        if key == caret.before {
            let found = line_after(text, end);
            let next = found.and_then(|(_, end)| line_after(text, end));
            let neighbors = if !caret.after.is_empty() && line(next) == caret.after {
                Neighbors::Both
            } else if !caret.before_that.is_empty()
                && line(line_before(text, start)) == caret.before_that
            {
                Neighbors::TwoBefore
            } else {
                Neighbors::Before
            };
            self.add(line(found), neighbors, nearness);
        } else if key == caret.before_that {
            let between = line_after(text, end);
            if line(between) == caret.before {
                let found = between.and_then(|(_, end)| line_after(text, end));
                self.add(line(found), Neighbors::TwoBefore, nearness);
            }
        }
        if key == caret.after {
            let found = line_before(text, start);
            // With the line before it, the place was counted under that.
            let previous = found.and_then(|(start, _)| line_before(text, start));
            if line(previous) != caret.before {
                self.add(line(found), Neighbors::After, nearness);
            }
        }
    }

    fn add(&mut self, line: &'a [u8], neighbors: Neighbors, nearness: Nearness) {
        let caret = self.caret;
        let goes_on = line.len() > caret.typed.len() && line.starts_with(caret.typed);
        if !goes_on || line == caret.before || line == caret.after {
            return;
        }
        if let Some(known) = self.all.iter_mut().find(|known| known.line == line) {
            known.neighbors = known.neighbors.min(neighbors);
            known.nearness = known.nearness.min(nearness);
            known.places += 1;
            return;
        }
        let order = self.all.len();
        self.all.push(Candidate {
            line,
            neighbors,
            nearness,
            places: 1,
            order,
        });
    }

    fn best(self) -> Vec<LineEcho> {
        let total: usize = self.all.iter().map(|one| one.places).sum();
        let order = |one: &Candidate<'_>| one.order;
        let mut all: Vec<(usize, LineEcho)> = self
            .all
            .iter()
            .filter_map(|one| {
                let text = std::str::from_utf8(&one.line[self.caret.typed.len()..]).ok()?;
                Some((
                    order(one),
                    LineEcho {
                        text: text.to_owned(),
                        neighbors: one.neighbors,
                        nearness: one.nearness,
                        places: one.places,
                        places_of_all: total,
                        probability: probability(
                            one.neighbors,
                            one.nearness,
                            one.places,
                            total,
                            self.caret.typed.len(),
                        ),
                    },
                ))
            })
            .collect();
        all.sort_by(|(a_order, a), (b_order, b)| {
            b.probability
                .total_cmp(&a.probability)
                .then(a_order.cmp(b_order))
        });
        all.truncate(CANDIDATES_MAX);
        all.into_iter().map(|(_, one)| one).collect()
    }
}

/// How often lines with this evidence were right, fitted to the quality cases.
fn probability(
    neighbors: Neighbors,
    nearness: Nearness,
    places: usize,
    total: usize,
    typed: usize,
) -> f32 {
    let base = match neighbors {
        Neighbors::Both => 0.58,
        Neighbors::TwoBefore => 0.40,
        Neighbors::After => 0.44,
        Neighbors::Before => 0.38,
    };
    let share = places as f32 / total.max(1) as f32;
    let near = match nearness {
        Nearness::File => 1.1,
        Nearness::Folder => 1.0,
        Nearness::Workspace => 0.9,
    };
    let typed = 1.0 + 0.4 * (typed.min(8) as f32 / 8.0);
    (base * (0.4 + 0.6 * share) * near * typed).min(0.95)
}
