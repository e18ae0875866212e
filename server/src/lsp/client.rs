//! The client as the server sees it: what it can do, and requests and notifications to it as they are
//! written, with no types of URIs or results in between.

use std::sync::Arc;

use serde_json::{Value, json};
use tower::Service as _;
use tower_lsp::Client;
use tower_lsp::jsonrpc::{Error, Request, Result};

use crate::session::{ClientFacts, Event, Severity};

/// Tells the session what the client answered.
pub(super) type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The client, and the way back to the session. Cheap to clone.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) client: Client,
    pub(super) facts: Arc<ClientFacts>,
    pub(super) tell: Tell,
}

/// Sends a request to the client and waits for its answer.
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

/// Says something in a sentence.
pub(super) async fn say(client: &Client, weight: Severity, what: &str) {
    // `MessageType` of the protocol.
    let kind = match weight {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Info => 3,
    };
    let params = json!({ "type": kind, "message": format!("Carat: {what}") });
    notify(client, "window/showMessage", params).await;
}
