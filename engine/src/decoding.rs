//! The loop that extends a text token by token, until there is a reason to stop.

use std::ops::ControlFlow;

use crate::healing::Healing;
use crate::mixing::{Mixer, SparseDistribution};
use crate::sampling::Sampler;
use crate::speculation::Ahead;
use crate::stop::StopMatcher;
use crate::{
    CancelToken, GenerateError, GenerationRequest, Mixing, Model, Piece, Session, StopReason,
    TextStream, TokenId, TokenScore,
};

/// Memory that is set aside for the text; more is taken where tokens are longer.
const BYTES_PER_TOKEN: usize = 8;

/// What was generated.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) scores: Vec<TokenScore>,
    /// Where in `text` each token ends.
    pub(crate) ends: Vec<usize>,
    pub(crate) text: String,
    pub(crate) stop: StopReason,
}

/// One generation behind a prompt that the session holds.
pub(crate) struct Decoding<'a, 's> {
    model: &'a Model,
    request: &'a GenerationRequest,
    cancel: &'a CancelToken,
    sampler: Sampler,
    stream: TextStream<'a>,
    matcher: StopMatcher,
    healing: Healing<'a>,
    /// Bytes of what the answer begins with that the stream has yet to give.
    hidden: usize,
    /// Tokens that did nothing but spell what the answer begins with.
    spelled: usize,
    mixer: Option<Mixer<'a, 's>>,
    /// What is mixed in without a source.
    nothing: SparseDistribution,
    done: Decoded,
    /// Tokens whose scores were given to the caller.
    told: usize,
}

impl<'a, 's> Decoding<'a, 's> {
    /// A generation for a session with room for `context` tokens.
    pub(crate) fn new(
        model: &'a Model,
        context: usize,
        request: &'a GenerationRequest,
        mixing: Option<Mixing<'s>>,
        cancel: &'a CancelToken,
    ) -> Self {
        let hidden = request.begins_with.len();
        let most = request.max_tokens.saturating_add(hidden).min(context);
        let tokenizer = model.tokenizer();
        Self {
            model,
            request,
            cancel,
            sampler: Sampler::new(tokenizer, request),
            stream: tokenizer.stream(),
            matcher: StopMatcher::new(&request.stop_strings),
            healing: Healing::new(&request.begins_with),
            hidden,
            spelled: 0,
            mixer: mixing
                .map(|mixing| Mixer::new(mixing, request, tokenizer, BYTES_PER_TOKEN * most)),
            nothing: SparseDistribution::default(),
            done: Decoded {
                tokens: Vec::with_capacity(most),
                scores: Vec::with_capacity(most),
                ends: Vec::with_capacity(most),
                text: String::with_capacity(BYTES_PER_TOKEN * most),
                stop: StopReason::MaxTokens,
            },
            told: 0,
        }
    }

    /// Chooses tokens until a reason to stop appears. The session's logits are those of the last
    /// token of the prompt.
    pub(crate) fn run(
        mut self,
        session: &mut Session,
        mut ahead: Ahead<'_>,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Decoded, GenerateError> {
        let stop = self.extend(session, &mut ahead, on_piece);
        ahead.settle(session);
        self.done.stop = stop?;
        self.finish(on_piece);
        Ok(self.done)
    }

    fn extend(
        &mut self,
        session: &mut Session,
        ahead: &mut Ahead<'_>,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<StopReason, GenerateError> {
        loop {
            if self.is_long() {
                return Ok(StopReason::MaxTokens);
            }
            if self.cancel.is_cancelled() {
                return Ok(StopReason::Cancelled);
            }
            let Some((token, score)) = self.choose(session.row_mut()) else {
                return Ok(StopReason::Unspellable);
            };
            if !self.request.ignore_stop_tokens && self.is_stop(token) {
                return Ok(StopReason::StopToken);
            }
            let shown = self.done.text.len();
            let matched = self.push(token, score);
            if self.tell(shown, on_piece).is_break() {
                return Ok(StopReason::Callback);
            }
            if matched {
                return Ok(StopReason::StopString);
            }
            if self.is_long() {
                return Ok(StopReason::MaxTokens);
            }
            if ahead.is_full(session) {
                return Ok(StopReason::ContextFull);
            }
            let left = self
                .request
                .max_tokens
                .saturating_sub(self.done.tokens.len() - self.spelled);
            match ahead.advance(session, token, left.saturating_sub(1), self.cancel) {
                Err(GenerateError::Cancelled) => return Ok(StopReason::Cancelled),
                appended => appended?,
            }
        }
    }

    /// The next token; `None` if none can follow.
    fn choose(&mut self, logits: &mut [f32]) -> Option<(TokenId, TokenScore)> {
        self.sampler.ban(logits);
        let rest = self.healing.rest();
        if !rest.is_empty() && !self.healing.constrain(self.model.tokenizer(), logits) {
            return None;
        }
        let source = match &mut self.mixer {
            Some(mixer) => mixer.next(rest, logits),
            None => &self.nothing,
        };
        Some(self.sampler.choose(logits, source))
    }

    /// Takes a token; returns whether its text ends in a stop string.
    fn push(&mut self, token: TokenId, score: TokenScore) -> bool {
        let bytes = self.model.tokenizer().token_bytes(token);
        let known = bytes.len().min(self.healing.rest().len());
        self.healing.spell(bytes);
        if known > 0 && known == bytes.len() {
            self.spelled += 1;
        }
        if let Some(mixer) = &mut self.mixer {
            mixer.push(&bytes[known..]);
        }
        let piece = self.stream.push(token);
        let hidden = self.hidden.min(piece.len());
        self.hidden -= hidden;
        let matched = self.matcher.push(&piece[hidden..], &mut self.done.text);
        self.done.tokens.push(token);
        self.done.scores.push(score);
        // What may yet become a stop string is held back, and may join the text later.
        let end = self.done.text.len() + self.matcher.held_len();
        self.done.ends.push(end);
        matched
    }

    /// Gives the caller the text from `shown` on, with the scores that it has not seen.
    fn tell(
        &mut self,
        shown: usize,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if shown == self.done.text.len() {
            return ControlFlow::Continue(());
        }
        let scores = &self.done.scores[self.told..];
        self.told = self.done.scores.len();
        on_piece(Piece {
            text: &self.done.text[shown..],
            scores,
        })
    }

    /// Completes the text with what was held back, unless a reason to stop says that it ends here.
    fn finish(&mut self, on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>) {
        let shown = self.done.text.len();
        if !matches!(
            self.done.stop,
            StopReason::Callback | StopReason::StopString
        ) {
            let rest = if self.hidden == 0 {
                self.stream.finish()
            } else {
                String::new()
            };
            if !self.matcher.push(&rest, &mut self.done.text) {
                self.done.text.push_str(&self.matcher.finish());
            }
            if let Some(end) = self.done.ends.last_mut() {
                *end = self.done.text.len();
            }
            // The text ends here in any case.
            let _ = self.tell(shown, on_piece);
        }
        let len = self.done.text.len();
        for end in &mut self.done.ends {
            *end = len.min(*end);
        }
    }

    /// Whether the answer is as long as it may get.
    fn is_long(&self) -> bool {
        self.done.tokens.len() - self.spelled >= self.request.max_tokens
    }

    fn is_stop(&self, token: TokenId) -> bool {
        self.model.tokenizer().end_of_generation().contains(&token)
            || self.request.stop_tokens.contains(&token)
    }
}
