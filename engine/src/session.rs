//! One stream of text: a KV cache, the tokens in it, and the loop that extends them.

mod pace;
mod prefill;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

pub use prefill::{Prefill, Progress};

use pace::Pace;

use crate::decoder::{Branches, Workspace};
use crate::decoding::Decoding;
use crate::kv_cache::{KvCache, KvLimits, KvType};
use crate::speculation::Ahead;
use crate::{
    CancelToken, Drafts, GenerateError, GenerationRequest, GenerationSummary, Mixing, Model, Piece,
    TokenId,
};

/// Sizes of a session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Positions that fit; bounded by what the model was made for.
    pub context_tokens: usize,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Prompt tokens that are evaluated at once, at most.
    pub chunk_tokens: usize,
    /// How long a layer of a chunk may take, which is how long a cancellation may have to wait: chunks
    /// follow the measured speed. `None`: always as many tokens as `chunk_tokens`, so that results do
    /// not depend, in their last bits, on how busy the machine is.
    pub layer_time: Option<Duration>,
    /// Tokens by which a full sliding window can be taken back, for example when the caret moves
    /// up; beyond, the prompt is evaluated anew.
    pub rollback_tokens: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            context_tokens: 4096,
            kv: KvType::F16,
            chunk_tokens: 512,
            layer_time: Some(Duration::from_millis(50)),
            rollback_tokens: 1024,
        }
    }
}

/// One stream of text. Prompts that share a prefix with what it holds pay only for the rest.
pub struct Session {
    model: Model,
    cache: KvCache,
    /// The tokens in the cache; as long as the cache.
    tokens: Vec<TokenId>,
    chunk_tokens: usize,
    pace: Pace,
    progress: Progress,
    /// Layers times tokens that reading prompts has cost.
    prompt_work: u64,
    workspace: Workspace,
    /// Those of the last evaluation, `[rows, vocabulary]`.
    logits: Vec<f32>,
    /// The row that is looked at.
    row: usize,
}

impl Session {
    pub(crate) fn new(model: Model, options: &SessionOptions) -> Self {
        let chunk_tokens = options.chunk_tokens.max(1);
        let limits = KvLimits {
            context: options.context_tokens.clamp(1, model.info().context_length),
            chunk: chunk_tokens,
            margin: options.rollback_tokens,
        };
        let pass = &model.0.pass;
        let cache = KvCache::new(&pass.kv_shapes(), options.kv, limits);
        let workspace = pass.workspace(chunk_tokens.min(limits.context));
        let pace = Pace::new(model.info(), chunk_tokens, options.layer_time);
        Self {
            model,
            cache,
            tokens: Vec::with_capacity(limits.context),
            chunk_tokens,
            pace,
            progress: Progress::default(),
            prompt_work: 0,
            workspace,
            logits: Vec::new(),
            row: 0,
        }
    }

    /// Bytes that the cache of such a session takes once it is full.
    pub fn cache_bytes(model: &Model, options: &SessionOptions) -> usize {
        let limits = KvLimits {
            context: options.context_tokens.clamp(1, model.info().context_length),
            chunk: options.chunk_tokens.max(1),
            margin: options.rollback_tokens,
        };
        KvCache::bytes(&model.0.pass.kv_shapes(), options.kv, limits)
    }

    /// The tokens that the cache holds.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The model that this session runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Positions that fit.
    pub fn context_tokens(&self) -> usize {
        self.cache.context()
    }

    /// Forgets all tokens from `n` on; returns how many are left, which is 0 where the sliding
    /// window of the token at `n` is no longer whole.
    pub fn truncate(&mut self, n: usize) -> usize {
        let left = self.cache.truncate(n);
        self.tokens.truncate(left);
        left
    }

    /// Whether [`Session::truncate`] to `n` tokens leaves as many.
    pub fn can_go_back(&self, n: usize) -> bool {
        n >= self.tokens.len() || self.cache.can_truncate(n)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Length of the longest prefix of `prompt` that the cache holds.
    pub fn shared_prefix(&self, prompt: &[TokenId]) -> usize {
        self.tokens
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count()
    }

    /// Replaces what the cache holds by the first `n` tokens of another session of the same model and
    /// options, without computing; returns how many are there then, as [`Session::truncate`].
    pub fn copy_prefix(&mut self, other: &Self, n: usize) -> usize {
        self.workspace.forget();
        let left = self.cache.copy_prefix(&other.cache, n);
        self.tokens.clear();
        self.tokens.extend_from_slice(&other.tokens[..left]);
        left
    }

    /// Continues `prompt`.
    ///
    /// What the cache shares with the prompt is kept, the rest is replaced. `on_piece` gets text as
    /// soon as it is complete: whole characters, and nothing that may still become a stop string.
    pub fn generate(
        &mut self,
        prompt: &[TokenId],
        request: &GenerationRequest,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        self.generate_mixed(prompt, request, None, cancel, on_piece)
    }

    /// As [`Session::generate`], sooner where `drafts` guesses rightly; what is generated is the same.
    pub fn generate_drafted(
        &mut self,
        prompt: &[TokenId],
        request: &GenerationRequest,
        drafts: &mut dyn Drafts,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        self.generate_aided(prompt, request, (None, Some(drafts)), cancel, on_piece)
    }

    /// As [`Session::generate`], mixing what a source says into the probability of every token.
    pub fn generate_mixed(
        &mut self,
        prompt: &[TokenId],
        request: &GenerationRequest,
        mixing: Option<Mixing<'_>>,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        self.generate_aided(prompt, request, (mixing, None), cancel, on_piece)
    }

    /// As [`Session::generate_mixed`] and [`Session::generate_drafted`] at once.
    pub fn generate_aided(
        &mut self,
        prompt: &[TokenId],
        request: &GenerationRequest,
        (mixing, drafts): (Option<Mixing<'_>>, Option<&mut dyn Drafts>),
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        let begin = Instant::now();
        let reused = self.read_prompt(prompt, cancel)?;
        let prefill = begin.elapsed();
        let begin = Instant::now();
        let model = self.model.clone();
        let ahead = Ahead::new(self, drafts);
        let decoded = Decoding::new(&model, self.cache.context(), request, mixing, cancel)
            .run(self, ahead, on_piece)?;
        Ok(GenerationSummary {
            tokens: decoded.tokens,
            scores: decoded.scores,
            ends: decoded.ends,
            text: decoded.text,
            prompt_tokens: prompt.len(),
            reused_tokens: reused,
            prefill,
            decode: begin.elapsed(),
            stop: decoded.stop,
        })
    }

    /// Reads `prompt` and returns how many of its tokens were in the cache before; the logits are
    /// those of its last token.
    pub(crate) fn read_prompt(
        &mut self,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<usize, GenerateError> {
        self.check_prompt(prompt)?;
        // The last token is evaluated in any case, since its logits are needed.
        let reused = self.truncate(self.shared_prefix(prompt).min(prompt.len() - 1));
        self.progress.begin(prompt.len(), reused);
        self.reading(|session| session.append(&prompt[reused..], 1, cancel))?;
        Ok(reused)
    }

    /// The logits of the last evaluation, `[rows, vocabulary]`.
    pub(crate) fn logits_mut(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// Those of the row that is looked at, which is the first one of an evaluation at first.
    pub(crate) fn row_mut(&mut self) -> &mut [f32] {
        let vocabulary = self.model.info().vocabulary;
        &mut self.logits[self.row * vocabulary..][..vocabulary]
    }

    /// Appends one token of each branch; the logits are those of all of them. The cache holds
    /// several texts then, until it is truncated to their trunk.
    pub(crate) fn append_branches(
        &mut self,
        tokens: &[TokenId],
        branches: Branches<'_>,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        let pass = &self.model.0.pass;
        let (cache, workspace) = (&mut self.cache, &mut self.workspace);
        let logits = &mut self.logits;
        let done = pass.forward_branches(tokens, branches, cache, workspace, cancel, logits);
        self.model.check_file()?;
        done?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Looks at another row of the last evaluation.
    pub(crate) fn look_at_row(&mut self, row: usize) {
        self.row = row;
    }

    /// How many more tokens fit.
    pub(crate) fn room(&self) -> usize {
        self.cache.context() - self.tokens.len()
    }
}

#[cfg(test)]
mod grids_tests;
#[cfg(test)]
mod tests;
