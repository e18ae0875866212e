//! What a client may set, as it is sent and as the server uses it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::actions::{CustomAction, custom};

/// The longest deadline that can be set: no editor waits longer.
const DEADLINE_MS_MAX: u64 = 60_000;

/// The settings of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name or path of the model; `None` is the embedded one.
    pub model: Option<String>,
    /// When a completion that the editor asked for on its own is answered at the latest.
    pub deadline: Duration,
    /// When a completion that the user asked for is answered at the latest.
    pub explicit_deadline: Duration,
    /// When an entry for a completion menu is answered at the latest: menus wait for all their sources.
    pub menu_deadline: Duration,
    /// Code actions of the user's own.
    pub actions: Vec<CustomAction>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            deadline: Duration::from_millis(700),
            explicit_deadline: Duration::from_secs(5),
            menu_deadline: Duration::from_millis(400),
            actions: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `initializationOptions`. What cannot be used is left at its default and named in the
    /// second value: a typing error must not take completion away.
    pub fn from_options(options: Option<&Value>) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut complaints = Vec::new();
        let Some(Value::Object(options)) = options else {
            return (settings, complaints);
        };
        for (key, value) in options {
            let result = match key.as_str() {
                "model" => read(value).map(|model: Option<String>| {
                    settings.model = model.filter(|name| !name.is_empty());
                }),
                "deadlineMs" => read(value).map(|ms| settings.deadline = deadline(ms)),
                "explicitDeadlineMs" => {
                    read(value).map(|ms| settings.explicit_deadline = deadline(ms))
                }
                "menuDeadlineMs" => read(value).map(|ms| settings.menu_deadline = deadline(ms)),
                "actions" => read(value).map(|entries: Vec<Value>| {
                    let (actions, mistakes) = custom::usable(&entries);
                    settings.actions = actions;
                    complaints.extend(mistakes);
                }),
                _ => Err("there is no such setting".to_owned()),
            };
            if let Err(what) = result {
                complaints.push(format!("setting `{key}` is ignored: {what}"));
            }
        }
        (settings, complaints)
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn deadline(ms: u64) -> Duration {
    Duration::from_millis(ms.min(DEADLINE_MS_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_keys_fall_back_and_are_named() {
        let options = json!({ "model": "x.gguf", "deadlineMs": "soon", "menuDeadlineMs": 999_999_999, "colour": 1 });
        let (settings, complaints) = Settings::from_options(Some(&options));
        assert_eq!(settings.model.as_deref(), Some("x.gguf"));
        assert_eq!(settings.deadline, Settings::default().deadline);
        assert_eq!(
            settings.menu_deadline,
            Duration::from_millis(DEADLINE_MS_MAX)
        );
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }

    #[test]
    fn nothing_sent_is_all_defaults() {
        for options in [
            None,
            Some(json!(null)),
            Some(json!([])),
            Some(json!({ "model": null })),
        ] {
            assert_eq!(
                Settings::from_options(options.as_ref()),
                (Settings::default(), vec![])
            );
        }
    }
}
