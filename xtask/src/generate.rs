//! `cargo xtask generate`: what follows from the types of the settings, in other files.
//!
//! The schema that `carat schema` prints is the source; with `--check`, nothing is written and a
//! file that differs is an error.

mod documentation;
mod package_json;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::test_programs::TEST_COMMAND;

/// The command that repairs what `--check` finds.
const COMMAND: &str = "cargo xtask generate";

/// Writes, or checks, all generated text.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let schema = schema(root)?;
    let mut stale = Vec::new();
    let package = std::fs::read_to_string(root.join(package_json::PATH))
        .with_context(|| format!("{} cannot be read", package_json::PATH))?;
    let texts = [
        (
            package_json::PATH,
            package_json::with_settings(&package, &schema)?,
        ),
        (documentation::PATH, documentation::page(&schema)?),
    ];
    for (path, text) in texts {
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            std::fs::write(&file, text).with_context(|| format!("{path} cannot be written"))?;
            eprintln!("generate: wrote {path}");
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} does not fit the settings; run: {COMMAND}",
            stale.join(", ")
        );
    }
    Ok(())
}

/// The JSON schema of the settings, from the program that the tests run.
fn schema(root: &Path) -> Result<Value> {
    let output = Command::new(program(root)?)
        .arg("schema")
        .output()
        .context("carat cannot be started")?;
    if !output.status.success() {
        bail!(
            "carat schema: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("carat schema printed no JSON")
}

/// The binary `carat` that the end-to-end tests start: `cargo build` resolves the features of some
/// dependencies without those of the tests, and would build candle and all above it anew.
fn program(root: &Path) -> Result<PathBuf> {
    let [cargo, words @ ..] = TEST_COMMAND;
    let output = Command::new(cargo)
        .args(words)
        .args(["--no-run", "--test", "end_to_end"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("carat does not build");
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| {
            message["target"]["name"] == "carat" && message["target"]["kind"][0] == "bin"
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no program called carat")
}

/// One setting, as a reader wants to know it.
#[derive(Debug)]
struct Setting<'a> {
    name: &'a str,
    description: &'a str,
    /// The type without null: settings that are not given are simply absent.
    kind: String,
    /// Allowed words with their meanings, if there are only some.
    words: Vec<(&'a str, &'a str)>,
    default: &'a Value,
    minimum: Option<u64>,
    maximum: Option<u64>,
    /// Whether a project's file cannot set it.
    user_only: bool,
    /// The type of the values, for objects.
    values: Option<&'a str>,
    /// The schema of the elements, for arrays.
    items: Option<Value>,
}

/// The settings in a schema, in the order of their names.
fn settings(schema: &Value) -> Result<Vec<Setting<'_>>> {
    let properties = schema["properties"].as_object();
    let properties = properties.context("the schema has no properties")?;
    properties
        .iter()
        .map(|(name, property)| setting(schema, name, property))
        .collect()
}

fn setting<'a>(schema: &'a Value, name: &'a str, property: &'a Value) -> Result<Setting<'a>> {
    let description = property["description"].as_str();
    let description = description.with_context(|| format!("`{name}` has no description"))?;
    let words = words(schema, property);
    let kind = if words.is_empty() {
        kind(property).with_context(|| format!("`{name}` has no type"))?
    } else {
        "string".to_owned()
    };
    Ok(Setting {
        name,
        description,
        kind,
        words,
        default: &property["default"],
        minimum: property["minimum"].as_u64().filter(|&minimum| minimum > 0),
        maximum: property["maximum"].as_u64(),
        user_only: property["x-scope"] == "user",
        values: property["additionalProperties"]["type"].as_str(),
        items: property.get("items").map(|items| resolved(schema, items)),
    })
}

fn kind(property: &Value) -> Option<String> {
    let kinds = match &property["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::String(kind) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    let kind = kinds.into_iter().find(|kind| *kind != "null")?;
    Some(kind.to_owned())
}

/// A schema with what it refers to in place of the references, and words in place of alternatives.
fn resolved(schema: &Value, part: &Value) -> Value {
    let reference = part["$ref"].as_str();
    if let Some(name) = reference.and_then(|path| path.strip_prefix("#/$defs/")) {
        let words = words(schema, part);
        if words.is_empty() {
            return resolved(schema, &schema["$defs"][name]);
        }
        let (words, meanings): (Vec<_>, Vec<_>) = words.into_iter().unzip();
        return json!({ "type": "string", "enum": words, "enumDescriptions": meanings });
    }
    match part {
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), resolved(schema, value)))
            .collect(),
        other => other.clone(),
    }
}

/// The words of an enumeration that a property refers to.
fn words<'a>(schema: &'a Value, property: &'a Value) -> Vec<(&'a str, &'a str)> {
    let choices = property["anyOf"].as_array().into_iter().flatten();
    let mut references = choices
        .chain([property])
        .filter_map(|choice| choice["$ref"].as_str());
    let Some(name) = references.find_map(|path| path.strip_prefix("#/$defs/")) else {
        return Vec::new();
    };
    let words = schema["$defs"][name]["oneOf"]
        .as_array()
        .into_iter()
        .flatten();
    words
        .filter_map(|word| Some((word["const"].as_str()?, word["description"].as_str()?)))
        .collect()
}

#[cfg(test)]
fn example() -> Value {
    serde_json::json!({
        "properties": {
            "model": { "description": "A model.", "type": ["string", "null"], "default": null, "x-scope": "user" },
            "size": { "description": "A size.", "type": ["integer", "null"], "default": 7, "minimum": 1, "maximum": 9, "x-scope": "project" },
            "when": { "description": "A time.", "anyOf": [{ "$ref": "#/$defs/When" }, { "type": "null" }], "default": "now", "x-scope": "project" },
        },
        "$defs": { "When": { "oneOf": [
            { "const": "now", "description": "At once." },
            { "const": "later", "description": "Not yet." },
        ] } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_the_schema() {
        let schema = example();
        let settings = settings(&schema).expect("settings");
        let kinds: Vec<_> = settings.iter().map(|s| (s.name, s.kind.as_str())).collect();
        assert_eq!(
            kinds,
            [("model", "string"), ("size", "integer"), ("when", "string")]
        );
        assert!(settings[0].user_only && !settings[1].user_only);
        assert_eq!(
            (settings[1].minimum, settings[1].maximum),
            (Some(1), Some(9))
        );
        assert_eq!(
            settings[2].words,
            [("now", "At once."), ("later", "Not yet.")]
        );
    }
}
