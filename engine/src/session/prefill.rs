//! Reading: tokens go into the cache in chunks, and nothing that was read is lost.
//!
//! A cancellation stops between two layers. Finished chunks stay in the cache, and the one that was
//! interrupted goes on at its layer when the same tokens come again, or the first of them: a user who
//! types makes a slow model read the same prompt in many short pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Session;
use crate::decoder::{ForwardPass, Leftover, WantedRows};
use crate::kernels::{self, CpuLevel};
use crate::{CancelToken, GenerateError, TokenId};

/// How much of a prompt was read, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefill {
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were in the cache before.
    pub reused_tokens: usize,
    /// Tokens that are in the cache now.
    pub ready_tokens: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl Prefill {
    /// Whether a cancellation kept it from reading all.
    pub fn is_whole(&self) -> bool {
        self.ready_tokens == self.prompt_tokens
    }
}

/// How far a session has got with a prompt, for other threads to look at.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    prompt: AtomicUsize,
    ready: AtomicUsize,
}

impl Progress {
    /// Tokens of the prompt at hand, or of the last one.
    pub fn prompt_tokens(&self) -> usize {
        self.0.prompt.load(Ordering::Relaxed)
    }

    /// How many of them are in the cache.
    pub fn ready_tokens(&self) -> usize {
        self.0.ready.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, prompt: usize, ready: usize) {
        self.0.prompt.store(prompt, Ordering::Relaxed);
        self.ready(ready);
    }

    fn ready(&self, tokens: usize) {
        self.0.ready.store(tokens, Ordering::Relaxed);
    }
}

impl Session {
    /// Reads `prompt` into the cache, so that a generation behind it can begin at once.
    ///
    /// What the cache shares with the prompt is kept. A cancellation is no error: what was read stays,
    /// and the next call, or a generation, goes on from there.
    pub fn prefill(
        &mut self,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<Prefill, GenerateError> {
        self.check_prompt(prompt)?;
        let begin = Instant::now();
        let reused = self.truncate(self.shared_prefix(prompt));
        self.progress.begin(prompt.len(), reused);
        let read = if reused < prompt.len() {
            self.reading(|session| session.read(&prompt[reused..], 0, cancel))
        } else {
            Ok(())
        };
        match read {
            Ok(()) | Err(GenerateError::Cancelled) => Ok(Prefill {
                prompt_tokens: prompt.len(),
                reused_tokens: reused,
                ready_tokens: self.tokens.len(),
                elapsed: begin.elapsed(),
            }),
            Err(error) => Err(error),
        }
    }

    /// How far it has got with a prompt; of use while another thread has the session.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// How many prompt tokens it reads in a second, as measured; `None` before the first chunk.
    pub fn prefill_speed(&self) -> Option<f64> {
        self.pace.tokens_per_second()
    }

    /// Layers times tokens that were computed so far.
    pub fn work(&self) -> u64 {
        self.workspace.work
    }

    /// Experts that were read so far, summed over the layers: tokens that are evaluated together read
    /// one that several of them use once.
    pub fn expert_reads(&self) -> u64 {
        self.workspace.expert_reads.load(Ordering::Relaxed)
    }

    /// Prompt tokens that were evaluated so far, whatever became of them: of a chunk that was
    /// interrupted, the layers that were computed count.
    pub fn prompt_tokens_evaluated(&self) -> f64 {
        self.prompt_work as f64 / self.model.0.pass.config.last_kv_layer().max(1) as f64
    }

    /// Counts the work of what `read` reads.
    pub(super) fn reading<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.workspace.work;
        let result = read(self);
        self.prompt_work += self.workspace.work - before;
        result
    }

    /// Appends `tokens` to the cache and returns the logits of the last one, `[vocabulary]`.
    ///
    /// On an error, tokens of chunks that were finished stay in the cache.
    pub fn evaluate(
        &mut self,
        tokens: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, GenerateError> {
        self.evaluate_rows(tokens, 1, cancel)
    }

    /// Like [`Session::evaluate`], with the logits of the last `rows` tokens, `[rows, vocabulary]`;
    /// `rows` is at most [`super::SessionOptions::chunk_tokens`]. This is how drafted tokens are verified.
    pub fn evaluate_rows(
        &mut self,
        tokens: &[TokenId],
        rows: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, GenerateError> {
        self.append(tokens, rows, cancel)?;
        Ok(std::mem::take(&mut self.logits))
    }

    /// Appends `tokens` to the cache and returns the natural logarithms of the model's probabilities
    /// of the last `n` of them, at most [`super::SessionOptions::chunk_tokens`] less one.
    pub fn log_probs(
        &mut self,
        tokens: &[TokenId],
        n: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, GenerateError> {
        self.append(tokens, n + 1, cancel)?;
        let level = CpuLevel::current();
        let rows = self.logits.chunks_exact(self.model.info().vocabulary);
        let last = &tokens[tokens.len().saturating_sub(n)..];
        let log_probs = rows.zip(last).map(|(logits, &token)| {
            let max = kernels::largest(level, logits);
            let sum = kernels::sum_exp_minus(level, logits, max);
            logits[token as usize] - max - sum.ln() as f32
        });
        Ok(log_probs.collect())
    }

    /// As [`Session::evaluate_rows`]; the logits stay here.
    pub(crate) fn append(
        &mut self,
        tokens: &[TokenId],
        rows: usize,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        let rows = rows.clamp(1, self.chunk_tokens).min(tokens.len());
        self.row = 0;
        self.read(tokens, rows, cancel)
    }

    /// Appends `tokens`, with logits of the last `rows` of them, or none.
    fn read(
        &mut self,
        tokens: &[TokenId],
        rows: usize,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        self.check(tokens)?;
        let first_wanted = tokens.len() - rows;
        let (mut done, mut begun) = self.take_up(tokens, first_wanted);
        while done < tokens.len() {
            let most = self.pace.tokens().max(rows);
            let left = tokens.len() - done;
            // A chunk ends before the rows whose logits are wanted, so that one chunk has them all.
            let unwanted = first_wanted.saturating_sub(done);
            let n = match begun.take() {
                Some(n) if n == left || n <= unwanted => n,
                Some(_) if unwanted > 0 => unwanted,
                _ if left > most => most.min(unwanted),
                _ => left,
            };
            let wanted = if n == left && rows > 0 {
                WantedRows::Last(rows)
            } else {
                WantedRows::None
            };
            self.forward(&tokens[done..done + n], wanted, cancel)?;
            done += n;
        }
        Ok(())
    }

    /// Takes over what an interrupted chunk has left behind for `tokens`: how many of them are done,
    /// and how many the next chunk has to have in order to go on where it stopped.
    fn take_up(&mut self, tokens: &[TokenId], first_wanted: usize) -> (usize, Option<usize>) {
        let pass = &self.model.0.pass;
        match pass.leftover(tokens, first_wanted, &self.cache, &self.workspace) {
            Leftover::Nothing => (0, None),
            Leftover::Begun(n) => (0, Some(n)),
            Leftover::Stored(n) => {
                ForwardPass::keep_stored(n, &mut self.cache, &mut self.workspace);
                self.tokens.extend_from_slice(&tokens[..n]);
                self.progress.ready(self.tokens.len());
                (n, None)
            }
        }
    }

    /// Whether a prompt leaves room for an answer.
    pub(super) fn check_prompt(&self, prompt: &[TokenId]) -> Result<(), GenerateError> {
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let (prompt_tokens, context_tokens) = (prompt.len(), self.cache.context());
        if prompt_tokens >= context_tokens {
            return Err(GenerateError::PromptTooLong {
                prompt_tokens,
                context_tokens,
            });
        }
        Ok(())
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), GenerateError> {
        if tokens.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let (n, context) = (self.tokens.len() + tokens.len(), self.cache.context());
        if n > context {
            return Err(GenerateError::PromptTooLong {
                prompt_tokens: n,
                context_tokens: context,
            });
        }
        let vocabulary = self.model.info().vocabulary;
        match tokens.iter().find(|&&token| token as usize >= vocabulary) {
            Some(&token) => Err(GenerateError::UnknownToken { token, vocabulary }),
            None => Ok(()),
        }
    }

    fn forward(
        &mut self,
        tokens: &[TokenId],
        wanted: WantedRows,
        cancel: &CancelToken,
    ) -> Result<(), GenerateError> {
        let pass = &self.model.0.pass;
        let (cache, workspace) = (&mut self.cache, &mut self.workspace);
        let (begin, work) = (Instant::now(), workspace.work);
        let waited = cancel.waited();
        let done = pass.forward(tokens, cache, workspace, wanted, cancel, &mut self.logits);
        // Also before what failed or was cancelled: its layers are not to be taken up.
        self.model.check_file()?;
        done?;
        // What goes on from an interruption says nothing of the speed of a whole chunk.
        let layers = pass.config.last_kv_layer() as u64;
        if workspace.work - work >= layers * tokens.len() as u64 {
            let waited = cancel.waited().saturating_sub(waited);
            let took = begin.elapsed().saturating_sub(waited);
            self.pace.measured(tokens.len(), took);
        }
        self.tokens.extend_from_slice(tokens);
        self.progress.ready(self.tokens.len());
        Ok(())
    }
}
