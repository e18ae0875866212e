//! One action in the background: progress while the engine works, then its outcome.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tower::Service as _;
use tower_lsp::Client;
use tower_lsp::jsonrpc::{Error, Request, Result};

use super::book::{self, ActionBook, Begun};
use super::deliver;
use super::view::{Views, Weight, say};
use crate::engine_thread::action::{End, Stage};
use crate::lsp::from_lsp::ClientFacts;

/// Progress is reported this often; a reader needs it no faster.
const REPORT: Duration = Duration::from_millis(500);

/// A client that takes longer to allow progress gets none.
const CREATE: Duration = Duration::from_secs(2);

/// What the tasks of actions share.
pub(in crate::lsp) struct Performer {
    pub(super) client: Client,
    pub(super) facts: Arc<OnceLock<ClientFacts>>,
    pub(super) book: ActionBook,
    pub(super) views: Arc<Views>,
}

impl Performer {
    pub(in crate::lsp) fn new(
        client: Client,
        facts: Arc<OnceLock<ClientFacts>>,
        book: ActionBook,
        views: Arc<Views>,
    ) -> Self {
        Self {
            client,
            facts,
            book,
            views,
        }
    }

    /// Follows an action to its end, in a task of its own.
    pub(in crate::lsp) fn follow(self: &Arc<Self>, begun: Begun) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.perform(begun).await });
    }

    /// Tells the user why an action does not begin.
    pub(in crate::lsp) fn refuse(self: &Arc<Self>, why: String) {
        let this = Arc::clone(self);
        tokio::spawn(async move { say(&this.client, Weight::Warning, &why).await });
    }

    async fn perform(&self, mut begun: Begun) {
        let progress = self.begin_progress(&begun).await;
        let end = loop {
            tokio::select! {
                end = &mut begun.watch.end => break end,
                () = changed(&mut begun.watch.stage) => {
                    let stage = *begun.watch.stage.borrow_and_update();
                    if let Some(token) = &progress {
                        self.report(token, &report(stage)).await;
                    }
                    // What happens meanwhile is reported next; the end is not waited for.
                    tokio::select! {
                        end = &mut begun.watch.end => break end,
                        () = tokio::time::sleep(REPORT) => {}
                    }
                }
            }
        };
        let Some(ended) = self.book.end(begun.key) else {
            return;
        };
        // The sender goes without a word when the engine does.
        let end = end.unwrap_or_else(|_| {
            End::Failed("there is no model to run it; `carat doctor` says why".to_owned())
        });
        if ended.halted || self.book.is_halted() {
            return;
        }
        if let Some(token) = progress {
            let mut value = json!({ "kind": "end" });
            if end == End::Cancelled {
                value["message"] = json!("cancelled");
            }
            notify(
                &self.client,
                "$/progress",
                json!({ "token": token, "value": value }),
            )
            .await;
        }
        deliver::deliver(self, &begun, &ended, end).await;
    }

    /// The token of the progress bar, if the client has one.
    async fn begin_progress(&self, begun: &Begun) -> Option<String> {
        let facts = self.facts.get()?.actions;
        if !facts.progress || self.book.is_halted() {
            return None;
        }
        let token = book::token(begun.key);
        let create = request(
            &self.client,
            "window/workDoneProgress/create",
            json!({ "token": token }),
        );
        tokio::time::timeout(CREATE, create).await.ok()?.ok()?;
        let message = match begun.before {
            0 => report(Stage::Reading),
            1 => "waiting for another action".to_owned(),
            many => format!("waiting for {many} other actions"),
        };
        let title = format!("Carat: {}", begun.title);
        let value =
            json!({ "kind": "begin", "title": title, "cancellable": true, "message": message });
        notify(
            &self.client,
            "$/progress",
            json!({ "token": token, "value": value }),
        )
        .await;
        Some(token)
    }

    async fn report(&self, token: &str, message: &str) {
        if self.book.is_halted() {
            return;
        }
        let value = json!({ "kind": "report", "cancellable": true, "message": message });
        notify(
            &self.client,
            "$/progress",
            json!({ "token": token, "value": value }),
        )
        .await;
    }
}

fn report(stage: Stage) -> String {
    match stage {
        Stage::Waiting => "waiting".to_owned(),
        Stage::Reading => "reading the code".to_owned(),
        Stage::Writing(pieces) => format!("writing, token {pieces}"),
        Stage::Paused => "paused for a completion".to_owned(),
    }
}

/// Resolves at the next change; never once there is none to come.
async fn changed(stage: &mut watch::Receiver<Stage>) {
    if stage.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sends a request to the client and waits for its answer. URIs and results stay as they are sent.
pub(super) async fn request(client: &Client, method: &'static str, params: Value) -> Result<Value> {
    let request = Request::build(method)
        .params(params)
        .id(client.next_request_id())
        .finish();
    match client.clone().call(request).await {
        Ok(Some(response)) => response.into_parts().1,
        Ok(None) | Err(_) => Err(Error::internal_error()),
    }
}

/// Sends a notification to the client.
pub(super) async fn notify(client: &Client, method: &'static str, params: Value) {
    let notification = Request::build(method).params(params).finish();
    // A client that is gone need not hear it.
    let _ = client.clone().call(notification).await;
}
