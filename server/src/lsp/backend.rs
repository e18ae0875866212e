//! The handlers: each waits for what ingress has pinned to its request and says it in the protocol's words.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tower_lsp::LanguageServer;
use tower_lsp::gen_lsp_types::{
    CompletionList, InitializeParams, InitializeResult, InlineCompletionItem,
};
use tower_lsp::jsonrpc::{Error, Result};

use super::actions::{self, Performer};
use super::from_lsp::ClientFacts;
use super::ingress::{self, Pinned};
use super::{capabilities, to_lsp};
use crate::arbiter::{Answer, RecordView, Shown};

/// The command that tells what the last completion was asked and answered.
pub(super) const LAST_PROMPT: &str = "carat.lastPrompt";

/// The command that pauses completion, or resumes it.
pub(super) const TOGGLE: &str = "carat.toggle";

/// The command by which tests see what the scripted generator is doing.
#[cfg(feature = "testing")]
const ACTIVITY: &str = "carat.testing.activity";

/// The framework's view of the server. All state is elsewhere.
pub(super) struct Backend {
    pub(super) client: Arc<OnceLock<ClientFacts>>,
    pub(super) performer: Arc<Performer>,
}

impl LanguageServer for Backend {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        // Ingress has read the parameters, which typed parsing would narrow.
        let client = self.client.get().ok_or_else(Error::internal_error)?;
        Ok(capabilities::initialize_result(client))
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

impl Backend {
    /// `textDocument/inlineCompletion`: null for a document that is not open.
    pub(super) async fn inline_completion(
        &self,
        _: Value,
    ) -> Result<Option<Vec<InlineCompletionItem>>> {
        let Some(shown) = self.completion().await? else {
            return Ok(None);
        };
        Ok(Some(
            shown
                .iter()
                .map(|shown| to_lsp::inline_item(shown, self.encoding()))
                .collect(),
        ))
    }

    /// `textDocument/completion`, for clients that have no inline completion.
    pub(super) async fn completion_menu(&self, _: Value) -> Result<Option<CompletionList>> {
        let Some(shown) = self.completion().await? else {
            return Ok(None);
        };
        Ok(Some(to_lsp::menu(
            shown
                .iter()
                .map(|shown| to_lsp::menu_item(shown, self.encoding()))
                .collect(),
        )))
    }

    /// `textDocument/codeAction`: null for a document that is not open.
    pub(super) async fn code_action(&self, _: Value) -> Result<Value> {
        let request = match ingress::pinned() {
            Some(Pinned::Menu(request)) => request,
            Some(Pinned::NotOpen) => return Ok(Value::Null),
            Some(Pinned::Malformed(what)) => return Err(Error::invalid_params(what)),
            _ => return Err(Error::internal_error()),
        };
        let facts = self.client.get().ok_or_else(Error::internal_error)?.actions;
        // Parsing takes milliseconds in which this task could do nothing else.
        tokio::task::spawn_blocking(move || actions::menu(&request, facts))
            .await
            .map_err(|_| Error::internal_error())
    }

    /// An action: it goes on in the background, its command is answered at once.
    fn run_action(&self) -> Result<Value> {
        match ingress::pinned() {
            Some(Pinned::Action(Ok(begun))) => self.performer.follow(*begun),
            Some(Pinned::Action(Err(why))) => self.performer.refuse(why),
            Some(Pinned::Malformed(what)) => return Err(Error::invalid_params(what)),
            _ => return Err(Error::internal_error()),
        }
        Ok(Value::Null)
    }

    /// `workspace/executeCommand`.
    pub(super) async fn execute_command(&self, params: Value) -> Result<Value> {
        match params.get("command").and_then(Value::as_str) {
            Some(LAST_PROMPT) => match ingress::pinned() {
                Some(Pinned::Record(record)) => Ok(record
                    .await
                    .ok()
                    .flatten()
                    .map_or(Value::Null, |view| last_prompt(&view))),
                _ => Err(Error::internal_error()),
            },
            Some(TOGGLE) => match ingress::pinned() {
                Some(Pinned::Paused(paused)) => Ok(json!({ "paused": paused })),
                _ => Err(Error::internal_error()),
            },
            #[cfg(feature = "testing")]
            Some(ACTIVITY) => Ok(activity()),
            Some(name) if actions::COMMANDS.contains(&name) => self.run_action(),
            Some(other) => Err(Error::invalid_params(format!(
                "there is no command `{other}`"
            ))),
            None => Err(Error::invalid_params("the command has no name")),
        }
    }

    /// At most one completion; `None` for a document that is not open.
    async fn completion(&self) -> Result<Option<Option<Shown>>> {
        let ticket = match ingress::pinned() {
            Some(Pinned::Completion(ticket)) => ticket,
            Some(Pinned::NotOpen) => return Ok(None),
            Some(Pinned::Off) => return Ok(Some(None)),
            Some(Pinned::Malformed(what)) => return Err(Error::invalid_params(what)),
            _ => return Err(Error::internal_error()),
        };
        match ticket.answer().await {
            Answer::Shown(shown) => Ok(Some(Some(shown))),
            Answer::Empty => Ok(Some(None)),
            Answer::Cancelled => Err(Error::request_cancelled()),
        }
    }

    fn encoding(&self) -> crate::positions::Encoding {
        self.client
            .get()
            .map_or(crate::positions::Encoding::Utf16, |client| client.encoding)
    }
}

/// A record as JSON; `caret` is a byte offset in `document`, which is UTF-8.
fn last_prompt(view: &RecordView) -> Value {
    let record = &view.record;
    json!({
        "uri": &*record.snapshot.uri,
        "version": record.snapshot.version,
        "document": record.snapshot.text.to_string(),
        "caret": record.caret,
        "prompt": record.prompt,
        "completion": record.completion,
        "tier": view.model.as_ref().map(|model| model.tier),
        "model": view.model.as_ref().map(|model| &model.name),
        "ms": record.took.as_secs_f64() * 1e3,
    })
}

#[cfg(feature = "testing")]
fn activity() -> Value {
    use std::sync::atomic::Ordering::{Acquire, Relaxed};

    use crate::generator::scripted::ACTIVITY;
    json!({
        "busy": ACTIVITY.busy.load(Acquire),
        "generations": ACTIVITY.generations.load(Relaxed),
        "tokens": ACTIVITY.tokens.load(Relaxed),
    })
}
