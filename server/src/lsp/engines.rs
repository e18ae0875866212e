//! The models of this process: a mailbox and a thread for each source that has one.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use carat_engine::RightOfWay;

use crate::engine_thread::Worker;
use crate::generator;
use crate::mailbox::{ActionJob, ActionKey, Job, Mailbox, Reporter, Source, WarmJob};
use crate::session::LoadModel;

/// All models. What is posted for one that is not loaded yet waits for it.
#[derive(Default)]
pub(super) struct Engines {
    all: Vec<Engine>,
    /// One of them computes at a time.
    way: RightOfWay,
    closed: bool,
}

struct Engine {
    source: Source,
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl Engines {
    /// Loads the model of a source, and lets it work.
    pub(super) fn load(&mut self, order: LoadModel, report: Reporter) -> std::io::Result<()> {
        let way = self.way.clone();
        let engine = self.engine(order.source);
        let worker = Worker {
            source: order.source,
            load: Box::new(move || {
                generator::load(order.model.as_deref(), order.threads, order.kv_cache)
            }),
            unload_after: order.unload_after.map(idle_time),
            patient: order.patient,
            mailbox: Arc::clone(&engine.mailbox),
            report,
            way,
        };
        engine.thread = Some(worker.spawn()?);
        Ok(())
    }

    pub(super) fn post(&mut self, job: Job) {
        self.engine(job.source).mailbox.post(job);
    }

    pub(super) fn act(&mut self, job: ActionJob) {
        self.engine(job.source).mailbox.post_action(job);
    }

    pub(super) fn read_ahead(&mut self, job: WarmJob) {
        self.engine(job.source).mailbox.post_background(job);
    }

    pub(super) fn stop_reading(&self) {
        for engine in &self.all {
            engine.mailbox.stop_background();
        }
    }

    /// True if the action waited, and will not report.
    pub(super) fn cancel_action(&self, key: ActionKey) -> bool {
        let mut engines = self.all.iter();
        engines.any(|engine| engine.mailbox.cancel_action(key))
    }

    /// Lets no engine work any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for engine in &self.all {
            engine.mailbox.close();
        }
    }

    /// Whether all threads have ended.
    pub(super) fn have_ended(&self) -> bool {
        let mut threads = self.all.iter().filter_map(|it| it.thread.as_ref());
        threads.all(JoinHandle::is_finished)
    }

    fn engine(&mut self, source: Source) -> &mut Engine {
        let at = self.all.iter().position(|it| it.source == source);
        let at = at.unwrap_or_else(|| {
            let mailbox = Arc::<Mailbox>::default();
            if self.closed {
                mailbox.close();
            }
            self.all.push(Engine {
                source,
                mailbox,
                thread: None,
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }
}

/// How long a model is kept without work. Tests cannot wait for minutes.
fn idle_time(time: Duration) -> Duration {
    #[cfg(feature = "testing")]
    if let Some(ms) = std::env::var("CARAT_TEST_UNLOAD_MS")
        .ok()
        .and_then(|ms| ms.parse().ok())
    {
        return Duration::from_millis(ms);
    }
    time
}
