//! From continuations of a text to a sparse distribution of the next token.

use crate::continuation::{CONTEXT_BYTES, Continuations, Mixing};
use crate::tokenizer::{FirstToken, Tokenizer};
use crate::{GenerationRequest, TokenId};

/// No source has all the weight: what it says of a token must not make the model's word void.
const WEIGHT_MAX: f32 = 0.99;

/// A distribution of the next token that has few tokens, and its weight against the model's.
#[derive(Debug, Default)]
pub(crate) struct SparseDistribution {
    /// Each token once; the probabilities sum to 1.
    pub(crate) tokens: Vec<(TokenId, f32)>,
    /// 0 if there are no tokens.
    pub(crate) weight: f32,
}

impl SparseDistribution {
    fn clear(&mut self) {
        self.tokens.clear();
        self.weight = 0.0;
    }

    fn add(&mut self, token: TokenId, weight: f32) {
        match self.tokens.iter_mut().find(|(other, _)| *other == token) {
            Some((_, sum)) => *sum += weight,
            None => self.tokens.push((token, weight)),
        }
    }

    fn normalize(&mut self, weight: f32) {
        let sum: f32 = self.tokens.iter().map(|(_, weight)| weight).sum();
        if !(sum.is_finite() && sum > 0.0 && weight > 0.0) {
            return self.clear();
        }
        for (_, weight) in &mut self.tokens {
            *weight /= sum;
        }
        self.weight = weight.min(WEIGHT_MAX);
    }
}

/// Asks a source about a text that grows. Memory is taken once.
pub(crate) struct Mixer<'a, 's> {
    mixing: Mixing<'s>,
    request: &'a GenerationRequest,
    first: FirstToken<'a>,
    /// Tokens that end the answer, or the line where only one is wanted.
    ends: Vec<TokenId>,
    /// The end of the document before the caret, then the answer.
    text: Vec<u8>,
    /// How much of `text` is the document.
    before: usize,
    continuations: Continuations,
    /// A continuation behind what is still to be spelled.
    joined: Vec<u8>,
    distribution: SparseDistribution,
}

impl<'a, 's> Mixer<'a, 's> {
    /// For answers of up to `answer_bytes`; longer ones take more memory.
    pub(crate) fn new(
        mixing: Mixing<'s>,
        request: &'a GenerationRequest,
        tokenizer: &'a Tokenizer,
        answer_bytes: usize,
    ) -> Self {
        let from = mixing.before.len().saturating_sub(CONTEXT_BYTES);
        let before = &mixing.before[from..];
        let mut text = Vec::with_capacity(before.len() + answer_bytes);
        text.extend_from_slice(before);
        let mut ends = tokenizer.end_of_generation().to_vec();
        ends.extend_from_slice(&request.stop_tokens);
        if request.single_line {
            let mut newline = FirstToken::new(tokenizer);
            ends.extend(newline.of(b"\n"));
        }
        Self {
            mixing,
            request,
            first: FirstToken::new(tokenizer),
            ends,
            before: text.len(),
            text,
            continuations: Continuations::default(),
            joined: Vec::new(),
            distribution: SparseDistribution::default(),
        }
    }

    /// The answer goes on.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Another answer takes the place of the one so far.
    pub(crate) fn rewind(&mut self, answer: &[u8]) {
        self.text.truncate(self.before);
        self.text.extend_from_slice(answer);
    }

    /// What the source says of the next token. `rest` is what is still to be spelled of the text
    /// before the caret; `logits` are the model's, in which banned tokens have negative infinity.
    pub(crate) fn next(&mut self, rest: &[u8], logits: &[f32]) -> &SparseDistribution {
        self.continuations.clear();
        self.distribution.clear();
        self.first.forget();
        let weight = self
            .mixing
            .source
            .continuations(&self.text, &mut self.continuations);
        if !(weight.is_finite() && weight > 0.0) {
            return &self.distribution;
        }
        let logit = |token: TokenId| {
            let logit = logits.get(token as usize).copied();
            logit.unwrap_or(f32::NEG_INFINITY)
        };
        for (bytes, weight) in self.continuations.iter() {
            self.joined.clear();
            self.joined.extend_from_slice(rest);
            self.joined.extend_from_slice(bytes);
            if self.request.single_line {
                let line = self.joined.iter().position(|b| matches!(b, b'\n' | b'\r'));
                self.joined.truncate(line.unwrap_or(self.joined.len()));
            }
            // All ways to end are one choice: the one that the model would take.
            let token = if self.joined.is_empty() {
                let ends = self.ends.iter().copied();
                ends.max_by(|&a, &b| logit(a).total_cmp(&logit(b)))
            } else {
                self.first.of(&self.joined)
            };
            if let Some(token) = token.filter(|&token| logit(token) > f32::NEG_INFINITY) {
                self.distribution.add(token, weight);
            }
        }
        self.distribution.normalize(weight);
        &self.distribution
    }
}
