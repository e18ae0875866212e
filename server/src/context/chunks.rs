//! Pieces of other files that use the same words as the text around a caret, by BM25.

use std::collections::HashMap;

use super::nearest;
use super::surroundings::words;
use crate::echo::Known;
use crate::prompt::Excerpt;

/// Lines of a piece; pieces stand on a grid, so that the same one is chosen again.
const LINES: usize = 16;

/// Text that is looked through, of the nearest files.
const BYTES_MAX: usize = 4 << 20;

/// Pieces that are given, one of a file.
const CHUNKS_MAX: usize = 3;

/// Different words that a piece must share.
const SHARED_MIN: usize = 3;

/// How soon more of the same word counts no more, and how much the length of a piece counts.
const SATURATION: f64 = 1.2;
const LENGTH_SHARE: f64 = 0.75;

struct Chunk<'a> {
    path: &'a str,
    text: &'a str,
    /// How often each word of the query stands in it.
    counts: Vec<(usize, u16)>,
    words: usize,
}

/// The pieces that share most with these words, the most alike first.
pub(super) fn most_alike(query: &[&str], known: Known<'_>) -> Vec<Excerpt> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for word in query {
        let next = numbers.len();
        numbers.entry(word).or_insert(next);
    }
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let mut bytes = 0;
    for path in nearest(known.index, known.path) {
        let text = known.index.text(path).unwrap_or_default();
        bytes += text.len();
        if bytes > BYTES_MAX {
            break;
        }
        chunks.extend(pieces(text).map(|text| chunk(path, text, &numbers)));
    }
    let mut stand_in = vec![0usize; numbers.len()];
    for (word, _) in chunks.iter().flat_map(|chunk| &chunk.counts) {
        stand_in[*word] += 1;
    }
    let all = chunks.len() as f64;
    let mean = chunks.iter().map(|chunk| chunk.words).sum::<usize>() as f64 / all.max(1.0);
    let score = |chunk: &Chunk<'_>| -> f64 {
        let of_word = |&(word, count): &(usize, u16)| {
            let with = stand_in[word] as f64;
            let rarity = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            let length = 1.0 - LENGTH_SHARE + LENGTH_SHARE * chunk.words as f64 / mean.max(1.0);
            let count = f64::from(count);
            rarity * count * (SATURATION + 1.0) / (count + SATURATION * length)
        };
        chunk.counts.iter().map(of_word).sum()
    };
    let alike = chunks
        .iter()
        .filter(|chunk| chunk.counts.len() >= SHARED_MIN);
    let mut scored: Vec<(f64, &Chunk<'_>)> = alike.map(|chunk| (score(chunk), chunk)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best: Vec<Excerpt> = Vec::new();
    for (_, chunk) in scored {
        if best.len() == CHUNKS_MAX {
            break;
        }
        if best.iter().all(|one| one.path != chunk.path) {
            best.push(Excerpt {
                path: chunk.path.to_owned(),
                text: chunk.text.trim_matches(['\r', '\n']).to_owned(),
            });
        }
    }
    best
}

fn chunk<'a>(path: &'a str, text: &'a str, numbers: &HashMap<&str, usize>) -> Chunk<'a> {
    let mut counts: Vec<(usize, u16)> = Vec::new();
    let mut all = 0;
    for word in words(text) {
        all += 1;
        let Some(&number) = numbers.get(word) else {
            continue;
        };
        match counts.iter_mut().find(|(known, _)| *known == number) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((number, 1)),
        }
    }
    Chunk {
        path,
        text,
        counts,
        words: all,
    }
}

/// A text in pieces of whole lines.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.match_indices('\n').nth(LINES - 1);
        let (piece, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at + 1));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}
