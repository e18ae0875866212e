//! Logs go to standard error: standard output belongs to the protocol and to results. The last error is kept.

mod last_error;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

pub use self::last_error::LastError;

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
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry()
        .with(lines)
        .with(last_error::Recorder.with_filter(LevelFilter::ERROR));
    // Tests start the server more than once in a process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
