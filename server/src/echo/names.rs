//! How a begun name may go on: as the names that begin so and stand anywhere in the user's texts.

use memchr::memmem::find_iter;

use super::here::Here;
use super::index::Index;
use super::words::{self, is_of_word, word_at};

/// With more names than this, what is typed says little.
const NAMES_MAX: usize = 48;

/// Places that are looked at in one text without tables.
const PLACES_MAX: usize = 256;

/// Bytes of the own file, before and after the caret, and of all other texts without tables, that are
/// looked at for one answer.
const TEXT_BYTES_MAX: usize = 128 << 10;

/// A name counts this much more where it stands in the own file.
const OWN: f32 = 4.0;

/// The names for one text. Memory is taken once.
#[derive(Debug)]
pub(super) struct Names<'a> {
    index: &'a Index,
    here: Here<'a>,
    found: Vec<Name<'a>>,
    /// How much speaks for the begun name as it is.
    whole: f32,
}

#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    rest: &'a [u8],
    weight: f32,
}

impl<'a> Names<'a> {
    pub(super) fn new(index: &'a Index, here: Here<'a>) -> Self {
        Self {
            index,
            here,
            found: Vec::with_capacity(NAMES_MAX),
            whole: 0.0,
        }
    }

    /// Looks for names that begin as the text ends; returns how likely it is that the begun name is one
    /// of them, before anything else is known, 0 to 1 times `most`.
    pub(super) fn look(&mut self, text: &[u8], most: f32) -> f32 {
        self.found.clear();
        self.whole = 0.0;
        let signs = text
            .iter()
            .rev()
            .take_while(|byte| is_of_word(**byte))
            .count();
        let begun = &text[text.len() - signs..];
        if signs < words::BYTES_MIN || begun[0].is_ascii_digit() || most <= 0.0 {
            return 0.0;
        }
        let (prefix, suffix) = (self.here.prefix.as_bytes(), self.here.suffix.as_bytes());
        let from = prefix.len().saturating_sub(TEXT_BYTES_MAX);
        // The begun name itself stands at the end.
        let typed = prefix
            .iter()
            .rev()
            .take_while(|byte| is_of_word(**byte))
            .count();
        let known = self.scan(
            &prefix[from.min(prefix.len() - typed)..prefix.len() - typed],
            begun,
            OWN,
        ) && self.scan(&suffix[..suffix.len().min(TEXT_BYTES_MAX)], begun, OWN)
            && self.search(begun);
        if !known || self.found.is_empty() {
            self.found.clear();
            return 0.0;
        }
        let sum: f32 = self.found.iter().map(|name| name.weight).sum();
        for name in &mut self.found {
            name.weight /= sum;
        }
        let typed = (signs - words::BYTES_MIN + 1) as f32;
        let few = 1.0 / (1.0 + self.found.len() as f32 / 8.0);
        most * (typed / 4.0).min(1.0) * few * sum / (sum + self.whole)
    }

    /// What may follow, with its share; the shares make 1.
    pub(super) fn rests(&self) -> impl Iterator<Item = (&'a [u8], f32)> {
        self.found.iter().map(|name| (name.rest, name.weight))
    }

    /// False if there are too many.
    fn search(&mut self, begun: &[u8]) -> bool {
        let index = self.index;
        for loaded in &index.segments {
            let (text, words) = loaded.segment.words();
            let range = words.begun(text, begun);
            if range.len() > NAMES_MAX {
                return false;
            }
            for at in range {
                let (_, word, count) = words.get(text, at);
                if !self.add(&word[begun.len()..], (count as f32).sqrt()) {
                    return false;
                }
            }
        }
        let mut bytes = TEXT_BYTES_MAX;
        for live in index
            .live
            .iter()
            .rev()
            .filter(|live| *live.path != *self.here.path)
        {
            let text = &live.text.as_bytes()[..live.text.len().min(bytes)];
            bytes -= text.len();
            if !self.scan(text, begun, 1.0) {
                return false;
            }
        }
        true
    }

    fn scan(&mut self, text: &'a [u8], begun: &[u8], weight: f32) -> bool {
        for at in find_iter(text, begun).take(PLACES_MAX) {
            let free = at == 0 || !is_of_word(text[at - 1]);
            if free && !self.add(&word_at(text, at as u32)[begun.len()..], weight) {
                return false;
            }
        }
        true
    }

    fn add(&mut self, rest: &'a [u8], weight: f32) -> bool {
        if rest.is_empty() {
            self.whole += weight;
            return true;
        }
        if let Some(known) = self.found.iter_mut().find(|known| known.rest == rest) {
            known.weight += weight;
            return true;
        }
        if self.found.len() == NAMES_MAX {
            return false;
        }
        self.found.push(Name { rest, weight });
        true
    }
}
