//! The merges of byte-pair encoding: read from the file, or rebuilt from the scores of older files.

use tokenizers::models::bpe::{Merges, Vocab};

use super::vocabulary::{TokenKind, Vocabulary};
use crate::TokenId;
use crate::gguf::Metadata;

/// Longer tokens are not rebuilt from scores: trying all ways to split a token costs the square of
/// its length. The longest token of any Gemma vocabulary has 93 characters.
const SCORED_TOKEN_BYTES_MAX: usize = 1024;

/// Reads `tokenizer.ggml.merges`: pairs in the order in which they are applied.
///
/// Merges with parts that are not in the vocabulary are left out; some files have a few.
pub(super) fn from_file(
    metadata: &Metadata,
    ids: &Vocab,
    vocabulary: &Vocabulary,
) -> Result<Merges, String> {
    let lines = metadata
        .str_array("tokenizer.ggml.merges")
        .ok_or("the list of merges `tokenizer.ggml.merges` is missing")?;
    let mut merges = Merges::with_capacity(lines.len().min(2 * ids.len()));
    let mut merged = String::new();
    for line in lines {
        // The first part has one byte at least and may be a newline; parts hold no spaces.
        let Some(space) = line.as_bytes().iter().skip(1).position(|&byte| byte == b' ') else {
            continue;
        };
        let (left, right) = (&line[..=space], &line[space + 2..]);
        merged.clear();
        merged.push_str(left);
        merged.push_str(right);
        if [left, right, &merged].iter().all(|part| is_mergeable(part, ids, vocabulary)) {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    Ok(merges)
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

    struct Candidate<'a> {
        score: f32,
        left: &'a str,
        right: &'a str,
        left_chars: usize,
        right_chars: usize,
    }
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
                candidates.push(Candidate { score: score + 0.0, left, right, left_chars, right_chars });
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
