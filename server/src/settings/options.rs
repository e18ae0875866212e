//! The settings as they are sent: by a client, or in a project's `.carat.toml`.
//!
//! The doc comments of [`Options`] are what editors and docs/configuration.md show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actions::{CustomAction, custom};
use crate::completion::{Eagerness, TextPolicy};

use super::globs::Globs;
use super::{
    DEADLINE_MS_MAX, MAX_TOKENS_MAX, MEMORY_MB_MAX, SHORTEST_MAX, Settings, THREADS_MAX,
    UNLOAD_MINUTES_MAX,
};

/// What only the user may set: a project comes with other people's code, and must not choose which
/// files this process opens or how much of the machine it takes.
pub const USER_ONLY: &[&str] = &[
    "actions",
    "disabledGlobs",
    "kvCache",
    "model",
    "models",
    "onBattery",
    "statistics",
    "threads",
    "unloadMinutes",
    "workspaceMemoryMb",
];

/// When ghost text is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// While typing.
    #[default]
    Automatic,
    /// Only when the user asks for it.
    Manual,
}

/// What the model for rests does on battery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnBattery {
    /// It is asked only by hand.
    #[default]
    Quiet,
    /// As with the charger.
    Usual,
}

/// How models keep what they have read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvCache {
    /// As `f16` where there is room for several documents, else as `q8_0`.
    #[default]
    Auto,
    /// As 16-bit floats.
    F16,
    /// In 8 bits: about half the memory.
    #[serde(rename = "q8_0")]
    Q8_0,
}

/// Models by what they do; what is not named has another that does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Models {
    /// Answers at every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typing: Option<String>,
    /// Is asked when the caret rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// Runs code actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<String>,
    /// Answer at every key in documents of a language, by its LSP identifier.
    #[serde(flatten)]
    pub languages: BTreeMap<String, String>,
}

/// What a model is told beside the file that is edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContextScope {
    /// What other files of the workspace define and do alike.
    #[default]
    Workspace,
    /// Nothing.
    File,
}

/// Settings of Carat. All are optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Carat")]
pub struct Options {
    /// Whether Carat completes code. What a project switches off, the user cannot switch on again, and the other way round.
    pub enable: Option<bool>,
    /// Languages in which Carat completes code, by their LSP identifiers, such as `{"markdown": false}`. `"*"` stands for all that are not named; `{"*": false, "rust": true}` is Rust alone.
    pub languages: Option<BTreeMap<String, bool>>,
    /// Whether ghost text comes while typing (`automatic`) or only when you ask for it (`manual`) (in Neovim 0.12 with a key of the plugin). Completion menus do not tell the two apart and ignore this.
    pub trigger: Option<Trigger>,
    /// Large model: it is asked when the caret rests, and runs code actions; the embedded model goes on answering at every key. `default` is the embedded one; otherwise a name that `carat model list` shows, or the absolute path of a GGUF file. `models` says more. Read once, when the server starts; `carat lsp --model NAME` uses that one for everything instead.
    pub model: Option<String>,
    /// Models by what they do, such as `{"typing": "default", "rest": "gemma-4-26b-a4b"}`: `typing` answers at every key, `rest` is asked when the caret rests and replaces a line only if it is surer, `actions` runs code actions; the LSP identifier of a language, such as `go`, names the one that answers at every key there. Without `typing` it is `default`, without `rest` it is `model`, without `actions` the one for `rest`. A model that is named several times is loaded once. Read once, when the server starts.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub models: Option<Models>,
    /// Minutes without work after which a model that does not answer at every key gives back its memory; it is loaded again when it is wanted, while the others go on. `0` keeps it. Read once, when the server starts.
    #[schemars(range(max = UNLOAD_MINUTES_MAX))]
    pub unload_minutes: Option<u64>,
    /// What the model for rests does while the machine runs on its battery: `quiet` (it is asked only by hand) or `usual`.
    pub on_battery: Option<OnBattery>,
    /// Threads that compute. By default one for each that the processor runs at once, which is also the most that are used. Read once, when the server starts.
    #[schemars(range(min = 1, max = THREADS_MAX))]
    pub threads: Option<u64>,
    /// How models keep what they have read of a document, so that nobody waits for it twice: `f16`, `q8_0` (about half the memory, which is room for more documents), or `auto` (`f16` where at least four documents fit into 1.2 GB, and into half of the memory that the weights leave free). Read once, when the server starts.
    pub kv_cache: Option<KvCache>,
    /// Megabytes of memory for the source files of the workspace, which Carat remembers so that their names and lines come back where they belong; twice as much as the files have, the most recent ones first. `0` remembers no files but the open ones. What is kept on the disk is what `carat memory show` lists.
    #[schemars(range(max = MEMORY_MB_MAX))]
    pub workspace_memory_mb: Option<u64>,
    /// What a model is told beside the file that is edited: definitions and like places in other files of the workspace (`workspace`), or nothing (`file`). The embedded model is told nothing in any case: it gains nothing by it.
    pub context: Option<ContextScope>,
    /// Milliseconds without a key before new ghost text comes while typing. Text that stands already stays, and what you ask for with a key comes at once.
    #[schemars(range(max = DEADLINE_MS_MAX))]
    pub delay_ms: Option<u64>,
    /// Milliseconds after which ghost text that the editor asked for on its own is shown as far as it is ready.
    #[schemars(range(max = DEADLINE_MS_MAX))]
    pub deadline_ms: Option<u64>,
    /// Milliseconds after which ghost text that you asked for is shown as far as it is ready.
    #[schemars(range(max = DEADLINE_MS_MAX))]
    pub explicit_deadline_ms: Option<u64>,
    /// Milliseconds after which an entry for a completion menu has to be ready. Menus wait for all their sources.
    #[schemars(range(max = DEADLINE_MS_MAX))]
    pub menu_deadline_ms: Option<u64>,
    /// Most tokens (pieces of words) of one completion. By default it depends on where the caret is.
    #[schemars(range(min = 1, max = MAX_TOKENS_MAX))]
    pub max_tokens: Option<u64>,
    /// How readily ghost text comes while typing: `quiet` (only what is probably right), `balanced`, `eager` (whatever may be right), or `all` (however improbable). What you ask for with a key is shown in any case.
    pub eagerness: Option<Eagerness>,
    /// What is completed in comments and documentation while typing: nothing (`off`), text that reads like prose (`prose`), or whatever would be shown in code (`on`).
    pub comments: Option<TextPolicy>,
    /// What is completed in string literals while typing: `off`, `prose` or `on`, as for `comments`.
    pub strings: Option<TextPolicy>,
    /// Least number of characters of ghost text that comes while typing, white space aside.
    #[schemars(range(max = SHORTEST_MAX))]
    pub shortest: Option<u64>,
    /// Files that Carat leaves alone, by patterns: `*.tex` is any file of that name, `infra/**/*.yml` the end of a path, `private` a folder with all that is in it. A leading `/` is the root of the disk, not of the project, and there is no `!`. They are neither completed nor shown to a model, not even on request. Files of secrets (`.env`, keys) are left alone in any case.
    pub disabled_globs: Option<Vec<String>>,
    /// Whether counts are kept on this machine: how much ghost text was shown and taken, by language and day. `carat stats` shows them, `carat stats --clear` removes them. They hold no text and are never sent.
    pub statistics: Option<bool>,
    /// Code actions of your own. Each has a `title`, a `prompt` that says what to do with the code, and a `kind`: `rewrite` for new code, `explain` for prose.
    #[schemars(with = "Option<Vec<CustomAction>>")]
    pub actions: Option<Vec<Value>>,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        let ms = |time: std::time::Duration| Some(time.as_millis() as u64);
        Self {
            enable: Some(settings.enable),
            languages: Some(settings.languages.clone()),
            trigger: Some(settings.trigger),
            model: settings.model.clone(),
            models: Some(settings.models.clone()),
            unload_minutes: Some(settings.unload_after.map_or(0, |time| time.as_secs() / 60)),
            on_battery: Some(settings.on_battery),
            threads: settings.threads.map(|threads| threads as u64),
            kv_cache: Some(settings.kv_cache),
            workspace_memory_mb: Some(settings.memory_bytes_max / 1_000_000),
            context: Some(settings.context),
            delay_ms: ms(settings.delay),
            deadline_ms: ms(settings.deadline),
            explicit_deadline_ms: ms(settings.explicit_deadline),
            menu_deadline_ms: ms(settings.menu_deadline),
            max_tokens: settings.max_tokens.map(|tokens| tokens as u64),
            eagerness: Some(settings.manners.eagerness),
            comments: Some(settings.manners.comments),
            strings: Some(settings.manners.strings),
            shortest: Some(settings.manners.shortest as u64),
            disabled_globs: Some(Vec::new()),
            statistics: Some(settings.statistics),
            actions: Some(Vec::new()),
        }
    }
}

/// The settings of `value` that can be used, by their names. What cannot be used is named in
/// `complaints`: a typing error must not take completion away.
pub(super) fn usable(value: &Value, complaints: &mut Vec<String>) -> Map<String, Value> {
    let mut usable = Map::new();
    let options = match value {
        Value::Object(options) => options,
        Value::Null => return usable,
        // Some clients send an empty list for an empty table.
        Value::Array(items) if items.is_empty() => return usable,
        _ => {
            complaints.push("the settings are ignored: they are not an object".to_owned());
            return usable;
        }
    };
    let mut known = None;
    for (key, value) in options.iter().filter(|(_, value)| !value.is_null()) {
        match serde_json::from_value::<Options>(json!({ key: value })) {
            Ok(options) => {
                // One mistake costs one action.
                let (_, mistakes) = custom::usable(options.actions.as_deref().unwrap_or_default());
                complaints.extend(mistakes);
                // One mistake costs one pattern.
                let patterns = options.disabled_globs.as_deref().unwrap_or_default();
                complaints.extend(Globs::new(patterns).1);
                usable.insert(key.clone(), value.clone());
            }
            Err(_) if !known.get_or_insert_with(names).contains(key) => complaints.push(format!(
                "setting `{key}` is ignored: there is no such setting"
            )),
            Err(error) => complaints.push(format!("setting `{key}` is ignored: {error}")),
        }
    }
    usable
}

/// Names of all settings.
fn names() -> Vec<String> {
    let schema = schemars::schema_for!(Options);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

/// The JSON schema of the settings with their defaults. `x-scope` is `user` for settings that a
/// project's file cannot set, else `project`.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Options).to_value();
    let defaults = serde_json::to_value(Options::from(&Settings::default())).unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let scope = if USER_ONLY.contains(&name.as_str()) {
            "user"
        } else {
            "project"
        };
        property["x-scope"] = scope.into();
        property["default"] = defaults[name].clone();
    }
    schema
}
