//! The actions under way: what happened to their documents since they began, and who takes them back.
//!
//! Ingress calls in wire order; the tasks that deliver ask once, at the end.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carat_engine::CancelToken;
use carat_grammars::languages;

use crate::actions::change::Drift;
use crate::actions::{Action, Request};
use crate::documents::{Changed, Snapshot};
use crate::engine_thread::action::{ActionJob, ActionKey, ActionWatch};
use crate::engine_thread::{self, ACTIONS_MAX, Mailbox, NotTaken};

/// The shared book. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::lsp) struct ActionBook {
    state: Arc<Mutex<State>>,
    mailbox: Arc<Mailbox>,
}

#[derive(Debug, Default)]
struct State {
    keys: u64,
    entries: HashMap<ActionKey, Entry>,
    halted: bool,
}

#[derive(Debug)]
struct Entry {
    now: Snapshot,
    drift: Drift,
    closed: bool,
    is_prose: bool,
    cancel: CancelToken,
}

/// An action that was queued.
#[derive(Debug)]
pub(in crate::lsp) struct Begun {
    pub(super) key: ActionKey,
    /// What it was asked of.
    pub(super) asked: Snapshot,
    pub(super) selection: Range<usize>,
    /// What progress bars and views are called.
    pub(super) title: String,
    /// Actions before it.
    pub(super) before: usize,
    pub(super) watch: ActionWatch,
}

/// A document at the end of an action.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) now: Snapshot,
    pub(super) drift: Drift,
    pub(super) closed: bool,
    /// The client goes away: it is told nothing more.
    pub(super) halted: bool,
}

/// How tokens of progress begin; the key follows.
const TOKEN: &str = "carat/action/";

/// The progress token of an action.
pub(super) fn token(key: ActionKey) -> String {
    format!("{TOKEN}{}", key.0)
}

impl ActionBook {
    pub(in crate::lsp) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            state: Arc::default(),
            mailbox,
        }
    }

    /// Queues an action on a document; the error is for the user.
    pub(in crate::lsp) fn begin(
        &self,
        asked: Snapshot,
        selection: Range<usize>,
        action: Action,
    ) -> Result<Begun, String> {
        let path = engine_thread::file_name(&asked.uri).to_owned();
        let language =
            languages::by_id(&asked.language_id).or_else(|| languages::by_path(path.as_ref()));
        let (title, is_prose) = (action.title().to_owned(), action.is_prose());
        let request = Request {
            action,
            path,
            language,
            text: asked.text.clone(),
            selection: selection.clone(),
        };
        let mut state = self.lock();
        state.keys += 1;
        let (key, cancel) = (ActionKey(state.keys), CancelToken::new());
        let (job, watch) = ActionJob::new(key, request, cancel.clone());
        let before = self.mailbox.post_action(job).map_err(|why| match why {
            NotTaken::Full => {
                format!(
                    "{ACTIONS_MAX} code actions are under way; wait for one of them or cancel it"
                )
            }
            NotTaken::Closed => "there is no model to run it; `carat doctor` says why".to_owned(),
        })?;
        let entry = Entry {
            now: asked.clone(),
            drift: Drift::default(),
            closed: false,
            is_prose,
            cancel,
        };
        state.entries.insert(key, entry);
        Ok(Begun {
            key,
            asked,
            selection,
            title,
            before,
            watch,
        })
    }

    /// A document changed.
    pub(in crate::lsp) fn edited(&self, changed: &Changed) {
        for entry in self.lock().of(&changed.now.uri) {
            for edit in &changed.edits {
                entry.drift.edited(edit);
            }
            entry.now = changed.now.clone();
        }
    }

    /// A document was closed: what was to change in it ends.
    pub(in crate::lsp) fn closed(&self, uri: &str) {
        let mut state = self.lock();
        for entry in state.of(uri) {
            entry.closed = true;
        }
        let ending: Vec<ActionKey> = state
            .entries
            .iter()
            .filter(|(_, entry)| entry.closed && !entry.is_prose)
            .map(|(key, _)| *key)
            .collect();
        drop(state);
        for key in ending {
            self.cancel(key);
        }
    }

    /// The user takes an action back by its progress; false if the token is not of an action.
    pub(in crate::lsp) fn cancel_token(&self, token: &str) -> bool {
        let key = token
            .strip_prefix(TOKEN)
            .and_then(|key| key.parse().ok())
            .map(ActionKey);
        key.map(|key| self.cancel(key)).is_some()
    }

    /// The client goes away.
    pub(in crate::lsp) fn halt(&self) {
        let mut state = self.lock();
        state.halted = true;
        for entry in state.entries.values() {
            entry.cancel.cancel();
        }
    }

    /// Strikes an action out, once it has ended.
    pub(super) fn end(&self, key: ActionKey) -> Option<Ended> {
        let mut state = self.lock();
        let halted = state.halted;
        let entry = state.entries.remove(&key)?;
        Some(Ended {
            now: entry.now,
            drift: entry.drift,
            closed: entry.closed,
            halted,
        })
    }

    pub(super) fn is_halted(&self) -> bool {
        self.lock().halted
    }

    fn cancel(&self, key: ActionKey) {
        if let Some(entry) = self.lock().entries.get(&key) {
            entry.cancel.cancel();
        }
        self.mailbox.cancel_action(key);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Entries of a document that is still the one that they were asked of.
    fn of<'a>(&'a mut self, uri: &str) -> impl Iterator<Item = &'a mut Entry> {
        self.entries
            .values_mut()
            .filter(move |entry| !entry.closed && *entry.now.uri == *uri)
    }
}
