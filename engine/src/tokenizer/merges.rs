//! The merges of byte-pair encoding: read from the file, or rebuilt from the scores of older files.

use std::collections::HashSet;

use tokenizers::models::bpe::{Merges, Vocab};

use super::vocabulary::{TokenKind, Vocabulary};
use crate::TokenId;
use crate::gguf::Metadata;

/// Longer tokens are not rebuilt from scores: trying all ways to split a token costs the square of
/// its length. The longest token of any Gemma vocabulary has 93 characters.
const SCORED_TOKEN_BYTES_MAX: usize = 512;

/// Which merges of a file are handed to the builder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Takes for granted that all parts and results are in the vocabulary; the builder reports it
    /// if they are not. Saves three look-ups for each of half a million merges.
    Trusting,
    /// Leaves out merges whose parts or result are not in the vocabulary; some files have a few.
    Strict,
}

/// Reads `tokenizer.ggml.merges`: pairs in the order in which they are applied.
pub(super) fn from_file(
    metadata: &Metadata,
    ids: &Vocab,
    vocabulary: &Vocabulary,
    filter: Filter,
) -> Result<Merges, String> {
    let lines = metadata
        .str_array("tokenizer.ggml.merges")
        .ok_or("the list of merges `tokenizer.ggml.merges` is missing")?;
    let protected = Protected::new(metadata, vocabulary);
    let mut merges = Merges::with_capacity(lines.len().min(2 * ids.len()));
    let mut merged = String::new();
    for line in lines {
        // The first part has one byte at least and may be a newline; parts hold no spaces.
        let Some(space) = line
            .as_bytes()
            .iter()
            .skip(1)
            .position(|&byte| byte == b' ')
        else {
            continue;
        };
        let (left, right) = (&line[..=space], &line[space + 2..]);
        // The builder has room for the longest token and panics beyond it.
        if right.is_empty() || left.len() + right.len() > protected.token_bytes_max {
            continue;
        }
        merged.clear();
        merged.push_str(left);
        merged.push_str(right);
        let parts = [left, right, &merged];
        if parts.iter().any(|part| protected.contains(part))
            || filter == Filter::Strict && !parts.iter().all(|&part| ids.contains_key(part))
        {
            continue;
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// The texts of control and byte tokens, which merges may neither take nor make.
struct Protected<'a> {
    texts: HashSet<&'a str>,
    /// Whether a text begins with this byte; nearly all begin with `<`, and few merges do.
    first_bytes: [bool; 256],
    /// Length of the longest token of any kind.
    token_bytes_max: usize,
}

impl<'a> Protected<'a> {
    fn new(metadata: &'a Metadata, vocabulary: &Vocabulary) -> Self {
        let mut protected = Self {
            texts: HashSet::new(),
            first_bytes: [false; 256],
            token_bytes_max: 0,
        };
        let texts = metadata
            .str_array("tokenizer.ggml.tokens")
            .into_iter()
            .flatten();
        for (index, text) in texts.enumerate() {
            protected.token_bytes_max = protected.token_bytes_max.max(text.len());
            let is_protected = match vocabulary.kind(index as TokenId) {
                TokenKind::Control | TokenKind::Byte(_) => true,
                TokenKind::Normal | TokenKind::UserDefined => false,
            };
            if let Some(&first) = text.as_bytes().first().filter(|_| is_protected) {
                protected.first_bytes[usize::from(first)] = true;
                protected.texts.insert(text);
            }
        }
        protected
    }

    fn contains(&self, text: &str) -> bool {
        text.bytes()
            .next()
            .is_some_and(|first| self.first_bytes[usize::from(first)])
            && self.texts.contains(text)
    }
}

/// A merge that scores allow.
struct Candidate<'a> {
    score: f32,
    left: &'a str,
    right: &'a str,
    left_chars: usize,
    right_chars: usize,
}

/// Rebuilds merges from `tokenizer.ggml.scores`: the token with the higher score is made first.
///
/// Source: `generate_merges` in `convert_slow_tokenizer.py` of Hugging Face transformers.
pub(super) fn from_scores(
    metadata: &Metadata,
    ids: &Vocab,
    vocabulary: &Vocabulary,
) -> Result<Merges, String> {
    let texts = metadata
        .str_array("tokenizer.ggml.tokens")
        .ok_or("the list of tokens `tokenizer.ggml.tokens` is missing")?;
    let scores = metadata
        .f32_array("tokenizer.ggml.scores")
        .filter(|scores| scores.len() == texts.len())
        .ok_or("`tokenizer.ggml.scores` does not have one number for each token")?;

    let mut candidates = Vec::new();
    for (index, (text, score)) in texts.zip(scores).enumerate() {
        if text.len() > SCORED_TOKEN_BYTES_MAX
            || ids.get(text) != Some(&(index as TokenId))
            || !is_mergeable(text, ids, vocabulary)
        {
            continue;
        }
        let n_chars = text.chars().count();
        for (left_chars, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if is_mergeable(left, ids, vocabulary) && is_mergeable(right, ids, vocabulary) {
                let right_chars = n_chars - left_chars;
                // Adding zero makes -0.0 equal to 0.0 in the total order below.
                candidates.push(Candidate {
                    score: score + 0.0,
                    left,
                    right,
                    left_chars,
                    right_chars,
                });
            }
        }
    }
    candidates.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(b.left_chars.cmp(&a.left_chars))
            .then(b.right_chars.cmp(&a.right_chars))
    });
    Ok(candidates
        .into_iter()
        .map(|candidate| (candidate.left.to_owned(), candidate.right.to_owned()))
        .collect())
}

/// Whether merges may take or make this text: source code that spells a control token or a byte
/// token stays text.
fn is_mergeable(text: &str, ids: &Vocab, vocabulary: &Vocabulary) -> bool {
    ids.get(text).is_some_and(|&id| match vocabulary.kind(id) {
        TokenKind::Normal | TokenKind::UserDefined => true,
        TokenKind::Control => false,
        // Vocabularies without a token for the tab use its byte token under the name "\t".
        TokenKind::Byte(byte) => text.as_bytes() == [byte],
    })
}
