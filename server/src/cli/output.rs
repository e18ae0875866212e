//! Writes results to standard output.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;

/// Writes `text` and a line end, if it has none.
///
/// A reader that has seen enough and closed the pipe is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(end.as_bytes()));
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the result cannot be written to standard output"),
    }
}

/// Text that is written in pieces. A reader that has closed the pipe hears no more and is no failure.
#[derive(Debug, Default)]
pub(super) struct Stream {
    failed: Option<io::Error>,
    ends_line: bool,
}

impl Stream {
    /// Writes a piece, at once.
    pub(super) fn write(&mut self, text: &str) {
        if self.failed.is_some() || text.is_empty() {
            return;
        }
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        self.failed = written.err();
        self.ends_line = text.ends_with('\n');
    }

    /// Ends the last line.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if !self.ends_line {
            self.write("\n");
        }
        match self.failed {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("the result cannot be written to standard output")
            }
            _ => Ok(()),
        }
    }
}

/// Writes one JSON object on one line.
pub(super) fn print_json(object: &serde_json::Value) -> anyhow::Result<()> {
    print(&object.to_string())
}

/// A path for readers, with `~` for the home folder: reports are shown to others.
pub(super) fn path(path: &Path) -> String {
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(inside) => Path::new("~").join(inside).display().to_string(),
        None => path.display().to_string(),
    }
}

/// A number of bytes for readers.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A large count for readers: 25.2 B, 3.81 B, 270 M.
pub(super) fn count(count: u64) -> String {
    let (value, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (count as f64 / 1e3, "K"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        _ => (count as f64 / 1e9, "B"),
    };
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$} {unit}")
}
