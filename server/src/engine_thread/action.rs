//! Code actions on the engine thread: queued, interrupted by completions, taken up where they stand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use carat_engine::CancelToken;
use tokio::sync::{oneshot, watch};

use crate::actions::{Fault, Outcome, Refusal, Request, Run, Step};
use crate::generator::Generator;

/// Names an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActionKey(pub(crate) u64);

/// How an action ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With an outcome.
    Outcome(Outcome),
    /// Before it began.
    Refused(Refusal),
    /// With an answer that cannot be used, twice.
    Unusable(Fault),
    /// The user took it back.
    Cancelled,
    /// The engine could not run it.
    Failed(String),
}

/// How far an action is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for its turn.
    #[default]
    Waiting,
    /// The model reads.
    Reading,
    /// The model has written this many pieces.
    Writing(usize),
    /// A completion goes first.
    Paused,
}

/// An action for the engine.
pub(crate) struct ActionJob {
    pub(crate) key: ActionKey,
    pub(crate) request: Request,
    /// Set by the user; it does not tell an interruption from an end by itself.
    pub(crate) cancel: CancelToken,
    /// What it has so far, once it has begun.
    pub(super) run: Option<Box<Run>>,
    end: oneshot::Sender<End>,
    stage: watch::Sender<Stage>,
}

/// The other side of a job.
#[derive(Debug)]
pub(crate) struct ActionWatch {
    pub(crate) end: oneshot::Receiver<End>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl std::fmt::Debug for ActionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionJob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl ActionJob {
    /// A job, and who waits for it.
    pub(crate) fn new(
        key: ActionKey,
        request: Request,
        cancel: CancelToken,
    ) -> (Self, ActionWatch) {
        let (end, ended) = oneshot::channel();
        let (stage, stages) = watch::channel(Stage::default());
        let job = Self {
            key,
            request,
            cancel,
            run: None,
            end,
            stage,
        };
        (
            job,
            ActionWatch {
                end: ended,
                stage: stages,
            },
        )
    }

    /// Tells how it ended. A watcher that is gone need not know.
    pub(super) fn end(self, end: End) {
        let _ = self.end.send(end);
    }
}

/// Works on an action until its end or until `interrupt` is set; gives it back if it is to go on.
pub(super) fn work(
    generator: &mut dyn Generator,
    mut job: ActionJob,
    interrupt: &CancelToken,
) -> Option<ActionJob> {
    if job.cancel.is_cancelled() {
        job.end(End::Cancelled);
        return None;
    }
    let result = catch_unwind(AssertUnwindSafe(|| step(generator, &mut job, interrupt)));
    let end = match result {
        Ok(Some(end)) => end,
        Ok(None) if job.cancel.is_cancelled() => End::Cancelled,
        Ok(None) => {
            job.stage.send_replace(Stage::Paused);
            return Some(job);
        }
        Err(_) => {
            tracing::error!("a code action panicked; its session is discarded");
            generator.discard_sessions();
            End::Failed("the engine failed; the log says more".to_owned())
        }
    };
    job.end(end);
    None
}

/// One piece of work; nothing if it was interrupted.
fn step(
    generator: &mut dyn Generator,
    job: &mut ActionJob,
    interrupt: &CancelToken,
) -> Option<End> {
    job.stage.send_replace(Stage::Reading);
    let mut run = match job.run.take() {
        Some(run) => run,
        None => match generator.instruct() {
            None => return Some(End::Refused(Refusal::NoInstructions)),
            Some(model) => match Run::new(&job.request, &model) {
                Ok(run) => Box::new(run),
                Err(refusal) => return Some(End::Refused(refusal)),
            },
        },
    };
    let stage = &job.stage;
    let step = run.step(
        &mut |turn, on_text| {
            let mut pieces = turn.written.len();
            generator.act(turn, interrupt, &mut |text| {
                pieces += 1;
                stage.send_replace(Stage::Writing(pieces));
                on_text(text)
            })
        },
        &mut |_| {},
    );
    match step {
        Ok(Step::Paused) => {
            job.run = Some(run);
            None
        }
        Ok(Step::Done(Ok(outcome))) => Some(End::Outcome(outcome)),
        Ok(Step::Done(Err(fault))) => Some(End::Unusable(fault)),
        Err(error) => {
            tracing::warn!(%error, "a code action failed");
            Some(End::Failed(error.to_string()))
        }
    }
}
