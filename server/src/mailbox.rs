//! What the engine is to do and what it reports: below the session, which posts, and the thread that takes.
//!
//! Work has a class. Completions go first; one that arrives while something else runs interrupts it
//! within a layer. Code actions come next, work in the background last. What is interrupted goes back
//! to the head of its queue.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carat_engine::{CancelToken, StopReason};

use crate::actions::{Fault, Outcome, Refusal, Request, Run};
use crate::completion::{Caret, Plan, Suggestion};
use crate::echo::Index;
use crate::generator::ModelFacts;

/// Code actions that are under way at the same time. Each takes a minute on a slow machine: who asks
/// for more has forgotten the first.
pub const ACTIONS_MAX: usize = 4;

/// Work in the background that waits; what is older than the newest few is of no use any more.
const BACKGROUND_MAX: usize = 4;

/// Names a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenerationKey(pub u64);

/// Names an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey(pub u64);

/// Who proposes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// For logs.
    pub name: &'static str,
    /// Of sources that have something, the one of the highest rank is heard.
    pub rank: u8,
}

impl Source {
    /// The model of the engine thread.
    pub const MODEL: Self = Self {
        name: "model",
        rank: 10,
    };

    /// Whole lines of the user's own; answers at once, in every language.
    pub const ECHO: Self = Self {
        name: "echo",
        rank: 5,
    };
}

/// How urgent work is; the lower one waits for the higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Background,
    Action,
    Completion,
}

/// A completion to generate.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub key: GenerationKey,
    /// Who is asked.
    pub source: Source,
    /// The document, whose caches are used.
    pub uri: Arc<str>,
    /// Where.
    pub caret: Caret,
    /// The user's other texts.
    pub texts: Index,
    /// What they call the document.
    pub remembered_as: Arc<str>,
    /// Set when nobody wants it any more.
    pub cancel: CancelToken,
}

/// A code action to run.
pub struct ActionJob {
    /// Its name.
    pub key: ActionKey,
    /// What to do.
    pub request: Request,
    /// Set by the user; it does not tell an interruption from an end by itself.
    pub cancel: CancelToken,
    /// What it has so far, once it has begun.
    pub(crate) run: Option<Box<Run>>,
}

impl ActionJob {
    /// An action that has not begun.
    pub fn new(key: ActionKey, request: Request, cancel: CancelToken) -> Self {
        Self {
            key,
            request,
            cancel,
            run: None,
        }
    }
}

impl std::fmt::Debug for ActionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionJob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A prompt to evaluate while nothing else is to be done, so that a completion there finds it in the cache.
#[derive(Clone, Debug)]
pub struct WarmJob {
    /// The document, whose cache it fills; a newer job for it replaces an older one.
    pub uri: Arc<str>,
    /// Where a completion is expected.
    pub caret: Caret,
    /// The caret is not known: only what is needed wherever it is is evaluated.
    pub is_guess: bool,
}

/// How far an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The model reads.
    Reading,
    /// The model has written this many pieces.
    Writing(usize),
    /// A completion goes first.
    Paused,
}

/// How an action ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEnd {
    /// With an outcome; a change comes with the replacements that make it, in bytes of the text asked about.
    Outcome(Outcome, Vec<(Range<usize>, String)>),
    /// Before it began.
    Refused(Refusal),
    /// With an answer that cannot be used, twice.
    Unusable(Fault),
    /// The user took it back.
    Cancelled,
    /// The engine could not run it.
    Failed(String),
}

/// What an engine tells the session.
#[derive(Clone, Debug)]
pub enum Report {
    /// A source answers from now on; a model says which it is.
    Ready(Source, Option<ModelFacts>),
    /// A source cannot answer, for this reason.
    Failed(Source, String),
    /// The engine computes, or rests again.
    Busy(bool),
    /// So many tokens were written in this time.
    Wrote(usize, Duration),
    /// A generation has begun.
    Planned(GenerationKey, Arc<Plan>),
    /// A generation has written more; with what could be shown of all that it wrote so far.
    Produced(GenerationKey, String, Option<Proposal>),
    /// A generation that the user asked for has other answers, the better first.
    Others(GenerationKey, Vec<Proposal>),
    /// A generation has ended, with what is to be shown of it; without a reason if it failed.
    Ended(GenerationKey, Option<StopReason>, Option<Proposal>),
    /// An action gets ahead.
    Acting(ActionKey, Stage),
    /// An action has ended.
    Acted(ActionKey, ActionEnd),
}

/// Text that a source proposes at the caret of its job, before it is judged.
pub type Proposal = Suggestion;

/// Where reports go.
pub type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

/// Room for one completion, of which a newer one replaces one that has not begun, for a few actions,
/// and for a few carets to warm.
#[derive(Debug, Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    completion: Option<Job>,
    actions: VecDeque<ActionJob>,
    background: VecDeque<WarmJob>,
    /// What the engine is at, if it can be interrupted, and what interrupts it.
    running: Option<Running>,
    closed: bool,
}

#[derive(Debug)]
struct Running {
    class: Class,
    action: Option<ActionKey>,
    interrupt: CancelToken,
    /// Whether it is not to go on after an interruption.
    withdrawn: bool,
}

/// What the engine does next. The tokens interrupt what they come with.
#[derive(Debug)]
pub(crate) enum Work {
    Complete(Job),
    Act(ActionJob, CancelToken),
    Warm(WarmJob, CancelToken),
    /// The time is over for which something was kept.
    Release,
}

impl Mailbox {
    /// Posts a completion, in place of one that has not begun.
    pub fn post(&self, job: Job) {
        let mut slot = self.lock();
        // It reads the text as it is now.
        slot.background.retain(|other| other.uri != job.uri);
        slot.completion = Some(job);
        slot.interrupt_below(Class::Completion);
        drop(slot);
        self.changed.notify_one();
    }

    /// Queues an action; one for a closed mailbox is dropped.
    pub fn post_action(&self, job: ActionJob) {
        let mut slot = self.lock();
        if !slot.closed {
            slot.actions.push_back(job);
            slot.interrupt_below(Class::Action);
        }
        drop(slot);
        self.changed.notify_one();
    }

    /// Queues a caret to warm.
    pub fn post_background(&self, job: WarmJob) {
        let mut slot = self.lock();
        slot.background.retain(|other| other.uri != job.uri);
        if slot.background.len() == BACKGROUND_MAX {
            slot.background.pop_front();
        }
        slot.background.push_back(job);
        drop(slot);
        self.changed.notify_one();
    }

    /// Drops what is to be read in the background, and what is being read.
    pub fn stop_background(&self) {
        let mut slot = self.lock();
        slot.background.clear();
        if let Some(running) = &mut slot.running
            && running.class == Class::Background
        {
            running.withdrawn = true;
            running.interrupt.cancel();
        }
    }

    /// Ends an action whose cancel token is set. One that runs ends within a layer and reports so;
    /// true if it waited, and will not report.
    pub fn cancel_action(&self, key: ActionKey) -> bool {
        let mut slot = self.lock();
        if let Some(running) = &slot.running
            && running.action == Some(key)
        {
            running.interrupt.cancel();
        }
        let at = slot.actions.iter().position(|job| job.key == key);
        at.and_then(|at| slot.actions.remove(at)).is_some()
    }

    /// Ends the thread after the job that it is at. What waits is dropped.
    pub fn close(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        slot.actions.clear();
        slot.background.clear();
        slot.interrupt_below(Class::Completion);
        drop(slot);
        self.changed.notify_one();
    }

    /// An interrupted action waits at the head of the queue; it comes back if it was cancelled meanwhile.
    pub(crate) fn put_back(&self, job: ActionJob) -> Option<ActionJob> {
        let mut slot = self.lock();
        slot.running = None;
        if job.cancel.is_cancelled() {
            return Some(job);
        }
        if !slot.closed {
            slot.actions.push_front(job);
        }
        None
    }

    /// An interrupted caret waits at the head of the queue, unless its document has a newer one, for
    /// which other text is to be read.
    pub(crate) fn put_back_background(&self, job: WarmJob) {
        let mut slot = self.lock();
        let withdrawn = slot.running.take().is_some_and(|it| it.withdrawn);
        let asked = slot.completion.as_ref().is_some_and(|it| it.uri == job.uri);
        let newer = asked || slot.background.iter().any(|other| other.uri == job.uri);
        if !slot.closed && !withdrawn && !newer && slot.background.len() < BACKGROUND_MAX {
            slot.background.push_front(job);
        }
    }

    /// What could be interrupted has ended.
    pub(crate) fn done(&self) {
        self.lock().running = None;
    }

    /// Waits for work, the most urgent first, or for a moment at which something is given back; `None`
    /// when the mailbox is closed.
    pub(crate) fn take(&self, release: Option<Instant>) -> Option<Work> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                return None;
            }
            if let Some(work) = slot.next() {
                return Some(work);
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

impl Slot {
    /// Under the lock: what is posted from here on finds what to interrupt.
    fn next(&mut self) -> Option<Work> {
        if let Some(job) = self.completion.take() {
            return Some(Work::Complete(job));
        }
        let interrupt = CancelToken::new();
        let mut run = |class, action| {
            self.running = Some(Running {
                class,
                action,
                interrupt: interrupt.clone(),
                withdrawn: false,
            });
        };
        if let Some(job) = self.actions.pop_front() {
            run(Class::Action, Some(job.key));
            return Some(Work::Act(job, interrupt));
        }
        let job = self.background.pop_front()?;
        run(Class::Background, None);
        Some(Work::Warm(job, interrupt))
    }

    fn interrupt_below(&self, class: Class) {
        if let Some(running) = &self.running
            && running.class < class
        {
            running.interrupt.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    fn caret() -> Caret {
        Caret {
            text: Rope::from_str("fn main() {}"),
            at: 0,
            path: "a.rs".into(),
            language: None,
            explicit: false,
            max_tokens: None,
            language_id: "rust".into(),
            manners: Arc::default(),
        }
    }

    fn job(key: u64) -> Job {
        Job {
            key: GenerationKey(key),
            source: Source::MODEL,
            uri: "a".into(),
            caret: caret(),
            texts: Index::default(),
            remembered_as: "".into(),
            cancel: CancelToken::new(),
        }
    }

    fn action(key: u64) -> ActionJob {
        let request = Request {
            action: crate::actions::Action::Explain,
            path: "a.rs".to_owned(),
            language: None,
            text: Rope::from_str("fn main() {}"),
            selection: 0..0,
        };
        ActionJob::new(ActionKey(key), request, CancelToken::new())
    }

    fn warm(uri: &str) -> WarmJob {
        WarmJob {
            uri: uri.into(),
            caret: caret(),
            is_guess: false,
        }
    }

    #[test]
    fn the_most_urgent_class_goes_first_and_a_newer_completion_replaces_an_older() {
        let mailbox = Mailbox::default();
        mailbox.post_background(warm("x"));
        mailbox.post_action(action(1));
        mailbox.post(job(1));
        mailbox.post(job(2));
        let past = Some(Instant::now());
        assert!(matches!(mailbox.take(past), Some(Work::Complete(job)) if job.key.0 == 2));
        assert!(matches!(mailbox.take(past), Some(Work::Act(..))));
        mailbox.done();
        assert!(matches!(mailbox.take(past), Some(Work::Warm(..))));
        mailbox.done();
        assert!(matches!(mailbox.take(past), Some(Work::Release)));
    }

    #[test]
    fn every_class_interrupts_those_below_and_none_above() {
        let mailbox = Mailbox::default();
        mailbox.post_background(warm("x"));
        let Some(Work::Warm(job, interrupt)) = mailbox.take(None) else {
            panic!("nothing else waits");
        };
        mailbox.post_background(warm("b"));
        assert!(!interrupt.is_cancelled());
        mailbox.post_action(action(1));
        assert!(interrupt.is_cancelled());
        mailbox.put_back_background(job);
        let Some(Work::Act(job, interrupt)) = mailbox.take(None) else {
            panic!("an action waits");
        };
        mailbox.post_background(warm("c"));
        mailbox.post_action(action(2));
        assert!(!interrupt.is_cancelled());
        mailbox.post(self::job(3));
        assert!(interrupt.is_cancelled());
        assert!(mailbox.put_back(job).is_none());
        assert!(matches!(mailbox.take(None), Some(Work::Complete(_))));
        assert!(matches!(mailbox.take(None), Some(Work::Act(job, _)) if job.key.0 == 1));
        mailbox.done();
        assert!(matches!(mailbox.take(None), Some(Work::Act(job, _)) if job.key.0 == 2));
        mailbox.done();
        assert!(matches!(mailbox.take(None), Some(Work::Warm(job, _)) if &*job.uri == "x"));
    }

    #[test]
    fn an_action_is_cancelled_where_it_is() {
        let mailbox = Mailbox::default();
        mailbox.post_action(action(1));
        assert!(mailbox.cancel_action(ActionKey(1)), "it waited");
        mailbox.post_action(action(2));
        let Some(Work::Act(job, interrupt)) = mailbox.take(None) else {
            panic!("an action waits");
        };
        job.cancel.cancel();
        assert!(!mailbox.cancel_action(ActionKey(2)), "it runs");
        assert!(interrupt.is_cancelled());
        assert!(mailbox.put_back(job).is_some(), "it is not queued again");
    }

    #[test]
    fn a_newer_caret_of_a_document_replaces_an_older_and_few_wait() {
        let mailbox = Mailbox::default();
        for uri in ["a", "b", "a", "c", "d", "e"] {
            mailbox.post_background(warm(uri));
        }
        let mut seen = Vec::new();
        while let Some(Work::Warm(job, _)) = mailbox.take(Some(Instant::now())) {
            mailbox.done();
            seen.push(job.uri.to_string());
        }
        assert_eq!(seen, ["a", "c", "d", "e"]);
    }

    #[test]
    fn closing_ends_and_gives_nothing_back() {
        let mailbox = Mailbox::default();
        mailbox.post_action(action(1));
        mailbox.close();
        assert!(mailbox.take(None).is_none());
        assert!(mailbox.take(Some(Instant::now())).is_none());
    }

    #[test]
    fn what_is_kept_is_given_back_when_its_time_has_come() {
        let mailbox = Mailbox::default();
        let due = Instant::now() + Duration::from_millis(50);
        assert!(matches!(mailbox.take(Some(due)), Some(Work::Release)));
        assert!(Instant::now() >= due);
        mailbox.post_action(action(1));
        assert!(
            matches!(mailbox.take(Some(due)), Some(Work::Act(..))),
            "work goes first"
        );
    }

    #[test]
    fn a_completion_makes_what_was_read_ahead_of_its_document_obsolete() {
        let mailbox = Mailbox::default();
        mailbox.post_background(warm("a"));
        mailbox.post_background(warm("b"));
        let Some(Work::Warm(running, interrupt)) = mailbox.take(None) else {
            panic!("nothing else waits");
        };
        assert_eq!(&*running.uri, "a");
        mailbox.post(job(1));
        assert!(interrupt.is_cancelled());
        mailbox.put_back_background(running);
        assert!(matches!(mailbox.take(None), Some(Work::Complete(_))));
        assert!(matches!(mailbox.take(None), Some(Work::Warm(job, _)) if &*job.uri == "b"));
    }

    #[test]
    fn what_is_stopped_in_the_background_does_not_come_back() {
        let mailbox = Mailbox::default();
        mailbox.post_background(warm("a"));
        mailbox.post_background(warm("b"));
        let Some(Work::Warm(running, interrupt)) = mailbox.take(None) else {
            panic!("nothing else waits");
        };
        mailbox.stop_background();
        assert!(interrupt.is_cancelled());
        mailbox.put_back_background(running);
        assert!(matches!(
            mailbox.take(Some(Instant::now())),
            Some(Work::Release)
        ));
    }
}
