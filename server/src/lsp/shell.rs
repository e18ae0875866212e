//! The shell around the session: the one place with a lock, channels, timers and threads. It lets the
//! session take events, one at a time, and performs what comes of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carat_engine::CancelToken;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tower_lsp::Client;
use tower_lsp::jsonrpc::Id;

use super::engines::Engines;
use super::outbox::{Message, Outbox};
use super::parent;
use crate::mailbox::{ActionEnd, Job, Report, Source};
use crate::memory::{self, Limits, Order};
use crate::models::ModelSource;
use crate::session::{ClientFacts, Effect, Event, Reply, Request, RequestKey, Session};
use crate::settings::ProjectFile;
use crate::status::Status;
use crate::{engine_thread, power};

/// How long the engine may take to stop; it looks at its cancel token once a layer.
const ENGINE_STOP: Duration = Duration::from_millis(500);

/// How often the source of power is looked at.
const POWER_LOOK: Duration = Duration::from_secs(if cfg!(feature = "testing") { 1 } else { 30 });

/// A handle of the shell. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shell {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    runtime: Handle,
    messages: mpsc::UnboundedSender<Message>,
    wake: watch::Sender<Option<Instant>>,
    status: watch::Sender<Status>,
    orphaned: Notify,
}

struct State {
    session: Session,
    /// Requests without a reply.
    pending: Vec<Pending>,
    requests: u64,
    engines: Engines,
    /// Counts readings of projects' settings: the last one counts.
    readings: u64,
    /// The thread that reads the workspace, and what stops its last reading.
    memory: Option<(std::sync::mpsc::Sender<Order>, CancelToken)>,
}

struct Pending {
    key: RequestKey,
    id: Id,
    reply: oneshot::Sender<Reply>,
}

/// Resolves when files that were to be read are read.
pub(super) type Reading = oneshot::Receiver<()>;

impl Shell {
    /// A shell around `session`, for a client; call it in a runtime.
    pub(super) fn new(session: Session, client: Client) -> Self {
        let (messages, outgoing) = mpsc::unbounded_channel();
        let shell = Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    session,
                    pending: Vec::new(),
                    requests: 0,
                    engines: Engines::default(),
                    readings: 0,
                    memory: None,
                }),
                runtime: Handle::current(),
                messages,
                wake: watch::Sender::default(),
                status: watch::Sender::default(),
                orphaned: Notify::new(),
            }),
        };
        // It needs no loading.
        shell.handle(Event::Engine(Report::Ready(Source::ECHO, None)));
        let back = shell.clone();
        let tell = Arc::new(move |event| drop(back.handle(event)));
        let outbox = Outbox::new(client, tell, shell.inner.status.subscribe());
        tokio::spawn(outbox.send_all(outgoing));
        tokio::spawn(shell.clone().keep_time());
        tokio::spawn(shell.clone().watch_power());
        shell
    }

    /// Lets the session take an event, and performs what comes of it.
    pub(super) fn handle(&self, event: Event) -> Option<Reading> {
        let mut state = self.lock();
        self.take(&mut state, event)
    }

    /// Lets the session take a request; the reply comes when there is one.
    pub(super) fn request(&self, id: Id, request: Request) -> oneshot::Receiver<Reply> {
        let (reply, replied) = oneshot::channel();
        let mut state = self.lock();
        state.requests += 1;
        let key = RequestKey(state.requests);
        state.pending.push(Pending { key, id, reply });
        self.take(&mut state, Event::Requested(key, request));
        replied
    }

    /// The client takes a request back; false if it is none that waits here.
    pub(super) fn cancel(&self, id: &Id) -> bool {
        let mut state = self.lock();
        let found = state.pending.iter().find(|pending| pending.id == *id);
        let key = found.map(|pending| pending.key);
        key.map(|key| self.take(&mut state, Event::Cancelled(key)))
            .is_some()
    }

    /// The client has said who it is.
    pub(super) fn introduced(&self, client: &ClientFacts) {
        self.send(Message::Introduced(Box::new(client.clone())));
        let shell = self.clone();
        if let Some(id) = client.process_id {
            self.inner.runtime.spawn(async move {
                parent::death(id).await;
                shell.inner.orphaned.notify_one();
            });
        }
    }

    /// Resolves when the client's process is gone.
    pub(super) async fn orphaned(&self) {
        self.inner.orphaned.notified().await;
    }

    /// Ends everything; true if the client has said that it goes.
    pub(super) async fn end(&self) -> bool {
        let has_left = self.lock().session.has_left();
        self.handle(Event::Left);
        let begun = Instant::now();
        while begun.elapsed() < ENGINE_STOP && !self.lock().engines.have_ended() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (removed, done) = oneshot::channel();
        self.send(Message::End(removed));
        let _ = tokio::time::timeout(ENGINE_STOP, done).await;
        has_left
    }

    fn take(&self, state: &mut State, event: Event) -> Option<Reading> {
        let mut reading = None;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in state.session.handle(event, Instant::now()) {
                self.perform(state, effect, &mut events, &mut reading);
            }
        }
        let due = state.session.due();
        self.inner.wake.send_if_modified(|at| {
            let changed = *at != due;
            *at = due;
            changed
        });
        reading
    }

    fn perform(
        &self,
        state: &mut State,
        effect: Effect,
        events: &mut VecDeque<Event>,
        reading: &mut Option<Reading>,
    ) {
        let inner = &self.inner;
        match effect {
            Effect::Respond(key, reply) => {
                let at = state.pending.iter().position(|pending| pending.key == key);
                if let Some(at) = at {
                    // A receiver that is gone needs no reply.
                    let _ = state.pending.remove(at).reply.send(reply);
                }
            }
            Effect::FindModels(names) => self.find_models(names),
            Effect::LoadModel(order) => {
                let source = order.source;
                let shell = self.clone();
                let report = Arc::new(move |report| drop(shell.handle(Event::Engine(report))));
                if let Err(error) = state.engines.load(order, report) {
                    let why = format!("the engine thread cannot be started: {error}");
                    events.push_back(Event::Engine(Report::Failed(source, why)));
                }
            }
            Effect::Complete(job) if job.source == Source::ECHO => self.ask_echo(job),
            Effect::Complete(job) => state.engines.post(job),
            Effect::ReadAhead(job) => state.engines.read_ahead(job),
            Effect::StopReading => state.engines.stop_reading(),
            Effect::Act(job) => state.engines.act(job),
            Effect::CancelAction(key) => {
                if state.engines.cancel_action(key) {
                    events.push_back(Event::Engine(Report::Acted(key, ActionEnd::Cancelled)));
                }
            }
            Effect::StopEngines => {
                state.engines.close();
                state.memory.take().inspect(|(_, stop)| stop.cancel());
            }
            Effect::ReadWorkspace(number, folders, bytes_max) => {
                let stop = CancelToken::new();
                let reading = memory::Reading {
                    number,
                    folders,
                    limits: Limits {
                        bytes_max,
                        ..Limits::default()
                    },
                    stop: stop.clone(),
                };
                let orders = match state.memory.take() {
                    Some((orders, last)) => {
                        last.cancel();
                        Some(orders)
                    }
                    None => self.start_memory(),
                };
                state.memory = orders.map(|orders| (orders, stop));
                Self::order(state, Order::Read(reading));
            }
            Effect::LookAt(path) => Self::order(state, Order::Look(path)),
            Effect::ReadProjects(folders) => {
                state.readings += 1;
                *reading = Some(self.read_projects(folders, state.readings));
            }
            Effect::AskAgain(uri, version) => self.send(Message::AskAgain(uri, version)),
            Effect::Count(tally) => self.send(Message::Count(tally)),
            Effect::Status(status) => drop(inner.status.send_replace(status)),
            Effect::PullConfiguration => self.send(Message::Pull),
            Effect::WatchFiles(patterns) => {
                self.send(Message::Watch(patterns));
            }
            Effect::Say(weight, what) => self.send(Message::Say(weight, what)),
            Effect::Progress(key, progress) => self.send(Message::Progress(key, progress)),
            Effect::Deliver(delivery) => self.send(Message::Deliver(delivery)),
        }
    }

    /// Finds the files of models, on a thread that may wait for the disk.
    fn find_models(&self, names: Vec<String>) {
        let shell = self.clone();
        self.inner.runtime.spawn_blocking(move || {
            let found = names.into_iter().filter_map(|name| {
                let source = ModelSource::find(Some(&name)).ok()?;
                Some((name, source.path().ok()?.canonicalize().ok()?))
            });
            shell.handle(Event::ModelsFound(found.collect()));
        });
    }

    /// Lets the user's own lines answer, on a thread of their own: a model may be reading.
    fn ask_echo(&self, job: Job) {
        let shell = self.clone();
        self.inner.runtime.spawn_blocking(move || {
            engine_thread::echo(&job, &|report| drop(shell.handle(Event::Engine(report))));
        });
    }

    /// Starts the thread that reads the workspace. What it tells is taken by another one: it must not
    /// hold the lock with its low priority.
    fn start_memory(&self) -> Option<std::sync::mpsc::Sender<Order>> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let store = memory::Store::of_user();
        let orders = memory::spawn(store, move |recalled| drop(tell.send(recalled)));
        let shell = self.clone();
        self.inner.runtime.spawn(async move {
            while let Some(recalled) = told.recv().await {
                shell.handle(Event::Recalled(Box::new(recalled)));
            }
        });
        orders
            .inspect_err(|error| tracing::warn!(%error, "the workspace is not remembered"))
            .ok()
    }

    fn order(state: &State, order: Order) {
        // A thread that has ended has said why.
        let memory = state.memory.as_ref();
        let _ = memory.map(|(orders, _)| orders.send(order));
    }

    /// Reads the projects' settings on a thread that may wait for the disk.
    fn read_projects(&self, folders: Vec<std::path::PathBuf>, number: u64) -> Reading {
        let (done, reading) = oneshot::channel();
        let shell = self.clone();
        self.inner.runtime.spawn_blocking(move || {
            let files = folders.iter().map(|folder| ProjectFile::read(folder));
            let files = files.collect();
            let mut state = shell.lock();
            if state.readings == number {
                shell.take(&mut state, Event::ProjectsRead(files));
            }
            let _ = done.send(());
        });
        reading
    }

    /// Lets the session know when the moment has come that it waits for.
    async fn keep_time(self) {
        let mut wake = self.inner.wake.subscribe();
        loop {
            let due = *wake.borrow_and_update();
            let come = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return },
                () = come => drop(self.handle(Event::Tick)),
            }
        }
    }

    /// Lets the session know when the machine begins to run on its battery, and when that ends.
    async fn watch_power(self) {
        let mut told = false;
        loop {
            let now = tokio::task::spawn_blocking(power::on_battery).await;
            if let Some(now) = now.ok().filter(|now| *now != told) {
                told = now;
                self.handle(Event::OnBattery(now));
            }
            tokio::select! {
                () = tokio::time::sleep(POWER_LOOK) => {}
                () = self.inner.messages.closed() => return,
            }
        }
    }

    fn send(&self, message: Message) {
        // At the end of the connection nobody is left to send.
        let _ = self.inner.messages.send(message);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of one event; the state is consistent between statements.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
