//! A generator that writes a given text at a given speed, so that tests of the real binary can time it.
//!
//! The script is JSON in the environment variable [`SCRIPT`]. Compiled with the feature `testing` only.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use carat_engine::{
    CancelToken, GenerateError, GenerationSummary, Piece, StopReason, TokenId, TokenScore,
};
use serde::Deserialize;

use super::{Generator, ModelFacts};
use crate::actions::{Instruct, Turn};
use crate::completion::{self, Generated, Knowledge, Parts, Plan, Query};
use crate::echo::Known;
use crate::prompt::{Bytes, PromptBudget, PromptForm};

/// The environment variable that holds the script; without it the real engine runs.
pub const SCRIPT: &str = "CARAT_TEST_GENERATOR";

/// The engine looks at its cancel token once a layer; the script's layers take this long.
const LAYER: Duration = Duration::from_millis(1);

/// What to write, and how fast.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The text that every generation gives.
    pub text: String,
    /// Bytes of a token.
    pub token_bytes: usize,
    /// Time for every token.
    pub ms_per_token: u64,
    /// Time before the first token.
    pub prefill_ms: u64,
    /// Time before the model is there.
    pub load_ms: u64,
    /// Compute while waiting, so that the process's CPU time shows the work.
    pub spin: bool,
    /// What code actions are answered: the first attempt, then the second; `text` if there are none.
    pub answers: Vec<String>,
    /// What code actions are answered whose prompt contains a text; goes before `answers`.
    pub replies: Vec<Reply>,
    /// Time before the first token of such an answer.
    pub answer_prefill_ms: u64,
    /// Whether the model takes instructions.
    pub instruct: bool,
    /// Panic in every generation whose document contains this; nothing never panics.
    pub panic_at: String,
    /// How sure it is of every token, as a logarithm.
    pub log_prob: f32,
    /// What is written instead where the settings name one of these models.
    pub models: BTreeMap<String, Script>,
}

/// An answer to some prompts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What the prompt contains.
    pub to: String,
    /// What is written.
    pub text: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            text: "completed".to_owned(),
            token_bytes: 4,
            ms_per_token: 0,
            prefill_ms: 0,
            load_ms: 0,
            spin: false,
            answers: Vec::new(),
            replies: Vec::new(),
            answer_prefill_ms: 0,
            instruct: true,
            panic_at: String::new(),
            log_prob: 0.0,
            models: BTreeMap::new(),
        }
    }
}

/// What the generator of this process is doing, for tests that measure when it stops.
#[derive(Debug, Default)]
pub struct Activity {
    /// Whether it generates right now.
    pub busy: AtomicBool,
    /// Generations begun.
    pub generations: AtomicU64,
    /// Tokens written.
    pub tokens: AtomicU64,
}

/// The activity of this process.
pub static ACTIVITY: Activity = Activity {
    busy: AtomicBool::new(false),
    generations: AtomicU64::new(0),
    tokens: AtomicU64::new(0),
};

/// A generation under way; ends on all ways out, a panic included.
struct Busy;

impl Busy {
    fn begin() -> Self {
        ACTIVITY.generations.fetch_add(1, Ordering::Relaxed);
        ACTIVITY.busy.store(true, Ordering::Release);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        ACTIVITY.busy.store(false, Ordering::Release);
    }
}

/// Follows a [`Script`].
#[derive(Debug)]
pub struct Scripted {
    script: Script,
}

impl Scripted {
    /// The generator that the environment asks for in the place of a model, if it asks for one.
    pub fn from_environment(model: Option<&str>) -> Option<anyhow::Result<Self>> {
        let script = std::env::var(SCRIPT).ok()?;
        Some(
            serde_json::from_str(&script)
                .map_err(anyhow::Error::from)
                .map(|mut script: Script| {
                    let named = model.and_then(|name| script.models.remove(name));
                    let script = named.unwrap_or(script);
                    std::thread::sleep(Duration::from_millis(script.load_ms));
                    Self { script }
                }),
        )
    }

    /// Lets time pass; true if it was cancelled.
    fn pass(&self, milliseconds: u64, cancel: &CancelToken) -> bool {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        while !cancel.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if self.script.spin {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(left.min(LAYER));
            }
        }
        true
    }

    /// Writes `text` from its token number `from` on.
    fn write(
        &self,
        text: &str,
        from: usize,
        prefill_ms: u64,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> GenerationSummary {
        let begun = Instant::now();
        let cancelled = self.pass(prefill_ms, cancel);
        let prefill = begun.elapsed();
        let mut summary = GenerationSummary {
            tokens: Vec::new(),
            scores: Vec::new(),
            ends: Vec::new(),
            text: String::new(),
            prompt_tokens: 0,
            reused_tokens: 0,
            prefill,
            decode: Duration::ZERO,
            stop: StopReason::StopToken,
        };
        if cancelled {
            summary.stop = StopReason::Cancelled;
            return summary;
        }
        let score = TokenScore::of_model(self.script.log_prob);
        for token in tokens(text, self.script.token_bytes).skip(from) {
            if self.pass(self.script.ms_per_token, cancel) {
                summary.stop = StopReason::Cancelled;
                break;
            }
            ACTIVITY.tokens.fetch_add(1, Ordering::Relaxed);
            summary.tokens.push(0);
            summary.scores.push(score);
            summary.text.push_str(token);
            summary.ends.push(summary.text.len());
            let piece = Piece {
                text: token,
                scores: &[score],
            };
            if on_piece(piece).is_break() {
                summary.stop = StopReason::Callback;
                break;
            }
        }
        summary.decode = begun.elapsed().saturating_sub(prefill);
        summary
    }
}

impl Generator for Scripted {
    fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: "scripted".to_owned(),
            tier: "small",
            takes_instructions: self.script.instruct,
        }
    }

    fn plan(&self, _document: &str, query: &Query<'_>) -> Plan {
        completion::plan(
            query,
            PromptForm::Plain,
            &PromptBudget::default(),
            &Parts::default(),
            &Bytes,
            &Knowledge::default(),
        )
    }

    fn generate(
        &mut self,
        _document: &str,
        plan: &Plan,
        _known: Known<'_>,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let _busy = Busy::begin();
        let panic_at = &self.script.panic_at;
        assert!(
            panic_at.is_empty() || !plan.prefix.contains(panic_at),
            "the script says so"
        );
        let script = &self.script;
        let mut summary = self.write(&script.text, 0, script.prefill_ms, cancel, on_piece);
        summary.prompt_tokens = plan.prompt.tokens.len();
        Ok(summary.into())
    }

    fn read(
        &mut self,
        _document: &str,
        _prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<bool, GenerateError> {
        Ok(!cancel.is_cancelled())
    }

    fn instruct(&self) -> Option<Instruct<'_>> {
        self.script.instruct.then_some(Instruct {
            form: PromptForm::InstructGemma4 {
                thought_block: true,
            },
            vocabulary: &Bytes,
            context_tokens: 1 << 20,
        })
    }

    fn act(
        &mut self,
        turn: &Turn<'_>,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        let _busy = Busy::begin();
        let script = &self.script;
        let bytes = turn
            .prompt
            .iter()
            .filter_map(|&token| u8::try_from(token).ok());
        let prompt = String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned();
        let reply = script
            .replies
            .iter()
            .find(|reply| prompt.contains(&reply.to));
        let answers = &script.answers;
        let answer = answers.get(turn.attempt).or_else(|| answers.last());
        let text = reply
            .map(|reply| &reply.text)
            .or(answer)
            .unwrap_or(&script.text);
        let prefill_ms = self.script.answer_prefill_ms;
        let mut summary = self.write(text, turn.written.len(), prefill_ms, cancel, &mut |piece| {
            on_text(piece.text)
        });
        summary.prompt_tokens = turn.prompt.len();
        Ok(summary)
    }

    fn release_actions(&mut self) {}

    fn discard_sessions(&mut self) {}
}

/// Pieces of at least `bytes` bytes that end between characters.
fn tokens(text: &str, bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.ceil_char_boundary(bytes.max(1).min(rest.len()));
        let (token, after) = rest.split_at(end);
        rest = after;
        (!token.is_empty()).then_some(token)
    })
}
