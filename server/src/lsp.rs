//! The language server: the only place that knows the protocol. Everything inside it uses byte offsets.

mod actions;
mod backend;
mod capabilities;
mod client;
mod commands;
mod counts;
mod engines;
mod from_lsp;
mod ingress;
mod input;
mod introduction;
mod outbox;
mod parent;
mod shell;
mod status;
mod to_lsp;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tower_lsp::{LspService, Server};

use crate::session::Session;
use backend::Backend;
use ingress::Ingress;
use shell::Shell;

/// Requests whose handlers wait at the same time. They are cheap; with too few, cancellations would
/// queue behind the requests that they cancel.
const CONCURRENT_REQUESTS: usize = 64;

/// How long requests that are under way when the input ends may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves one client on standard input and output until it leaves. `model` wins over the client's setting.
///
/// The exit code is the protocol's: 0 if `shutdown` came before the end, else 1.
pub fn run(model: Option<String>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot be started")?;
    let clean = runtime.block_on(serve(model))?;
    // Standard input may be blocked in a read for ever.
    runtime.shutdown_background();
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn serve(model: Option<String>) -> anyhow::Result<bool> {
    let mut client = None;
    let (service, socket) = LspService::build_with_lifecycle_methods(|of_framework| {
        client = Some(of_framework);
        Backend
    })
    .finish();
    let client = client.context("the framework has made no client")?;
    let shell = Shell::new(Session::new(model), client);
    let ingress = Ingress::new(service, shell.clone());
    let input_ended = Arc::new(Notify::new());
    let stdin = input::clean(tokio::io::stdin(), Arc::clone(&input_ended));
    let server = Server::new(stdin, tokio::io::stdout(), socket);
    tokio::select! {
        () = server.concurrency_level(CONCURRENT_REQUESTS).serve(ingress) => {}
        () = shell.orphaned() => tracing::warn!("the client's process is gone"),
        () = async { input_ended.notified().await; tokio::time::sleep(LAST_ANSWERS).await } => {}
    }
    Ok(shell.end().await)
}
