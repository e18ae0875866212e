//! What the server is doing, for status bars: one small value that whoever is interested can watch.

use std::time::Duration;

use tokio::sync::watch;

/// Fewer tokens tell more about the clock than about the engine.
const TOKENS_MIN: usize = 4;

/// What the engine can do at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The model is being loaded.
    #[default]
    Loading,
    /// It waits for work.
    Ready,
    /// It computes.
    Busy,
    /// It cannot work.
    Error,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What the engine can do.
    pub state: State,
    /// Whether the user has paused completion.
    pub paused: bool,
    /// The model's name, once it is loaded.
    pub model: Option<String>,
    /// Whether that model takes instructions, or only completes.
    pub takes_instructions: Option<bool>,
    /// Tokens written in a second, in the last completion of some length.
    pub tokens_per_second: Option<f64>,
    /// What is wrong, and what to do.
    pub message: Option<String>,
}

impl Status {
    /// The state's name for clients.
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Error => "error",
            State::Loading => "loading",
            _ if self.paused => "paused",
            State::Ready => "ready",
            State::Busy => "busy",
        }
    }
}

/// Where the status stands. Cheap to clone; all clones are the same board.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard {
    sender: watch::Sender<Status>,
}

impl StatusBoard {
    /// Sees every change, or only the last of several.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.sender.subscribe()
    }

    /// The model is loaded.
    pub fn ready(&self, model: String, takes_instructions: bool) {
        self.change(|status| {
            status.state = State::Ready;
            status.model = Some(model);
            status.takes_instructions = Some(takes_instructions);
        });
    }

    /// The model cannot be used.
    pub fn failed(&self, message: String) {
        self.change(|status| {
            status.state = State::Error;
            status.message = Some(message);
        });
    }

    /// The engine begins to compute.
    pub fn busy(&self) {
        self.change(|status| status.state = State::Busy);
    }

    /// The engine waits again.
    pub fn idle(&self) {
        self.change(|status| status.state = State::Ready);
    }

    /// So many tokens were written in this time.
    pub fn wrote(&self, tokens: usize, time: Duration) {
        if tokens >= TOKENS_MIN && !time.is_zero() {
            let rate = tokens as f64 / time.as_secs_f64();
            self.change(|status| status.tokens_per_second = Some((rate * 10.0).round() / 10.0));
        }
    }

    /// The user pauses completion, or resumes it.
    pub fn paused(&self, paused: bool) {
        self.change(|status| status.paused = paused);
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.sender.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}

/// The memory that this process holds, in bytes, where the system tells it.
pub fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = kibibytes.trim().strip_suffix("kB")?.trim();
    Some(kibibytes.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_hear_of_changes_only() {
        let board = StatusBoard::default();
        let mut watcher = board.watch();
        board.ready("m".to_owned(), false);
        assert!(watcher.has_changed().expect("a board"));
        assert_eq!(watcher.borrow_and_update().name(), "ready");
        board.ready("m".to_owned(), false);
        assert!(!watcher.has_changed().expect("a board"));
        board.busy();
        assert_eq!(watcher.borrow_and_update().name(), "busy");
        board.paused(true);
        assert_eq!(watcher.borrow_and_update().name(), "paused");
        board.wrote(1, Duration::from_millis(1));
        assert!(!watcher.has_changed().expect("a board"), "too few to tell");
        board.wrote(10, Duration::from_millis(100));
        assert_eq!(watcher.borrow_and_update().tokens_per_second, Some(100.0));
        board.failed("no file".to_owned());
        assert_eq!(watcher.borrow_and_update().name(), "error");
    }
}
