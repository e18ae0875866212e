//! Fixes the order of messages: everything whose order matters happens here, as they come off the wire.
//!
//! The framework calls this service once a message, in wire order, but runs the handlers concurrently
//! and in any order. So edits are applied here, requests get their snapshot here and are submitted
//! here, cancellations are seen here. Handlers find the rest pinned to their request ([`pinned`]).
//! Nothing here may wait or compute: while it does, no message is read and no answer written.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tower::Service;
use tower_lsp::ExitedError;
use tower_lsp::jsonrpc::{Id, Request, Response};

use super::actions::{self, ActionBook, BadOrder, Begun, MenuRequest};
use super::backend::{LAST_PROMPT, TOGGLE};
use super::configuration::Configuration;
use super::from_lsp::{self, ClientFacts};
use super::input;
use crate::arbiter::{Arbiter, Query, RecordView, RequestKey, Ticket};
use crate::documents::{Documents, SyncFault};
use crate::positions::Encoding;
use crate::settings::Trigger;
use crate::status::StatusBoard;

/// What a handler needs of the moment at which its request arrived.
pub(super) enum Pinned {
    /// The claim to an answer.
    Completion(Ticket),
    /// The document is not open.
    NotOpen,
    /// The settings say that nothing is to be completed here, or now.
    Off,
    /// Whether completion is paused since the request.
    Paused(bool),
    /// The parameters cannot be read.
    Malformed(String),
    /// What a menu of code actions is asked for.
    Menu(Box<MenuRequest>),
    /// A code action that is queued, or why it is not.
    Action(Result<Box<Begun>, String>),
    /// The record of the last completion before the request.
    Record(oneshot::Receiver<Option<RecordView>>),
}

tokio::task_local! {
    static PINNED: Cell<Option<Pinned>>;
}

/// What is pinned to the request whose handler asks.
pub(super) fn pinned() -> Option<Pinned> {
    PINNED.try_with(Cell::take).ok().flatten()
}

/// What ingress tells the rest of the server.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// `initialize` has been answered.
    pub(super) serving: AtomicBool,
    /// `shutdown` was requested, so that `exit` is expected.
    pub(super) shut_down: AtomicBool,
    /// The client has sent something after `initialize`: it may be sent messages.
    pub(super) client_listens: Notify,
}

/// Starts the engine and the watch over the client's process, once the client has said what it wants.
pub(super) type Start = Box<dyn FnOnce(&ClientFacts) + Send>;

/// Called once, as soon as the client may be sent messages.
pub(super) type Greet = Box<dyn FnOnce(&ClientFacts) + Send>;

/// What the layer shares with the rest of the server.
pub(super) struct Shared {
    pub(super) arbiter: Arbiter,
    pub(super) actions: ActionBook,
    pub(super) client: Arc<OnceLock<ClientFacts>>,
    pub(super) signals: Arc<Signals>,
    pub(super) configuration: Configuration,
    pub(super) status: StatusBoard,
}

/// The layer in front of the framework's service.
pub(super) struct Ingress<S> {
    inner: S,
    shared: Shared,
    start: Option<Start>,
    greet: Option<Greet>,
    documents: Documents,
    /// Until this resolves, `initialize` has no answer and nothing else is read: not every client waits.
    initializing: Option<oneshot::Receiver<()>>,
    /// The last completion request. All before it have their answers.
    last: Option<(Id, RequestKey)>,
}

type Answered = Pin<Box<dyn Future<Output = Result<Option<Response>, ExitedError>> + Send>>;

impl<S> Ingress<S> {
    pub(super) fn new(inner: S, shared: Shared, start: Start, greet: Greet) -> Self {
        Self {
            inner,
            shared,
            start: Some(start),
            greet: Some(greet),
            documents: Documents::default(),
            initializing: None,
            last: None,
        }
    }

    fn encoding(&self) -> Encoding {
        self.shared
            .client
            .get()
            .map_or(Encoding::Utf16, |client| client.encoding)
    }

    fn serves(&self) -> bool {
        self.shared.signals.serving.load(Ordering::Acquire)
            && !self.shared.signals.shut_down.load(Ordering::Acquire)
    }

    /// Reads the client's wishes. The framework gets parameters that it can parse whatever was sent.
    fn initialize(&mut self, request: Request) -> Request {
        let (method, id, params) = request.into_parts();
        let params = params.unwrap_or(Value::Null);
        if let (Some(start), Some(_)) = (self.start.take_if(|_| id.is_some()), &id) {
            let client = self
                .shared
                .client
                .get_or_init(|| from_lsp::client_facts(&params));
            self.shared.configuration.initialize(&params);
            start(client);
        }
        let request = Request::build(method)
            .params(json!({ "processId": null, "rootUri": null, "capabilities": {} }));
        match id {
            Some(id) => request.id(id).finish(),
            None => request.finish(),
        }
    }

    fn opened(&mut self, params: Option<&Value>) {
        match from_lsp::params::<from_lsp::Opened>(params) {
            Ok(from_lsp::Opened {
                text_document: document,
            }) => {
                self.shared.arbiter.closed(&document.uri);
                self.shared.actions.closed(&document.uri);
                self.documents.open(
                    &document.uri,
                    &document.language_id,
                    document.version,
                    &document.text,
                );
            }
            Err(error) => self.lose_track(params, &error),
        }
    }

    fn changed(&mut self, params: Option<&Value>) {
        let (uri, version, changes) = match from_lsp::params(params) {
            Ok(changed) => from_lsp::changes(changed),
            Err(error) => return self.lose_track(params, &error),
        };
        match self
            .documents
            .change(&uri, version, &changes, self.encoding())
        {
            Ok(changed) => {
                if changed.version_went_back {
                    tracing::warn!(uri, to = changed.now.version, "a version went back");
                }
                self.shared.arbiter.edited(&changed);
                self.shared.actions.edited(&changed);
            }
            Err(SyncFault::NotOpen) => {
                tracing::warn!(uri, "an edit of a document that is not open is ignored");
            }
        }
    }

    fn closed(&mut self, params: Option<&Value>) {
        match from_lsp::params(params).map(from_lsp::closed) {
            Ok(uri) => self.forget(&uri),
            Err(error) => self.lose_track(params, &error),
        }
    }

    /// A document whose edits cannot be read is not the client's any more.
    fn lose_track(&mut self, params: Option<&Value>, error: &str) {
        tracing::warn!(
            error,
            "a document notification cannot be read; its document counts as closed"
        );
        if let Some(uri) = from_lsp::document_uri(params).map(str::to_owned) {
            self.forget(&uri);
        }
    }

    fn forget(&mut self, uri: &str) {
        self.documents.close(uri);
        self.shared.arbiter.closed(uri);
        self.shared.actions.closed(uri);
    }

    fn completion(&mut self, request: &Request, menu: bool) -> Pinned {
        let caret = match from_lsp::caret(request.params()) {
            Ok(caret) => caret,
            Err(error) => return Pinned::Malformed(error),
        };
        let Some(snapshot) = self.documents.snapshot(&caret.uri) else {
            return Pinned::NotOpen;
        };
        let encoding = self.encoding();
        // A menu's trigger kind 1 is any typing; only ghost text tells whether the user asked.
        let explicit = caret.invoked && !menu;
        let settings = self
            .shared
            .configuration
            .of_document(&caret.uri, &snapshot.language_id);
        let in_time = explicit || menu || settings.trigger == Trigger::Automatic;
        if !in_time || !settings.completes(&snapshot.language_id) {
            return Pinned::Off;
        }
        let deadline = match (menu, explicit) {
            (true, _) => settings.menu_deadline,
            (false, true) => settings.explicit_deadline,
            (false, false) => settings.deadline,
        };
        let ticket = self.shared.arbiter.submit(Query {
            caret: caret.offset(&snapshot, encoding),
            selected: if menu {
                None
            } else {
                caret.selected(&snapshot, encoding)
            },
            snapshot,
            explicit,
            deadline,
            max_tokens: settings.max_tokens,
        });
        self.last = request.id().map(|id| (id.clone(), ticket.key()));
        Pinned::Completion(ticket)
    }

    fn menu(&self, request: &Request) -> Pinned {
        let snapshot = |uri: &str| self.documents.snapshot(uri);
        let custom = &self.shared.configuration.actions();
        match actions::menu_request(request.params(), self.encoding(), custom, snapshot) {
            Ok(Some(menu)) => Pinned::Menu(Box::new(menu)),
            Ok(None) => Pinned::NotOpen,
            Err(error) => Pinned::Malformed(error),
        }
    }

    fn action(&self, request: &Request) -> Pinned {
        let snapshot = |uri: &str| self.documents.snapshot(uri);
        let custom = &self.shared.configuration.actions();
        match actions::order(request.params(), self.encoding(), custom, snapshot) {
            Ok(order) => {
                let begun =
                    self.shared
                        .actions
                        .begin(order.snapshot, order.selection, order.action);
                Pinned::Action(begun.map(Box::new))
            }
            Err(BadOrder::Refused(why)) => Pinned::Action(Err(why)),
            Err(BadOrder::Malformed(what)) => Pinned::Malformed(what),
        }
    }

    /// True if the cancellation was ours; all others are the framework's.
    fn cancelled(&mut self, params: Option<&Value>) -> bool {
        let Some(id) = from_lsp::cancelled(params) else {
            return false;
        };
        let Some((_, key)) = self.last.take_if(|(last, _)| *last == id) else {
            return false;
        };
        self.shared.arbiter.cancel(key);
        true
    }

    fn toggle(&mut self) -> Pinned {
        let paused = self.shared.configuration.toggle();
        self.shared.status.paused(paused);
        Pinned::Paused(paused)
    }

    /// What a request finds when its handler runs.
    fn pin(&mut self, request: &Request) -> Option<Pinned> {
        request.id()?;
        match request.method() {
            "textDocument/inlineCompletion" => Some(self.completion(request, false)),
            "textDocument/completion" => Some(self.completion(request, true)),
            "textDocument/codeAction" => Some(self.menu(request)),
            "workspace/executeCommand" => {
                let command = request.params()?.get("command")?.as_str()?;
                match command {
                    LAST_PROMPT => Some(Pinned::Record(self.shared.arbiter.last_record())),
                    TOGGLE => Some(self.toggle()),
                    command if actions::COMMANDS.contains(&command) => Some(self.action(request)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Takes the notifications that are handled here; true if the framework need not see it.
    fn notified(&mut self, request: &Request) -> bool {
        if request.id().is_some() {
            return false;
        }
        match request.method() {
            "textDocument/didOpen" => self.opened(request.params()),
            "textDocument/didChange" => self.changed(request.params()),
            "textDocument/didClose" => self.closed(request.params()),
            "textDocument/didSave" => {
                if let Some(uri) = from_lsp::document_uri(request.params()) {
                    self.shared.configuration.file_changed(uri);
                }
            }
            "workspace/didChangeConfiguration" => {
                self.shared.configuration.changed(request.params());
            }
            "workspace/didChangeWorkspaceFolders" => {
                self.shared.configuration.folders_changed(request.params());
            }
            "workspace/didChangeWatchedFiles" => {
                for uri in from_lsp::changed_files(request.params()) {
                    self.shared.configuration.file_changed(uri);
                }
            }
            "initialized" => {
                if let (Some(greet), Some(client)) = (self.greet.take(), self.shared.client.get()) {
                    greet(client);
                }
                return false;
            }
            "$/cancelRequest" => return self.cancelled(request.params()),
            "window/workDoneProgress/cancel" => {
                let token = from_lsp::progress_token(request.params());
                if !token.is_some_and(|token| self.shared.actions.cancel_token(token)) {
                    tracing::debug!("a progress that is not of this server is cancelled");
                }
            }
            _ => return false,
        }
        true
    }
}

impl<S> Service<Request> for Ingress<S>
where
    S: Service<Request, Response = Option<Response>, Error = ExitedError>,
    S::Future: Send + 'static,
{
    type Response = Option<Response>;
    type Error = ExitedError;
    type Future = Answered;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Some(initializing) = &mut self.initializing {
            // The sender is dropped, which ends it as well.
            let _ = ready!(Pin::new(initializing).poll(cx));
            self.initializing = None;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Answered {
        match request.method() {
            input::INVALID_MESSAGE => {
                let response = Response::from_error(Id::Null, input::error_of(&request));
                return Box::pin(std::future::ready(Ok(Some(response))));
            }
            "initialize" => {
                let request = self.initialize(request);
                let (answered, signals) =
                    (self.inner.call(request), Arc::clone(&self.shared.signals));
                let (answering, initializing) = oneshot::channel();
                self.initializing = Some(initializing);
                return Box::pin(async move {
                    let _answering: oneshot::Sender<()> = answering;
                    let response = answered.await?;
                    if response.as_ref().is_some_and(Response::is_ok) {
                        signals.serving.store(true, Ordering::Release);
                    }
                    Ok(response)
                });
            }
            _ => {}
        }
        if !self.serves() {
            return Box::pin(self.inner.call(request));
        }
        self.shared.signals.client_listens.notify_one();
        if request.method() == "shutdown" && request.id().is_some() {
            self.shared.signals.shut_down.store(true, Ordering::Release);
            self.shared.actions.halt();
            self.shared.arbiter.halt();
        }
        if self.notified(&request) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let pinned = Cell::new(self.pin(&request));
        Box::pin(PINNED.scope(pinned, self.inner.call(request)))
    }
}
