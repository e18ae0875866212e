//! The life cycle of completion requests: who waits, which candidates there are, what is answered.
//!
//! At most one request waits and the newest wins; at most one candidate of a source runs. Every method
//! pushes what is to be done, in this order. `answers` has the choice between candidates.

mod answers;

pub use answers::Left;

use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::StopReason;

use super::candidate::Candidate;
use super::cascade::Cascade;
use super::effect::{Effect, Reply, RequestKey};
use super::query::{Answer, Query};
use super::record::Record;
use super::uptake::Uptake;
use crate::completion::{Plan, Silence};
use crate::documents::Changed;
use crate::echo::Index;
use crate::generator::ModelFacts;
use crate::mailbox::{GenerationKey, Job, Proposal, Source};

/// How long a generation whose request was cancelled goes on: editors cancel on every key, and the
/// request that adopts it follows within their debounce time (50 ms in VS Code, plus a slow machine).
pub const GRACE: Duration = Duration::from_millis(150);

/// How long a generation goes on after its request was answered at the deadline with less than all:
/// the next key is answered from it, but nobody reads what comes much later. As long, a request waits
/// for the first text of a slow model.
pub const BACKGROUND: Duration = Duration::from_millis(1200);

/// How long text may take that follows upon text which was just taken: what comes later than the user
/// has looked would stand where the next key was meant to go.
const AFTER_ACCEPTANCE: Duration = Duration::from_millis(100);

/// How long a model writes for a caret that rests.
const REST_TIME: Duration = Duration::from_secs(5);

/// A generation's raw text is not kept beyond this; completions are a few hundred bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Finished candidates of a source that are kept: enough to undo a word or two, few enough to compare with all.
const FINISHED_MAX: usize = 8;

/// A source whose tokens are this probable, by their geometric mean, is not made to wait for a better
/// one, unless the user asks: who asks wants to choose.
const SURE: f64 = 0.905;

/// What is known of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// It is on its way.
    #[default]
    Loading,
    /// It answers; a model says which it is.
    Ready(Option<ModelFacts>),
    /// It cannot answer.
    Failed,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Waiting {
    key: RequestKey,
    query: Query,
    wants: Wants,
    /// When it is answered with the best that there is.
    due: Instant,
    /// When it is answered even if there is nothing.
    over: Instant,
    is_due: bool,
    /// Until then, no source is asked: the user may type on.
    held: Option<Instant>,
    /// Text was taken here a moment ago.
    follows: bool,
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Text to show.
    Text,
    /// The record of that.
    Record,
}

/// The last request in wire order.
#[derive(Debug)]
struct Last {
    key: RequestKey,
    record: Record,
    /// Who wants the record once it is complete.
    readers: Vec<RequestKey>,
}

/// The state: who waits, what runs, what has finished.
#[derive(Debug)]
pub(super) struct Requests {
    sources: Vec<(Source, SourceState)>,
    waiting: Option<Waiting>,
    /// The newest last.
    candidates: Vec<Candidate>,
    last: Option<Last>,
    keys: u64,
    cascade: Cascade,
    uptake: Uptake,
    /// Why there is nothing anywhere in the document that was asked about last.
    pub(super) quiet: Option<Silence>,
    /// The user's texts, for the echo.
    pub(super) texts: Index,
}

impl Requests {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let sources = sources.into_iter();
        Self {
            sources: sources
                .map(|source| (source, SourceState::Loading))
                .collect(),
            waiting: None,
            candidates: Vec::new(),
            last: None,
            keys: 0,
            cascade: Cascade::default(),
            uptake: Uptake::default(),
            quiet: None,
            texts: Index::default(),
        }
    }

    /// A source has got ready, or cannot answer: what it has said before is another's.
    pub(super) fn set_state(
        &mut self,
        source: Source,
        state: SourceState,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.sources.iter_mut().find(|(of, _)| *of == source);
        let Some((_, known)) = known else { return };
        let is_first = *known == SourceState::Loading;
        *known = state;
        if *known == SourceState::Loading || is_first && matches!(known, SourceState::Ready(_)) {
            // What is posted while it is on its way is done then.
            return;
        }
        self.drop_candidates(|candidate| candidate.source == source);
        self.settle(now, effects);
    }

    /// There is one more source.
    pub(super) fn add_source(&mut self, source: Source) {
        if self.state(source).is_none() {
            self.sources.push((source, SourceState::Loading));
        }
    }

    /// A source has written so many tokens in this time.
    pub(super) fn wrote(&mut self, source: Source, tokens: usize, time: Duration) {
        if source == Source::REST {
            self.cascade.wrote(tokens, time);
        }
    }

    pub(super) fn state(&self, source: Source) -> Option<&SourceState> {
        let found = self.sources.iter().find(|(of, _)| *of == source);
        found.map(|(_, state)| state)
    }

    /// Takes a request: answers the one before, then this one if a candidate agrees, else asks all
    /// sources. With a `silence`, it is answered with nothing. The generation of the model that answers at
    /// every key, if it was asked.
    pub(super) fn submit(
        &mut self,
        key: RequestKey,
        mut query: Query,
        wants: Wants,
        silence: Option<Silence>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Option<GenerationKey> {
        self.fall_silent(Silence::Superseded, now, effects);
        self.cascade.forget();
        self.last = Some(Last {
            key,
            record: Record::new(&query, now),
            readers: Vec::new(),
        });
        let unasked = wants == Wants::Text && !query.explicit && !query.menu;
        let follows = unasked && self.uptake.follows(&query);
        let typing = query.typing().and_then(|source| self.state(source));
        let is_loading = typing == Some(&SourceState::Loading);
        let longer = if follows || is_loading {
            Duration::ZERO
        } else {
            query.patience
        };
        if follows {
            query.deadline = query.deadline.min(AFTER_ACCEPTANCE);
        }
        let stands = |candidate: &Candidate| candidate.offer(&query).is_some();
        let holds =
            unasked && !follows && !query.delay.is_zero() && !self.candidates.iter().any(stands);
        let held = holds.then(|| now + query.delay);
        let due = held.unwrap_or(now) + query.deadline;
        self.waiting = Some(Waiting {
            key,
            query,
            wants,
            due,
            over: due + longer,
            is_due: false,
            held,
            follows,
        });
        match silence {
            Some(silence) => self.fall_silent(silence, now, effects),
            None if holds => {}
            None => return self.ask_sources(now, effects),
        }
        self.leave(GRACE, now);
        None
    }

    /// Asks the sources that have nothing for the request that waits. The generation of the model that
    /// answers at every key, if it was asked.
    fn ask_sources(&mut self, now: Instant, effects: &mut Vec<Effect>) -> Option<GenerationKey> {
        let waiting = self.waiting.take()?;
        let query = &waiting.query;
        let mut asked = None;
        for source in query.sources.clone() {
            let has = |candidate: &Candidate| {
                candidate.source == source
                    && !candidate.runs()
                    && candidate.offer(query).is_some_and(|offer| {
                        // The same text would give the same nothing; more text may give more.
                        // But an answer that is not worth showing stays what it is.
                        // Neither does a model learn another language.
                        let judged = |silence: &Silence| {
                            let unknown = matches!(silence, Silence::UnknownLanguage { .. });
                            silence.judges_answer() || unknown
                        };
                        !offer.typed || offer.suggestion.as_ref().err().is_none_or(judged)
                    })
            };
            let mut running = self.candidates.iter_mut();
            let running = running.rfind(|it| it.source == source && it.runs());
            let adopted = running.filter(|running| running.offer(query).is_some());
            if let Some(adopted) = adopted {
                adopted.stop_at = None;
                continue;
            }
            let has = self.candidates.iter().any(has);
            self.drop_candidates(|candidate| candidate.source == source && candidate.runs());
            if has || self.state(source) == Some(&SourceState::Failed) {
                continue;
            }
            if query.waits_for_rest(source) {
                self.cascade.plan(query, now);
                continue;
            }
            let key = self.ask(source, query, effects);
            if query.typing() == Some(source) {
                asked = Some(key);
            }
        }
        self.waiting = Some(waiting);
        self.settle(now, effects);
        asked
    }

    /// Asks a source for text.
    fn ask(&mut self, source: Source, query: &Query, effects: &mut Vec<Effect>) -> GenerationKey {
        self.keys += 1;
        let candidate = Candidate::new(GenerationKey(self.keys), source, query);
        effects.push(Effect::Complete(Job {
            key: candidate.key,
            source,
            at_rest: candidate.at_rest,
            uri: Arc::clone(&candidate.uri),
            caret: candidate.place.clone(),
            texts: self.texts.clone(),
            remembered_as: Arc::clone(&query.remembered_as),
            cancel: candidate.cancel.clone(),
        }));
        self.candidates.push(candidate);
        GenerationKey(self.keys)
    }

    /// The caret rests where the last request was: the model for that is asked, whoever waits.
    fn rest(&mut self, query: &Query, now: Instant, effects: &mut Vec<Effect>) {
        let Some(source) = query.rest else { return };
        self.drop_candidates(|candidate| candidate.source == source && candidate.runs());
        self.ask(source, query, effects);
        self.leave(REST_TIME, now);
    }

    /// Whether nobody waits for text and none is being written.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_none() && !self.candidates.iter().any(Candidate::runs)
    }

    /// The client takes a request back.
    pub(super) fn cancel(&mut self, key: RequestKey, now: Instant, effects: &mut Vec<Effect>) {
        if self.waits(key) {
            let silence = Some(Silence::Superseded);
            self.answer(Answer::Cancelled, silence, now, effects);
            self.leave(GRACE, now);
        }
    }

    /// Time has passed: a request may have waited as long as it may, a candidate run for nobody.
    pub(super) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let waiting = self.waiting.as_mut();
        let held = waiting.and_then(|waiting| waiting.held.take_if(|until| *until <= now));
        if held.is_some() {
            self.ask_sources(now, effects);
        }
        if let Some(waiting) = self.waiting.as_mut().filter(|it| it.due <= now) {
            waiting.is_due = true;
            self.settle(now, effects);
        }
        if let Some(query) = self.cascade.take(now) {
            self.rest(&query, now, effects);
        }
        if self.waiting.is_none() {
            let over = |candidate: &Candidate| candidate.stop_at.is_some_and(|at| at <= now);
            self.drop_candidates(|candidate| candidate.runs() && over(candidate));
        }
    }

    /// When [`Self::tick`] is next to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let rests = self.cascade.due();
        if let Some(waiting) = &self.waiting {
            let due = if waiting.is_due {
                waiting.over
            } else {
                waiting.due
            };
            let due = waiting.held.unwrap_or(due);
            return rests.into_iter().chain([due]).min();
        }
        let running = self.candidates.iter().filter(|candidate| candidate.runs());
        let stops = running.filter_map(|candidate| candidate.stop_at);
        rests.into_iter().chain(stops).min()
    }

    /// A document changed: what runs and disagrees with it ends at once.
    pub(super) fn edited(&mut self, changed: &Changed, now: Instant, effects: &mut Vec<Effect>) {
        let tallies = self.uptake.edited(changed);
        effects.extend(tallies.into_iter().map(Effect::Count));
        let document = &changed.now;
        let of_document = |candidate: &Candidate| candidate.uri == document.uri;
        let waiting = self.waiting.as_mut().map(|waiting| &mut waiting.query);
        let waiting = waiting.filter(|query| query.snapshot.uri == document.uri);
        if changed.edits.is_empty() {
            // A closer was typed over, or nothing happened: the text stays, its version grows.
            if let Some(query) = waiting {
                query.snapshot = document.clone();
            }
            return;
        }
        let waits = waiting.is_some();
        self.cascade.changed(&document.uri);
        let (in_part, whole) = (self.uptake.taken_in_part(), self.uptake.taken_whole());
        for candidate in self.candidates.iter_mut().filter(|it| of_document(it)) {
            candidate.edited(&changed.edits);
            let key = candidate.key;
            let of_it = |(of, caret): (GenerationKey, usize)| (of == key).then_some(caret);
            if let Some(caret) = in_part.and_then(of_it) {
                candidate.taken_until(caret);
            }
            if let Some(caret) = whole.and_then(of_it) {
                candidate.chosen_until(caret);
            }
        }
        self.drop_candidates(|candidate| {
            of_document(candidate) && candidate.runs() && candidate.typed_on().is_none()
        });
        if !waits {
            return;
        }
        let running = self.candidates.iter().rev();
        let mut running = running.filter(|candidate| of_document(candidate) && candidate.runs());
        match running.find_map(Candidate::typed_on) {
            Some(caret) => self.move_waiting(changed, caret, now, effects),
            None => self.fall_silent(Silence::Superseded, now, effects),
        }
    }

    /// A document was closed: nothing about it is of use any more.
    pub(super) fn closed(&mut self, uri: &str, now: Instant, effects: &mut Vec<Effect>) {
        let waiting = self.waiting.as_ref();
        if waiting.is_some_and(|waiting| *waiting.query.snapshot.uri == *uri) {
            self.fall_silent(Silence::Superseded, now, effects);
        }
        self.uptake.closed(uri);
        self.cascade.changed(uri);
        self.drop_candidates(|candidate| *candidate.uri == *uri);
    }

    /// What the sources had ready was made for other settings.
    pub(super) fn forget_answers(&mut self) {
        self.drop_candidates(|candidate| !candidate.runs());
    }

    /// What the user's own lines said was said of other texts.
    pub(super) fn forget_echoes(&mut self) {
        self.drop_candidates(|candidate| candidate.source == Source::ECHO && !candidate.runs());
    }

    /// A source has begun.
    pub(super) fn planned(&mut self, key: GenerationKey, plan: Arc<Plan>) {
        if let Some(candidate) = self.running(key) {
            candidate.plan = Some(plan);
        }
    }

    /// A source has produced text, and what can be shown of all it has produced.
    pub(super) fn produced(
        &mut self,
        key: GenerationKey,
        text: &str,
        so_far: Option<Proposal>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(candidate) = self.running(key) else {
            return;
        };
        candidate.output.push_str(text);
        candidate.proposal = so_far;
        // What was typed before there was text to compare it with may turn out to be something else.
        let too_long = candidate.output.len() > OUTPUT_BYTES_MAX;
        let ends = too_long || (candidate.edited && candidate.typed_on().is_none());
        if ends {
            self.drop_candidates(|candidate| candidate.key == key);
        }
        let is_due = self.waiting.as_ref().is_some_and(|waiting| waiting.is_due);
        if is_due || ends {
            self.settle(now, effects);
        }
    }

    /// A source has other answers for a user who asked, the better first.
    pub(super) fn offered_others(&mut self, key: GenerationKey, others: Vec<Proposal>) {
        let candidate = self.running(key);
        if let Some(candidate) = candidate.filter(|it| it.place.explicit) {
            candidate.others = others;
        }
    }

    /// The user does not want what stands at the caret.
    pub(super) fn dismiss(&mut self) {
        self.uptake.dismiss();
    }

    /// A source has come to its end; without a reason if it failed.
    pub(super) fn ended(
        &mut self,
        key: GenerationKey,
        stop: Option<StopReason>,
        proposal: Option<Proposal>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(candidate) = self.running(key) else {
            return;
        };
        candidate.stop = stop.filter(|stop| *stop != StopReason::Cancelled);
        candidate.proposal = proposal;
        if candidate.runs() {
            self.drop_candidates(|candidate| candidate.key == key);
        }
        let source = self.candidates.iter().find(|it| it.key == key);
        let source = source.map(|candidate| candidate.source);
        // One source may answer at every key while what another one said still stands.
        let finished = |it: &&Candidate| Some(it.source) == source && !it.runs();
        if self.candidates.iter().filter(finished).count() > FINISHED_MAX {
            let oldest = self.candidates.iter().position(|it| finished(&it));
            oldest.map(|oldest| self.candidates.remove(oldest));
        }
        self.settle(now, effects);
        self.offer_again(key, effects);
    }

    /// What was asked or is to be asked because the caret rests is not wanted.
    pub(super) fn stop_at_rest(&mut self) {
        self.cascade.forget();
        if self.waiting.is_none() {
            self.drop_candidates(|candidate| candidate.at_rest && candidate.runs());
        }
    }

    /// The client goes away: nobody waits any more, nothing runs.
    pub(super) fn halt(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.fall_silent(Silence::Superseded, now, effects);
        self.cascade.forget();
        self.drop_candidates(Candidate::runs);
    }

    /// Answers `reader` with the record of the last request, once that request has its answer.
    pub(super) fn read_record(&mut self, reader: RequestKey, effects: &mut Vec<Effect>) {
        let waits = self.last.as_ref().is_some_and(|last| self.waits(last.key));
        match &mut self.last {
            Some(last) if waits => last.readers.push(reader),
            last => {
                let record = last.as_ref().map(|last| Box::new(last.record.clone()));
                effects.push(Effect::Respond(reader, Reply::Record(record)));
            }
        }
    }

    /// Panics if the state contradicts itself; for tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        for (source, _) in &self.sources {
            let of_source = self.candidates.iter().filter(|it| it.source == *source);
            assert!(of_source.filter(|it| it.runs()).count() <= 1, "{source:?}");
        }
        let (running, finished): (Vec<_>, Vec<_>) =
            self.candidates.iter().partition(|it| it.runs());
        assert!(finished.len() <= FINISHED_MAX * self.sources.len());
        for candidate in &running {
            assert!(
                !candidate.cancel.is_cancelled(),
                "what was stopped is not kept"
            );
            let bounded = self.waiting.is_some() || candidate.stop_at.is_some();
            assert!(bounded, "what nobody waits for ends at some time");
        }
        let held = self.waiting.as_ref().is_some_and(|it| it.held.is_some());
        assert!(
            held || self.waiting.is_none() || !running.is_empty() || self.cascade.due().is_some(),
            "who waits, waits for something"
        );
    }

    fn waits(&self, key: RequestKey) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|waiting| waiting.key == key)
    }

    fn running(&mut self, key: GenerationKey) -> Option<&mut Candidate> {
        let mut candidates = self.candidates.iter_mut();
        candidates.find(|candidate| candidate.key == key && candidate.runs())
    }

    /// Forgets candidates; what runs ends within one token.
    fn drop_candidates(&mut self, of: impl Fn(&Candidate) -> bool) {
        self.candidates.retain(|candidate| {
            let dropped = of(candidate);
            if dropped {
                candidate.cancel.cancel();
            }
            !dropped
        });
    }

    /// Lets what runs go on without a request for a while; what the resting caret is for, as long as it
    /// may take.
    fn leave(&mut self, time: Duration, now: Instant) {
        for candidate in self.candidates.iter_mut().filter(|it| it.runs()) {
            let time = if candidate.at_rest { REST_TIME } else { time };
            candidate.stop_at.get_or_insert(now + time);
        }
    }

    /// The user typed on while a request waits: it is answered for the text as it is now.
    fn move_waiting(
        &mut self,
        changed: &Changed,
        caret: usize,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let (query, document) = (&mut waiting.query, &changed.now);
        let line = |text: &ropey::Rope, byte: usize| text.byte_to_line(byte.min(text.len_bytes()));
        let same_line = line(&query.snapshot.text, query.caret) == line(&document.text, caret);
        if query.selected.is_none() && same_line {
            query.snapshot = document.clone();
            query.caret = caret;
            return;
        }
        // Its range would lie on another line than the request, or in another menu's text.
        self.fall_silent(Silence::Superseded, now, effects);
        self.leave(GRACE, now);
    }
}
