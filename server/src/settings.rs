//! The settings as the server uses them: defaults, then the user's, narrowed by the project's.
//!
//! `options` is the form in which they are sent, `project` reads `.carat.toml`, `store` holds
//! what one connection has said so far.

mod globs;
mod options;
mod project;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use globs::Globs;
pub use options::{ContextScope, KvCache, Models, OnBattery, Options, Trigger, USER_ONLY, schema};
pub use project::{FILE_NAME as PROJECT_FILE, ProjectFile};
pub use store::{Pause, Store};

use crate::actions::{CustomAction, custom};
use crate::completion::{Manners, Mode, Silence};

/// The longest deadline that can be set: no editor waits longer.
const DEADLINE_MS_MAX: u64 = 60_000;

/// Longer completions are not read by anyone.
const MAX_TOKENS_MAX: u64 = 1024;

/// Hardly any completion is longer.
const SHORTEST_MAX: u64 = 100;

/// Memory for the texts of a workspace: about 110 MB of source.
const MEMORY_MB_USUAL: u64 = 250;

/// More source than this nobody wrote.
const MEMORY_MB_MAX: u64 = 4000;

/// Loading a large model again takes seconds; a pause for coffee takes less than this.
const UNLOAD_MINUTES_USUAL: u64 = 20;

/// A day.
const UNLOAD_MINUTES_MAX: u64 = 24 * 60;

/// More than any machine has; the cores of this one bound it as well.
const THREADS_MAX: u64 = 1024;

/// The key of [`Settings::languages`] for all languages that are not named.
const ALL_LANGUAGES: &str = "*";

/// The settings of one connection, or of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether code is completed at all.
    pub enable: bool,
    /// Languages by their LSP identifiers; what is not named is on.
    pub languages: BTreeMap<String, bool>,
    /// When ghost text is offered.
    pub trigger: Trigger,
    /// Name or path of the large model, if there is one.
    pub model: Option<String>,
    /// Models for the kinds of work, where they are named.
    pub models: Models,
    /// How long a model that does not answer at every key is kept without work; `None` is for ever.
    pub unload_after: Option<Duration>,
    /// What the model for rests does on battery.
    pub on_battery: OnBattery,
    /// Threads that compute; `None` is one for each core.
    pub threads: Option<usize>,
    /// How models keep what they have read.
    pub kv_cache: KvCache,
    /// Memory for the texts of the workspace, in bytes; 0 remembers none.
    pub memory_bytes_max: u64,
    /// What a model is told beside the file that is edited.
    pub context: ContextScope,
    /// How long no key must come before new ghost text does.
    pub delay: Duration,
    /// When a completion that the editor asked for on its own is answered at the latest.
    pub deadline: Duration,
    /// When a completion that the user asked for is answered at the latest.
    pub explicit_deadline: Duration,
    /// When an entry for a completion menu is answered at the latest: menus wait for all their sources.
    pub menu_deadline: Duration,
    /// Most tokens of a completion; `None` leaves it to the place of the caret.
    pub max_tokens: Option<usize>,
    /// What is worth showing.
    pub manners: Arc<Manners>,
    /// Files that are left alone.
    pub disabled: Arc<Globs>,
    /// Whether it is counted what was shown and taken.
    pub statistics: bool,
    /// Code actions of the user's own.
    pub actions: Vec<CustomAction>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enable: true,
            languages: BTreeMap::new(),
            trigger: Trigger::Automatic,
            model: None,
            models: Models::default(),
            unload_after: minutes(UNLOAD_MINUTES_USUAL),
            on_battery: OnBattery::default(),
            threads: None,
            kv_cache: KvCache::default(),
            memory_bytes_max: MEMORY_MB_USUAL * 1_000_000,
            context: ContextScope::default(),
            delay: Duration::ZERO,
            deadline: Duration::from_millis(700),
            explicit_deadline: Duration::from_secs(5),
            menu_deadline: Duration::from_millis(400),
            max_tokens: None,
            manners: Arc::new(Manners::default()),
            disabled: Arc::default(),
            statistics: true,
            actions: Vec::new(),
        }
    }
}

impl Settings {
    /// The defaults with what a user has set.
    fn of_user(options: &Options) -> Self {
        let defaults = Self::default();
        Self {
            enable: options.enable.unwrap_or(defaults.enable),
            languages: options.languages.clone().unwrap_or(defaults.languages),
            trigger: options.trigger.unwrap_or(defaults.trigger),
            model: options.model.clone().filter(|name| !name.is_empty()),
            models: options.models.clone().unwrap_or_default(),
            unload_after: options
                .unload_minutes
                .map_or(defaults.unload_after, minutes),
            on_battery: options.on_battery.unwrap_or(defaults.on_battery),
            threads: options.threads.map(threads),
            kv_cache: options.kv_cache.unwrap_or(defaults.kv_cache),
            memory_bytes_max: options
                .workspace_memory_mb
                .map_or(defaults.memory_bytes_max, |mb| {
                    mb.min(MEMORY_MB_MAX) * 1_000_000
                }),
            context: options.context.unwrap_or_default(),
            disabled: Arc::new(Globs::new(options.disabled_globs.as_deref().unwrap_or_default()).0),
            statistics: options.statistics.unwrap_or(defaults.statistics),
            // What cannot be used was named when the options were read.
            actions: custom::usable(options.actions.as_deref().unwrap_or_default()).0,
            ..defaults
        }
        .with_limits(options)
    }

    /// These settings for a document of a project. What is off in either is off; of two limits the
    /// lower counts, of two delays the longer, of two manners the quieter, so that a project costs and
    /// shows no more than its user allows.
    fn of_project(&self, options: &Options, language_id: &str) -> Self {
        let mut languages = self.languages.clone();
        let off = |of: &BTreeMap<String, bool>| !has_language(of, language_id);
        if options.languages.as_ref().is_some_and(off) {
            languages.insert(language_id.to_owned(), false);
        }
        let mut within = self.clone().with_limits(options);
        let manners = Arc::make_mut(&mut within.manners);
        manners.eagerness = manners.eagerness.min(self.manners.eagerness);
        manners.comments = manners.comments.min(self.manners.comments);
        manners.strings = manners.strings.min(self.manners.strings);
        manners.shortest = manners.shortest.max(self.manners.shortest);
        let tokens_max = self.max_tokens.unwrap_or(Mode::MultiLine.tokens_max());
        Self {
            enable: self.enable && options.enable.unwrap_or(true),
            languages,
            trigger: match (self.trigger, options.trigger) {
                (Trigger::Manual, _) | (_, Some(Trigger::Manual)) => Trigger::Manual,
                _ => Trigger::Automatic,
            },
            context: match (self.context, options.context) {
                (ContextScope::File, _) | (_, Some(ContextScope::File)) => ContextScope::File,
                _ => ContextScope::Workspace,
            },
            delay: self.delay.max(within.delay),
            deadline: self.deadline.min(within.deadline),
            explicit_deadline: self.explicit_deadline.min(within.explicit_deadline),
            menu_deadline: self.menu_deadline.min(within.menu_deadline),
            max_tokens: within.max_tokens.map(|tokens| tokens.min(tokens_max)),
            ..within
        }
    }

    /// Deadlines, lengths and manners as they are set.
    fn with_limits(mut self, options: &Options) -> Self {
        let set = |at: &mut Duration, ms: Option<u64>| {
            if let Some(ms) = ms {
                *at = Duration::from_millis(ms.min(DEADLINE_MS_MAX));
            }
        };
        set(&mut self.delay, options.delay_ms);
        set(&mut self.deadline, options.deadline_ms);
        set(&mut self.explicit_deadline, options.explicit_deadline_ms);
        set(&mut self.menu_deadline, options.menu_deadline_ms);
        if let Some(tokens) = options.max_tokens {
            self.max_tokens = Some(tokens.clamp(1, MAX_TOKENS_MAX) as usize);
        }
        let manners = Arc::make_mut(&mut self.manners);
        manners.eagerness = options.eagerness.unwrap_or(manners.eagerness);
        manners.comments = options.comments.unwrap_or(manners.comments);
        manners.strings = options.strings.unwrap_or(manners.strings);
        if let Some(shortest) = options.shortest {
            manners.shortest = shortest.min(SHORTEST_MAX) as usize;
        }
        self
    }

    /// Whether documents of this language are completed.
    pub fn completes(&self, language_id: &str) -> bool {
        self.silence(language_id).is_none()
    }

    /// What keeps documents of this language from being completed.
    pub fn silence(&self, language_id: &str) -> Option<Silence> {
        if !self.enable {
            return Some(Silence::Off);
        }
        (!has_language(&self.languages, language_id)).then(|| Silence::LanguageOff {
            language: language_id.to_owned(),
        })
    }
}

fn has_language(languages: &BTreeMap<String, bool>, id: &str) -> bool {
    let named = languages.get(id).or_else(|| languages.get(ALL_LANGUAGES));
    named.copied().unwrap_or(true)
}

/// No time at all is for ever.
fn minutes(wanted: u64) -> Option<Duration> {
    (wanted > 0).then(|| Duration::from_mins(wanted.min(UNLOAD_MINUTES_MAX)))
}

/// Threads beyond the cores would only wait for each other.
fn threads(wanted: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (wanted.min(THREADS_MAX) as usize).clamp(1, cores)
}

#[cfg(test)]
mod tests;
