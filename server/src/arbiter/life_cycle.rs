//! The life cycle of completion requests as a state machine without clock, threads or channels.
//!
//! At most one request waits and at most one generation lives; the newest request wins. Every method
//! returns what is to be done ([`Effect`]s, in this order); `arbiter.rs` does it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::StopReason;

use super::generation::{Agreement, Generation, GenerationKey};
use super::query::{Answer, Query, Shown};
use super::record::Record;
use super::typed::Typed;
use crate::completion::{Plan, Suggestion};
use crate::documents::{Changed, Snapshot};
use crate::engine_thread::Job;

#[cfg(test)]
mod tests;

/// How long a generation whose request was cancelled goes on: editors cancel on every key, and the
/// request that adopts it follows within their debounce time (50 ms in VS Code, plus a slow machine).
pub const GRACE: Duration = Duration::from_millis(150);

/// How long a generation goes on after its request was answered at the deadline with less than all:
/// the next key is answered from it, but nobody reads what comes much later.
pub const BACKGROUND: Duration = Duration::from_secs(3);

/// A generation's raw text is not kept beyond this; completions are a few hundred bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Finished generations that are kept: enough to undo a word or two, few enough to compare with all.
const FINISHED_MAX: usize = 4;

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey(pub(super) u64);

/// What the shell of the state machine is to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Answer a request.
    Answer(RequestKey, Answer),
    /// Give the engine something new to do.
    Start(Job),
    /// Call [`LifeCycle::expire`] after this long.
    Expire(GenerationKey, Duration),
}

/// What is known of the model.
#[derive(Clone, Debug, Default)]
pub(super) enum ModelState {
    /// It is on its way.
    #[default]
    Loading,
    /// It runs.
    Ready,
    /// It cannot run; the client has been told why.
    Failed,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Waiting {
    key: RequestKey,
    query: Query,
}

/// The state: who waits, what runs, what has finished.
#[derive(Debug, Default)]
pub(super) struct LifeCycle {
    pub(super) model: ModelState,
    waiting: Option<Waiting>,
    live: Option<Generation>,
    /// The newest last.
    finished: VecDeque<Generation>,
    record: Option<(RequestKey, Record)>,
    keys: u64,
}

impl LifeCycle {
    /// Takes a request: answers the one before, then this one if a generation agrees, else starts one.
    pub(super) fn submit(&mut self, query: Query, now: Instant) -> (RequestKey, Vec<Effect>) {
        let key = RequestKey(self.next_key());
        let mut effects = Vec::new();
        self.answer_waiting(Answer::Empty, now, &mut effects);
        self.record = Some((key, Record::new(&query, now)));
        if matches!(self.model, ModelState::Failed) {
            self.waiting = Some(Waiting { key, query });
            self.answer_waiting(Answer::Empty, now, &mut effects);
            return (key, effects);
        }
        self.waiting = Some(Waiting { key, query });
        if self.answer_from_finished(now, &mut effects) {
            self.stop_live();
        } else if !self.adopt_live(now, &mut effects) {
            self.stop_live();
            let job = self.start();
            effects.push(Effect::Start(job));
        }
        (key, effects)
    }

    /// The client takes a request back.
    pub(super) fn cancel(&mut self, key: RequestKey, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.waits(key) {
            self.answer_waiting(Answer::Cancelled, now, &mut effects);
            self.leave_live(GRACE, now, &mut effects);
        }
        effects
    }

    /// A request has waited as long as it may.
    pub(super) fn deadline(&mut self, key: RequestKey, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.waits(key) {
            let answer = self.best_of_live();
            self.answer_waiting(answer, now, &mut effects);
            self.leave_live(BACKGROUND, now, &mut effects);
        }
        effects
    }

    /// A document changed: what disagrees with it ends at once.
    pub(super) fn edited(&mut self, changed: &Changed, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let document = &changed.now;
        if changed.edits.is_empty() {
            // A closer was typed over, or nothing happened: the text stays, its version grows.
            if let Some(waiting) = &mut self.waiting
                && waiting.query.snapshot.uri == document.uri
            {
                waiting.query.snapshot = document.clone();
            }
            return effects;
        }
        let kept = self.finished.iter_mut().chain(&mut self.live);
        for generation in kept.filter(|generation| generation.uri == document.uri) {
            generation.edited(&changed.edits);
        }
        let Some(live) = self.live.as_ref().filter(|live| live.uri == document.uri) else {
            return effects;
        };
        if let Some((caret, _)) = live.typed_on() {
            self.move_waiting(document, caret, now, &mut effects);
        } else {
            self.answer_waiting(Answer::Empty, now, &mut effects);
            self.stop_live();
        }
        effects
    }

    /// A document was closed: nothing about it is of use any more.
    pub(super) fn closed(&mut self, uri: &str, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.finished.retain(|generation| *generation.uri != *uri);
        if self
            .waiting
            .as_ref()
            .is_some_and(|waiting| *waiting.query.snapshot.uri == *uri)
        {
            self.answer_waiting(Answer::Empty, now, &mut effects);
        }
        if self.live.as_ref().is_some_and(|live| *live.uri == *uri) {
            self.stop_live();
        }
        effects
    }

    /// The time given by [`Effect::Expire`] is over; unless somebody waits again, so is the generation.
    pub(super) fn expire(&mut self, key: GenerationKey, now: Instant) {
        let over = |live: &Generation| live.key == key && live.stop_at.is_some_and(|at| at <= now);
        if self.waiting.is_none() && self.live.as_ref().is_some_and(over) {
            self.stop_live();
        }
    }

    /// The engine has begun; false tells it to stop.
    pub(super) fn planned(&mut self, key: GenerationKey, plan: &Arc<Plan>) -> bool {
        let Some(live) = self.live.as_mut().filter(|live| live.key == key) else {
            return false;
        };
        live.plan = Some(Arc::clone(plan));
        true
    }

    /// The engine has produced text; false tells it to stop.
    pub(super) fn produced(
        &mut self,
        key: GenerationKey,
        text: &str,
        now: Instant,
    ) -> (bool, Vec<Effect>) {
        let mut effects = Vec::new();
        let Some(live) = self.live.as_mut().filter(|live| live.key == key) else {
            return (false, effects);
        };
        if live.output.len() + text.len() > OUTPUT_BYTES_MAX {
            return (false, effects);
        }
        live.output.push_str(text);
        // What was typed before there was text to compare it with may turn out to be something else.
        if live.edited && live.typed_on().is_none() {
            self.answer_waiting(Answer::Empty, now, &mut effects);
            self.stop_live();
            return (false, effects);
        }
        (true, effects)
    }

    /// The engine has ended a generation; `None` if it failed.
    pub(super) fn ended(
        &mut self,
        key: GenerationKey,
        stop: Option<StopReason>,
        now: Instant,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(mut live) = self.live.take_if(|live| live.key == key) else {
            return effects;
        };
        live.stop = stop.filter(|stop| *stop != StopReason::Cancelled);
        if live.stop.is_none() {
            self.answer_waiting(Answer::Empty, now, &mut effects);
            return effects;
        }
        self.keep(live);
        if self.waiting.is_some() && !self.answer_from_finished(now, &mut effects) {
            self.answer_waiting(Answer::Empty, now, &mut effects);
        }
        effects
    }

    /// The model cannot run, or the client goes away: nobody waits any more, nothing runs.
    pub(super) fn halt(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.answer_waiting(Answer::Empty, now, &mut effects);
        self.stop_live();
        effects
    }

    /// The last request in wire order, and whether it has its answer.
    pub(super) fn record(&self) -> Option<(&Record, bool)> {
        self.record
            .as_ref()
            .map(|(key, record)| (record, !self.waits(*key)))
    }

    /// Panics if the state contradicts itself; for tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        assert!(self.finished.len() <= FINISHED_MAX);
        assert!(
            self.finished
                .iter()
                .all(|generation| generation.stop.is_some())
        );
        if let Some(live) = &self.live {
            assert!(live.stop.is_none(), "what has ended is not live");
            assert!(!live.cancel.is_cancelled(), "what was stopped is not live");
            let bounded = self.waiting.is_some() || live.stop_at.is_some();
            assert!(bounded, "what nobody waits for ends at some time");
        }
        assert!(
            self.waiting.is_none() || self.live.is_some(),
            "who waits, waits for something"
        );
    }

    fn waits(&self, key: RequestKey) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|waiting| waiting.key == key)
    }

    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    fn answer_waiting(&mut self, answer: Answer, now: Instant, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        if let Some((_, record)) = self.record.as_mut().filter(|(key, _)| *key == waiting.key) {
            record.close(&answer, now);
            if let (Some(plan), true) = (
                self.live.as_ref().and_then(|live| live.plan.as_ref()),
                record.prompt.is_empty(),
            ) {
                record.prompt.clone_from(&plan.prompt.text);
            }
        }
        effects.push(Effect::Answer(waiting.key, answer));
    }

    /// Ends the live generation within one token.
    fn stop_live(&mut self) {
        if let Some(live) = self.live.take() {
            live.cancel.cancel();
        }
    }

    /// Lets the live generation go on without a request for a while.
    fn leave_live(&mut self, time: Duration, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(live) = &mut self.live {
            live.stop_at = Some(now + time);
            effects.push(Effect::Expire(live.key, time));
        }
    }

    fn start(&mut self) -> Job {
        let key = GenerationKey(self.next_key());
        let query = &self.waiting.as_ref().expect("a request to start for").query;
        let live = Generation::new(key, query);
        let job = Job {
            key,
            uri: Arc::clone(&query.snapshot.uri),
            language_id: Arc::clone(&query.snapshot.language_id),
            place: live.place.clone(),
            explicit: query.explicit,
            max_tokens: query.max_tokens,
            cancel: live.cancel.clone(),
        };
        self.live = Some(live);
        job
    }

    fn keep(&mut self, generation: Generation) {
        if self.finished.len() == FINISHED_MAX {
            self.finished.pop_front();
        }
        self.finished.push_back(generation);
    }

    /// Answers the waiting request from a finished generation whose output was typed through.
    fn answer_from_finished(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let Some(waiting) = &self.waiting else {
            return false;
        };
        let query = &waiting.query;
        let found = self.finished.iter().rev().find_map(|generation| {
            if query.explicit && !generation.explicit {
                return None;
            }
            let typed = generation.typed(query)?;
            let remainder = generation.remainder(&typed);
            // The same text would give the same nothing; more text may give more.
            (remainder.is_some() || typed == Typed::default()).then_some((generation, remainder))
        });
        let Some((generation, remainder)) = found else {
            return false;
        };
        if let (Some((_, record)), Some(plan)) = (self.record.as_mut(), &generation.plan) {
            record.prompt.clone_from(&plan.prompt.text);
        }
        let answer = remainder.map_or(Answer::Empty, |remainder| shown(query, &remainder));
        self.answer_waiting(answer, now, effects);
        true
    }

    /// Makes the waiting request wait for the live generation, if they agree; what is ready is answered.
    fn adopt_live(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let (Some(waiting), Some(live)) = (&self.waiting, &mut self.live) else {
            return false;
        };
        if waiting.query.explicit && !live.explicit {
            return false;
        }
        let typed = live.typed(&waiting.query);
        let Some(typed) = typed.filter(|typed| live.agreement(typed) == Agreement::Agrees) else {
            return false;
        };
        live.stop_at = None;
        if typed != Typed::default() && live.remainder(&typed).is_some() {
            let answer = self.best_of_live();
            self.answer_waiting(answer, now, effects);
            self.leave_live(BACKGROUND, now, effects);
        }
        true
    }

    /// The best answer that the live generation has for the waiting request so far.
    fn best_of_live(&self) -> Answer {
        let (Some(waiting), Some(live)) = (&self.waiting, &self.live) else {
            return Answer::Empty;
        };
        live.typed(&waiting.query)
            .and_then(|typed| live.remainder(&typed))
            .map_or(Answer::Empty, |remainder| shown(&waiting.query, &remainder))
    }

    /// The user typed on while a request waits: it is answered for the text as it is now.
    fn move_waiting(
        &mut self,
        document: &Snapshot,
        caret: usize,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let query = &mut waiting.query;
        let line = |text: &ropey::Rope, byte: usize| text.byte_to_line(byte.min(text.len_bytes()));
        let same_line = line(&query.snapshot.text, query.caret) == line(&document.text, caret);
        if query.selected.is_none() && same_line {
            query.snapshot = document.clone();
            query.caret = caret;
            return;
        }
        // Its range would lie on another line than the request, or in another menu's text.
        self.answer_waiting(Answer::Empty, now, effects);
        self.leave_live(GRACE, now, effects);
    }
}

/// A suggestion as an answer in the document of `query`.
fn shown(query: &Query, suggestion: &Suggestion) -> Answer {
    let (start, end, lead) = match &query.selected {
        Some(selected) => (
            selected.range.start,
            selected.range.end,
            selected.text.as_str(),
        ),
        None => (query.caret, query.caret, ""),
    };
    let end = (end + suggestion.replace_suffix_bytes).min(query.snapshot.text.len_bytes());
    Answer::Shown(Shown {
        snapshot: query.snapshot.clone(),
        caret: query.caret,
        replace: start..end,
        text: format!("{lead}{}", suggestion.text),
    })
}
