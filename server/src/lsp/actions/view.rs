//! Text for the user to read: in the client's own view, in a file that it opens, or in a message.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tempfile::TempDir;
use tower_lsp::Client;

use super::ActionFacts;
use super::perform::{notify, request};

/// `MessageType` of the protocol.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    Error = 1,
    Warning = 2,
    Info = 3,
}

/// Says something in a sentence.
pub(super) async fn say(client: &Client, weight: Weight, what: &str) {
    let params = json!({ "type": weight as u8, "message": format!("Carat: {what}") });
    notify(client, "window/showMessage", params).await;
}

/// Files of Markdown in a folder of this process, which goes with it.
#[derive(Debug, Default)]
pub(in crate::lsp) struct Views {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    folder: Option<TempDir>,
    count: usize,
}

impl Views {
    /// Shows Markdown about `about`, which is a URI and a range of the protocol.
    pub(super) async fn show(
        &self,
        client: &Client,
        facts: ActionFacts,
        title: &str,
        markdown: &str,
        about: &serde_json::Value,
    ) {
        if facts.explanation_view {
            let params = json!({ "title": title, "markdown": markdown, "uri": about["uri"], "range": about["range"] });
            return notify(client, "carat/explanation", params).await;
        }
        if facts.show_document {
            match self.write(&format!("# {title}\n\n{markdown}\n")) {
                Ok(uri) => {
                    let params = json!({ "uri": uri, "takeFocus": false });
                    let shown = request(client, "window/showDocument", params).await;
                    if shown.is_ok_and(|result| result["success"] == true) {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "an explanation cannot be written to a file"),
            }
        }
        say(client, Weight::Info, &format!("{title}\n\n{markdown}")).await;
    }

    /// Removes the files.
    pub(in crate::lsp) fn remove(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.folder = None;
    }

    /// The URI of a new file with this text. Only its owner can read it.
    fn write(&self, text: &str) -> std::io::Result<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let name = format!("carat-{}.md", state.count);
        let folder = match &mut state.folder {
            Some(folder) => folder,
            none => none.insert(tempfile::Builder::new().prefix("carat-").tempdir()?),
        };
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(file_uri(&path))
    }
}

/// The `file:` URI of an absolute path.
fn file_uri(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let mut uri = String::from(if path.starts_with('/') {
        "file://"
    } else {
        "file:///"
    });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                uri.push(char::from(byte));
            }
            other => uri += &format!("%{other:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(
            file_uri(Path::new("/tmp/a b/é.md")),
            "file:///tmp/a%20b/%C3%A9.md"
        );
        assert_eq!(file_uri(Path::new("C:\\t\\a.md")), "file:///C:/t/a.md");
    }
}
