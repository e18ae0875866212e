//! Shows a download: a bar on a terminal, a line now and then anywhere else.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output;
use crate::models::download::Progress;

/// How often a line comes where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What the user sees on standard error.
pub(super) struct Display {
    name: String,
    /// Absent where there is no terminal.
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Display {
    pub(super) fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{prefix} {bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
            // The template is a constant that was looked at; the usual style would do too.
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(name.to_owned());
            bar
        });
        Self {
            name: name.to_owned(),
            bar,
            last_line: None,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Received { bytes, size_bytes } => self.received(*bytes, *size_bytes),
            Progress::Waiting => self.line("another process is pulling it; waiting"),
            Progress::Checking { bytes } => self.line(&format!(
                "{} are here already; reading them for the digest",
                output::bytes(*bytes)
            )),
            Progress::Again { why, wait } => {
                self.line(&format!(
                    "{why}; again in {:.0} s",
                    wait.as_secs_f64().ceil()
                ));
            }
            Progress::FromTheBeginning { why } => {
                self.line(&format!("{why}; from the beginning"));
            }
        }
    }

    fn received(&mut self, bytes: u64, size_bytes: u64) {
        if let Some(bar) = &self.bar {
            if bar.length().is_none() {
                // What was here before says nothing about the speed.
                bar.set_length(size_bytes);
                bar.set_position(bytes);
                bar.reset_eta();
            }
            bar.set_position(bytes);
        } else if self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            let percent = bytes.saturating_mul(100) / size_bytes.max(1);
            let size = output::bytes(size_bytes);
            self.line(&format!("{percent} % of {size}"));
        }
    }

    fn line(&self, what: &str) {
        let line = format!("{}: {what}", self.name);
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
