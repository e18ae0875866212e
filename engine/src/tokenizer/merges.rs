//! The merges of byte-pair encoding: read from the file, or rebuilt from the scores of older files.

use super::bpe::{MERGES_MAX, Merge};
use super::ids::TokenIds;
use super::pieces::JoinTable;
use super::vocabulary::{TokenKind, Vocabulary};
use super::{both, vocabulary};
use crate::TokenId;
use crate::gguf::{Metadata, Strings};

/// Longer tokens are not rebuilt from scores: trying all ways to split a token costs the square of
/// its length. The longest token of any Gemma vocabulary has 93 characters.
const SCORED_TOKEN_BYTES_MAX: usize = 512;

/// The merges of a vocabulary in the order in which they apply, and which characters they join.
#[derive(Default)]
pub(super) struct MergeList {
    pub(super) merges: Vec<Merge>,
    pub(super) joins: JoinTable,
}

/// Reads `tokenizer.ggml.merges`: pairs in the order in which they are applied.
///
/// Merges whose parts or result are not in the vocabulary are left out; some files have a few.
pub(super) fn from_file(
    metadata: &Metadata,
    ids: &TokenIds,
    vocabulary: &Vocabulary,
) -> Result<MergeList, String> {
    let lines = metadata
        .str_array("tokenizer.ggml.merges")
        .ok_or("the list of merges `tokenizer.ggml.merges` is missing")?;
    check_len(lines.len())?;
    let is_protected = protected(metadata, ids, vocabulary)?;
    let half = lines.len() / 2;
    let (first, second) = lines.split_at(half);
    let (mut list, second) = both(
        || read_lines(first, ids, &is_protected),
        || read_lines(second, ids, &is_protected),
    )?;
    list.merges.extend(second.merges);
    list.joins.extend(&second.joins);
    Ok(list)
}

fn check_len(n_merges: usize) -> Result<(), String> {
    if n_merges > MERGES_MAX {
        return Err(format!(
            "the vocabulary has {n_merges} or more merges, expected at most {MERGES_MAX}"
        ));
    }
    Ok(())
}

fn read_lines(lines: Strings<'_>, ids: &TokenIds, is_protected: &[bool]) -> MergeList {
    let mut list = MergeList {
        merges: Vec::with_capacity(lines.len()),
        joins: JoinTable::default(),
    };
    let mut merged = String::new();
    let mut guess = 0;
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
        if right.is_empty() {
            continue;
        }
        merged.clear();
        merged.push_str(left);
        merged.push_str(right);
        // Merges are mostly in the order of the tokens that they make.
        let result = ids.get_near(&merged, guess);
        guess = result.unwrap_or(guess);
        let allowed = |token: Option<TokenId>| token.filter(|&id| !is_protected[id as usize]);
        if let Some(result) = allowed(result)
            && let Some(left_token) = allowed(ids.get(left))
            && let Some(right_token) = allowed(ids.get(right))
        {
            list.joins.insert(left, right);
            list.merges.push(Merge {
                left: left_token,
                right: right_token,
                result,
            });
        }
    }
    list
}

/// Which tokens merges may neither take nor make, by id: those with the text of a control or byte token.
fn protected(
    metadata: &Metadata,
    ids: &TokenIds,
    vocabulary: &Vocabulary,
) -> Result<Vec<bool>, String> {
    let mut is_protected = vec![false; vocabulary.len()];
    for (index, text) in vocabulary::texts(metadata)?.enumerate() {
        match vocabulary.kind(index as TokenId) {
            TokenKind::Normal | TokenKind::UserDefined => {}
            TokenKind::Control | TokenKind::Byte(_) => {
                if let Some(id) = ids.get(text) {
                    is_protected[id as usize] = true;
                }
            }
        }
    }
    Ok(is_protected)
}

/// A merge that scores allow.
struct Candidate<'a> {
    score: f32,
    result: TokenId,
    left: (&'a str, TokenId),
    right: (&'a str, TokenId),
    left_chars: usize,
    right_chars: usize,
}

/// Rebuilds merges from `tokenizer.ggml.scores`: the token with the higher score is made first.
///
/// Source: `generate_merges` in `convert_slow_tokenizer.py` of Hugging Face transformers.
pub(super) fn from_scores(
    metadata: &Metadata,
    ids: &TokenIds,
    vocabulary: &Vocabulary,
) -> Result<MergeList, String> {
    let texts = vocabulary::texts(metadata)?;
    let scores = metadata
        .f32_array("tokenizer.ggml.scores")
        .filter(|scores| scores.len() == texts.len())
        .ok_or("`tokenizer.ggml.scores` does not have one number for each token")?;

    let mut candidates = Vec::new();
    for (index, (text, score)) in texts.zip(scores).enumerate() {
        let result = index as TokenId;
        if text.len() > SCORED_TOKEN_BYTES_MAX || mergeable(text, ids, vocabulary) != Some(result) {
            continue;
        }
        let n_chars = text.chars().count();
        for (left_chars, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if let Some(left_token) = mergeable(left, ids, vocabulary)
                && let Some(right_token) = mergeable(right, ids, vocabulary)
            {
                check_len(candidates.len() + 1)?;
                // Adding zero makes -0.0 equal to 0.0 in the total order below.
                candidates.push(Candidate {
                    score: score + 0.0,
                    result,
                    left: (left, left_token),
                    right: (right, right_token),
                    left_chars,
                    right_chars: n_chars - left_chars,
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
    let mut list = MergeList::default();
    for candidate in candidates {
        let ((left, left_token), (right, right_token)) = (candidate.left, candidate.right);
        list.joins.insert(left, right);
        list.merges.push(Merge {
            left: left_token,
            right: right_token,
            result: candidate.result,
        });
    }
    Ok(list)
}

/// The token with this text if merges may take or make it: source code that spells a control token or
/// a byte token stays text.
fn mergeable(text: &str, ids: &TokenIds, vocabulary: &Vocabulary) -> Option<TokenId> {
    ids.get(text).filter(|&id| match vocabulary.kind(id) {
        TokenKind::Normal | TokenKind::UserDefined => true,
        TokenKind::Control => false,
        // Vocabularies without a token for the tab use its byte token under the name "\t".
        TokenKind::Byte(byte) => text.as_bytes() == [byte],
    })
}
