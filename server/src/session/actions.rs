//! The code actions under way: what happened to their documents since they began, how far they are, and
//! what comes of them.

use std::ops::Range;
use std::time::{Duration, Instant};

use carat_engine::CancelToken;

use super::client::ActionFacts;
use super::effect::{Delivery, Effect, Progress, Severity};
use super::menus::Asked;
use crate::actions::{Action, Change, Outcome, Request};
use crate::documents::Changed;
use crate::file_uri;
use crate::mailbox::{ACTIONS_MAX, ActionEnd, ActionJob, ActionKey, Source, Stage};

/// Progress is reported this often; a reader needs it no faster.
const REPORT: Duration = Duration::from_millis(500);

/// A client that takes longer to allow progress gets none.
const CREATE: Duration = Duration::from_secs(2);

/// Why there is nothing, where there is no engine.
const NO_MODEL: &str = "there is no model to run it; `carat doctor` says why";

/// The actions under way, in the order of their orders.
#[derive(Debug, Default)]
pub(super) struct Actions {
    entries: Vec<Entry>,
    keys: u64,
    /// Whose models cannot be used.
    failed: Vec<Source>,
}

#[derive(Debug)]
struct Entry {
    key: ActionKey,
    /// Whose model runs it.
    source: Source,
    /// What it was asked of.
    asked: Asked,
    selection: Range<usize>,
    /// What progress bars and views are called.
    title: String,
    is_prose: bool,
    /// Actions before it.
    before: usize,
    closed: bool,
    cancel: CancelToken,
    bar: Bar,
    /// How it ended, while the client still has to say whether it shows progress.
    end: Option<ActionEnd>,
}

/// A progress bar.
#[derive(Clone, Copy, Debug)]
enum Bar {
    None,
    /// The client was asked for one, and has this long.
    Asked(Instant),
    /// It is shown; not told again before the moment, when what is next is told.
    Open(Option<Instant>, Option<Stage>),
}

impl Actions {
    /// Takes an order; without an engine it comes to nothing.
    pub(super) fn begin(
        &mut self,
        asked: Asked,
        selection: Range<usize>,
        action: Action,
        (source, facts): (Source, ActionFacts),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.entries.len();
        let refusal = if self.failed.contains(&source) {
            Some(NO_MODEL.to_owned())
        } else if before >= ACTIONS_MAX {
            Some(format!(
                "{ACTIONS_MAX} code actions are under way; wait for one of them or cancel it"
            ))
        } else {
            None
        };
        if let Some(why) = refusal {
            return effects.push(Effect::Say(Severity::Warning, why));
        }
        self.keys += 1;
        let (key, cancel) = (ActionKey(self.keys), CancelToken::new());
        let (title, is_prose) = (action.title().to_owned(), action.is_prose());
        let request = Request {
            action,
            path: asked.then.path.to_string(),
            language: asked.then.language,
            text: asked.then.text.clone(),
            selection: selection.clone(),
        };
        let job = ActionJob::new(key, source, request, cancel.clone());
        effects.push(Effect::Act(job));
        let mut bar = Bar::None;
        if facts.progress {
            effects.push(Effect::Progress(key, Progress::Create));
            bar = Bar::Asked(now + CREATE);
        }
        self.entries.push(Entry {
            key,
            source,
            asked,
            selection,
            title,
            is_prose,
            before,
            closed: false,
            cancel,
            bar,
            end: None,
        });
    }

    /// A document changed.
    pub(super) fn edited(&mut self, changed: &Changed) {
        for entry in self.of_document(&changed.now.uri) {
            entry.asked.edited(changed);
        }
    }

    /// A document was closed: what was to change in it ends.
    pub(super) fn closed(&mut self, uri: &str, effects: &mut Vec<Effect>) {
        for entry in self.of_document(uri) {
            entry.closed = true;
            if !entry.is_prose {
                entry.cancel.cancel();
                effects.push(Effect::CancelAction(entry.key));
            }
        }
    }

    /// The user takes an action back.
    pub(super) fn cancel(&mut self, key: ActionKey, effects: &mut Vec<Effect>) {
        if let Some(entry) = self.entry(key) {
            entry.cancel.cancel();
            effects.push(Effect::CancelAction(key));
        }
    }

    /// The model of a source can be used.
    pub(super) fn engine_works(&mut self, source: Source) {
        self.failed.retain(|failed| *failed != source);
    }

    /// The model of a source cannot be used.
    pub(super) fn engine_failed(
        &mut self,
        source: Source,
        facts: ActionFacts,
        effects: &mut Vec<Effect>,
    ) {
        self.engine_works(source);
        self.failed.push(source);
        let of_source = self.entries.iter().filter(|entry| entry.source == source);
        let keys: Vec<ActionKey> = of_source.map(|entry| entry.key).collect();
        for key in keys {
            self.ended(key, ActionEnd::Failed(NO_MODEL.to_owned()), facts, effects);
        }
    }

    /// The client goes away, and is told nothing more.
    pub(super) fn halt(&mut self) {
        for entry in self.entries.drain(..) {
            entry.cancel.cancel();
        }
    }

    /// The client shows progress, or will not.
    pub(super) fn progress_allowed(
        &mut self,
        key: ActionKey,
        allowed: bool,
        facts: ActionFacts,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.entry(key) else { return };
        if !matches!(entry.bar, Bar::Asked(_)) {
            return;
        }
        entry.bar = Bar::None;
        if allowed {
            let message = match entry.before {
                0 => report(Stage::Reading),
                1 => "waiting for another action".to_owned(),
                many => format!("waiting for {many} other actions"),
            };
            let title = format!("Carat: {}", entry.title);
            effects.push(Effect::Progress(key, Progress::Begin(title, message)));
            entry.bar = Bar::Open(None, None);
        }
        if let Some(end) = entry.end.take() {
            self.ended(key, end, facts, effects);
        }
    }

    /// An action gets ahead.
    pub(super) fn acting(
        &mut self,
        key: ActionKey,
        stage: Stage,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.entry(key) else { return };
        let Bar::Open(quiet_until, next) = &mut entry.bar else {
            return;
        };
        if quiet_until.is_some_and(|until| now < until) {
            *next = Some(stage);
            return;
        }
        entry.bar = Bar::Open(Some(now + REPORT), None);
        effects.push(Effect::Progress(key, Progress::Report(report(stage))));
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant, facts: ActionFacts, effects: &mut Vec<Effect>) {
        for key in self.keys() {
            let bar = self.entry(key).map(|entry| entry.bar);
            match bar {
                Some(Bar::Asked(until)) if until <= now => {
                    self.progress_allowed(key, false, facts, effects);
                }
                Some(Bar::Open(Some(until), Some(stage))) if until <= now => {
                    self.acting(key, stage, now, effects);
                }
                _ => {}
            }
        }
    }

    /// When [`Self::tick`] is next to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.entries.iter().filter_map(|entry| match entry.bar {
            Bar::Asked(until) | Bar::Open(Some(until), Some(_)) => Some(until),
            Bar::None | Bar::Open(..) => None,
        });
        due.min()
    }

    /// An action has ended; what comes of it goes to the user, once it is known whether there is a bar.
    pub(super) fn ended(
        &mut self,
        key: ActionKey,
        end: ActionEnd,
        facts: ActionFacts,
        effects: &mut Vec<Effect>,
    ) {
        let Some(at) = self.entries.iter().position(|entry| entry.key == key) else {
            return;
        };
        if matches!(self.entries[at].bar, Bar::Asked(_)) {
            self.entries[at].end = Some(end);
            return;
        }
        let entry = self.entries.remove(at);
        if let Bar::Open(..) = entry.bar {
            let last = (end == ActionEnd::Cancelled).then_some("cancelled");
            effects.push(Effect::Progress(key, Progress::End(last)));
        }
        effects.extend(entry.outcome(end, facts));
    }

    /// Panics if the state contradicts itself; for tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        assert!(self.entries.len() <= ACTIONS_MAX);
        for entry in &self.entries {
            let is_asked = matches!(entry.bar, Bar::Asked(_));
            assert!(entry.end.is_none() || is_asked, "what has ended is told");
        }
    }

    fn keys(&self) -> Vec<ActionKey> {
        self.entries.iter().map(|entry| entry.key).collect()
    }

    fn entry(&mut self, key: ActionKey) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    /// Actions on a document that is still the one that they were asked of.
    fn of_document(&mut self, uri: &str) -> impl Iterator<Item = &mut Entry> {
        self.entries
            .iter_mut()
            .filter(move |entry| !entry.closed && *entry.asked.now.uri == *uri)
    }
}

impl Entry {
    /// What the user gets.
    fn outcome(self, end: ActionEnd, facts: ActionFacts) -> Option<Effect> {
        let warn = |what: String| Some(Effect::Say(Severity::Warning, what));
        let closed = "the document was closed before the action was done; nothing was changed";
        match end {
            ActionEnd::Outcome(Outcome::Prose(prose), _) => {
                let title = format!("{} {}", self.title, file_uri::name(&self.asked.then.uri));
                Some(self.show(title, prose))
            }
            ActionEnd::Outcome(Outcome::NewFile { name, text }, _) => {
                Some(Effect::Deliver(Box::new(Delivery::NewFile {
                    title: self.title,
                    name,
                    text,
                    about: (self.asked.then, self.selection),
                })))
            }
            ActionEnd::Outcome(Outcome::Unchanged, _) => {
                let what = "the model left the code as it is".to_owned();
                Some(Effect::Say(Severity::Info, what))
            }
            ActionEnd::Refused(refusal) => warn(refusal.to_string()),
            ActionEnd::Unusable(fault) => warn(format!(
                "the model's answer cannot be used, twice: {fault}; nothing was changed. Try a smaller selection or other words"
            )),
            ActionEnd::Cancelled | ActionEnd::Outcome(Outcome::Change(_), _) if self.closed => {
                warn(closed.to_owned())
            }
            ActionEnd::Outcome(Outcome::Change(change), hunks) => {
                Some(self.edit(&change, &hunks, facts))
            }
            ActionEnd::Cancelled => None,
            ActionEnd::Failed(what) => Some(Effect::Say(Severity::Error, what)),
        }
    }

    /// Edits the document where the code stands now, or says why not.
    fn edit(self, change: &Change, hunks: &[(Range<usize>, String)], facts: ActionFacts) -> Effect {
        let Some(range) = self.asked.since.moved(&change.range) else {
            let what =
                "the code was edited while the action ran; nothing was changed. Run it again";
            return Effect::Say(Severity::Warning, what.to_owned());
        };
        if !facts.apply_edit {
            let fence = crate::markdown::fence_for(&[&change.text]);
            let markdown = format!(
                "This editor does not let servers edit (`workspace/applyEdit`). The new code:\n\n{fence}{}\n{}\n{fence}",
                self.asked.then.language_id, change.text
            );
            let title = self.title.clone();
            return self.show(title, markdown);
        }
        let moved = |at: usize| at - change.range.start + range.start;
        let edits = hunks
            .iter()
            .map(|(part, text)| (moved(part.start)..moved(part.end), text.clone()));
        Effect::Deliver(Box::new(Delivery::Edit {
            title: self.title,
            document: self.asked.now,
            edits: edits.collect(),
        }))
    }

    fn show(self, title: String, markdown: String) -> Effect {
        Effect::Deliver(Box::new(Delivery::Show {
            title,
            markdown,
            about: (self.asked.then, self.selection),
        }))
    }
}

fn report(stage: Stage) -> String {
    match stage {
        Stage::Reading => "reading the code".to_owned(),
        Stage::Writing(pieces) => format!("writing, token {pieces}"),
        Stage::Paused => "paused for a completion".to_owned(),
    }
}
