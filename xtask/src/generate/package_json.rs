//! The settings in the manifest of the VS Code extension.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::{Setting, settings};

/// The file that is changed.
pub(super) const PATH: &str = "editors/vscode/package.json";

/// Where the settings begin. The rest of the file is written by hand and keeps its order.
const BEGIN: &str = "\n      \"properties\": {";
const END: &str = "\n      }";

/// The manifest with the settings of `schema` and those of the extension itself.
pub(super) fn with_settings(manifest: &str, schema: &Value) -> Result<String> {
    let (head, rest) = manifest
        .split_once(BEGIN)
        .with_context(|| format!("{PATH} has no settings"))?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("the settings of {PATH} have no end"))?;
    let mut entries = Vec::new();
    for setting in settings(schema)? {
        entries.push((format!("carat.{}", setting.name), property(&setting)));
    }
    entries.extend(own());
    let lines: Vec<String> = entries
        .iter()
        .map(|(name, value)| format!("\n        {}: {value}", json!(name)))
        .collect();
    let text = format!("{head}{BEGIN}{}{END}{tail}", lines.join(","));
    serde_json::from_str::<Value>(&text).context("the manifest is no JSON")?;
    Ok(text)
}

fn property(setting: &Setting<'_>) -> Value {
    let mut property = Map::new();
    let mut put = |key: &str, value: Value| property.insert(key.to_owned(), value);
    put("type", json!(setting.kind));
    put("markdownDescription", json!(setting.description));
    // `machine`: a workspace cannot set it, neither can one that is synchronized from elsewhere.
    let scope = if setting.user_only {
        "machine"
    } else {
        "window"
    };
    put("scope", json!(scope));
    if !setting.default.is_null() {
        put("default", setting.default.clone());
    }
    if !setting.words.is_empty() {
        let (words, meanings): (Vec<_>, Vec<_>) = setting.words.iter().copied().unzip();
        put("enum", json!(words));
        put("enumDescriptions", json!(meanings));
    }
    if let Some(minimum) = setting.minimum {
        put("minimum", json!(minimum));
    }
    if let Some(maximum) = setting.maximum {
        put("maximum", json!(maximum));
    }
    if let Some(values) = setting.values {
        put("additionalProperties", json!({ "type": values }));
    }
    if let Some(items) = &setting.items {
        put("items", items.clone());
    }
    Value::Object(property)
}

/// Settings that the server does not know.
fn own() -> [(String, Value); 2] {
    let path = json!({
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "The `carat` program. Empty: the extension's own, else the one on the `PATH`, else the one in `~/.cargo/bin`.",
    });
    let trace = json!({
        "type": "string",
        "enum": ["off", "messages", "verbose"],
        "default": "off",
        "scope": "machine",
        "markdownDescription": "Messages of the language server that are written to the log. `verbose` contains source text.",
    });
    [
        ("carat.server.path".to_owned(), path),
        ("carat.trace.server".to_owned(), trace),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    const MANIFEST: &str = "{\n  \"contributes\": {\n    \"configuration\": {\n      \"properties\": {\n        \"old\": {}\n      }\n    },\n    \"zebra\": 1\n  }\n}\n";

    #[test]
    fn only_the_settings_change() {
        let text = with_settings(MANIFEST, &example()).expect("a manifest");
        assert!(
            text.ends_with("\n      }\n    },\n    \"zebra\": 1\n  }\n}\n"),
            "{text}"
        );
        assert!(!text.contains("old"));
        assert_eq!(with_settings(&text, &example()).expect("a manifest"), text);
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        let properties = &manifest["contributes"]["configuration"]["properties"];
        assert_eq!(properties["carat.model"]["scope"], "machine");
        assert_eq!(properties["carat.size"]["maximum"], 9);
        assert_eq!(properties["carat.when"]["enum"], json!(["now", "later"]));
        assert_eq!(properties["carat.server.path"]["scope"], "machine");
    }
}
