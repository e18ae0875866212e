//! Takes messages as they come off the wire, in order: makes events of them, and answers of replies.
//!
//! The framework calls this service once a message, in wire order, but runs its own handlers
//! concurrently and in any order. So every message that matters is an event here, before the next one
//! is read. Nothing here waits or computes: while it did, no message would be read and no answer written.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::Service;
use tower_lsp::ExitedError;
use tower_lsp::jsonrpc::{Error, ErrorCode, Id, Request, Response, Result as Answer};

use super::shell::Shell;
use super::{actions, capabilities, commands, from_lsp, input, introduction, to_lsp};
use crate::session::{self, ClientFacts, Event, Reply};

/// Until files that matter are read, no further message is: what is asked next is answered by them. A
/// disk that is slower than this is not waited for.
const READ_WAIT: Duration = Duration::from_millis(50);

/// The layer in front of the framework's service.
pub(super) struct Ingress<S> {
    inner: S,
    shell: Shell,
    stage: Stage,
    client: ClientFacts,
    /// Until these resolve, nothing is read: not every client waits for the answer of `initialize`.
    gates: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `initialize` has not come.
    Fresh,
    /// It has, and the client has sent nothing since.
    Introduced,
    /// The client may be sent messages.
    Serving,
    /// `shutdown` has come.
    Over,
}

type Answered = Pin<Box<dyn Future<Output = Result<Option<Response>, ExitedError>> + Send>>;

impl<S> Ingress<S> {
    pub(super) fn new(inner: S, shell: Shell) -> Self {
        Self {
            inner,
            shell,
            stage: Stage::Fresh,
            client: ClientFacts::default(),
            gates: Vec::new(),
        }
    }

    /// Lets the session take an event.
    fn tell(&mut self, event: Event) {
        if let Some(read) = self.shell.handle(event) {
            self.gates.push(Box::pin(async move {
                // The sender is dropped, which ends it as well.
                let _ = tokio::time::timeout(READ_WAIT, read).await;
            }));
        }
    }

    /// Asks the session; `answer` says its reply in the protocol's words.
    fn ask<F>(
        &mut self,
        id: Id,
        request: session::Request,
        answer: impl FnOnce(Reply) -> F + Send + 'static,
    ) -> Answered
    where
        F: Future<Output = Answer<Value>> + Send,
    {
        let reply = self.shell.request(id.clone(), request);
        Box::pin(async move {
            let answer = match reply.await {
                Ok(reply) => answer(reply).await,
                // The server is going down.
                Err(_) => Err(Error::internal_error()),
            };
            Ok(Some(Response::from_parts(id, answer)))
        })
    }

    /// Answers a request; nothing for one that is the framework's.
    fn requested(&mut self, id: &Id, request: &Request) -> Option<Answered> {
        let (id, params) = (id.clone(), request.params());
        let client = self.client.clone();
        let asked = match request.method() {
            method @ ("textDocument/inlineCompletion" | "textDocument/completion") => {
                let menu = method == "textDocument/completion";
                from_lsp::wish(params, menu).map(|wish| {
                    self.ask(id.clone(), session::Request::Complete(wish), move |reply| {
                        std::future::ready(to_lsp::completion(reply, menu, &client))
                    })
                })
            }
            "textDocument/codeAction" => from_lsp::params(params).map(|menu: actions::Menu| {
                let uri = menu.uri().to_owned();
                self.ask(id.clone(), session::Request::Menu(uri), move |reply| {
                    menu.answer(reply, client)
                })
            }),
            "workspace/executeCommand" => {
                #[cfg(feature = "testing")]
                if params.and_then(|params| params.get("command")?.as_str())
                    == Some(commands::ACTIVITY)
                {
                    return Some(answered(id, Ok(to_lsp::activity())));
                }
                commands::request(params).map(|request| {
                    self.ask(id.clone(), request, |reply| {
                        std::future::ready(Ok(to_lsp::command(reply)))
                    })
                })
            }
            // The protocol lets servers ignore notifications of these names, not requests.
            method if method.starts_with("$/") => {
                return Some(answered(id, Err(Error::method_not_found())));
            }
            _ => return None,
        };
        Some(asked.unwrap_or_else(|what| answered(id, Err(Error::invalid_params(what)))))
    }

    /// Takes a notification; false if it is the framework's.
    fn notified(&mut self, request: &Request) -> bool {
        let params = request.params();
        let event = match request.method() {
            "textDocument/didOpen" => or_lost(params, from_lsp::opened(params)),
            "textDocument/didChange" => or_lost(params, from_lsp::changed(params)),
            "textDocument/didClose" => or_lost(params, from_lsp::closed(params)),
            "textDocument/didSave" => {
                let saved = from_lsp::document_uri(params).and_then(crate::file_uri::path);
                saved.map(Event::FileChanged)
            }
            "workspace/didChangeConfiguration" => Some(from_lsp::configured(params)),
            "workspace/didChangeWorkspaceFolders" => Some(from_lsp::folders_changed(params)),
            "workspace/didChangeWatchedFiles" => {
                for path in from_lsp::changed_files(params) {
                    self.tell(Event::FileChanged(path));
                }
                None
            }
            "$/cancelRequest" => {
                return from_lsp::cancelled(params).is_some_and(|id| self.shell.cancel(&id));
            }
            "window/workDoneProgress/cancel" => {
                actions::key_of(params.and_then(|params| params.get("token")))
                    .map(Event::ActionCancelled)
            }
            _ => return false,
        };
        if let Some(event) = event {
            self.tell(event);
        }
        true
    }
}

/// A document whose messages cannot be read is not the client's any more.
fn or_lost(params: Option<&Value>, event: Result<Event, String>) -> Option<Event> {
    event
        .or_else(|error| {
            tracing::warn!(
                error,
                "a document notification cannot be read; its document counts as closed"
            );
            let uri = from_lsp::document_uri(params).ok_or(error)?;
            Ok::<_, String>(Event::Closed(uri.to_owned()))
        })
        .ok()
}

/// The protocol's answer to what comes before `initialize`.
fn not_initialized() -> Error {
    Error {
        code: ErrorCode::from(-32002),
        message: "the server has not been initialized".into(),
        data: None,
    }
}

fn answered(id: Id, answer: Answer<Value>) -> Answered {
    let response = Response::from_parts(id, answer);
    Box::pin(std::future::ready(Ok(Some(response))))
}

impl<S> Ingress<S>
where
    S: Service<Request, Response = Option<Response>, Error = ExitedError>,
    S::Future: Send + 'static,
{
    /// Reads who the client is. The framework gets parameters that it can parse whatever was sent.
    fn initialize(&mut self, request: Request) -> Answered {
        let (method, id, params) = request.into_parts();
        let blank = json!({ "processId": null, "rootUri": null, "capabilities": {} });
        let request = Request::build(method).params(blank);
        let Some(id) = id else {
            return Box::pin(self.inner.call(request.finish()));
        };
        let answered = self.inner.call(request.id(id.clone()).finish());
        if self.stage != Stage::Fresh {
            return Box::pin(answered);
        }
        let params = params.unwrap_or_default();
        self.stage = Stage::Introduced;
        self.client = introduction::client_facts(&params);
        self.shell.introduced(&self.client);
        self.tell(introduction::introduced(self.client.clone(), &params));
        let result = capabilities::initialize_result(&self.client);
        let (answering, initialized) = oneshot::channel::<()>();
        self.gates.push(Box::pin(async move {
            let _ = initialized.await;
        }));
        Box::pin(async move {
            let _answering = answering;
            let response = answered.await?;
            // The framework has said yes; what the server can do depends on the client.
            Ok(response.map(|response| {
                if response.is_ok() {
                    Response::from_ok(id, result)
                } else {
                    response
                }
            }))
        })
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

    // While `initialize` is being answered, the framework (tower-lsp-server 0.24.0-rc.1,
    // src/service.rs, `LspService::poll_ready`, `State::Initializing => Poll::Pending`) is not ready and
    // tells no waker when it is, so that the next message would never be read. The gate of
    // `initialize` keeps us from asking it then. The repair there: `self.state.register(cx.waker())`
    // in that arm, which `ServerState::set` wakes.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        while let Some(gate) = self.gates.last_mut() {
            ready!(gate.as_mut().poll(cx));
            self.gates.pop();
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Answered {
        match request.method() {
            input::INVALID_MESSAGE => return answered(Id::Null, Err(input::error_of(&request))),
            "initialize" => return self.initialize(request),
            _ => {}
        }
        match self.stage {
            Stage::Fresh | Stage::Over => {
                return match request.id().cloned() {
                    // What the framework knows no method for, it calls unknown whatever the stage.
                    Some(id) if self.stage == Stage::Over => {
                        answered(id, Err(Error::invalid_request()))
                    }
                    Some(id) => answered(id, Err(not_initialized())),
                    None => Box::pin(self.inner.call(request)),
                };
            }
            Stage::Introduced => {
                self.stage = Stage::Serving;
                self.tell(Event::Listening);
            }
            Stage::Serving => {}
        }
        let taken = match request.id().cloned() {
            Some(_) if request.method() == "shutdown" => {
                self.stage = Stage::Over;
                self.tell(Event::Left);
                None
            }
            Some(id) => self.requested(&id, &request),
            None if self.notified(&request) => {
                let nothing: Answered = Box::pin(std::future::ready(Ok(None)));
                Some(nothing)
            }
            None => None,
        };
        taken.unwrap_or_else(|| Box::pin(self.inner.call(request)))
    }
}
