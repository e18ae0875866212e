//! The page about the settings.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::{COMMAND, Setting, settings};

/// The file that is written.
pub(super) const PATH: &str = "docs/configuration.md";

const HEAD: &str = r#"# Configuration

Carat needs no configuration. Everything here is optional; what cannot be used is named once in a message and ignored.

Settings come from two places:

- **Your editor**: in the settings of the VS Code extension (`carat.deadlineMs`), or as `initializationOptions` or `workspace/didChangeConfiguration` of any other client (`{"deadlineMs": 300}`; a client may wrap them in `{"carat": …}` when it sends them later). Clients that have `workspace/configuration` are asked for the section `carat`. The pages of [editors](../editors) show where.
- **The project**: the file `.carat.toml` in a folder of the workspace, for settings marked *project* below. It is read when the folder opens and when the file is saved. It comes with other people's code, so it cannot choose a model, name a file or start a program, and it cannot switch on what you switched off. Of its deadlines and lengths and yours, the lower ones count, of its `delayMs` and yours the longer one, of its `eagerness`, `comments`, `strings` and `shortest` and yours the quieter ones. In VS Code, a project's `.vscode/settings.json` counts as your editor, for the same settings alone.

```toml
# .carat.toml
deadlineMs = 400

[languages]
markdown = false
```

`carat schema` prints the same as a JSON schema.

"#;

/// The page for the settings of `schema`.
pub(super) fn page(schema: &Value) -> Result<String> {
    let mut page = format!(
        "<!-- Written by `{COMMAND}` from server/src/settings/options.rs. -->\n\n{HEAD}## Settings\n"
    );
    for setting in settings(schema)? {
        describe(&setting, &mut page);
    }
    Ok(page)
}

fn describe(setting: &Setting<'_>, page: &mut String) {
    let place = if setting.user_only {
        "editor"
    } else {
        "editor, project"
    };
    let mut kind = setting.kind.clone();
    if let Some(values) = setting.values {
        let _ = write!(kind, " of {values}");
    }
    match (setting.minimum, setting.maximum) {
        (Some(minimum), Some(maximum)) => kind.push_str(&format!(", {minimum} to {maximum}")),
        (None, Some(maximum)) => kind.push_str(&format!(", at most {maximum}")),
        _ => {}
    }
    let default = if setting.default.is_null() {
        "not set".to_owned()
    } else {
        format!("`{}`", setting.default)
    };
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n### `{}`\n\n{}\n\n{kind} · default: {default} · set in: {place}\n",
        setting.name, setting.description
    );
    for (word, meaning) in &setting.words {
        let _ = write!(page, "\n- `{word}`: {meaning}");
    }
    if !setting.words.is_empty() {
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn every_setting_has_a_section() {
        let page = page(&example()).expect("a page");
        assert!(
            page.contains(
                "### `model`\n\nA model.\n\nstring · default: not set · set in: editor\n"
            ),
            "{page}"
        );
        assert!(
            page.contains("integer, 1 to 9 · default: `7` · set in: editor, project\n"),
            "{page}"
        );
        assert!(page.contains("\n- `later`: Not yet.\n"), "{page}");
    }
}
