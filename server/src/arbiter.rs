//! Decides which request the engine works for, and gives every request exactly one answer.
//!
//! The decisions are `life_cycle.rs`, a state machine; here are its lock, its channels and its timers.
//! `lsp/ingress.rs` calls in wire order, the engine thread reports from the other side.

mod generation;
mod life_cycle;
mod query;
mod record;
mod typed;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carat_engine::StopReason;
use tokio::sync::oneshot;

pub use generation::GenerationKey;
pub use life_cycle::{BACKGROUND, GRACE, RequestKey};
pub use query::{Answer, Place, Query, Selected, Shown};
pub use record::Record;

use crate::completion::Plan;
use crate::documents::Changed;
use crate::engine_thread::Mailbox;
use crate::generator::ModelFacts;
use life_cycle::{Effect, LifeCycle, ModelState};

/// How long a request waits for a model that is still being loaded; editors ask again soon.
const LOADING_WAIT: Duration = Duration::from_millis(40);

/// The shared front of the life cycle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Arbiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    mailbox: Arc<Mailbox>,
}

#[derive(Debug, Default)]
struct State {
    cycle: LifeCycle,
    facts: Option<ModelFacts>,
    /// Where the waiting request's answer goes; there is one at most.
    reply: Option<(RequestKey, oneshot::Sender<Answer>)>,
    /// Who wants the record of the waiting request.
    readers: Vec<oneshot::Sender<Option<RecordView>>>,
}

/// A record with the names of the model that was asked.
#[derive(Clone, Debug)]
pub struct RecordView {
    /// What was asked and answered.
    pub record: Record,
    /// The model, if there is one.
    pub model: Option<ModelFacts>,
}

impl Arbiter {
    /// An arbiter in front of the engine thread that reads `mailbox`.
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                mailbox,
            }),
        }
    }

    /// Takes a request in wire order. The ticket resolves to its answer.
    pub fn submit(&self, query: Query) -> Ticket {
        let now = Instant::now();
        let mut state = self.lock();
        let wait = match state.cycle.model {
            ModelState::Loading => query.deadline.min(LOADING_WAIT),
            ModelState::Ready | ModelState::Failed => query.deadline,
        };
        let (sender, answer) = oneshot::channel();
        let (key, mut effects) = state.cycle.submit(query, now);
        // The first effects may answer the request before, so its channel must still be in place.
        let earlier = effects
            .iter()
            .position(|effect| matches!(effect, Effect::Answer(of, _) if *of != key));
        if let Some(at) = earlier {
            let effect = effects.remove(at);
            self.perform(&mut state, vec![effect]);
        }
        state.reply = Some((key, sender));
        self.perform(&mut state, effects);
        Ticket {
            key,
            deadline: now + wait,
            answer,
            arbiter: self.clone(),
        }
    }

    /// The client takes a request back.
    pub fn cancel(&self, key: RequestKey) {
        self.step(|cycle, now| cycle.cancel(key, now));
    }

    /// A document changed.
    pub fn edited(&self, changed: &Changed) {
        self.step(|cycle, now| cycle.edited(changed, now));
    }

    /// A document was closed.
    pub fn closed(&self, uri: &str) {
        self.step(|cycle, now| cycle.closed(uri, now));
    }

    /// The client goes away.
    pub fn halt(&self) {
        self.step(LifeCycle::halt);
        self.shared.mailbox.close();
    }

    /// The record of the last request in wire order, once that request has its answer.
    pub fn last_record(&self) -> oneshot::Receiver<Option<RecordView>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        match state.view() {
            Some((view, true)) => drop(sender.send(Some(view))),
            Some((_, false)) => state.readers.push(sender),
            None => drop(sender.send(None)),
        }
        receiver
    }

    /// The model is loaded.
    pub(crate) fn model_ready(&self, facts: ModelFacts) {
        let mut state = self.lock();
        state.facts = Some(facts);
        state.cycle.model = ModelState::Ready;
    }

    /// The model cannot run; nobody need wait.
    pub(crate) fn model_failed(&self) {
        self.lock().cycle.model = ModelState::Failed;
        self.step(LifeCycle::halt);
    }

    /// The engine has begun; `Break` tells it to stop.
    pub(crate) fn planned(&self, key: GenerationKey, plan: &Arc<Plan>) -> ControlFlow<()> {
        let lives = self.lock().cycle.planned(key, plan);
        if lives {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    /// The engine has produced text; `Break` tells it to stop.
    pub(crate) fn produced(&self, key: GenerationKey, text: &str) -> ControlFlow<()> {
        let mut state = self.lock();
        let (go_on, effects) = state.cycle.produced(key, text, Instant::now());
        self.perform(&mut state, effects);
        if go_on {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    /// The engine has ended a generation; `None` if it failed.
    pub(crate) fn ended(&self, key: GenerationKey, stop: Option<StopReason>) {
        self.step(|cycle, now| cycle.ended(key, stop, now));
    }

    fn step(&self, step: impl FnOnce(&mut LifeCycle, Instant) -> Vec<Effect>) {
        let mut state = self.lock();
        let effects = step(&mut state.cycle, Instant::now());
        self.perform(&mut state, effects);
    }

    fn perform(&self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(key, answer) => state.answer(key, answer),
                Effect::Start(job) => self.shared.mailbox.post(job),
                Effect::Expire(key, after) => self.expire_later(key, after),
            }
        }
    }

    fn expire_later(&self, key: GenerationKey, after: Duration) {
        let arbiter = self.clone();
        // Timers are set by requests only, so there is a runtime.
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            arbiter.lock().cycle.expire(key, Instant::now());
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of one request; the state is consistent between statements.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self, key: RequestKey, answer: Answer) {
        if let Some((_, reply)) = self.reply.take_if(|(of, _)| *of == key) {
            // A receiver that is gone needs no answer.
            let _ = reply.send(answer);
        }
        if let Some((view, true)) = self.view() {
            for reader in self.readers.drain(..) {
                let _ = reader.send(Some(view.clone()));
            }
        }
    }

    /// The last record, and whether it is complete.
    fn view(&self) -> Option<(RecordView, bool)> {
        let (record, complete) = self.cycle.record()?;
        Some((
            RecordView {
                record: record.clone(),
                model: self.facts.clone(),
            },
            complete,
        ))
    }
}

/// The claim to one answer; dropping it takes the request back.
#[derive(Debug)]
pub struct Ticket {
    key: RequestKey,
    deadline: Instant,
    answer: oneshot::Receiver<Answer>,
    arbiter: Arbiter,
}

impl Ticket {
    /// Names the request.
    pub fn key(&self) -> RequestKey {
        self.key
    }

    /// The answer, at the request's deadline at the latest.
    pub async fn answer(mut self) -> Answer {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let in_time = tokio::time::timeout_at(deadline, &mut self.answer).await;
        let answer = if let Ok(answer) = in_time {
            answer
        } else {
            let key = self.key;
            self.arbiter.step(|cycle, now| cycle.deadline(key, now));
            (&mut self.answer).await
        };
        // The sender goes without an answer only when the server is going down.
        answer.unwrap_or(Answer::Empty)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Does nothing for a request that has its answer.
        self.arbiter.cancel(self.key);
    }
}
