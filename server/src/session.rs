//! The only owner of the server's state: events in, effects out.
//!
//! A session knows no clock, thread, channel, file or protocol: [`Session::handle`] takes what happened
//! and when, changes the state and says what is to be done. The shell around it (`lsp/shell.rs`)
//! performs that. Nothing here looks at whole texts.

mod actions;
mod ahead;
mod asked;
mod candidate;
mod cascade;
mod client;
mod effect;
mod event;
mod governor;
mod menus;
mod query;
mod record;
mod requests;
mod roles;
mod start;
#[cfg(test)]
mod tests;
mod texts;
mod typed;
mod uptake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::StopReason;
use serde_json::Value;

pub use client::{ActionFacts, ClientFacts};
pub use effect::{Delivery, Effect, LoadModel, Progress, Reply, RequestKey, Severity};
pub use event::{ActionChoice, ActionCommand, Event, Request, Wish};
pub use query::{Answer, Query, Selected, Shown};
pub use record::Record;
pub use requests::{BACKGROUND, GRACE, Left, SourceState};

use crate::completion::{Caret, Silence};
use crate::documents::{Documents, SyncFault};
use crate::mailbox::{Report, Source, WarmJob};
use crate::settings::{ContextScope, PROJECT_FILE, Pause, Store};
use crate::status::{ModelState, Status};
use crate::workspace::Workspace;
use actions::Actions;
use ahead::{Ahead, Due};
use menus::Menus;
use requests::{Requests, Wants};
use roles::Roles;
use start::Start;
use texts::Wanted;

/// Nobody snoozes longer than a day.
const SNOOZE_MAX: Duration = Duration::from_hours(24);

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
    menus: Menus,
    status: Status,
    start: Start,
    roles: Roles,
    /// Whose engines compute.
    busy: Vec<Source>,
    /// What the models are doing.
    states: Vec<(Source, ModelState)>,
    on_battery: bool,
    /// Which workspace the echo knows.
    wanted: Wanted,
    /// What is to be said once the client listens; `None` from then on.
    unsaid: Option<Vec<Effect>>,
    told_why_quiet: bool,
    has_left: bool,
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
            menus: Menus::default(),
            status: Status::default(),
            start: Start::Unknown(model),
            roles: Roles::default(),
            busy: Vec::new(),
            states: Vec::new(),
            on_battery: false,
            wanted: Wanted::default(),
            unsaid: Some(Vec::new()),
            told_why_quiet: false,
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
        for effect in &effects {
            if let Effect::Complete(job) = effect
                && job.at_rest
            {
                self.ahead
                    .asked_at_rest(&job.uri, job.caret.at, job.key, now);
            }
        }
        self.read_ahead(now, &mut effects);
        self.tell_why_quiet(&mut effects);
        if !self.settings.user().statistics {
            effects.retain(|effect| !matches!(effect, Effect::Count(_)));
        }
        if !self.client.asks_again {
            effects.retain(|effect| !matches!(effect, Effect::AskAgain(..)));
        }
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
            Start::Unknown(_) | Start::Looking | Start::Done => None,
        };
        let snooze = match self.status.pause {
            Pause::Until(end) if !self.has_left => Some(end),
            _ => None,
        };
        // What is read ahead waits until nobody waits for text.
        let ahead = self.ahead.due().filter(|_| self.requests.is_quiet());
        let requests = self.requests.due();
        let due = [start, snooze, requests, ahead, self.actions.due()];
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
                self.remember_whole(&opened.uri, &opened.text);
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
                        self.menus.edited(&changed);
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
                let remembered = self.workspace.folders();
                self.workspace.change(added, &removed);
                let workspace = &self.workspace;
                self.documents.rename(|uri| workspace.shown(uri));
                // A folder within another changes nothing of what is remembered.
                if workspace.folders() != remembered {
                    self.remember_all();
                    self.remember_workspace(effects);
                }
                self.read_projects(effects);
            }
            Event::FileChanged(path) => {
                if path.file_name().is_some_and(|name| name == PROJECT_FILE) {
                    self.read_projects(effects);
                }
                self.look(&path, effects);
                if !self.client.watches {
                    self.look_again(now, effects);
                }
            }
            Event::Recalled(recalled) => self.recalled(*recalled),
            Event::ModelsFound(files) => self.models_found(&files, effects),
            Event::ProjectsRead(files) => {
                complain(&self.settings.projects(files), effects);
                self.requests.forget_answers();
            }
            Event::Requested(key, request) => self.requested(key, request, now, effects),
            Event::Cancelled(key) => self.requests.cancel(key, now, effects),
            Event::ActionCancelled(key) => self.actions.cancel(key, effects),
            Event::ProgressAllowed(key, allowed) => {
                let facts = self.client.actions;
                self.actions.progress_allowed(key, allowed, facts, effects);
            }
            Event::EditRefused(why) => effects.push(Effect::Say(Severity::Warning, why)),
            Event::OnBattery(on_battery) => self.powered(on_battery),
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

    /// Where there will be nothing in a whole document, the status says why; a client without a place
    /// for that is told once which languages the model knows.
    fn tell_why_quiet(&mut self, effects: &mut Vec<Effect>) {
        if self.status.quiet == self.requests.quiet {
            return;
        }
        self.status.quiet.clone_from(&self.requests.quiet);
        let unknown = self.status.quiet.as_ref();
        let unknown = unknown.filter(|why| matches!(why, Silence::UnknownLanguage { .. }));
        if let Some(why) = unknown.filter(|_| !self.client.status && !self.told_why_quiet) {
            self.told_why_quiet = true;
            effects.push(Effect::Say(Severity::Info, format!("quiet here: {why}")));
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
        self.menus.closed(uri);
    }

    fn configure(&mut self, options: &Value, effects: &mut Vec<Effect>) {
        let before = self.settings.user().clone();
        complain(&self.settings.configure(options), effects);
        if before != *self.settings.user() {
            self.requests.forget_answers();
        }
        // What was said before is not known to hold any more.
        self.requests.quiet = None;
        self.remember_workspace(effects);
        if before.disabled != self.settings.user().disabled {
            self.remember_all();
        }
    }

    fn read_projects(&mut self, effects: &mut Vec<Effect>) {
        let roots = self.workspace.roots().to_vec();
        if roots.is_empty() {
            let complaints = self.settings.projects(Vec::new());
            return complain(&complaints, effects);
        }
        effects.push(Effect::ReadProjects(roots));
    }

    fn requested(
        &mut self,
        key: RequestKey,
        request: Request,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let reply = match request {
            Request::Complete(wish) => {
                return self.complete(key, &wish, Wants::Text, now, effects);
            }
            Request::Why(Some(wish)) => {
                return self.complete(key, &wish, Wants::Record, now, effects);
            }
            Request::Menu(uri) => match self.documents.snapshot(&uri) {
                Some(document) => {
                    self.menus.opened(document.clone());
                    let can_act = self.status.takes_instructions != Some(false);
                    let custom = self.settings.user().actions.clone();
                    Reply::Menu(document, custom, can_act)
                }
                None => Reply::NotOpen,
            },
            Request::Act(order) => {
                match self.action(&order) {
                    Ok(_) if self.has_left => {}
                    Ok((asked, selection, action)) => {
                        let client = (self.roles.actions, self.client.actions);
                        self.actions
                            .begin(asked, selection, action, client, now, effects);
                    }
                    Err(why) => effects.push(Effect::Say(Severity::Warning, why)),
                }
                Reply::Ordered
            }
            Request::LastRecord | Request::Why(None) => {
                return self.requests.read_record(key, effects);
            }
            Request::Toggle => {
                let pause = match self.settings.pause() {
                    Pause::No => Pause::UntilResumed,
                    Pause::UntilResumed | Pause::Until(_) => Pause::No,
                };
                self.pause(pause, now, effects)
            }
            Request::Snooze(time) => {
                let pause = match time {
                    Duration::ZERO => Pause::No,
                    time => Pause::Until(now + time.min(SNOOZE_MAX)),
                };
                self.pause(pause, now, effects)
            }
            Request::SetLanguage(language, enabled) => {
                self.settings.set_language(&language, enabled);
                self.requests.quiet = None;
                Reply::Language(language, enabled)
            }
            Request::Dismiss => {
                self.requests.dismiss();
                Reply::Dismissed
            }
        };
        effects.push(Effect::Respond(key, reply));
    }

    /// Lets an engine read where text will be wanted, if nobody waits for text.
    fn read_ahead(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.requests.is_quiet() {
            return;
        }
        while let Some(due) = self.ahead.take(now) {
            self.read_there(due, now, effects);
        }
    }

    fn read_there(&self, due: Due, now: Instant, effects: &mut Vec<Effect>) {
        let Due {
            uri,
            caret,
            at_rest,
            is_longer,
        } = due;
        let Some(document) = self.documents.snapshot(&uri) else {
            return;
        };
        let path = crate::file_uri::file(&uri);
        let language_id = &document.language_id;
        let settings = self.settings.of_document(path.as_deref(), language_id);
        let is_left_out = self.is_paused(now) || self.left_out(&uri).is_some();
        if is_left_out || !settings.completes(language_id) {
            return;
        }
        let typing = self.roles.typing(language_id);
        let rest = self
            .roles
            .rest(language_id)
            .filter(|_| !self.spares_power());
        let place = Caret {
            at: caret.unwrap_or(0).min(document.text.len_bytes()),
            path: Arc::clone(&document.path),
            language: document.language,
            // What is not shown unasked may still be asked for.
            explicit: true,
            max_tokens: settings.max_tokens,
            language_id: Arc::clone(language_id),
            manners: settings.manners,
            text: document.text,
        };
        let remembered_as: Arc<str> = self.workspace.remembered_as(&uri).into();
        let tells = settings.context == ContextScope::Workspace;
        let typing = Some(typing).filter(|_| !at_rest);
        for source in [typing, rest].into_iter().flatten() {
            effects.push(Effect::ReadAhead(WarmJob {
                source,
                uri: Arc::clone(&uri),
                is_guess: caret.is_none(),
                is_longer,
                caret: place.clone(),
                texts: tells.then(|| self.requests.texts.clone()),
                remembered_as: Arc::clone(&remembered_as),
            }));
        }
    }

    /// Leaves the user alone, or ends that.
    fn pause(&mut self, pause: Pause, now: Instant, effects: &mut Vec<Effect>) -> Reply {
        self.settings.set_pause(pause);
        self.status.pause = pause;
        if pause != Pause::No {
            self.requests.halt(now, effects);
            self.ahead.forget();
            effects.push(Effect::StopReading);
        }
        Reply::Paused(pause != Pause::No)
    }

    /// What every source has for a wish by now, shown or not: for measurements.
    pub fn left(&self, wish: &Wish, now: Instant) -> Vec<Left> {
        let query = self.query(wish, now);
        query.map_or_else(Vec::new, |(query, _)| self.requests.left(&query))
    }

    fn complete(
        &mut self,
        key: RequestKey,
        wish: &Wish,
        wants: Wants,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some((query, silence)) = self.query(wish, now) else {
            return effects.push(Effect::Respond(key, Reply::NotOpen));
        };
        let silence = silence.or(self.has_left.then_some(Silence::Superseded));
        let (uri, caret) = (Arc::clone(&query.snapshot.uri), query.caret);
        let requests = &mut self.requests;
        let generation = requests.submit(key, query, wants, silence, now, effects);
        if let Some(generation) = generation {
            self.ahead.asked(&uri, caret, generation, now);
        }
    }

    fn reported(&mut self, report: Report, now: Instant, effects: &mut Vec<Effect>) {
        let (requests, facts) = (&mut self.requests, self.client.actions);
        match report {
            Report::Ready(source, model) => {
                if let Some(model) = &model {
                    if source == Source::MODEL {
                        self.status.ready(model);
                    }
                    if source == self.roles.actions {
                        self.status.takes_instructions = Some(model.takes_instructions);
                    }
                }
                self.actions.engine_works(source);
                requests.set_state(source, SourceState::Ready(model), now, effects);
                self.model_is(source, self.loaded(source));
            }
            Report::Unloaded(source) => {
                requests.set_state(source, SourceState::Loading, now, effects);
                self.model_is(source, ModelState::Unloaded);
            }
            Report::Failed(source, why) => self.engine_failed(source, why, now, effects),
            Report::Busy(source, is_busy) => {
                self.busy.retain(|other| *other != source);
                if is_busy {
                    self.busy.push(source);
                }
                self.status.busy(!self.busy.is_empty());
                self.model_is(source, self.loaded(source));
            }
            Report::Wrote(source, tokens, time) => {
                requests.wrote(source, tokens, time);
                self.status.wrote(tokens, time);
            }
            Report::Planned(key, plan) => requests.planned(key, plan),
            Report::Produced(key, text, so_far) => {
                self.ahead.has_read(key);
                requests.produced(key, &text, so_far, now, effects);
            }
            Report::Others(key, others) => requests.offered_others(key, others),
            Report::Ended(key, stop, proposal) => {
                if stop != Some(StopReason::Cancelled) {
                    self.ahead.has_read(key);
                }
                requests.ended(key, stop, proposal, now, effects);
            }
            Report::ToRead(uri, caret) => self.ahead.may_be_longer(&uri, caret, now),
            Report::Acting(key, stage) => self.actions.acting(key, stage, now, effects),
            Report::Acted(key, end) => self.actions.ended(key, end, facts, effects),
        }
    }

    /// A source cannot answer: without one of several the user goes on with less, without the one that
    /// answers at every key with nothing.
    fn engine_failed(
        &mut self,
        source: Source,
        why: String,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        tracing::error!(source = source.name, "{why}");
        self.requests
            .set_state(source, SourceState::Failed, now, effects);
        self.actions
            .engine_failed(source, self.client.actions, effects);
        self.model_is(source, ModelState::Error);
        let model = self.roles.models.iter().find(|(of, _)| *of == source);
        if source == Source::MODEL {
            let what = format!("cannot complete code: {why}");
            effects.push(Effect::Say(Severity::Error, what));
            self.status.failed(why);
        } else if let Some((_, Some(name))) = model {
            let what = format!("goes on without the model `{name}`: {why}");
            effects.push(Effect::Say(Severity::Warning, what));
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.start, Start::Awaited(_, until) if until <= now) {
            self.start_model(effects);
        }
        if matches!(self.status.pause, Pause::Until(end) if end <= now) {
            self.pause(Pause::No, now, effects);
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
