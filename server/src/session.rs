//! The only owner of the server's state: events in, effects out.
//!
//! A session knows no clock, thread, channel, file or protocol: [`Session::handle`] takes what happened
//! and when, changes the state and says what is to be done. The shell around it (`lsp/shell.rs`)
//! performs that. Nothing here looks at whole texts.

mod actions;
mod ahead;
mod candidate;
mod client;
mod effect;
mod event;
mod query;
mod record;
mod requests;
#[cfg(test)]
mod tests;
mod texts;
mod typed;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::StopReason;
use serde_json::Value;

pub use client::{ActionFacts, ClientFacts};
pub use effect::{Delivery, Effect, Progress, Reply, RequestKey, Severity};
pub use event::{ActionChoice, ActionCommand, Event, Request, Wish};
pub use query::{Answer, Query, Selected, Shown};
pub use record::Record;
pub use requests::{BACKGROUND, GRACE, SourceState};

use crate::actions::Action;
use crate::completion::Caret;
use crate::documents::{Documents, Snapshot, SyncFault};
use crate::mailbox::{Report, Source, WarmJob};
use crate::positions::{self, LineColumn};
use crate::settings::{PROJECT_FILE, Store, Trigger};
use crate::status::Status;
use crate::workspace::Workspace;
use actions::Actions;
use ahead::{Ahead, Due};
use requests::Requests;
use texts::Wanted;

/// How long the model waits for the configuration of a client that is asked for it. Clients answer in
/// milliseconds; one that does not is served with what it said at first.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(1);

/// The state of the server.
#[derive(Debug)]
pub struct Session {
    documents: Documents,
    workspace: Workspace,
    settings: Store,
    client: ClientFacts,
    requests: Requests,
    ahead: Ahead,
    actions: Actions,
    status: Status,
    start: Start,
    /// Which workspace the echo knows.
    wanted: Wanted,
    /// What is to be said once the client listens; `None` from then on.
    unsaid: Option<Vec<Effect>>,
    has_left: bool,
}

/// How the model is started: once, when it is known which.
#[derive(Debug)]
enum Start {
    /// The client has not said anything; the command line may have named a model.
    Unknown(Option<String>),
    /// The client is asked for its configuration, and has this long.
    Awaited(Option<String>, Instant),
    Done,
}

impl Session {
    /// A session with the model that the command line names; it wins over the client's setting.
    pub fn new(model: Option<String>) -> Self {
        Self::with_sources(model, vec![Source::MODEL, Source::ECHO])
    }

    /// A session that asks these sources for text.
    pub fn with_sources(model: Option<String>, sources: Vec<Source>) -> Self {
        Self {
            documents: Documents::default(),
            workspace: Workspace::default(),
            settings: Store::default(),
            client: ClientFacts::default(),
            requests: Requests::new(sources),
            ahead: Ahead::default(),
            actions: Actions::default(),
            status: Status::default(),
            start: Start::Unknown(model),
            wanted: Wanted::default(),
            unsaid: Some(Vec::new()),
            has_left: false,
        }
    }

    /// Takes what happened; what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let status = self.status.clone();
        self.take(event, now, &mut effects);
        if self.has_left {
            self.ahead.forget();
        }
        self.read_ahead(now, &mut effects);
        if self.status != status && self.unsaid.is_none() {
            effects.push(Effect::Status(self.status.clone()));
        }
        if self.has_left {
            // A client that goes gets its replies and is told nothing more.
            let remains =
                |effect: &Effect| matches!(effect, Effect::Respond(..) | Effect::StopEngines);
            effects.retain(remains);
        }
        if let Some(unsaid) = &mut self.unsaid {
            let unsayable = |effect: &mut Effect| matches!(effect, Effect::Say(..));
            unsaid.extend(effects.extract_if(.., unsayable));
        }
        effects
    }

    /// When [`Event::Tick`] is next to come, if nothing else does before.
    pub fn due(&self) -> Option<Instant> {
        let start = match &self.start {
            Start::Awaited(_, until) => Some(*until),
            Start::Unknown(_) | Start::Done => None,
        };
        // What is read ahead waits until nobody waits for text.
        let ahead = self.ahead.due().filter(|_| self.requests.is_quiet());
        let due = [start, self.requests.due(), ahead, self.actions.due()];
        due.into_iter().flatten().min()
    }

    /// Whether the client has said that it goes away.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    fn take(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            Event::Introduced(client, options, folders) => {
                self.client = *client;
                self.workspace = Workspace::new(folders);
                let complaints = self.settings.initialize(&options);
                complain(&complaints, effects);
                self.read_projects(effects);
                self.first_start(now, effects);
            }
            Event::Listening => self.listening(effects),
            Event::Opened(opened) => {
                self.closed(&opened.uri, now, effects);
                let name = self.workspace.remembered_as(&opened.uri);
                self.remember_whole(&name, &opened.text);
                let path = self.workspace.shown(&opened.uri);
                let uri = opened.uri.clone();
                self.documents.open(opened, &path);
                if let Some(document) = self.documents.snapshot(&uri) {
                    self.ahead.opened(&document, now);
                }
            }
            Event::Changed(uri, version, changes) => {
                let encoding = self.client.encoding;
                match self.documents.change(&uri, version, &changes, encoding) {
                    Ok(changed) => {
                        if changed.version_went_back {
                            tracing::warn!(uri, to = changed.now.version, "a version went back");
                        }
                        self.remember(&changed);
                        self.requests.edited(&changed, now, effects);
                        self.ahead.edited(&changed, now);
                        self.actions.edited(&changed);
                    }
                    Err(SyncFault::NotOpen) => {
                        tracing::debug!(uri, "an edit of a document that is not open is ignored");
                    }
                }
            }
            Event::Closed(uri) => {
                self.closed(&uri, now, effects);
                if self.documents.close(&uri) {
                    self.forget(&uri, effects);
                }
            }
            Event::Configured(_) if self.client.pulls => effects.push(Effect::PullConfiguration),
            Event::Configured(options) => self.configure(&options, effects),
            Event::Pulled(options) => {
                if let Some(options) = options {
                    self.configure(&options, effects);
                }
                self.start_model(effects);
            }
            Event::FoldersChanged(added, removed) => {
                self.workspace.change(added, &removed);
                let workspace = &self.workspace;
                self.documents.rename(|uri| workspace.shown(uri));
                self.remember_all();
                self.remember_workspace(effects);
                self.read_projects(effects);
            }
            Event::FileChanged(path) => {
                if path.file_name().is_some_and(|name| name == PROJECT_FILE) {
                    self.read_projects(effects);
                }
                self.look(&path, effects);
            }
            Event::Recalled(recalled) => self.recalled(*recalled),
            Event::ProjectsRead(files) => complain(&self.settings.projects(files), effects),
            Event::Requested(key, request) => self.requested(key, request, now, effects),
            Event::Cancelled(key) => self.requests.cancel(key, now, effects),
            Event::ActionCancelled(key) => self.actions.cancel(key, effects),
            Event::ProgressAllowed(key, allowed) => {
                let facts = self.client.actions;
                self.actions.progress_allowed(key, allowed, facts, effects);
            }
            Event::EditRefused(why) => effects.push(Effect::Say(Severity::Warning, why)),
            Event::Engine(report) => self.reported(report, now, effects),
            Event::Tick => self.tick(now, effects),
            Event::Left => {
                self.has_left = true;
                self.requests.halt(now, effects);
                self.actions.halt();
                self.start = Start::Done;
                effects.push(Effect::StopEngines);
            }
        }
    }

    fn listening(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.unsaid.take().into_iter().flatten());
        effects.push(Effect::Status(self.status.clone()));
        if self.client.pulls {
            effects.push(Effect::PullConfiguration);
        }
        if self.client.watches {
            // Which files are remembered is decided here: editors know no `.gitignore` in patterns.
            effects.push(Effect::WatchFiles(vec!["**/*".to_owned()]));
        }
    }

    fn closed(&mut self, uri: &str, now: Instant, effects: &mut Vec<Effect>) {
        self.requests.closed(uri, now, effects);
        self.ahead.closed(uri);
        self.actions.closed(uri, effects);
    }

    fn configure(&mut self, options: &Value, effects: &mut Vec<Effect>) {
        complain(&self.settings.configure(options), effects);
        self.remember_workspace(effects);
    }

    fn read_projects(&mut self, effects: &mut Vec<Effect>) {
        let roots = self.workspace.roots().to_vec();
        if roots.is_empty() {
            let complaints = self.settings.projects(Vec::new());
            return complain(&complaints, effects);
        }
        effects.push(Effect::ReadProjects(roots));
    }

    fn first_start(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Start::Unknown(model) = &mut self.start {
            self.start = Start::Awaited(model.take(), now + FIRST_CONFIGURATION);
            if !self.client.pulls {
                self.start_model(effects);
            }
        }
    }

    fn start_model(&mut self, effects: &mut Vec<Effect>) {
        if let Start::Awaited(model, _) = &mut self.start {
            let (named, settings) = (model.take(), self.settings.start());
            effects.push(Effect::LoadModel(
                Source::MODEL,
                named.or(settings.model),
                settings.threads,
            ));
            self.start = Start::Done;
            self.remember_workspace(effects);
        }
    }

    fn requested(
        &mut self,
        key: RequestKey,
        request: Request,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let reply = match request {
            Request::Complete(wish) => match self.query(&wish) {
                Ok(query) if !self.has_left => {
                    let (uri, caret) = (Arc::clone(&query.snapshot.uri), query.caret);
                    if let Some(generation) = self.requests.submit(key, query, now, effects) {
                        self.ahead.asked(&uri, caret, generation, now);
                    }
                    return;
                }
                Ok(_) => Reply::Completion(Answer::Empty),
                Err(reply) => reply,
            },
            Request::Menu(uri) => match self.documents.snapshot(&uri) {
                Some(document) => Reply::Menu(document, self.settings.user().actions.clone()),
                None => Reply::NotOpen,
            },
            Request::Act(order) => {
                match self.action(&order) {
                    Ok(_) if self.has_left => {}
                    Ok((document, selection, action)) => {
                        let has_engine =
                            self.requests.state(Source::MODEL) != Some(&SourceState::Failed);
                        let client = (has_engine, self.client.actions);
                        self.actions
                            .begin(document, selection, action, client, now, effects);
                    }
                    Err(why) => effects.push(Effect::Say(Severity::Warning, why)),
                }
                Reply::Ordered
            }
            Request::LastRecord => return self.requests.read_record(key, effects),
            Request::Toggle => {
                self.status.paused = self.settings.toggle();
                if self.status.paused {
                    self.requests.halt(now, effects);
                    self.ahead.forget();
                    effects.push(Effect::StopReading);
                }
                Reply::Paused(self.status.paused)
            }
        };
        effects.push(Effect::Respond(key, reply));
    }

    /// What a wish for text asks of the sources, or the reply without them.
    fn query(&self, wish: &Wish) -> Result<Query, Reply> {
        let snapshot = self.documents.snapshot(&wish.uri).ok_or(Reply::NotOpen)?;
        // A menu's trigger kind 1 is any typing; only ghost text tells whether the user asked.
        let explicit = wish.invoked && !wish.menu;
        let path = crate::file_uri::path(&wish.uri);
        let settings = self
            .settings
            .of_document(path.as_deref(), &snapshot.language_id);
        let in_time = explicit || wish.menu || settings.trigger == Trigger::Automatic;
        if !in_time || !settings.completes(&snapshot.language_id) {
            return Err(Reply::Completion(Answer::Empty));
        }
        let deadline = match (wish.menu, explicit) {
            (true, _) => settings.menu_deadline,
            (false, true) => settings.explicit_deadline,
            (false, false) => settings.deadline,
        };
        let caret = self.offset(&snapshot, wish.at);
        let selected = wish.selected.as_ref().filter(|_| !wish.menu);
        let selected = selected.map(|(range, text)| Selected {
            range: self.offset(&snapshot, range.start)..self.offset(&snapshot, range.end),
            text: text.clone(),
        });
        // An entry that would replace anything else than what was begun on the caret's line is none.
        let begun = |selected: &Selected| {
            selected.range.start <= selected.range.end
                && selected.range.end == caret
                && snapshot.text.byte_to_line(selected.range.start)
                    == snapshot.text.byte_to_line(caret)
        };
        Ok(Query {
            caret,
            selected: selected.filter(begun),
            explicit,
            deadline,
            // A menu shows nothing of anyone before all have answered.
            patience: if wish.menu {
                Duration::ZERO
            } else {
                BACKGROUND
            },
            max_tokens: settings.max_tokens,
            manners: settings.manners,
            remembered_as: self.workspace.remembered_as(&wish.uri).into(),
            snapshot,
        })
    }

    /// Lets an engine read where text will be wanted, if nobody waits for text.
    fn read_ahead(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.requests.is_quiet() {
            return;
        }
        let Some(Due { uri, caret }) = self.ahead.take(now) else {
            return;
        };
        let Some(document) = self.documents.snapshot(&uri) else {
            return;
        };
        let path = crate::file_uri::path(&uri);
        let language_id = &document.language_id;
        let settings = self.settings.of_document(path.as_deref(), language_id);
        if !settings.completes(language_id) {
            return;
        }
        effects.push(Effect::ReadAhead(WarmJob {
            uri,
            is_guess: caret.is_none(),
            caret: Caret {
                at: caret.unwrap_or(0).min(document.text.len_bytes()),
                path: Arc::clone(&document.path),
                language: document.language,
                // What is not shown unasked may still be asked for.
                explicit: true,
                max_tokens: settings.max_tokens,
                language_id: Arc::clone(language_id),
                manners: settings.manners,
                text: document.text,
            },
        }));
    }

    /// The action that is ordered, or why there is none.
    fn action(&self, order: &ActionCommand) -> Result<(Snapshot, Range<usize>, Action), String> {
        let document = self.documents.snapshot(&order.uri);
        let document =
            document.ok_or_else(|| "the document is not open in this editor".to_owned())?;
        if order
            .version
            .is_some_and(|version| version != document.version)
        {
            return Err(
                "the document has changed since the menu was opened; open it again".to_owned(),
            );
        }
        let selection = self.offsets(&document, &order.range);
        let action = match &order.choice {
            ActionChoice::Action(action) => action.clone(),
            ActionChoice::Fix(message, range) => Action::Fix {
                message: message.clone(),
                at: range
                    .as_ref()
                    .map_or_else(|| selection.clone(), |range| self.offsets(&document, range)),
            },
            ActionChoice::Custom(title) => {
                let known = &self.settings.user().actions;
                let known = known.iter().find(|action| action.title == *title);
                let known =
                    known.ok_or_else(|| format!("the settings have no action `{title}`"))?;
                Action::Custom(known.clone())
            }
        };
        Ok((document, selection, action))
    }

    fn offset(&self, document: &Snapshot, at: LineColumn) -> usize {
        positions::offset(&document.text, self.client.encoding, at)
    }

    /// A range in bytes, its ends in order.
    fn offsets(&self, document: &Snapshot, range: &Range<LineColumn>) -> Range<usize> {
        let a = self.offset(document, range.start);
        let b = self.offset(document, range.end);
        a.min(b)..a.max(b)
    }

    fn reported(&mut self, report: Report, now: Instant, effects: &mut Vec<Effect>) {
        let (requests, facts) = (&mut self.requests, self.client.actions);
        match report {
            Report::Ready(source, model) => {
                if let Some(model) = model.as_ref().filter(|_| source == Source::MODEL) {
                    self.status.ready(model);
                }
                requests.set_state(source, SourceState::Ready(model), now, effects);
            }
            Report::Failed(source, why) => {
                tracing::error!(source = source.name, "{why}");
                requests.set_state(source, SourceState::Failed, now, effects);
                // Without another source the user goes on with less; without the model, with nothing.
                if source == Source::MODEL {
                    self.actions.engine_failed(facts, effects);
                    let what = format!("cannot complete code: {why}");
                    effects.push(Effect::Say(Severity::Error, what));
                    self.status.failed(why);
                }
            }
            Report::Busy(is_busy) => self.status.busy(is_busy),
            Report::Wrote(tokens, time) => self.status.wrote(tokens, time),
            Report::Planned(key, plan) => requests.planned(key, plan),
            Report::Produced(key, text, so_far) => {
                self.ahead.has_read(key);
                requests.produced(key, &text, so_far, now, effects);
            }
            Report::Ended(key, stop, proposal) => {
                if stop != Some(StopReason::Cancelled) {
                    self.ahead.has_read(key);
                }
                requests.ended(key, stop, proposal, now, effects);
            }
            Report::Acting(key, stage) => self.actions.acting(key, stage, now, effects),
            Report::Acted(key, end) => self.actions.ended(key, end, facts, effects),
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.start, Start::Awaited(_, until) if until <= now) {
            self.start_model(effects);
        }
        self.requests.tick(now, effects);
        self.actions.tick(now, self.client.actions, effects);
    }
}

/// Tells the user what is wrong with the settings.
fn complain(complaints: &[String], effects: &mut Vec<Effect>) {
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    if !complaints.is_empty() {
        effects.push(Effect::Say(Severity::Warning, complaints.join("; ")));
    }
}
