//! What a model is told of the user's other files: what they define under the names around the caret,
//! what imported files offer, and the pieces that are most alike.
//!
//! All of it is pure. A model reads this before everything else, so it changes rarely: [`Chosen`] stays
//! as it is until much of it would be another.

mod chunks;
mod outline;
mod surroundings;

use std::collections::{BTreeMap, HashSet};

use carat_grammars::Language;

pub use outline::Outline;

use crate::echo::{Index, Known};
use crate::prompt::Excerpt;
use outline::Defined;
use surroundings::Surroundings;

/// Names around the caret that are looked up; the nearest say most.
const NAMES_MAX: usize = 24;

/// A name that so many files define says nothing.
const HOMONYMS_MAX: usize = 6;

/// What an imported file offers beside what is named, at most.
const OFFERS_MAX: usize = 12;

/// Of the tokens, pieces that are alike get what definitions leave, and at least one part in so many.
const CHUNKS_SHARE: usize = 3;

/// What stays as it is as long as less than one part in so many would be new.
const NEW_SHARE: usize = 3;

/// A caret for which a model is to be told of other files.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    /// All text before the caret.
    pub prefix: &'a str,
    /// All text after the caret.
    pub suffix: &'a str,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
}

/// What a model is told of other files, and within how many tokens that was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// In the order in which it is told.
    pub excerpts: Vec<Excerpt>,
    tokens_max: usize,
}

impl Chosen {
    /// Takes another choice in its place, if it was made for another number of tokens or much of it is
    /// new; says whether it did.
    pub fn renew(&mut self, other: Self) -> bool {
        let known: HashSet<&str> = self.lines().collect();
        let (mut all, mut new) = (0, 0);
        for line in other.lines() {
            all += 1;
            new += usize::from(!known.contains(line));
        }
        let renews = self.tokens_max != other.tokens_max || new * NEW_SHARE > all;
        if renews {
            *self = other;
        }
        renews
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let texts = self.excerpts.iter().flat_map(|one| one.text.lines());
        texts.map(str::trim).filter(|line| line.len() > 2)
    }
}

/// Chooses what to tell of the files in `known`, in at most `tokens_max` tokens as `count` counts them.
pub fn choose(
    spot: &Spot<'_>,
    known: Known<'_>,
    outline: &Outline,
    tokens_max: usize,
    count: &dyn Fn(&str) -> usize,
) -> Chosen {
    let mut room = Room {
        left: tokens_max - tokens_max / CHUNKS_SHARE,
        count,
    };
    let around = Surroundings::of(spot);
    let own: HashSet<&str> = outline.names_in(known.path).collect();
    let mut taken: BTreeMap<&str, Vec<&Defined>> = BTreeMap::new();
    let names = around.names.iter().filter(|name| !own.contains(*name));
    for name in names.take(NAMES_MAX) {
        let mut found = outline.of_name(name);
        found.retain(|(path, _)| *path != known.path);
        if found.len() > HOMONYMS_MAX {
            found.retain(|(path, _)| around.imports(path));
        }
        found.sort_by_key(|(path, _)| (!around.imports(path), distance(known.path, path), *path));
        if let Some((path, defined)) = found.first()
            && room.takes(&defined.signature)
        {
            taken.entry(path).or_default().push(defined);
        }
    }
    let mut imported: Vec<&str> = outline.paths().collect();
    imported.retain(|path| *path != known.path && around.imports(path));
    imported.sort_by_key(|path| (distance(known.path, path), *path));
    for path in imported {
        let known = taken.get(path).cloned().unwrap_or_default();
        let offers = outline.of_file(path);
        let offers = offers.filter(|offer| !known.iter().any(|known| std::ptr::eq(*known, *offer)));
        for offer in offers.take(OFFERS_MAX) {
            if room.takes(&offer.signature) {
                taken.entry(path).or_default().push(offer);
            }
        }
    }
    let mut excerpts: Vec<Excerpt> = Vec::new();
    for (path, mut of_file) in taken {
        of_file.sort_by_key(|defined| defined.at);
        let texts: Vec<&str> = of_file.iter().map(|one| one.signature.as_str()).collect();
        excerpts.push(Excerpt {
            path: path.to_owned(),
            text: texts.join("\n"),
        });
    }
    room.left += tokens_max / CHUNKS_SHARE;
    let told: String = excerpts.iter().map(|one| one.text.as_str()).collect();
    for chunk in chunks::most_alike(&around.words, known) {
        // What its signatures say already needs no second telling.
        let new = chunk
            .text
            .lines()
            .filter(|line| !told.contains(line.trim()));
        if new.count() * 2 > chunk.text.lines().count() && room.takes(&chunk.text) {
            excerpts.push(chunk);
        }
    }
    Chosen {
        excerpts,
        tokens_max,
    }
}

/// Tokens that are left.
struct Room<'a> {
    left: usize,
    count: &'a dyn Fn(&str) -> usize,
}

/// What the path, a fence and the lines between cost about.
const HEADING_TOKENS: usize = 8;

impl Room<'_> {
    fn takes(&mut self, text: &str) -> bool {
        let cost = (self.count)(text) + HEADING_TOKENS;
        let fits = cost <= self.left;
        if fits {
            self.left -= cost;
        }
        fits
    }
}

/// How far two files are from each other: folders that only one of them lies in.
fn distance(a: &str, b: &str) -> usize {
    let folders = |path: &str| path.matches('/').count();
    let pairs = a.split('/').zip(b.split('/'));
    let shared = pairs.take_while(|(a, b)| a == b).count();
    let shared = shared.min(folders(a)).min(folders(b));
    folders(a) + folders(b) - 2 * shared
}

/// The paths of an index, those near `path` first.
fn nearest<'a>(index: &'a Index, path: &str) -> Vec<&'a str> {
    let mut paths: Vec<&str> = index.paths().filter(|other| *other != path).collect();
    paths.sort_by_key(|other| (distance(path, other), *other));
    paths
}

#[cfg(test)]
mod tests;
