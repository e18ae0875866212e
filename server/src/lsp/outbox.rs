//! Sends the client what it is not an answer to, in order. What the client has to answer goes on beside.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tower_lsp::Client;

use super::actions::{self, Views};
use super::client::{Peer, Tell, notify, request, say};
use super::counts;
use super::status;
use crate::mailbox::ActionKey;
use crate::session::{ClientFacts, Delivery, Event, Progress, Severity};
use crate::statistics::Tally;
use crate::status::Status;

/// The name under which clients keep the settings.
const SECTION: &str = "carat";

/// Something for the client.
pub(super) enum Message {
    /// Who the client is; the first of all.
    Introduced(Box<ClientFacts>),
    Say(Severity, String),
    Progress(ActionKey, Progress),
    Deliver(Box<Delivery>),
    /// Count what was shown and taken; the client does not hear of it.
    Count(Tally),
    /// There is a better line in a document of this version.
    AskAgain(Arc<str>, i32),
    /// Ask for the configuration.
    Pull,
    /// Ask to hear of changes of files.
    Watch(Vec<String>),
    /// Nothing more comes; what was made for the client to read goes.
    End(oneshot::Sender<()>),
}

/// Where messages go out.
pub(super) struct Outbox {
    peer: Peer,
    status: watch::Receiver<Status>,
}

impl Outbox {
    pub(super) fn new(client: Client, tell: Tell, status: watch::Receiver<Status>) -> Self {
        let facts = Arc::default();
        Self {
            peer: Peer {
                client,
                facts,
                tell,
            },
            status,
        }
    }

    /// Sends until there is nothing more to come.
    pub(super) async fn send_all(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut views = Views::default();
        let counts = counts::keep();
        while let Some(message) = messages.recv().await {
            match message {
                Message::Introduced(facts) => {
                    if facts.status {
                        status::tell(self.peer.client.clone(), self.status.clone());
                    }
                    self.peer.facts = Arc::from(facts);
                }
                Message::Say(weight, what) => say(&self.peer.client, weight, &what).await,
                Message::AskAgain(uri, version) => {
                    let params = json!({ "uri": *uri, "version": version });
                    notify(&self.peer.client, "carat/askAgain", params).await;
                }
                Message::Progress(key, progress) => self.progress(key, progress).await,
                Message::Deliver(delivery) => {
                    actions::deliver(&self.peer, &mut views, *delivery).await;
                }
                // Nobody who counts is needed to serve.
                Message::Count(tally) => counts.send(tally),
                Message::Pull => self.pull(),
                Message::Watch(patterns) => self.watch(&patterns),
                Message::End(done) => {
                    drop(views);
                    counts.end().await;
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    async fn progress(&self, key: ActionKey, progress: Progress) {
        let token = actions::token(key);
        let value = match progress {
            Progress::Create => {
                let Peer { client, tell, .. } = self.peer.clone();
                tokio::spawn(async move {
                    let method = "window/workDoneProgress/create";
                    let created = request(&client, method, json!({ "token": token })).await;
                    tell(Event::ProgressAllowed(key, created.is_ok()));
                });
                return;
            }
            Progress::Begin(title, message) => {
                json!({ "kind": "begin", "title": title, "cancellable": true, "message": message })
            }
            Progress::Report(message) => {
                json!({ "kind": "report", "cancellable": true, "message": message })
            }
            Progress::End(None) => json!({ "kind": "end" }),
            Progress::End(Some(message)) => json!({ "kind": "end", "message": message }),
        };
        let params = json!({ "token": token, "value": value });
        notify(&self.peer.client, "$/progress", params).await;
    }

    fn pull(&self) {
        let Peer { client, tell, .. } = self.peer.clone();
        tokio::spawn(async move {
            let params = json!({ "items": [{ "section": SECTION }] });
            let answer = request(&client, "workspace/configuration", params).await;
            let options = match answer {
                Ok(Value::Array(answers)) => Some(answers.into_iter().next().unwrap_or_default()),
                Ok(_) => Some(Value::Null),
                Err(error) => {
                    tracing::warn!(%error, "the client does not tell its configuration");
                    None
                }
            };
            tell(Event::Pulled(options));
        });
    }

    fn watch(&self, patterns: &[String]) {
        let client = self.peer.client.clone();
        let watchers = patterns.iter().map(|glob| json!({ "globPattern": glob }));
        let watchers: Vec<Value> = watchers.collect();
        tokio::spawn(async move {
            let registration = json!({
                "id": "carat/files",
                "method": "workspace/didChangeWatchedFiles",
                "registerOptions": { "watchers": watchers },
            });
            let params = json!({ "registrations": [registration] });
            if let Err(error) = request(&client, "client/registerCapability", params).await {
                tracing::debug!(%error, "the client does not watch files");
            }
        });
    }
}
