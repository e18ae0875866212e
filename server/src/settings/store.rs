//! What one connection has said about its settings so far, and what follows for a document.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value};

use super::Settings;
use super::options::{self, Options};
use super::project::{Project, ProjectFile};

/// Complaints in one message; who has more mistakes has one cause.
const NEWS_MAX: usize = 5;

/// Characters of a complaint.
const LINE_CHARS_MAX: usize = 300;

/// Languages that are switched on and off; there are not many more.
const LANGUAGES_MAX: usize = 1000;

/// Complaints that are remembered as told.
const TOLD_MAX: usize = 1000;

/// Whether the user wants to be left alone for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// Completion goes on.
    #[default]
    No,
    /// Until the user resumes it.
    UntilResumed,
    /// Until then, or until the user resumes it.
    Until(Instant),
}

/// The settings of a connection. One owner; whoever needs some gets a copy.
#[derive(Debug, Default)]
pub struct Store {
    /// From `initializationOptions`.
    initial: Map<String, Value>,
    /// From the client's configuration, which wins.
    configured: Map<String, Value>,
    user: Settings,
    projects: Vec<Project>,
    /// Languages that the user has switched on and off for now; they win over the settings.
    languages: BTreeMap<String, bool>,
    pause: Pause,
    /// Whether `model`, `models`, `threads` and `kvCache` have been read.
    started: bool,
    /// Complaints that were handed out: one is enough.
    told: HashSet<String>,
}

impl Store {
    /// Takes the options of `initialize`. Returns what to tell the user.
    pub fn initialize(&mut self, options: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        self.initial = options::usable(options, &mut complaints);
        self.resolve();
        self.news(&complaints)
    }

    /// Takes the client's configuration; null is none. Returns what to tell the user.
    pub fn configure(&mut self, options: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        let before = self.user.clone();
        self.configured = options::usable(options, &mut complaints);
        self.resolve();
        let started = |it: &Settings| {
            let models = (it.model.clone(), it.models.clone());
            (models, it.threads, it.kv_cache, it.unload_after)
        };
        let changed = started(&before) != started(&self.user);
        if self.started && changed {
            complaints.push(
                "settings `model`, `models`, `threads`, `kvCache` and `unloadMinutes` take effect when the language server is started again"
                    .to_owned(),
            );
        }
        self.news(&complaints)
    }

    /// The settings with which the engines start; what comes later does not change their models and threads.
    pub fn start(&mut self) -> Settings {
        self.started = true;
        self.user.clone()
    }

    /// Takes what was read of the projects, all of them. Returns what to tell the user.
    pub fn projects(&mut self, files: Vec<ProjectFile>) -> Vec<String> {
        let mut complaints = Vec::new();
        self.projects.clear();
        for file in files {
            complaints.extend(file.complaints);
            self.projects.extend(file.project);
        }
        self.news(&complaints)
    }

    /// The user's settings.
    pub fn user(&self) -> &Settings {
        &self.user
    }

    /// The settings for a document; `path` is `None` where it is in no file.
    pub fn of_document(&self, path: Option<&Path>, language_id: &str) -> Settings {
        let project = path.and_then(|path| {
            let around = |project: &&Project| path.starts_with(&project.folder);
            let depth = |project: &&Project| project.folder.components().count();
            self.projects.iter().filter(around).max_by_key(depth)
        });
        match project {
            Some(project) => self.user.of_project(&project.options, language_id),
            None => self.user.clone(),
        }
    }

    /// Whether completion is paused.
    pub fn pause(&self) -> Pause {
        self.pause
    }

    /// Pauses completion, or resumes it.
    pub fn set_pause(&mut self, pause: Pause) {
        self.pause = pause;
    }

    /// Switches a language on or off until the server ends.
    pub fn set_language(&mut self, id: &str, enabled: bool) {
        if self.languages.len() < LANGUAGES_MAX || self.languages.contains_key(id) {
            self.languages.insert(id.to_owned(), enabled);
            self.resolve();
        }
    }

    fn resolve(&mut self) {
        let mut options = self.initial.clone();
        options.extend(self.configured.clone());
        // Every key has been read once already.
        let options: Options = serde_json::from_value(Value::Object(options)).unwrap_or_default();
        self.user = Settings::of_user(&options);
        self.user.languages.extend(self.languages.clone());
    }

    /// What was not told yet. A project's file can hold anything, so it is shown on one line and in part.
    fn news(&mut self, complaints: &[String]) -> Vec<String> {
        if self.told.len() > TOLD_MAX {
            self.told.clear();
        }
        let new = complaints.iter().map(|complaint| line(complaint));
        let mut news: Vec<String> = new
            .filter(|complaint| self.told.insert(complaint.clone()))
            .collect();
        if news.len() > NEWS_MAX {
            let more = news.len() - NEWS_MAX;
            news.truncate(NEWS_MAX);
            news.push(format!("and {more} more like these"));
        }
        news
    }
}

/// The text on one line, without control characters, cut where nobody reads on.
fn line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut line: String = text.chars().take(LINE_CHARS_MAX).map(printable).collect();
    if text.chars().nth(LINE_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}
