//! Keeps the last error of any run for `carat doctor`: logs are gone with the editor that showed them.

use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::folders;

/// Longer messages are cut: one line says what happened.
const CHARACTERS_MAX: usize = 500;

/// An error that was logged.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What was logged; no source text, as in all logs of this level.
    pub message: String,
    /// Seconds since 1970.
    pub at_unix_s: u64,
    /// The version of the program that logged it.
    pub version: String,
}

impl LastError {
    /// The last one that was logged on this machine.
    pub fn read() -> Option<Self> {
        Self::read_from(&file()?)
    }

    /// How long ago it was.
    pub fn age(&self) -> Duration {
        let then = UNIX_EPOCH + Duration::from_secs(self.at_unix_s);
        SystemTime::now().duration_since(then).unwrap_or_default()
    }

    fn read_from(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Half a file, after a crash just here, reads as none.
        std::fs::write(path, serde_json::to_vec(self)?)
    }
}

/// Where it is kept: the place for state that the system's conventions give.
fn file() -> Option<PathBuf> {
    Some(folders::state()?.join("last-error.json"))
}

/// Writes errors down as they are logged.
pub(super) struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let Some(path) = file() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let last = LastError {
            message: text.0.chars().take(CHARACTERS_MAX).collect(),
            at_unix_s: now.unwrap_or_default().as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // An error of writing down an error helps nobody.
        let _ = last.write_to(&path);
    }
}

/// The message of an event, and its fields.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, "{}: {value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/last-error.json");
        assert_eq!(LastError::read_from(&path), None);
        let last = LastError {
            message: "the model is damaged".to_owned(),
            at_unix_s: 1_700_000_000,
            version: "0.1.0".to_owned(),
        };
        last.write_to(&path).expect("written");
        assert_eq!(LastError::read_from(&path), Some(last.clone()));
        assert!(last.age() > Duration::from_hours(1));
        std::fs::write(&path, b"{").expect("written");
        assert_eq!(LastError::read_from(&path), None);
    }
}
