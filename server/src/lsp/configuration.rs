//! The client's configuration: pushed in `workspace/didChangeConfiguration`, or pulled where the client has that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tower_lsp::Client;
use tower_lsp::gen_lsp_types::{ConfigurationItem, MessageType};

use super::file_uri;
use crate::actions::CustomAction;
use crate::settings::{Settings, Store};

/// The name under which clients keep the settings.
const SECTION: &str = "carat";
/// How long the engine waits for the configuration of a client that is asked for it. Clients answer in
/// milliseconds; one that does not is served with what it said in `initialize`.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// The settings of the connection, shared by ingress and by answers that come later. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Configuration {
    store: Arc<Mutex<Store>>,
    client: Arc<OnceLock<Client>>,
    /// Whether the client answers `workspace/configuration`.
    pulls: Arc<OnceLock<()>>,
    /// Whether the first configuration is still to come, for the engine that waits for it.
    awaited: Arc<(Mutex<bool>, Condvar)>,
    /// What is to be told once the client listens.
    early: Arc<Mutex<Vec<String>>>,
}

impl Configuration {
    /// The client to ask and to tell.
    pub(super) fn connect(&self, client: Client) {
        let _ = self.client.set(client);
    }

    /// Reads the parameters of `initialize`.
    pub(super) fn initialize(&self, params: &Value) {
        let pulls = params.pointer("/capabilities/workspace/configuration");
        if pulls.and_then(Value::as_bool) == Some(true) {
            let _ = self.pulls.set(());
            self.await_first(true);
        }
        let complaints = self.store().initialize(
            params.get("initializationOptions"),
            workspace_folders(params),
        );
        *self.early() = complaints;
    }

    /// The settings with which the engine starts. Blocks while the client is asked for them.
    pub(super) fn at_start(&self) -> Settings {
        let (awaited, changed) = &*self.awaited;
        let awaited = awaited.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(awaited, FIRST_ANSWER, |awaited| *awaited));
        self.store().start()
    }

    fn await_first(&self, is_awaited: bool) {
        let (awaited, changed) = &*self.awaited;
        *awaited.lock().unwrap_or_else(PoisonError::into_inner) = is_awaited;
        changed.notify_all();
    }

    /// `initialized`: what the client has configured may be asked for.
    pub(super) fn initialized(&self) {
        let complaints = std::mem::take(&mut *self.early());
        self.tell(&complaints);
        self.pull();
    }

    /// `workspace/didChangeConfiguration`.
    pub(super) fn changed(&self, params: Option<&Value>) {
        if self.pulls.get().is_some() {
            return self.pull();
        }
        let settings = params
            .and_then(|params| params.get("settings"))
            .unwrap_or(&Value::Null);
        // Some clients send all settings, some the server's own part.
        let ours = settings.get(SECTION).unwrap_or(settings);
        let complaints = self.store().configure(ours);
        self.tell(&complaints);
    }

    /// `workspace/didChangeWorkspaceFolders`.
    pub(super) fn folders_changed(&self, params: Option<&Value>) {
        let folders = |key: &str| {
            let event = params.and_then(|params| params.get("event"));
            folders(event.and_then(|event| event.get(key)))
        };
        let complaints = self
            .store()
            .change_folders(folders("added"), &folders("removed"));
        self.tell(&complaints);
    }

    /// A file was saved or changed on the disk.
    pub(super) fn file_changed(&self, uri: &str) {
        if let Some(path) = file_uri::path(uri) {
            let complaints = self.store().file_changed(&path);
            self.tell(&complaints);
        }
    }

    /// The settings for a document.
    pub(super) fn of_document(&self, uri: &str, language_id: &str) -> Settings {
        let path = file_uri::path(uri);
        self.store()
            .of_document(path.as_deref().map(Path::new), language_id)
    }

    /// The user's own code actions.
    pub(super) fn actions(&self) -> Vec<CustomAction> {
        self.store().user().actions.clone()
    }

    /// Pauses completion, or resumes it. Returns whether it is paused now.
    pub(super) fn toggle(&self) -> bool {
        self.store().toggle()
    }

    fn pull(&self) {
        let (Some(client), Some(())) = (self.client.get().cloned(), self.pulls.get()) else {
            return;
        };
        let this = self.clone();
        tokio::spawn(async move {
            let item = ConfigurationItem {
                section: Some(SECTION.to_owned()),
                ..ConfigurationItem::default()
            };
            match client.configuration(vec![item]).await {
                Ok(answers) => {
                    let ours = answers.into_iter().next();
                    let ours = serde_json::to_value(ours).unwrap_or_default();
                    let complaints = this.store().configure(&ours);
                    this.tell(&complaints);
                }
                Err(error) => tracing::warn!(%error, "the client does not tell its configuration"),
            }
            this.await_first(false);
        });
    }

    fn tell(&self, complaints: &[String]) {
        for complaint in complaints {
            tracing::warn!("{complaint}");
        }
        let (Some(client), false) = (self.client.get().cloned(), complaints.is_empty()) else {
            return;
        };
        let text = format!("Carat: {}", complaints.join("; "));
        tokio::spawn(async move { client.show_message(MessageType::Warning, text).await });
    }

    fn early(&self) -> MutexGuard<'_, Vec<String>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders of the workspace, in the newest form that the client sent.
fn workspace_folders(params: &Value) -> Vec<PathBuf> {
    let found = folders(params.get("workspaceFolders"));
    if !found.is_empty() {
        return found;
    }
    let text = |key: &str| params.get(key).and_then(Value::as_str);
    let root = text("rootUri").and_then(file_uri::path);
    let root = root.or_else(|| text("rootPath").map(PathBuf::from));
    root.into_iter().collect()
}

fn folders(list: Option<&Value>) -> Vec<PathBuf> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|folder| file_uri::path(folder.get("uri")?.as_str()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn folders_come_in_three_forms_or_not_at_all() {
        let all = json!({
            "workspaceFolders": [{ "uri": "file:///a", "name": "a" }, { "uri": "vscode-vfs://x" }],
            "rootUri": "file:///b", "rootPath": "/c",
        });
        assert_eq!(workspace_folders(&all), [PathBuf::from("/a")]);
        let older = json!({ "workspaceFolders": null, "rootUri": "file:///b", "rootPath": "/c" });
        assert_eq!(workspace_folders(&older), [PathBuf::from("/b")]);
        assert_eq!(
            workspace_folders(&json!({ "rootPath": "/c" })),
            [PathBuf::from("/c")]
        );
        assert!(workspace_folders(&json!({ "rootUri": null })).is_empty());
    }
}
