//! `carat/status`: an extension of the protocol, for clients that ask for it. docs/lsp.md describes it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tower_lsp::Client;
use tower_lsp::gen_lsp_types::{LspNotificationMethod, MessageDirection, Notification};

use crate::machine;
use crate::settings::Pause;
use crate::status::{ModelStatus, Status};

/// Shorter states are not worth a message: most completions take less.
const STEADY: Duration = Duration::from_millis(60);

/// The parameters of `carat/status`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusParams {
    state: String,
    model: Option<String>,
    models: Vec<ModelParams>,
    takes_instructions: Option<bool>,
    memory_bytes: Option<u64>,
    tokens_per_second: Option<f64>,
    message: Option<String>,
    workspace: Option<WorkspaceParams>,
    quiet: Option<String>,
    resumes_in_seconds: Option<u64>,
}

/// What one of the models is doing.
#[derive(Debug, Serialize, Deserialize)]
struct ModelParams {
    name: String,
    roles: Vec<String>,
    state: String,
}

/// What is remembered of the workspace.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceParams {
    files: usize,
    bytes: usize,
    files_without_room: usize,
    reading: bool,
}

impl ModelParams {
    fn of(model: &ModelStatus) -> Self {
        Self {
            name: model.name.clone(),
            roles: model.roles.clone(),
            state: model.state.name().to_owned(),
        }
    }
}

enum StatusNotification {}

impl Notification for StatusNotification {
    type Params = StatusParams;
    const METHOD: LspNotificationMethod<'static> = LspNotificationMethod::Custom("carat/status");
    const MESSAGE_DIRECTION: MessageDirection = MessageDirection::ServerToClient;
}

/// Tells the client the status, whenever there is another one.
pub(super) fn tell(client: Client, mut watcher: watch::Receiver<Status>) {
    tokio::spawn(async move {
        let mut told: Option<Status> = None;
        while watcher.changed().await.is_ok() {
            let status = watcher.borrow_and_update().clone();
            if told.as_ref() != Some(&status) {
                let params = StatusParams {
                    state: status.name().to_owned(),
                    model: status.model.clone(),
                    models: status.models.iter().map(ModelParams::of).collect(),
                    takes_instructions: status.takes_instructions,
                    memory_bytes: machine::rss_bytes(),
                    tokens_per_second: status.tokens_per_second,
                    message: status.message.clone(),
                    workspace: status.remembered.map(|remembered| WorkspaceParams {
                        files: remembered.files,
                        bytes: remembered.bytes,
                        files_without_room: remembered.no_room,
                        reading: remembered.is_reading,
                    }),
                    quiet: status.quiet.as_ref().map(ToString::to_string),
                    resumes_in_seconds: match status.pause {
                        Pause::Until(end) => {
                            let left = end.saturating_duration_since(Instant::now());
                            Some(left.as_secs_f64().ceil() as u64)
                        }
                        Pause::No | Pause::UntilResumed => None,
                    },
                };
                client.send_notification::<StatusNotification>(params).await;
                told = Some(status);
            }
            tokio::time::sleep(STEADY).await;
        }
    });
}
