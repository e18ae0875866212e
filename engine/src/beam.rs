//! Several answers at once: the most probable lines, rather than the line of the most probable tokens.
//!
//! The answers under way are a batch of branches behind the prompt. They share its keys and values,
//! so that some of them cost little more than one.

use std::time::{Duration, Instant};

use crate::decoder::Branches;
use crate::healing::Healing;
use crate::mixing::{Mixer, SparseDistribution};
use crate::sampling::Sampler;
use crate::tokenizer::Tokenizer;
use crate::{CancelToken, GenerateError, GenerationRequest, Mixing, Session, TokenId, TokenScore};

/// An answer that is so much less probable than the best one is given up, in natural logarithms.
const MARGIN: f32 = 7.0;

/// One answer of a search: a line that has ended.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its text, without what it was to begin with; never empty.
    pub text: String,
    /// Its tokens, those included that spell what it was to begin with.
    pub tokens: Vec<TokenId>,
    /// How probable each token was.
    pub scores: Vec<TokenScore>,
    /// Where in `text` each token ends.
    pub ends: Vec<usize>,
    /// How probable it was that the line ended there, in any way.
    pub end: TokenScore,
}

impl Candidate {
    /// Natural logarithm of the probability of the whole line, by the mixture.
    pub fn mixed_log_prob(&self) -> f32 {
        self.tokens_log_prob() + self.end.mixed_log_prob
    }

    /// The same of its tokens, wherever the line ends.
    pub fn tokens_log_prob(&self) -> f32 {
        self.scores.iter().map(|score| score.mixed_log_prob).sum()
    }
}

/// What a search found and what it cost.
#[derive(Clone, Debug)]
pub struct SearchSummary {
    /// The most probable lines, the best first.
    pub candidates: Vec<Candidate>,
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were still in the cache and cost nothing.
    pub reused_tokens: usize,
    /// Time to evaluate the prompt.
    pub prefill: Duration,
    /// Time of the search.
    pub decode: Duration,
}

/// Looks for the `width` most probable lines behind `prompt`.
///
/// A line ends with a token that ends the answer or begins a new line. The request's limit on tokens
/// holds for each line; its sampling and its stop strings do not matter. The session holds the prompt
/// afterwards.
pub fn search(
    session: &mut Session,
    prompt: &[TokenId],
    request: &GenerationRequest,
    width: usize,
    mixing: Option<Mixing<'_>>,
    cancel: &CancelToken,
) -> Result<SearchSummary, GenerateError> {
    let begin = Instant::now();
    let reused_tokens = session.read_prompt(prompt, cancel)?;
    let prefill = begin.elapsed();
    let begin = Instant::now();
    let model = session.model().clone();
    let tokenizer = model.tokenizer();
    let mut beam = Beam {
        request,
        tokenizer,
        width: width.max(1),
        sampler: Sampler::new(tokenizer, request),
        mixer: mixing.map(|mixing| Mixer::new(mixing, request, tokenizer, 0)),
        line_ends: line_ends(tokenizer, request),
        live: vec![Line::new(request)],
        next: Vec::new(),
        done: Vec::new(),
    };
    let found = beam.run(session, prompt.len(), cancel);
    session.truncate(prompt.len());
    found?;
    Ok(SearchSummary {
        candidates: beam.done.into_iter().map(|(_, done)| done).collect(),
        prompt_tokens: prompt.len(),
        reused_tokens,
        prefill,
        decode: begin.elapsed(),
    })
}

/// All tokens that end a line.
fn line_ends(tokenizer: &Tokenizer, request: &GenerationRequest) -> Vec<TokenId> {
    let with_newline = (0..tokenizer.vocabulary_len() as TokenId)
        .filter(|&token| tokenizer.token_bytes(token).contains(&b'\n'));
    let mut ends: Vec<TokenId> = with_newline.collect();
    ends.extend_from_slice(tokenizer.end_of_generation());
    ends.extend_from_slice(&request.stop_tokens);
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// A line under way.
#[derive(Clone)]
struct Line<'a> {
    tokens: Vec<TokenId>,
    scores: Vec<TokenScore>,
    /// Where in `bytes` the tokens end.
    ends: Vec<usize>,
    /// Where its tokens lie in the cache.
    slots: Vec<usize>,
    bytes: Vec<u8>,
    healing: Healing<'a>,
    mixed_log_prob: f32,
}

impl<'a> Line<'a> {
    fn new(request: &'a GenerationRequest) -> Self {
        Self {
            tokens: Vec::new(),
            scores: Vec::new(),
            ends: Vec::new(),
            slots: Vec::new(),
            bytes: Vec::new(),
            healing: Healing::new(&request.begins_with),
            mixed_log_prob: 0.0,
        }
    }

    /// The line with one more token, which is not in the cache yet.
    fn with(&self, token: TokenId, bytes: &[u8], score: TokenScore) -> Self {
        let mut line = self.clone();
        line.tokens.push(token);
        line.scores.push(score);
        line.bytes.extend_from_slice(bytes);
        line.ends.push(line.bytes.len());
        line.healing.spell(bytes);
        line.mixed_log_prob += score.mixed_log_prob;
        line
    }
}

/// A token that may follow a line.
struct Step {
    line: usize,
    token: TokenId,
    score: TokenScore,
    /// Of the line with this token.
    mixed_log_prob: f32,
}

struct Beam<'a, 's> {
    request: &'a GenerationRequest,
    tokenizer: &'a Tokenizer,
    width: usize,
    sampler: Sampler,
    mixer: Option<Mixer<'a, 's>>,
    line_ends: Vec<TokenId>,
    /// As the rows of the session's logits.
    live: Vec<Line<'a>>,
    next: Vec<Step>,
    /// With the probabilities that order them.
    done: Vec<(f32, Candidate)>,
}

impl Beam<'_, '_> {
    fn run(
        &mut self,
        session: &mut Session,
        trunk: usize,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        let most = self.request.max_tokens + self.request.begins_with.len();
        let (mut tokens, mut slots) = (Vec::new(), Vec::new());
        for depth in 1..=most {
            if cancel.is_cancelled() {
                return Err(GenerateError::Cancelled);
            }
            self.expand(session.logits_mut());
            self.advance();
            let room = session.context_tokens() - session.tokens().len();
            if self.live.is_empty() || self.live.len() > room {
                break;
            }
            tokens.clear();
            slots.clear();
            for (line, slot) in self.live.iter_mut().zip(session.tokens().len()..) {
                tokens.extend(line.tokens.last());
                line.slots.push(slot);
                slots.extend_from_slice(&line.slots);
            }
            let branches = Branches {
                trunk,
                depth,
                slots: &slots,
            };
            session.append_branches(&tokens, branches, cancel)?;
        }
        Ok(())
    }

    /// Collects what may follow each line, and the lines that may end where they are.
    fn expand(&mut self, logits: &mut [f32]) {
        self.next.clear();
        let vocabulary = logits.len() / self.live.len().max(1);
        let nothing = SparseDistribution::default();
        for (index, (line, logits)) in self
            .live
            .iter()
            .zip(logits.chunks_exact_mut(vocabulary))
            .enumerate()
        {
            self.sampler.ban(logits);
            let rest = line.healing.rest();
            if !rest.is_empty() && !line.healing.constrain(self.tokenizer, logits) {
                continue;
            }
            let begun = self.request.begins_with.len();
            let source = match &mut self.mixer {
                Some(mixer) => {
                    mixer.rewind(line.bytes.get(begun..).unwrap_or_default());
                    mixer.next(rest, logits)
                }
                None => &nothing,
            };
            let mixed = self.sampler.mix(logits, source);
            // All ways to end the line are one.
            let (mut end, mut model_end) = (0.0, 0.0);
            for &token in &self.line_ends {
                let score = mixed.score(logits, token as usize);
                end += score.mixed_log_prob.exp();
                model_end += score.log_prob.exp();
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let end = TokenScore {
                log_prob: model_end.ln(),
                mixed_log_prob: end.ln(),
                source_weight: source.weight,
            };
            if let Some(candidate) = candidate(line, end, begun) {
                let log_prob = line.mixed_log_prob + end.mixed_log_prob;
                self.done.push((log_prob, candidate));
            }
            let from = self.next.len();
            for (token, logit) in logits.iter().enumerate() {
                let worst = self.next[from..].last();
                if *logit == f32::NEG_INFINITY
                    || (self.next.len() - from == self.width
                        && worst.is_some_and(|worst| logits[worst.token as usize] >= *logit))
                {
                    continue;
                }
                if self.next.len() - from == self.width {
                    self.next.pop();
                }
                let at =
                    self.next[from..].partition_point(|step| logits[step.token as usize] >= *logit);
                let score = mixed.score(logits, token);
                let step = Step {
                    line: index,
                    token: token as TokenId,
                    score,
                    mixed_log_prob: line.mixed_log_prob + score.mixed_log_prob,
                };
                self.next.insert(from + at, step);
            }
        }
    }

    /// Goes on with the best of what may follow; with nothing once no line can become one of the best.
    fn advance(&mut self) {
        self.done.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.done.truncate(self.width);
        self.next
            .sort_by(|a, b| b.mixed_log_prob.total_cmp(&a.mixed_log_prob));
        let best = self.done.first().map_or(f32::NEG_INFINITY, |best| best.0);
        let worst = match self.done.get(self.width - 1) {
            Some(worst) => worst.0,
            None => f32::NEG_INFINITY,
        };
        let least = worst.max(best - MARGIN);
        let steps = self.next.iter();
        let kept = steps.take_while(|step| step.mixed_log_prob > least);
        self.live = kept
            .take(self.width)
            .map(|step| {
                let bytes = self.tokenizer.token_bytes(step.token);
                self.live[step.line].with(step.token, bytes, step.score)
            })
            .collect();
    }
}

/// The line as it is; `None` if it says nothing beyond what it was to begin with, or ends within a
/// character.
fn candidate(line: &Line<'_>, end: TokenScore, begun: usize) -> Option<Candidate> {
    let text = std::str::from_utf8(line.bytes.get(begun..)?).ok()?;
    if text.is_empty() || !end.mixed_log_prob.is_finite() {
        return None;
    }
    Some(Candidate {
        text: text.to_owned(),
        tokens: line.tokens.clone(),
        scores: line.scores.clone(),
        ends: line
            .ends
            .iter()
            .map(|end| text.floor_char_boundary(end.saturating_sub(begun)))
            .collect(),
        end,
    })
}
