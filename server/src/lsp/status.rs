//! `carat/status`: an extension of the protocol, for clients that ask for it. docs/lsp.md describes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tower_lsp::Client;
use tower_lsp::gen_lsp_types::{LspNotificationMethod, MessageDirection, Notification};

use crate::status::{Status, memory_bytes};

/// Shorter states are not worth a message: most completions take less.
const STEADY: Duration = Duration::from_millis(60);

/// The parameters of `carat/status`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusParams {
    state: String,
    model: Option<String>,
    takes_instructions: Option<bool>,
    memory_bytes: Option<u64>,
    tokens_per_second: Option<f64>,
    message: Option<String>,
    workspace: Option<WorkspaceParams>,
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
                    takes_instructions: status.takes_instructions,
                    memory_bytes: memory_bytes(),
                    tokens_per_second: status.tokens_per_second,
                    message: status.message.clone(),
                    workspace: status.remembered.map(|remembered| WorkspaceParams {
                        files: remembered.files,
                        bytes: remembered.bytes,
                        files_without_room: remembered.no_room,
                        reading: remembered.is_reading,
                    }),
                };
                client.send_notification::<StatusNotification>(params).await;
                told = Some(status);
            }
            tokio::time::sleep(STEADY).await;
        }
    });
}
