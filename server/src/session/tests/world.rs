//! A world around a session: a client that keeps its own texts, engines that do what a test says, a clock
//! that goes when told. What must hold after every event is checked here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::{GenerationSummary, Piece, StopReason, TokenScore};
use carat_tests::{NaiveText, Units};
use serde_json::{Value, json};

use crate::completion::{self, Knowledge, Parts, Plan, Scores, mask};
use crate::documents::{Change, Opened};
use crate::generator::ModelFacts;
use crate::mailbox::{ActionEnd, ActionJob, ActionKey, Job, Proposal, Report, Source, WarmJob};
use crate::memory::FILE_BYTES_MAX;
use crate::positions::{Encoding, LineColumn};
use crate::prompt::{Bytes, PromptBudget, PromptForm};
use crate::session::asked::is_secret;
use crate::session::{
    ActionFacts, Answer, ClientFacts, Delivery, Effect, Event, Progress, Reply, Request,
    RequestKey, Session, Wish,
};
use crate::status::Status;

/// A source that is asked beside the model, and heard if the model has nothing.
pub(super) const ECHO: Source = Source::ECHO;

/// Everything of the editor's that is compared with the session's.
pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) texts: BTreeMap<String, NaiveText>,
    units: Units,
    version: i32,
    /// Completions that were started and not ended or replaced, with what they have written.
    pub(super) jobs: Vec<Running>,
    /// What was last to be read ahead.
    pub(super) reading: Option<WarmJob>,
    /// The same of the model for rests.
    pub(super) reading_at_rest: Option<WarmJob>,
    pub(super) actions: Vec<ActionJob>,
    pub(super) requests: BTreeMap<RequestKey, Asked>,
    /// In the order in which they came.
    pub(super) replies: Vec<(RequestKey, Reply)>,
    pub(super) said: Vec<String>,
    /// How often the client was told to ask again.
    pub(super) told_again: usize,
    pub(super) delivered: Vec<Delivery>,
    bars: BTreeMap<ActionKey, Progress>,
    pub(super) reads: usize,
    /// How often the workspace was read.
    pub(super) looks: usize,
    /// The files of models, by their names.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// The models that were loaded, by their names.
    pub(super) loads: Vec<Option<String>>,
    pub(super) statuses: Vec<Status>,
    /// What was counted: shown, taken, saved.
    pub(super) counted: [i64; 3],
    /// What the model knows.
    pub(super) knowledge: Knowledge,
    left: bool,
}

/// A request, and where it was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    uri: String,
    line: u32,
    replied: bool,
}

/// A completion under way.
pub(super) struct Running {
    pub(super) job: Job,
    plan: Option<Arc<Plan>>,
    written: String,
    /// How sure the source is of what it writes.
    pub(super) log_prob: f32,
}

impl World {
    /// A session whose client has introduced itself and whose model is loaded.
    pub(super) fn ready() -> Self {
        Self::with_sources(&[Source::MODEL])
    }

    pub(super) fn with_sources(sources: &[Source]) -> Self {
        let mut world = Self::new(sources.to_vec(), Encoding::Utf8);
        world.introduce(ClientFacts::default());
        world.load(Ok("m"));
        if sources.contains(&ECHO) {
            world.load_source(ECHO, Ok(""));
        }
        world
    }

    /// A session of which nobody has heard.
    pub(super) fn new(sources: Vec<Source>, encoding: Encoding) -> Self {
        Self {
            session: Session::with_sources(None, sources),
            now: Instant::now(),
            texts: BTreeMap::new(),
            units: match encoding {
                Encoding::Utf8 => Units::Utf8,
                Encoding::Utf16 => Units::Utf16,
                Encoding::Utf32 => Units::Utf32,
            },
            version: 0,
            jobs: Vec::new(),
            reading: None,
            reading_at_rest: None,
            actions: Vec::new(),
            requests: BTreeMap::new(),
            replies: Vec::new(),
            said: Vec::new(),
            told_again: 0,
            delivered: Vec::new(),
            bars: BTreeMap::new(),
            reads: 0,
            looks: 0,
            files: BTreeMap::new(),
            loads: Vec::new(),
            statuses: Vec::new(),
            counted: [0; 3],
            knowledge: Knowledge::default(),
            left: false,
        }
    }

    pub(super) fn introduce(&mut self, facts: ClientFacts) {
        self.introduce_with(facts, &json!({}));
    }

    pub(super) fn introduce_with(&mut self, facts: ClientFacts, options: &Value) {
        let introduced = Event::Introduced(Box::new(facts), options.clone(), Vec::new());
        self.happen(introduced);
        self.happen(Event::Listening);
    }

    /// A client that can do everything.
    pub(super) fn able(encoding: Encoding, pulls: bool) -> ClientFacts {
        ClientFacts {
            encoding,
            pulls,
            watches: true,
            asks_again: true,
            actions: ActionFacts {
                apply_edit: true,
                document_changes: true,
                progress: true,
                ..ActionFacts::default()
            },
            ..ClientFacts::default()
        }
    }

    /// The model is loaded, or is not.
    pub(super) fn load(&mut self, model: Result<&str, &str>) {
        self.load_source(Source::MODEL, model);
    }

    /// A source answers from now on, or cannot.
    pub(super) fn load_source(&mut self, source: Source, model: Result<&str, &str>) {
        let facts = |name: &str| ModelFacts {
            name: name.to_owned(),
            tier: "small",
            takes_instructions: true,
        };
        let report = match model {
            Ok(name) => Report::Ready(source, (source == Source::MODEL).then(|| facts(name))),
            Err(why) => Report::Failed(source, why.to_owned()),
        };
        self.happen(Event::Engine(report));
    }

    /// Lets the session take an event, performs its effects, and checks what must hold.
    pub(super) fn happen(&mut self, event: Event) {
        if matches!(event, Event::Left) {
            self.left = true;
        }
        let effects = self.session.handle(event, self.now);
        for effect in effects {
            self.perform(effect);
        }
        self.check();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Respond(key, reply) => self.reply(key, reply),
            Effect::Complete(job) => {
                assert!(!self.left, "nothing begins for a client that goes");
                // The mailbox holds one for a source; what it replaces was stopped.
                self.jobs.retain(|running| {
                    let replaced = running.job.source == job.source;
                    assert!(!replaced || running.job.cancel.is_cancelled());
                    !replaced
                });
                self.jobs.push(Running {
                    job,
                    plan: None,
                    written: String::new(),
                    log_prob: -0.5,
                });
            }
            Effect::ReadAhead(job) if job.source == Source::REST => {
                self.reading_at_rest = Some(job);
            }
            Effect::ReadAhead(job) if job.source != Source::MODEL => {}
            Effect::ReadAhead(job) => self.reading = Some(job),
            Effect::StopReading => self.reading = None,
            Effect::Act(job) => self.actions.push(job),
            Effect::CancelAction(key) => {
                let at = self.actions.iter().position(|job| job.key == key);
                let job = at.map(|at| self.actions.remove(at));
                if let Some(job) = job {
                    assert!(job.cancel.is_cancelled());
                    let acted = Report::Acted(key, ActionEnd::Cancelled);
                    let effects = self.session.handle(Event::Engine(acted), self.now);
                    for effect in effects {
                        self.perform(effect);
                    }
                }
            }
            Effect::Say(_, what) => {
                assert!(!self.left, "a client that goes is told nothing: {what}");
                self.said.push(what);
            }
            Effect::Deliver(delivery) => {
                assert!(!self.left);
                if let Delivery::Edit {
                    document, edits, ..
                } = &*delivery
                {
                    let text = &self.texts[&*document.uri];
                    assert_eq!(document.text.to_string(), text.to_string());
                    assert!(
                        edits
                            .iter()
                            .all(|(range, _)| range.end <= document.text.len_bytes())
                    );
                }
                self.delivered.push(*delivery);
            }
            Effect::Progress(key, step) => {
                let before = self.bars.insert(key, step.clone());
                let fits = match (before, &step) {
                    (None, Progress::Create) | (Some(Progress::Create), Progress::Begin(..)) => {
                        true
                    }
                    (Some(before), Progress::Report(_) | Progress::End(_)) => {
                        matches!(before, Progress::Begin(..) | Progress::Report(_))
                    }
                    _ => false,
                };
                assert!(fits, "{step:?} of {key:?}");
            }
            Effect::ReadProjects(_) => self.reads += 1,
            Effect::ReadWorkspace(..) => self.looks += 1,
            Effect::FindModels(_) => {
                let found = Event::ModelsFound(self.files.clone());
                for effect in self.session.handle(found, self.now) {
                    self.perform(effect);
                }
            }
            Effect::LoadModel(order) => self.loads.push(order.model),
            Effect::Status(status) => self.statuses.push(status),
            Effect::StopEngines
            | Effect::PullConfiguration
            | Effect::WatchFiles(_)
            | Effect::LookAt(_) => {}
            Effect::AskAgain(uri, version) => {
                let document = self.session.documents.snapshot(&uri).expect("open");
                assert_eq!(document.version, version, "of the text as it is");
                self.told_again += 1;
            }
            Effect::Count(tally) => {
                let numbers = [tally.shown, tally.taken, tally.saved];
                for (count, number) in self.counted.iter_mut().zip(numbers) {
                    *count += number;
                }
                assert!(self.counted.iter().all(|count| *count >= 0));
            }
        }
    }

    fn reply(&mut self, key: RequestKey, reply: Reply) {
        let asked = self.requests.get_mut(&key).expect("a request");
        assert!(!asked.replied, "{key:?} is answered twice");
        asked.replied = true;
        if let Reply::Completion(Answer::Shown(shown)) = &reply {
            let text = self.texts.get(&asked.uri).expect("an open document");
            assert_eq!(
                shown.snapshot.text.to_string(),
                text.to_string(),
                "it is stale"
            );
            assert!(!shown.text.is_empty());
            let line = |byte| shown.snapshot.text.byte_to_line(byte) as u32;
            let lines = [
                line(shown.replace.start),
                line(shown.replace.end),
                line(shown.caret),
            ];
            assert_eq!(lines, [asked.line; 3], "its range is on another line");
        }
        self.replies.push((key, reply));
    }

    fn check(&mut self) {
        self.session.requests.assert_invariants();
        self.session.actions.assert_invariants();
        self.session.documents.assert_invariants();
        for document in self.session.documents.iter() {
            let known = {
                let name = self.session.workspace.remembered_as(&document.uri);
                self.session.requests.texts.text(&name)
            };
            let wanted = mask(&document.text.to_string()).into_owned();
            let disabled = self.session.disabled(&document.uri);
            let may = !is_secret(&document.uri)
                && disabled.is_none()
                && document.text.len_bytes() as u64 <= FILE_BYTES_MAX;
            let wanted = may.then_some(wanted);
            assert!(known.map(str::to_owned) == wanted, "{}", document.uri);
        }
        let mut alive = self.jobs.iter().filter(|it| !it.job.cancel.is_cancelled());
        let model = alive.clone().filter(|it| it.job.source == Source::MODEL);
        assert!(model.count() <= 1, "one generation lives at most");
        assert!(
            !self.left || alive.next().is_none(),
            "nothing runs for nobody"
        );
        for (uri, text) in &self.texts {
            let snapshot = self.session.documents.snapshot(uri).expect("open");
            assert_eq!(snapshot.text.to_string(), text.to_string());
        }
        let waits = self.requests.values().any(|asked| !asked.replied);
        assert!(
            !waits || self.session.due().is_some(),
            "somebody waits for ever"
        );
    }

    /// All requests have their replies, nothing runs, nothing is to come.
    pub(super) fn check_end(&self) {
        let unanswered: Vec<_> = self.requests.iter().filter(|(_, it)| !it.replied).collect();
        assert!(unanswered.is_empty(), "{unanswered:?}");
        assert_eq!(self.session.due(), None);
    }

    pub(super) fn open(&mut self, uri: &str, text: &str) {
        self.texts
            .insert(uri.to_owned(), NaiveText::new(text, self.units));
        self.happen(Event::Opened(Opened {
            uri: uri.to_owned(),
            language_id: "rust".to_owned(),
            version: self.version,
            text: text.to_owned(),
        }));
    }

    pub(super) fn close(&mut self, uri: &str) {
        self.texts.remove(uri);
        self.happen(Event::Closed(uri.to_owned()));
    }

    /// Replaces a range of (line, column) positions, or everything.
    pub(super) fn change(&mut self, uri: &str, range: Option<[(u32, u32); 2]>, text: &str) {
        let Some(known) = self.texts.get_mut(uri) else {
            return;
        };
        known.replace(range.map(|[start, end]| start..end), text);
        self.version += 1;
        let at = |(line, column)| LineColumn { line, column };
        let change = Change {
            range: range.map(|[start, end]| at(start)..at(end)),
            text: text.to_owned(),
        };
        let event = Event::Changed(uri.to_owned(), Some(self.version), vec![change]);
        self.happen(event);
    }

    pub(super) fn ask(&mut self, request: Request) -> RequestKey {
        let key = RequestKey(self.requests.len() as u64 + 1);
        let (uri, line) = match &request {
            Request::Complete(wish) => (wish.uri.clone(), wish.at.line),
            _ => (String::new(), 0),
        };
        // Beyond the last line is its end.
        let text = self.texts.get(&uri).map(ToString::to_string);
        let last = text.map_or(0, |text| {
            ropey::Rope::from_str(&text).len_lines() as u32 - 1
        });
        self.requests.insert(
            key,
            Asked {
                uri,
                line: line.min(last),
                replied: false,
            },
        );
        self.happen(Event::Requested(key, request));
        key
    }

    pub(super) fn wish(uri: &str, line: u32, column: u32) -> Wish {
        Wish {
            uri: uri.to_owned(),
            at: LineColumn { line, column },
            menu: false,
            invoked: false,
            selected: None,
        }
    }

    fn running(&mut self, source: Source) -> Option<&mut Running> {
        self.jobs.iter_mut().find(|it| it.job.source == source)
    }

    /// A source takes its job, if it has not, and writes some text; false if it was told to stop.
    pub(super) fn write(&mut self, source: Source, text: &str) -> bool {
        let knowledge = self.knowledge.clone();
        let Some(running) = self.running(source) else {
            return false;
        };
        let key = running.job.key;
        if running.plan.is_none() {
            let around = running.job.caret.around();
            let query = running.job.caret.query(&around);
            let knowledge = &knowledge;
            let budget = PromptBudget::default();
            let plan = Arc::new(completion::plan(
                &query,
                PromptForm::Plain,
                &budget,
                &Parts::default(),
                &Bytes,
                knowledge,
            ));
            running.plan = Some(Arc::clone(&plan));
            self.happen(Event::Engine(Report::Planned(key, plan)));
        }
        let Some(running) = self.running(source) else {
            return false;
        };
        if running.job.cancel.is_cancelled() {
            return false;
        }
        running.written.push_str(text);
        let (so_far, _) = running.proposals();
        let produced = Report::Produced(key, text.to_owned(), so_far);
        self.happen(Event::Engine(produced));
        !self.stopped(source)
    }

    /// A source has other answers for who asked.
    pub(super) fn offer_others(&mut self, source: Source, texts: &[&str]) {
        let Some(running) = self.running(source) else {
            return;
        };
        let others = texts.iter().map(|text| Proposal {
            text: (*text).to_owned(),
            replace_suffix_bytes: 0,
            rewritten_until: 0,
            scores: Scores::default(),
        });
        let report = Report::Others(running.job.key, others.collect());
        self.happen(Event::Engine(report));
    }

    /// A source comes to the end of its text; without a reason it fails.
    pub(super) fn end(&mut self, source: Source, stop: Option<StopReason>) {
        let at = self.jobs.iter().position(|it| it.job.source == source);
        let Some(at) = at else { return };
        let running = self.jobs.remove(at);
        let proposal = running.plan.as_ref().and_then(|_| running.proposals().1);
        let stop = if running.job.cancel.is_cancelled() {
            Some(StopReason::Cancelled)
        } else {
            stop
        };
        let ended = Report::Ended(running.job.key, stop, proposal);
        self.happen(Event::Engine(ended));
    }

    pub(super) fn stopped(&self, source: Source) -> bool {
        let running = self.jobs.iter().find(|it| it.job.source == source);
        running.is_some_and(|running| running.job.cancel.is_cancelled())
    }

    /// An action ends.
    pub(super) fn act(&mut self, key: ActionKey, end: ActionEnd) {
        self.actions.retain(|job| job.key != key);
        self.happen(Event::Engine(Report::Acted(key, end)));
    }

    /// Lets time pass, with every tick that is due in it.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.session.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.happen(Event::Tick);
            let next = self.session.due();
            assert!(
                next.is_none_or(|next| next > self.now),
                "the clock would not stop"
            );
        }
        self.now = end;
    }
}

impl Running {
    /// What can be shown of the text so far, and at its end.
    fn proposals(&self) -> (Option<Proposal>, Option<Proposal>) {
        let plan = self.plan.as_ref().expect("it has begun");
        let mut so_far = None;
        let mut heard = |_: &str, progress: &completion::Progress<'_>| {
            so_far = progress.so_far();
            std::ops::ControlFlow::Continue(())
        };
        let done = completion::run(plan, &mut heard, |on_piece| {
            let scores = [TokenScore::of_model(self.log_prob)];
            let piece = Piece {
                text: &self.written,
                scores: &scores,
            };
            let _ = on_piece(piece);
            Ok(GenerationSummary {
                tokens: vec![0],
                scores: scores.to_vec(),
                ends: vec![self.written.len()],
                text: self.written.clone(),
                prompt_tokens: 0,
                reused_tokens: 0,
                prefill: Duration::ZERO,
                decode: Duration::ZERO,
                stop: StopReason::StopToken,
            })
        });
        let done = done.expect("no engine that could fail");
        (so_far, done.suggestion)
    }
}
