//! Text for the user to read: in the client's own view, in a file that it opens, or in a message.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::file_uri;
use crate::lsp::client::{Peer, notify, request, say};
use crate::session::Severity;

/// Files of Markdown in a folder of this process, which goes with it.
#[derive(Debug, Default)]
pub(in crate::lsp) struct Views {
    folder: Option<TempDir>,
    count: usize,
}

impl Views {
    /// Shows Markdown about `about`, which is a URI and a range of the protocol.
    pub(super) async fn show(&mut self, peer: &Peer, title: &str, markdown: &str, about: &Value) {
        let (client, facts) = (peer.client.clone(), peer.facts.actions);
        if facts.explanation_view {
            let params = json!({ "title": title, "markdown": markdown, "uri": about["uri"], "range": about["range"] });
            return notify(&client, "carat/explanation", params).await;
        }
        let message = format!("{title}\n\n{markdown}");
        if facts.show_document {
            match self.write(&format!("# {message}\n")) {
                Ok(uri) => {
                    tokio::spawn(async move {
                        let params = json!({ "uri": uri, "takeFocus": false });
                        let shown = request(&client, "window/showDocument", params).await;
                        if !shown.is_ok_and(|result| result["success"] == true) {
                            say(&client, Severity::Info, &message).await;
                        }
                    });
                    return;
                }
                Err(error) => tracing::warn!(%error, "an explanation cannot be written to a file"),
            }
        }
        say(&client, Severity::Info, &message).await;
    }

    /// The URI of a new file with this text. Only its owner can read it.
    fn write(&mut self, text: &str) -> std::io::Result<String> {
        self.count += 1;
        let name = format!("carat-{}.md", self.count);
        let folder = match &mut self.folder {
            Some(folder) => folder,
            none => none.insert(tempfile::Builder::new().prefix("carat-").tempdir()?),
        };
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(file_uri::uri(&path))
    }
}
