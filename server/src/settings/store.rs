//! What one connection has said about its settings so far, and what follows for a document.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::options::{self, Options};
use super::project::Project;
use super::{PROJECT_FILE, Settings};

/// The settings of a connection. One owner; whoever needs some gets a copy.
#[derive(Debug, Default)]
pub struct Store {
    /// From `initializationOptions`.
    initial: Map<String, Value>,
    /// From the client's configuration, which wins.
    configured: Map<String, Value>,
    user: Settings,
    folders: Vec<PathBuf>,
    projects: Vec<Project>,
    paused: bool,
    /// Whether `model` and `threads` have been read.
    started: bool,
    /// Complaints that were handed out: one is enough.
    told: HashSet<String>,
}

impl Store {
    /// Takes the options of `initialize` and the folders of the workspace. Returns what to tell the user.
    pub fn initialize(&mut self, options: Option<&Value>, folders: Vec<PathBuf>) -> Vec<String> {
        let mut complaints = Vec::new();
        self.initial = options::usable(options.unwrap_or(&Value::Null), &mut complaints);
        self.resolve();
        self.folders = folders;
        self.read_projects(&mut complaints);
        self.news(complaints)
    }

    /// Takes the client's configuration; null is none. Returns what to tell the user.
    pub fn configure(&mut self, options: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        let before = self.user.clone();
        self.configured = options::usable(options, &mut complaints);
        self.resolve();
        let changed = (&before.model, before.threads) != (&self.user.model, self.user.threads);
        if self.started && changed {
            complaints.push(
                "settings `model` and `threads` take effect when the language server is started again"
                    .to_owned(),
            );
        }
        self.read_projects(&mut complaints);
        self.news(complaints)
    }

    /// The settings with which the engine starts; what comes later does not change `model` and `threads`.
    pub fn start(&mut self) -> Settings {
        self.started = true;
        self.user.clone()
    }

    /// The folders of the workspace changed. Returns what to tell the user.
    pub fn change_folders(&mut self, added: Vec<PathBuf>, removed: &[PathBuf]) -> Vec<String> {
        self.folders.retain(|folder| !removed.contains(folder));
        self.folders.extend(added);
        let mut complaints = Vec::new();
        self.read_projects(&mut complaints);
        self.news(complaints)
    }

    /// A file changed; if it is a project's file, it is read again. Returns what to tell the user.
    pub fn file_changed(&mut self, path: &Path) -> Vec<String> {
        if path.file_name().is_none_or(|name| name != PROJECT_FILE) {
            return Vec::new();
        }
        let mut complaints = Vec::new();
        self.read_projects(&mut complaints);
        self.news(complaints)
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
        let mut settings = match project {
            Some(project) => self.user.of_project(&project.options, language_id),
            None => self.user.clone(),
        };
        settings.enable &= !self.paused;
        settings
    }

    /// Pauses completion, or resumes it. Returns whether it is paused now.
    pub fn toggle(&mut self) -> bool {
        self.paused = !self.paused;
        self.paused
    }

    fn resolve(&mut self) {
        let mut options = self.initial.clone();
        options.extend(self.configured.clone());
        // Every key has been read once already.
        let options: Options = serde_json::from_value(Value::Object(options)).unwrap_or_default();
        self.user = Settings::of_user(&options);
    }

    fn read_projects(&mut self, complaints: &mut Vec<String>) {
        let folders = self.folders.iter();
        self.projects = folders
            .filter_map(|folder| Project::read(folder, complaints))
            .collect();
    }

    fn news(&mut self, complaints: Vec<String>) -> Vec<String> {
        complaints
            .into_iter()
            .filter(|complaint| self.told.insert(complaint.clone()))
            .collect()
    }
}
