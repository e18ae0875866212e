//! The one thread that owns the model: takes the newest job, generates, reports to the arbiter.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use carat_engine::{CancelToken, GenerateError, StopReason};
use carat_grammars::languages;
use ropey::Rope;

use crate::arbiter::{Arbiter, GenerationKey, Place};
use crate::completion;
use crate::generator::Generator;
use crate::status::StatusBoard;

/// What the engine is to do.
#[derive(Clone, Debug)]
pub struct Job {
    pub(crate) key: GenerationKey,
    pub(crate) uri: Arc<str>,
    pub(crate) language_id: Arc<str>,
    pub(crate) place: Place,
    pub(crate) explicit: bool,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) cancel: CancelToken,
}

/// Room for one job: a newer one replaces one that has not begun.
#[derive(Debug, Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    job: Option<Job>,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn post(&self, job: Job) {
        self.lock().job = Some(job);
        self.changed.notify_one();
    }

    /// Ends the thread after the job that it is at.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for a job; `None` when the mailbox is closed.
    fn take(&self) -> Option<Job> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                return None;
            }
            if let Some(job) = slot.job.take() {
                return Some(job);
            }
            slot = self
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads a model on a thread of its own and lets it work for `arbiter`; `failed` hears why it cannot.
pub fn spawn(
    load: impl FnOnce() -> anyhow::Result<Box<dyn Generator>> + Send + 'static,
    mailbox: Arc<Mailbox>,
    arbiter: Arbiter,
    status: StatusBoard,
    failed: impl FnOnce(String) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("carat-engine".to_owned())
        .spawn(move || {
            // A damaged model file must not end the server, even where the loader has a bug.
            let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
                Err(anyhow::anyhow!(
                    "the model file made the loader panic; please report this"
                ))
            });
            match loaded {
                Ok(mut generator) => {
                    status.ready(generator.facts().name);
                    arbiter.model_ready(generator.facts());
                    while let Some(job) = mailbox.take() {
                        status.busy();
                        work(generator.as_mut(), &job, &arbiter, &status);
                        status.idle();
                    }
                }
                Err(error) => {
                    arbiter.model_failed();
                    status.failed(format!("{error:#}"));
                    failed(format!("{error:#}"));
                }
            }
        })
}

/// One job, whatever happens in it.
fn work(generator: &mut dyn Generator, job: &Job, arbiter: &Arbiter, status: &StatusBoard) {
    let result = catch_unwind(AssertUnwindSafe(|| {
        generate(generator, job, arbiter, status)
    }));
    let stop = match result {
        Ok(Ok(stop)) => Some(stop),
        Ok(Err(GenerateError::Cancelled)) => Some(StopReason::Cancelled),
        Ok(Err(error)) => {
            tracing::warn!(%error, "generation failed");
            None
        }
        Err(_) => {
            tracing::error!("generation panicked; its session is discarded");
            generator.discard_sessions();
            None
        }
    };
    arbiter.ended(job.key, stop);
}

fn generate(
    generator: &mut dyn Generator,
    job: &Job,
    arbiter: &Arbiter,
    status: &StatusBoard,
) -> Result<StopReason, GenerateError> {
    if job.cancel.is_cancelled() {
        return Ok(StopReason::Cancelled);
    }
    let (prefix, suffix) = surroundings(&job.place.text, job.place.caret);
    let path = file_name(&job.uri);
    let query = completion::Query {
        path,
        language: languages::by_id(&job.language_id)
            .or_else(|| languages::by_path(Path::new(path))),
        prefix: &prefix,
        suffix: &suffix,
        explicit: job.explicit,
        max_tokens: job.max_tokens,
    };
    let plan = Arc::new(generator.plan(&query));
    if arbiter.planned(job.key, &plan).is_break() {
        return Ok(StopReason::Cancelled);
    }
    let mut stop = plan.stop_while_decoding();
    let mut on_text = |text: &str| -> ControlFlow<()> {
        arbiter.produced(job.key, text)?;
        stop.push(text)
    };
    let summary = generator.generate(&job.uri, &plan, &job.cancel, &mut on_text)?;
    tracing::debug!(
        prompt_tokens = summary.prompt_tokens,
        reused_tokens = summary.reused_tokens,
        tokens = summary.tokens.len(),
        prefill_ms = summary.prefill.as_millis() as u64,
        decode_ms = summary.decode.as_millis() as u64,
        stop = summary.stop.as_str(),
        "generated"
    );
    status.wrote(summary.tokens.len(), summary.decode);
    Ok(summary.stop)
}

/// Beyond this much text on a side, windows begin on a grid of this size: copying stays cheap in
/// large files, and where a window begins changes rarely, which the engine's cache needs.
const WINDOW_STEP_BYTES: usize = 256 * 1024;

/// The text before and after the caret, at least one step of each where there is as much.
fn surroundings(text: &Rope, caret: usize) -> (String, String) {
    let start = (caret / WINDOW_STEP_BYTES).saturating_sub(1) * WINDOW_STEP_BYTES;
    let end = (caret + 2 * WINDOW_STEP_BYTES).min(text.len_bytes());
    let (start, caret, end) = (
        text.byte_to_char(start),
        text.byte_to_char(caret),
        text.byte_to_char(end),
    );
    (
        text.slice(start..caret).to_string(),
        text.slice(caret..end).to_string(),
    )
}

/// The last part of a URI's path: what the model may know of where the file lies.
fn file_name(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    path.rsplit(['/', ':']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_small_files_and_bound_large_ones() {
        let text = Rope::from_str("aé|b");
        assert_eq!(surroundings(&text, 3), ("aé".to_owned(), "|b".to_owned()));
        let large = Rope::from_str(&"漢字\n".repeat(400_000));
        let (prefix, suffix) = surroundings(&large, 7 * 300_000);
        assert!(prefix.len() >= WINDOW_STEP_BYTES && prefix.len() <= 2 * WINDOW_STEP_BYTES);
        assert!(suffix.len() >= WINDOW_STEP_BYTES && suffix.len() <= 2 * WINDOW_STEP_BYTES + 3);
    }

    #[test]
    fn names_files_of_all_schemes() {
        assert_eq!(file_name("file:///home/u/src/main.rs"), "main.rs");
        assert_eq!(file_name("untitled:Untitled-1"), "Untitled-1");
        assert_eq!(file_name("git:/a/b.c?ref=HEAD"), "b.c");
        assert_eq!(file_name("vscode-notebook-cell:/x.ipynb#W0s"), "x.ipynb");
        assert_eq!(file_name(""), "");
    }

    #[test]
    fn a_newer_job_replaces_one_that_has_not_begun_and_closing_ends() {
        let mailbox = Mailbox::default();
        mailbox.close();
        assert!(mailbox.take().is_none());
    }
}
