//! Actions that users define in their settings: a title for the menu and a prompt for the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More would not fit into a menu.
const ACTIONS_MAX: usize = 32;

/// One entry of the setting `actions`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomAction {
    /// What the menu shows; unique.
    pub title: String,
    /// What the model is told to do with the code.
    pub prompt: String,
    /// What its answer is.
    #[serde(default)]
    pub kind: CustomKind,
}

/// What the answer to a user's own prompt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CustomKind {
    /// The code, rewritten.
    #[default]
    Rewrite,
    /// Prose about the code.
    Explain,
}

/// The actions that can be used, and what is wrong with the others: one mistake costs one entry.
pub fn usable(entries: &[serde_json::Value]) -> (Vec<CustomAction>, Vec<String>) {
    let (mut actions, mut complaints) = (Vec::<CustomAction>::new(), Vec::new());
    for (at, entry) in entries.iter().enumerate() {
        match CustomAction::deserialize(entry) {
            Err(error) => complaints.push(format!("actions[{at}] is ignored: {error}")),
            Ok(action) if action.title.trim().is_empty() || action.prompt.trim().is_empty() => {
                complaints.push(format!(
                    "actions[{at}] is ignored: title and prompt must not be empty"
                ));
            }
            Ok(action) if actions.iter().any(|known| known.title == action.title) => {
                complaints.push(format!(
                    "actions[{at}] is ignored: `{}` is there already",
                    action.title
                ));
            }
            Ok(_) if actions.len() == ACTIONS_MAX => {
                complaints.push(format!(
                    "actions[{at}] is ignored: there are {ACTIONS_MAX} already"
                ));
            }
            Ok(action) => actions.push(action),
        }
    }
    (actions, complaints)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_mistake_costs_one_entry() {
        let (actions, complaints) = usable(&[
            json!({ "title": "Add logging", "prompt": "Log each early return." }),
            json!({ "title": "Review", "prompt": "Find mistakes.", "kind": "explain" }),
            json!({ "title": "Review", "prompt": "Again." }),
            json!({ "title": "x" }),
            json!({ "title": " ", "prompt": "x" }),
            json!({ "title": "x", "prompt": "x", "kind": "sing" }),
            json!(7),
        ]);
        let kinds: Vec<_> = actions.iter().map(|action| action.kind).collect();
        assert_eq!(kinds, [CustomKind::Rewrite, CustomKind::Explain]);
        assert_eq!(complaints.len(), 5, "{complaints:?}");
    }
}
