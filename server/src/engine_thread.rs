//! The one thread that owns a model: takes the most urgent work and reports what comes of it.

mod reading;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use carat_engine::{
    CancelToken, GenerateError, RightOfWay, Step as TuningStep, StopReason, WayTaken,
};

use crate::actions::{Outcome, Refusal, Run, Step, change};
use crate::completion::{self, Knowledge, Query};
use crate::echo::Known;
use crate::generator::Generator;
use crate::mailbox::{
    ActionEnd, ActionJob, Class, Job, Mailbox, Proposal, Report, Reporter, Source, Stage, Work,
};
use crate::priority::Priority;

/// How long the session of code actions is kept after the last one. It makes a second question about
/// the same code quick, and holds up to 0.6 GB with Gemma 4 26B-A4B.
const ACTIONS_KEPT: Duration = Duration::from_mins(1);

/// How often the file of a model is looked at that changed and cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long nothing is asked of a model before it measures this processor.
const TUNE_AFTER: Duration = Duration::from_secs(2);

/// How long it waits where its file is not in memory yet.
const TUNE_LATER: Duration = Duration::from_secs(30);

/// A model among those of this process, of which one computes at a time.
pub struct Worker {
    /// Whose model it is.
    pub source: Source,
    /// Loads it, also again after it was unloaded.
    pub load: Box<dyn Fn() -> anyhow::Result<Box<dyn Generator>> + Send>,
    /// How long it is kept without work; `None` is for ever.
    pub unload_after: Option<Duration>,
    /// Whether its answers may come late.
    pub patient: bool,
    /// Where its work is.
    pub mailbox: Arc<Mailbox>,
    /// Where reports go.
    pub report: Reporter,
    /// Who computes.
    pub way: RightOfWay,
}

/// The model of a worker.
enum Held {
    Loaded(Box<dyn Generator>),
    /// It gave back its memory, and is loaded when it is wanted.
    Unloaded,
    /// Its file changed on the disk and cannot be used; it is looked at again at this time.
    Lost(Instant),
}

impl Worker {
    /// Loads the model on a thread of its own and lets it work until the mailbox is closed.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("carat-engine".to_owned())
            .spawn(move || self.run())
    }

    fn run(&self) {
        if self.patient {
            // Before the model is loaded: its threads are started then.
            Priority::Patient.take();
        }
        let Some(generator) = self.loaded() else {
            return;
        };
        let mut held = Held::Loaded(generator);
        let mut actions_until = None;
        let mut unload_at = self.idle_end();
        let mut tune_at = Some(Instant::now() + TUNE_AFTER);
        loop {
            let look_at = match held {
                Held::Lost(at) => Some(at),
                _ => None,
            };
            let release = [actions_until, unload_at, look_at, tune_at];
            let Some(work) = self.mailbox.take(release.into_iter().flatten().min()) else {
                return;
            };
            let now = Instant::now();
            if let Held::Lost(at) = held {
                // What was asked of the model ended when it was lost.
                self.mailbox.done();
                (actions_until, unload_at, tune_at) = (None, None, None);
                if at <= now {
                    held = self.look_again(now);
                    unload_at = self.idle_end();
                    tune_at = Some(now + TUNE_AFTER);
                }
                continue;
            }
            if matches!(work, Work::Release) {
                if unload_at.take_if(|at| *at <= now).is_some() {
                    held = Held::Unloaded;
                    carat_engine::release_freed_memory();
                    (actions_until, tune_at) = (None, None);
                    (self.report)(Report::Unloaded(self.source));
                } else if let Held::Loaded(generator) = &mut held {
                    if actions_until.take_if(|at| *at <= now).is_some() {
                        generator.release_actions();
                    } else if tune_at.take_if(|at| *at <= now).is_some() {
                        tune_at = self.tune(generator.as_mut());
                    }
                }
                continue;
            }
            if matches!(held, Held::Unloaded) {
                let Some(generator) = self.loaded() else {
                    return;
                };
                held = Held::Loaded(generator);
            }
            held = self.renewed(held);
            let Held::Loaded(generator) = &mut held else {
                self.mailbox.done();
                continue;
            };
            (self.report)(Report::Busy(self.source, true));
            if matches!(work, Work::Act(..)) {
                actions_until = Some(Instant::now() + ACTIONS_KEPT);
            }
            self.work(work, generator.as_mut());
            (self.report)(Report::Busy(self.source, false));
            // Also if it changed just now, so that the user is told what is behind the silence.
            held = self.renewed(held);
            unload_at = self.idle_end();
            // Also where all was measured: the model may be another, and to ask costs nothing.
            tune_at = Some(Instant::now() + TUNE_AFTER);
        }
    }

    /// Lets a model measure this processor for some milliseconds, and returns when it is to go on.
    fn tune(&self, generator: &mut dyn Generator) -> Option<Instant> {
        if !self.way.is_free() {
            return Some(Instant::now() + TUNE_AFTER);
        }
        let (_way, _) = self.share(Class::Background, false, &CancelToken::new());
        let step = catch_unwind(AssertUnwindSafe(|| generator.tune()));
        match step {
            Ok(TuningStep::More) => Some(Instant::now()),
            Ok(TuningStep::Later) => Some(Instant::now() + TUNE_LATER),
            Ok(TuningStep::Done) => None,
            Err(_) => {
                tracing::error!("measuring the processor panicked");
                None
            }
        }
    }

    /// The model, if it can be used; what comes of loading it is reported.
    fn loaded(&self) -> Option<Box<dyn Generator>> {
        match self.try_load() {
            Ok(generator) => {
                (self.report)(Report::Ready(self.source, Some(generator.facts())));
                Some(generator)
            }
            Err(error) => {
                (self.report)(Report::Failed(self.source, format!("{error:#}")));
                None
            }
        }
    }

    fn try_load(&self) -> anyhow::Result<Box<dyn Generator>> {
        // A damaged model file must not end the server, even where the loader has a bug.
        catch_unwind(AssertUnwindSafe(&self.load)).unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "the model file made the loader panic; please report this"
            ))
        })
    }

    /// The same, unless the file of a loaded model changed on the disk: then the model that the file has
    /// now, or none for the time being.
    fn renewed(&self, held: Held) -> Held {
        match held {
            Held::Loaded(generator) if generator.file_has_changed() => {}
            unchanged => return unchanged,
        }
        match self.try_load() {
            Ok(generator) => {
                tracing::warn!("the model file changed on the disk, and was loaded again");
                (self.report)(Report::Ready(self.source, Some(generator.facts())));
                Held::Loaded(generator)
            }
            Err(error) => {
                let why = format!(
                    "its file changed on the disk while it was in use, and cannot be used as it is; it is loaded again as soon as it is whole: {error:#}"
                );
                (self.report)(Report::Failed(self.source, why));
                Held::Lost(Instant::now() + LOOK_AGAIN)
            }
        }
    }

    /// The lost model, if its file is whole again. Nothing is said where it is not: the user knows.
    fn look_again(&self, now: Instant) -> Held {
        match self.try_load() {
            Ok(generator) => {
                tracing::warn!("the model file is whole again, and in use");
                (self.report)(Report::Ready(self.source, Some(generator.facts())));
                Held::Loaded(generator)
            }
            Err(_) => Held::Lost(now + LOOK_AGAIN),
        }
    }

    fn idle_end(&self) -> Option<Instant> {
        self.unload_after.map(|time| Instant::now() + time)
    }

    fn work(&self, work: Work, generator: &mut dyn Generator) {
        let (mailbox, report) = (&self.mailbox, &*self.report);
        match work {
            Work::Complete(mut job) => {
                let (_way, cancel) = self.share(Class::Completion, !job.at_rest, &job.cancel);
                job.cancel = cancel;
                complete(generator, &job, report);
            }
            Work::Act(job, interrupt) => {
                let (_way, interrupt) = self.share(Class::Action, false, &interrupt);
                match act(generator, job, &interrupt, report) {
                    Some(job) => {
                        // Cancelled between its last look at the token and here.
                        if let Some(job) = mailbox.put_back(job) {
                            report(Report::Acted(job.key, ActionEnd::Cancelled));
                        }
                    }
                    None => mailbox.done(),
                }
            }
            Work::Warm(job, interrupt) => {
                let is_quick = self.source != Source::REST;
                let (_way, interrupt) = self.share(Class::Background, is_quick, &interrupt);
                if reading::warm(generator, &job, &interrupt) {
                    mailbox.done();
                    if !job.is_guess {
                        tell_if_longer(generator, &job.uri, job.caret.at, &report);
                    }
                } else {
                    mailbox.put_back_background(job);
                }
            }
            Work::Release => {}
        }
    }

    /// Takes the right of way for work of a class, and gives it to what is more urgent. Of the same class,
    /// the quick goes first.
    fn share(&self, class: Class, is_quick: bool, cancel: &CancelToken) -> (WayTaken, CancelToken) {
        let urgency = 2 * class as u8 + u8::from(is_quick);
        (
            self.way.take(urgency),
            cancel.giving_way(&self.way, urgency),
        )
    }
}

/// One completion by the user's own lines, which takes less than a millisecond and no model.
pub fn echo(job: &Job, report: &dyn Fn(Report)) {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let around = job.caret.around();
        let query = Query {
            texts: Some(&job.texts),
            ..job.caret.query(&around)
        };
        let known = Known {
            index: &job.texts,
            path: &job.remembered_as,
        };
        completion::of_echo(&query, known, &Knowledge::of_echo())
    }));
    let Ok(answer) = result else {
        tracing::error!("the echo panicked");
        return report(Report::Ended(job.key, None, None));
    };
    report(Report::Planned(job.key, Arc::new(answer.plan)));
    let stop = StopReason::StopToken;
    report(Report::Ended(job.key, Some(stop), answer.suggestion));
}

/// One completion, whatever happens in it.
pub(crate) fn complete(generator: &mut dyn Generator, job: &Job, report: &dyn Fn(Report)) {
    let result = catch_unwind(AssertUnwindSafe(|| generate(generator, job, report)));
    let (stop, proposal) = match result {
        Ok(Ok((stop, proposal))) => (Some(stop), proposal),
        Ok(Err(GenerateError::Cancelled)) => (Some(StopReason::Cancelled), None),
        Ok(Err(error)) => {
            tracing::warn!(%error, "generation failed");
            (None, None)
        }
        Err(_) => {
            tracing::error!("generation panicked; its session is discarded");
            generator.discard_sessions();
            (None, None)
        }
    };
    report(Report::Ended(job.key, stop, proposal));
    tell_if_longer(generator, &job.uri, job.caret.at, report);
}

/// Tells that prompts of a document may be longer than they are; the session knows when the user pauses.
fn tell_if_longer(
    generator: &dyn Generator,
    uri: &Arc<str>,
    caret: usize,
    report: &dyn Fn(Report),
) {
    if generator.is_to_read(uri) {
        report(Report::ToRead(Arc::clone(uri), caret));
    }
}

fn generate(
    generator: &mut dyn Generator,
    job: &Job,
    report: &dyn Fn(Report),
) -> Result<(StopReason, Option<Proposal>), GenerateError> {
    if job.cancel.is_cancelled() {
        return Ok((StopReason::Cancelled, None));
    }
    let around = job.caret.around();
    generator.arrive(&job.uri, &around.prefix);
    let context = generator.context(&job.uri);
    let query = Query {
        texts: Some(&job.texts),
        context: &context,
        ..job.caret.query(&around)
    };
    let plan = Arc::new(generator.plan(&job.uri, &query));
    report(Report::Planned(job.key, Arc::clone(&plan)));
    let mut heard = |text: &str, progress: &completion::Progress<'_>| {
        let so_far = progress.so_far();
        report(Report::Produced(job.key, text.to_owned(), so_far));
        // The session may have answered with its token.
        if job.cancel.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let known = Known {
        index: &job.texts,
        path: &job.remembered_as,
    };
    let done = completion::run(&plan, &mut heard, |on_piece| {
        generator.generate(&job.uri, &plan, known, &job.cancel, on_piece)
    })?;
    let summary = done.summary;
    tracing::debug!(
        prompt_tokens = summary.prompt_tokens,
        reused_tokens = summary.reused_tokens,
        tokens = summary.tokens.len(),
        prefill_ms = summary.prefill.as_millis() as u64,
        decode_ms = summary.decode.as_millis() as u64,
        stop = summary.stop.as_str(),
        at_rest = job.at_rest,
        "generated"
    );
    let (tokens, time) = (summary.tokens.len(), summary.decode);
    report(Report::Wrote(job.source, tokens, time));
    if !done.others.is_empty() {
        report(Report::Others(job.key, done.others));
    }
    let proposal = done.suggestion;
    let stop = if job.cancel.is_cancelled() {
        StopReason::Cancelled
    } else {
        summary.stop
    };
    Ok((stop, proposal))
}

/// Works on an action until its end or until `interrupt` is set; gives it back if it is to go on.
fn act(
    generator: &mut dyn Generator,
    mut job: ActionJob,
    interrupt: &CancelToken,
    report: &dyn Fn(Report),
) -> Option<ActionJob> {
    let end = if job.cancel.is_cancelled() {
        ActionEnd::Cancelled
    } else {
        let result = catch_unwind(AssertUnwindSafe(|| {
            step(generator, &mut job, interrupt, report)
        }));
        match result {
            Ok(Some(end)) => end,
            Ok(None) if job.cancel.is_cancelled() => ActionEnd::Cancelled,
            Ok(None) => {
                report(Report::Acting(job.key, Stage::Paused));
                return Some(job);
            }
            Err(_) => {
                tracing::error!("a code action panicked; its session is discarded");
                generator.discard_sessions();
                ActionEnd::Failed("the engine failed; the log says more".to_owned())
            }
        }
    };
    report(Report::Acted(job.key, end));
    None
}

/// One piece of work; nothing if it was interrupted.
fn step(
    generator: &mut dyn Generator,
    job: &mut ActionJob,
    interrupt: &CancelToken,
    report: &dyn Fn(Report),
) -> Option<ActionEnd> {
    let key = job.key;
    report(Report::Acting(key, Stage::Reading));
    let mut run = match job.run.take() {
        Some(run) => run,
        None => match generator.instruct() {
            None => return Some(ActionEnd::Refused(Refusal::NoInstructions)),
            Some(model) => match Run::new(&job.request, &model) {
                Ok(run) => Box::new(run),
                Err(refusal) => return Some(ActionEnd::Refused(refusal)),
            },
        },
    };
    let step = run.step(
        &mut |turn, on_text| {
            let mut pieces = turn.written.len();
            generator.act(turn, interrupt, &mut |text| {
                pieces += 1;
                report(Report::Acting(key, Stage::Writing(pieces)));
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
        Ok(Step::Done(Ok(outcome))) => {
            let hunks = hunks(&job.request.text, &outcome);
            Some(ActionEnd::Outcome(outcome, hunks))
        }
        Ok(Step::Done(Err(fault))) => Some(ActionEnd::Unusable(fault)),
        Err(error) => {
            tracing::warn!(%error, "a code action failed");
            Some(ActionEnd::Failed(error.to_string()))
        }
    }
}

/// The lines of a change that differ, found here because it takes a look at all of them.
fn hunks(text: &ropey::Rope, outcome: &Outcome) -> Vec<(std::ops::Range<usize>, String)> {
    let Outcome::Change(change) = outcome else {
        return Vec::new();
    };
    let start = change.range.start;
    let old = text.byte_slice(change.range.clone()).to_string();
    change::hunks(&old, &change.text)
        .into_iter()
        .map(|(part, new)| (start + part.start..start + part.end, new))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ropey::Rope;

    use super::*;
    use crate::completion::Caret;
    use crate::generator::EngineGenerator;
    use crate::mailbox::WarmJob;
    use crate::settings::KvCache;

    pub(super) const FILE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/parity/moe-thin.f32.gguf"
    );

    pub(super) fn job(text: &str, at: usize) -> WarmJob {
        WarmJob {
            source: Source::REST,
            uri: "file:///a.rs".into(),
            caret: Caret {
                text: Rope::from_str(text),
                at,
                path: "a.rs".into(),
                language: None,
                explicit: true,
                max_tokens: None,
                language_id: "rust".into(),
                manners: Arc::default(),
            },
            is_guess: false,
            is_longer: false,
            texts: None,
            remembered_as: "a.rs".into(),
        }
    }

    #[test]
    fn a_model_without_work_is_unloaded_and_comes_back() {
        let (sender, reports) = mpsc::channel();
        let mailbox = Arc::<Mailbox>::default();
        let worker = Worker {
            source: Source::REST,
            load: Box::new(|| {
                Ok(Box::new(EngineGenerator::load(
                    Some(FILE),
                    Some(1),
                    KvCache::Auto,
                )?))
            }),
            unload_after: Some(Duration::from_millis(20)),
            patient: false,
            mailbox: Arc::clone(&mailbox),
            report: Arc::new(move |report| drop(sender.send(report))),
            way: RightOfWay::new(),
        };
        let thread = worker.spawn().expect("a thread");
        let next = || {
            let report = reports.recv_timeout(Duration::from_mins(1));
            report.expect("a report")
        };
        for _ in 0..2 {
            assert!(matches!(next(), Report::Ready(..)));
            let mut report = next();
            while matches!(report, Report::Busy(..)) {
                report = next();
            }
            assert!(
                matches!(report, Report::Unloaded(Source::REST)),
                "{report:?}"
            );
            mailbox.post_background(job("fn main() {}\n", 11));
        }
        assert!(matches!(next(), Report::Ready(..)));
        assert!(matches!(next(), Report::Busy(_, true)));
        mailbox.close();
        thread.join().expect("no panic");
    }
}
