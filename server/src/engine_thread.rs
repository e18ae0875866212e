//! The one thread that owns the model: takes the newest job, generates, reports to the arbiter.
//!
//! Completions go first. One that arrives while a code action runs interrupts it within a layer; the
//! action goes back to the head of its queue and goes on later from what its session still holds.

pub(crate) mod action;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use carat_engine::{CancelToken, GenerateError, Piece, StopReason};
use carat_grammars::languages;
use ropey::Rope;

use action::{ActionJob, ActionKey, End};

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

/// Code actions that wait at the same time. Each takes a minute on a slow machine: who asks for more
/// has forgotten the first.
pub(crate) const ACTIONS_MAX: usize = 4;

/// How long the session of code actions is kept after the last one. It makes a second question about
/// the same code quick, and holds up to 0.6 GB with Gemma 4 26B-A4B.
const ACTIONS_KEPT: Duration = Duration::from_mins(1);

/// Room for one completion, of which a newer one replaces one that has not begun, and for a few actions.
#[derive(Debug, Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    job: Option<Job>,
    actions: VecDeque<ActionJob>,
    /// The action that the engine is at, and what interrupts it.
    acting: Option<(ActionKey, CancelToken)>,
    closed: bool,
}

/// What the engine does next.
enum Work {
    Complete(Job),
    Act(ActionJob, CancelToken),
    /// The time is over for which something was kept.
    Release,
}

/// Why an action is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too many wait.
    Full,
    /// There is no engine.
    Closed,
}

impl Mailbox {
    pub(crate) fn post(&self, job: Job) {
        let mut slot = self.lock();
        slot.job = Some(job);
        if let Some((_, interrupt)) = &slot.acting {
            interrupt.cancel();
        }
        drop(slot);
        self.changed.notify_one();
    }

    /// Queues an action; says how many are before it.
    pub(crate) fn post_action(&self, job: ActionJob) -> Result<usize, NotTaken> {
        let mut slot = self.lock();
        let before = slot.actions.len() + usize::from(slot.acting.is_some());
        if slot.closed {
            return Err(NotTaken::Closed);
        }
        if before >= ACTIONS_MAX {
            return Err(NotTaken::Full);
        }
        slot.actions.push_back(job);
        drop(slot);
        self.changed.notify_one();
        Ok(before)
    }

    /// Ends an action whose cancel token is set: now if it waits, within a layer if it runs.
    pub(crate) fn cancel_action(&self, key: ActionKey) {
        let mut slot = self.lock();
        if let Some((_, interrupt)) = slot.acting.as_ref().filter(|(acting, _)| *acting == key) {
            interrupt.cancel();
        }
        let at = slot.actions.iter().position(|job| job.key == key);
        let waiting = at.and_then(|at| slot.actions.remove(at));
        drop(slot);
        if let Some(job) = waiting {
            job.end(End::Cancelled);
        }
    }

    /// Ends the thread after the job that it is at. Actions that wait are dropped, which their
    /// watchers notice.
    pub(crate) fn close(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        slot.actions.clear();
        if let Some((_, interrupt)) = &slot.acting {
            interrupt.cancel();
        }
        drop(slot);
        self.changed.notify_one();
    }

    /// An interrupted action waits at the head of the queue.
    fn put_back(&self, job: ActionJob) {
        let mut slot = self.lock();
        slot.acting = None;
        if slot.closed {
            return;
        }
        // Cancelled between its last look at the token and here.
        if job.cancel.is_cancelled() {
            drop(slot);
            return job.end(End::Cancelled);
        }
        slot.actions.push_front(job);
    }

    fn done_acting(&self) {
        self.lock().acting = None;
    }

    /// Waits for work, completions first, or for a moment at which something is given back; `None`
    /// when the mailbox is closed.
    fn take(&self, release: Option<Instant>) -> Option<Work> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                return None;
            }
            if let Some(job) = slot.job.take() {
                return Some(Work::Complete(job));
            }
            if let Some(job) = slot.actions.pop_front() {
                // Under the lock: a completion that is posted from here on finds what to interrupt.
                let interrupt = CancelToken::new();
                slot.acting = Some((job.key, interrupt.clone()));
                return Some(Work::Act(job, interrupt));
            }
            let Some(release) = release else {
                slot = self
                    .changed
                    .wait(slot)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = release.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Work::Release);
            }
            (slot, _) = self
                .changed
                .wait_timeout(slot, left)
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
                    let takes_instructions = generator.instruct().is_some();
                    status.ready(generator.facts().name, takes_instructions);
                    arbiter.model_ready(generator.facts());
                    work(generator.as_mut(), &mailbox, &arbiter, &status);
                }
                Err(error) => {
                    arbiter.model_failed();
                    status.failed(format!("{error:#}"));
                    mailbox.close();
                    failed(format!("{error:#}"));
                }
            }
        })
}

/// Works until the mailbox is closed.
fn work(generator: &mut dyn Generator, mailbox: &Mailbox, arbiter: &Arbiter, status: &StatusBoard) {
    let mut release = None;
    while let Some(work) = mailbox.take(release) {
        match work {
            Work::Complete(job) => {
                status.busy();
                complete(generator, &job, arbiter, status);
                status.idle();
            }
            Work::Act(job, interrupt) => {
                status.busy();
                match action::work(generator, job, &interrupt) {
                    Some(job) => mailbox.put_back(job),
                    None => mailbox.done_acting(),
                }
                release = Some(Instant::now() + ACTIONS_KEPT);
                status.idle();
            }
            Work::Release => {
                generator.release_actions();
                release = None;
            }
        }
    }
}

/// One completion, whatever happens in it.
fn complete(generator: &mut dyn Generator, job: &Job, arbiter: &Arbiter, status: &StatusBoard) {
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
    let mut on_piece = |piece: Piece<'_>| -> ControlFlow<()> {
        arbiter.produced(job.key, piece.text)?;
        stop.push(piece.text)
    };
    let summary = generator.generate(&job.uri, &plan, None, &job.cancel, &mut on_piece)?;
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
pub(crate) fn file_name(uri: &str) -> &str {
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
        assert!(mailbox.take(None).is_none());
        let past = Some(Instant::now());
        assert!(
            mailbox.take(past).is_none(),
            "nothing is given back at the end"
        );
    }

    #[test]
    fn what_actions_hold_is_given_back_when_its_time_has_come_and_no_work_waits() {
        let mailbox = Mailbox::default();
        let due = Instant::now() + Duration::from_millis(50);
        assert!(matches!(mailbox.take(Some(due)), Some(Work::Release)));
        assert!(Instant::now() >= due);
        let request = crate::actions::Request {
            action: crate::actions::Action::Explain,
            path: "a.rs".to_owned(),
            language: None,
            text: Rope::from_str("fn main() {}"),
            selection: 0..0,
        };
        let (job, _watch) = ActionJob::new(ActionKey(1), request, CancelToken::new());
        assert_eq!(mailbox.post_action(job), Ok(0));
        assert!(
            matches!(mailbox.take(Some(due)), Some(Work::Act(..))),
            "work goes first"
        );
    }
}
