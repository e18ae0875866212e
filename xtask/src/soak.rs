//! `cargo xtask soak`: a long session of edits, requests, cancellations and code actions, and what must hold
//! during and after it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use carat_tests::{Launch, soak};
use serde_json::json;

pub(crate) const HELP: &str = "\
usage: cargo xtask soak [OPTIONS]

  --minutes N    how long [default: 30]
  --rest FILE    the model for rests and code actions
                 [default: tests/fixtures/parity/moe-thin.f32.gguf]
  --carat PATH   the server [default: target/release/carat]
  --seed N       what is done [default: 1]

Fails if a request is answered twice or never, if the server panics, if its memory grows by more than 5% in
the last quarter, or if it is not idle 200 ms after it was paused.
";

/// What is done, for how long, with what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    minutes: f64,
    rest: Option<PathBuf>,
    carat: Option<PathBuf>,
    seed: u64,
}

impl Options {
    /// Reads the words behind `soak`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut this = Self {
            minutes: 30.0,
            rest: None,
            carat: None,
            seed: 1,
        };
        for pair in words.chunks(2) {
            let [name, value] = *pair else {
                bail!("{} needs a value", pair[0]);
            };
            let unreadable = || format!("{name} {value} cannot be read");
            match name {
                "--minutes" => this.minutes = value.parse().with_context(unreadable)?,
                "--seed" => this.seed = value.parse().with_context(unreadable)?,
                "--rest" => this.rest = Some(value.into()),
                "--carat" => this.carat = Some(value.into()),
                _ => bail!("unknown option `{name}`"),
            }
        }
        let sensible = (0.05..=1440.0).contains(&this.minutes);
        ensure!(sensible, "--minutes needs 0.05 to 1440");
        Ok(this)
    }
}

/// Works like that, and prints what it came to.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let given = options.carat.clone();
    let carat = given.unwrap_or_else(|| root.join("target/release/carat"));
    ensure!(
        carat.is_file(),
        "{} is not there: `cargo build --release -p carat` makes it",
        carat.display()
    );
    let given = options.rest.clone();
    let rest = given.unwrap_or_else(|| root.join("tests/fixtures/parity/moe-thin.f32.gguf"));
    let settings = json!({ "models": { "rest": rest }, "eagerness": "all", "unloadMinutes": 1 });
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let launch = Launch::new(&carat).argument("lsp");
    let soaked = soak(launch, settings, time, options.seed)?;
    let quarters: Vec<String> = soaked
        .quarters()
        .iter()
        .map(|bytes| format!("{:.1}", *bytes as f64 / 1e6))
        .collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} edits, {} requests ({} taken back, {} texts), {} actions: all answered once, nothing panicked\n\
         memory, the most of each quarter: {} MB\n\
         paused, it used {:?} of the processor in half a second",
        soaked.edits,
        soaked.requests,
        soaked.cancelled,
        soaked.texts,
        soaked.actions,
        quarters.join(", "),
        soaked.idle_use.unwrap_or_default(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let options = Options::parse(&["--minutes", "0.5", "--seed", "7"]).expect("options");
        assert_eq!((options.minutes, options.seed), (0.5, 7));
        for words in [&["--minutes"][..], &["--minutes", "0"], &["--other", "1"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
