//! Logs go to standard error: standard output belongs to the protocol and to results.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The environment variable that says what is logged, such as `debug` or `carat::lsp=trace`.
pub const VARIABLE: &str = "CARAT_LOG";

/// Starts logging for the whole process; a second call changes nothing.
///
/// Source text appears at the level `trace` only.
pub fn start() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var(VARIABLE)
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .finish();
    // Tests start the server more than once in a process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
