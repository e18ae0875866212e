//! The options of `cargo xtask latency`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::editor::Manner;

pub(crate) const HELP: &str = "\
usage: cargo xtask latency [OPTIONS]

  --model NAME|PATH  the model that answers, alone [default: those of the settings]
  --alone            a slow model is to be of use: fails unless nine rests of ten get a text, none costs
                     more than what was typed and 40 tokens, a key 3 on average, and the processor rests
  --settings JSON    settings of the client, such as '{\"models\": {\"rest\": \"26b\"}}'
  --carat PATH       the server [default: target/release/carat]
  --keys N           keys of each session [default: 200]
  --pace N,...       keys a second [default: 1,6]
  --rest SECONDS     pauses, after every 15 keys [default: 1]
  --manner NAME      vscode or neovim [default: both, one after the other]
  --log FILE         where the last server's log is kept
  --carets N         types nothing; times the answers at N carets of tests/quality/cases: in a document
                     that was just opened, and behind one more key
  --warm-up SECONDS  time between the first request and the first key [default: 10]

Other programs on the machine spoil the times, not the counts.
";

/// What is typed, how, and in front of what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(super) model: Option<String>,
    pub(super) settings: serde_json::Value,
    pub(super) carat: Option<PathBuf>,
    pub(super) keys: usize,
    pub(super) paces: Vec<f64>,
    pub(super) manner: Option<Manner>,
    pub(super) warm_up: f64,
    pub(super) rest: f64,
    pub(super) alone: bool,
    pub(super) log: Option<PathBuf>,
    pub(super) carets: Option<usize>,
}

impl Options {
    /// Reads the words behind `latency`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut this = Self {
            model: None,
            settings: serde_json::json!({}),
            carat: None,
            keys: 200,
            paces: vec![1.0, 6.0],
            manner: None,
            warm_up: 10.0,
            rest: 1.0,
            alone: false,
            log: None,
            carets: None,
        };
        let mut words = words.iter().copied();
        while let Some(name) = words.next() {
            if name == "--alone" {
                this.alone = true;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{name} needs a value"))?;
            let unreadable = || format!("{name} {value} cannot be read");
            match name {
                "--model" => this.model = Some(value.to_owned()),
                "--settings" => {
                    this.settings = serde_json::from_str(value).with_context(unreadable)?;
                    ensure!(this.settings.is_object(), "{name} needs a JSON object");
                }
                "--carat" => this.carat = Some(value.into()),
                "--log" => this.log = Some(value.into()),
                "--carets" => this.carets = Some(value.parse().with_context(unreadable)?),
                "--keys" => this.keys = value.parse().with_context(unreadable)?,
                "--pace" => {
                    let paces = value.split(',').map(str::parse);
                    this.paces = paces.collect::<Result<_, _>>().with_context(unreadable)?;
                }
                "--manner" => {
                    let known = [Manner::Pairs, Manner::Plain];
                    let found = known.into_iter().find(|manner| manner.name() == value);
                    this.manner = Some(found.with_context(|| format!("no manner `{value}`"))?);
                }
                "--rest" => this.rest = value.parse().with_context(unreadable)?,
                "--warm-up" => this.warm_up = value.parse().with_context(unreadable)?,
                _ => bail!("unknown option `{name}`"),
            }
        }
        let fast = this.paces.iter().all(|pace| (0.1..=50.0).contains(pace));
        ensure!(fast, "--pace needs 0.1 to 50 keys a second");
        ensure!(
            (0.0..=600.0).contains(&this.warm_up),
            "--warm-up needs 0 to 600 seconds"
        );
        ensure!(
            (0.1..=60.0).contains(&this.rest),
            "--rest needs 0.1 to 60 seconds"
        );
        Ok(this)
    }

    /// The name in the log of the model that is asked when the caret rests, if the settings have one.
    pub(super) fn rest_model(&self) -> Option<String> {
        let named = self.settings.pointer("/models/rest");
        let name = named.or(self.settings.get("model"))?.as_str()?;
        let file = std::path::Path::new(name).file_stem()?;
        Some(file.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let options = Options::parse(&["--pace", "2,6.5", "--manner", "neovim", "--keys", "9"]);
        let options = options.expect("options");
        assert_eq!(
            (options.paces, options.manner, options.keys),
            (vec![2.0, 6.5], Some(Manner::Plain), 9)
        );
        for words in [
            &["--pace", "0"][..],
            &["--keys"],
            &["--other", "1"],
            &["--manner", "ed"],
            &["--settings", "[]"],
            &["--rest", "0"],
        ] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
