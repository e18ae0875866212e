//! Whole lines that stood between the same lines before: candidates with their evidence.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;

use super::anchors;
use super::here::Here;
use super::index::Index;
use super::lines::{line_after, line_at, line_before, tells};
use super::matches::Echo;
use super::weights::EchoWeights;

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

/// What speaks for a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The best of the places where it stands between the same lines, if there are any.
    pub neighbors: Option<Neighbors>,
    /// The nearest of them.
    pub nearness: Nearness,
    /// How many they are.
    pub places: usize,
    /// How many places have these neighbors, whatever line stands there.
    pub places_of_all: usize,
    /// The longest text that ends like the text before the caret and goes on with this line, in bytes
    /// and what its place is worth; 0 if there is none.
    pub matched: f32,
    /// Of all texts that end so, weighed by length, the share that goes on with this line, 0 to 1.
    pub share: f32,
    /// How many they are.
    pub matches: usize,
    /// Bytes that are typed of the line.
    pub typed: usize,
}

/// A line that the user wrote in a like place.
#[derive(Clone, Debug, PartialEq)]
pub struct LineEcho {
    /// What follows the caret: the line without what is typed of it.
    pub text: String,
    /// What speaks for it.
    pub evidence: Evidence,
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
pub fn line_echoes(index: &Index, here: Here<'_>, weights: EchoWeights) -> Vec<LineEcho> {
    let Some(caret) = Caret::new(here) else {
        return Vec::new();
    };
    let mut all = between_same_lines(index, here, &caret);
    let mut echo = Echo::new(index, here, weights);
    echo.look(here.prefix.as_bytes());
    for rest in echo.rests_of_lines() {
        let text = rest.text.trim_ascii_end();
        if text.is_empty() || text == caret.before || text == caret.after {
            continue;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        let at = all
            .iter()
            .position(|(known, _)| known == text)
            .unwrap_or_else(|| {
                all.push((text.to_owned(), Evidence::none(caret.typed.len())));
                all.len() - 1
            });
        let evidence = &mut all[at].1;
        evidence.matched = evidence.matched.max(rest.length);
        evidence.share += rest.share;
        evidence.matches += rest.places;
    }
    let mut all: Vec<LineEcho> = all
        .into_iter()
        .map(|(text, evidence)| LineEcho {
            text,
            evidence,
            probability: evidence.probability(),
        })
        .collect();
    // The nearest and most recent of equals stand first.
    all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    all.truncate(CANDIDATES_MAX);
    all
}

/// Lines whose neighbors are those of the caret, the nearest and most recent first.
fn between_same_lines(index: &Index, here: Here<'_>, caret: &Caret<'_>) -> Vec<(String, Evidence)> {
    if caret.keys().next().is_none() {
        return Vec::new();
    }
    let mut search = Search {
        caret,
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
    search.found()
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
    /// `None` if text follows it in its line.
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
        rest.trim_ascii().is_empty().then_some(caret)
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
        self.all.push(Candidate {
            line,
            neighbors,
            nearness,
            places: 1,
        });
    }

    fn found(self) -> Vec<(String, Evidence)> {
        let total: usize = self.all.iter().map(|one| one.places).sum();
        let typed = self.caret.typed.len();
        let found = self.all.iter().filter_map(|one| {
            let text = std::str::from_utf8(&one.line[typed..]).ok()?;
            let evidence = Evidence {
                neighbors: Some(one.neighbors),
                nearness: one.nearness,
                places: one.places,
                places_of_all: total,
                ..Evidence::none(typed)
            };
            Some((text.to_owned(), evidence))
        });
        found.collect()
    }
}

impl Evidence {
    fn none(typed: usize) -> Self {
        Self {
            neighbors: None,
            nearness: Nearness::Workspace,
            places: 0,
            places_of_all: 0,
            matched: 0.0,
            share: 0.0,
            matches: 0,
            typed,
        }
    }

    /// What a logistic function of the evidence says, with the weights of [`FITTED`].
    fn probability(&self) -> f32 {
        let sum: f32 = self
            .features()
            .iter()
            .zip(FITTED.iter())
            .map(|(x, w)| x * w)
            .sum();
        1.0 / (1.0 + (-sum).exp())
    }

    /// Numbers of about the same size.
    pub fn features(&self) -> [f32; FEATURES] {
        let is = |wanted: Neighbors| f32::from(u8::from(self.neighbors == Some(wanted)));
        let ln = |count: usize| (1.0 + count as f32).ln();
        let near = f32::from(u8::from(self.nearness == Nearness::File));
        let share_of_places = self.places as f32 / self.places_of_all.max(1) as f32;
        [
            1.0,
            is(Neighbors::Both),
            is(Neighbors::TwoBefore),
            is(Neighbors::After),
            is(Neighbors::Before),
            near,
            share_of_places,
            ln(self.places),
            (self.matched / 40.0).min(3.0),
            self.share,
            ln(self.matches),
            self.share * (self.matched / 40.0).min(3.0),
            (self.typed as f32 / 8.0).min(2.0),
        ]
    }
}

impl fmt::Display for Evidence {
    /// What speaks for a line, without an end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |count: usize| if count == 1 { "place" } else { "places" };
        if let Some(neighbors) = self.neighbors {
            let same = match neighbors {
                Neighbors::Both => "the same lines before and behind it",
                Neighbors::TwoBefore => "the same two lines before it",
                Neighbors::After => "the same line behind it",
                Neighbors::Before => "the same line before it",
            };
            let (count, all) = (self.places, self.places_of_all);
            write!(
                f,
                "it stands in {count} of {all} {} with {same}",
                places(all)
            )?;
        }
        if self.matches > 0 {
            let and = if self.neighbors.is_some() {
                ", and "
            } else {
                ""
            };
            let count = self.matches;
            write!(
                f,
                "{and}{count} {} with up to {:.0} bytes as before the caret {} on like this",
                places(count),
                self.matched,
                if count == 1 { "goes" } else { "go" },
            )?;
        }
        Ok(())
    }
}

/// How many numbers a probability is made of.
pub const FEATURES: usize = 13;

#[derive(Deserialize)]
struct Fitted {
    weights: [f32; FEATURES],
}

/// Weights of [`Evidence::features`]; `carat debug echo` gives what they are fitted to.
static FITTED: LazyLock<[f32; FEATURES]> = LazyLock::new(|| {
    // A test reads it too: it is never damaged in a program that was tested.
    let fitted = toml::from_str::<Fitted>(include_str!("../../../models/echo.toml"));
    fitted.map_or([0.0; FEATURES], |fitted| fitted.weights)
});
