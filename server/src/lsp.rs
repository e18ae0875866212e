//! The language server: the only place that knows the protocol. Everything inside it uses byte offsets.

mod actions;
mod backend;
mod capabilities;
mod configuration;
mod file_uri;
mod from_lsp;
mod ingress;
mod input;
mod parent;
mod status;
mod to_lsp;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc};
use tower_lsp::gen_lsp_types::MessageType;
use tower_lsp::{Client, LspService, Server};

use crate::arbiter::Arbiter;
use crate::engine_thread::{self, Mailbox};
use crate::generator;
use crate::status::StatusBoard;
use actions::{ActionBook, Performer, Views};
use backend::Backend;
use configuration::Configuration;
use from_lsp::ClientFacts;
use ingress::{Ingress, Signals};

/// Requests whose handlers wait at the same time. They are cheap; with too few, cancellations would
/// queue behind the requests that they cancel.
const CONCURRENT_REQUESTS: usize = 64;

/// How long requests that are under way when the input ends may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long the engine may take to stop; it looks at its cancel token once a layer.
const ENGINE_STOP: Duration = Duration::from_millis(500);

/// Serves one client on standard input and output until it leaves. `model` wins over the client's setting.
///
/// The exit code is the protocol's: 0 if `shutdown` came before the end, else 1.
pub fn run(model: Option<String>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot be started")?;
    let clean = runtime.block_on(serve(model));
    // Standard input may be blocked in a read for ever.
    runtime.shutdown_background();
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn serve(model: Option<String>) -> bool {
    let mailbox = Arc::new(Mailbox::default());
    let arbiter = Arbiter::new(Arc::clone(&mailbox));
    let client = Arc::new(OnceLock::new());
    let signals = Arc::new(Signals::default());
    let orphaned = Arc::new(Notify::new());
    let input_ended = Arc::new(Notify::new());
    let engine = Arc::new(OnceLock::new());

    let facts = Arc::clone(&client);
    let book = ActionBook::new(Arc::clone(&mailbox));
    let views = Arc::new(Views::default());
    let mut handle = None;
    let (service, socket) = LspService::build_with_lifecycle_methods(|client| {
        handle = Some(client.clone());
        let (book, views) = (book.clone(), Arc::clone(&views));
        let performer = Performer::new(client, Arc::clone(&facts), book, views);
        Backend {
            client: facts,
            performer: Arc::new(performer),
        }
    })
    .custom_method("textDocument/inlineCompletion", Backend::inline_completion)
    .custom_method("textDocument/completion", Backend::completion_menu)
    .custom_method("textDocument/codeAction", Backend::code_action)
    .custom_method("workspace/executeCommand", Backend::execute_command)
    .finish();

    let board = StatusBoard::default();
    let configuration = Configuration::default();
    if let Some(client) = &handle {
        configuration.connect(client.clone());
    }
    let greet: ingress::Greet = {
        let (client, board, configuration) = (handle.clone(), board.clone(), configuration.clone());
        Box::new(move |facts: &ClientFacts| {
            configuration.initialized();
            if let Some(client) = client.filter(|_| facts.status) {
                status::tell(client, &board);
            }
        })
    };
    let troubles = handle.map(|client| tell_troubles(client, Arc::clone(&signals)));
    let start: ingress::Start = {
        let (arbiter, orphaned, engine) =
            (arbiter.clone(), Arc::clone(&orphaned), Arc::clone(&engine));
        let board = board.clone();
        let configuration = configuration.clone();
        Box::new(move |client: &ClientFacts| {
            watch_parent(client.process_id, orphaned);
            let failed = move |what: String| {
                tracing::error!("{what}");
                if let Some(troubles) = troubles {
                    let _ = troubles.send(what);
                }
            };
            match engine_thread::spawn(
                move || {
                    let settings = configuration.at_start();
                    let model = model.or(settings.model);
                    generator::load(model.as_deref(), settings.threads)
                },
                mailbox,
                arbiter,
                board,
                failed,
            ) {
                Ok(thread) => drop(engine.set(thread)),
                Err(error) => tracing::error!(%error, "the engine thread cannot be started"),
            }
        })
    };
    let shared = ingress::Shared {
        arbiter: arbiter.clone(),
        actions: book,
        client,
        signals: Arc::clone(&signals),
        configuration,
        status: board,
    };
    let ingress = Ingress::new(service, shared, start, greet);
    let stdin = input::clean(tokio::io::stdin(), Arc::clone(&input_ended));
    let server =
        Server::new(stdin, tokio::io::stdout(), socket).concurrency_level(CONCURRENT_REQUESTS);
    tokio::select! {
        () = server.serve(ingress) => {}
        () = orphaned.notified() => tracing::warn!("the client's process is gone"),
        () = async { input_ended.notified().await; tokio::time::sleep(LAST_ANSWERS).await } => {}
    }
    arbiter.halt();
    if let Some(engine) = engine.get() {
        wait_for(engine).await;
    }
    views.remove();
    signals.shut_down.load(Ordering::Acquire)
}

/// Shows the client what it must know, once it listens.
fn tell_troubles(client: Client, signals: Arc<Signals>) -> mpsc::UnboundedSender<String> {
    // One message a start of the engine, so the queue is bounded by that.
    let (sender, mut receiver) = mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        while let Some(what) = receiver.recv().await {
            signals.client_listens.notified().await;
            client
                .show_message(
                    MessageType::Error,
                    format!("Carat cannot complete code: {what}"),
                )
                .await;
        }
    });
    sender
}

fn watch_parent(id: Option<u32>, orphaned: Arc<Notify>) {
    let Some(id) = id else { return };
    tokio::spawn(async move {
        parent::death(id).await;
        orphaned.notify_one();
    });
}

async fn wait_for(engine: &std::thread::JoinHandle<()>) {
    let begun = Instant::now();
    while !engine.is_finished() && begun.elapsed() < ENGINE_STOP {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
