//! What the engine is to do and what it reports: below the session, which posts, and the thread that takes.
//!
//! Work has a class. Completions go first; one that arrives while something else runs interrupts it
//! within a layer. Code actions come next, work in the background last. What is interrupted goes back
//! to the head of its queue.

mod work;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use carat_engine::CancelToken;

pub use work::{
    ActionEnd, ActionJob, ActionKey, GenerationKey, Job, Proposal, Report, Reporter, Source, Stage,
    WarmJob,
};

/// Code actions that are under way at the same time. Each takes a minute on a slow machine: who asks
/// for more has forgotten the first.
pub const ACTIONS_MAX: usize = 4;

/// Work in the background that waits; what is older than the newest few is of no use any more.
const BACKGROUND_MAX: usize = 4;

/// How urgent work is; the lower one waits for the higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Background,
    Action,
    Completion,
}

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
    use std::sync::Arc;
    use std::time::Duration;

    use ropey::Rope;

    use super::*;
    use crate::actions::Request;
    use crate::completion::Caret;
    use crate::echo::Index;

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
            at_rest: false,
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
        ActionJob::new(ActionKey(key), Source::MODEL, request, CancelToken::new())
    }

    fn warm(uri: &str) -> WarmJob {
        WarmJob {
            source: Source::MODEL,
            uri: uri.into(),
            caret: caret(),
            is_guess: false,
            is_longer: false,
            texts: None,
            remembered_as: uri.into(),
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
