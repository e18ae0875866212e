//! The options of `cargo xtask compare`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::Test;

pub(crate) const HELP: &str = "\
usage: cargo xtask compare --peer PATH/TO/llama-bench --model FILE [OPTIONS]

  --peer PATH       llama.cpp's llama-bench; libraries are looked for in its folder as well
  --model FILE      a GGUF file that both can read
  --carat PATH      the other binary [default: target/release/carat]
  --threads N       threads of each [default: 2]
  --prompts N,...   lengths of prompts in tokens [default: 128,512]
  --generate N      tokens to write, at least 2 [default: 64]
  --depth N         tokens that are in the cache before [default: 0]
  --kv TYPE         form of keys and values, f32, f16 or q8_0 [default: f16]
  --rounds N        runs of each program [default: 5]

Other programs on the machine spoil the numbers: close them.
";

const KV_TYPES: [&str; 3] = ["f32", "f16", "q8_0"];

/// What to compare, and how.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(super) peer: PathBuf,
    pub(super) model: PathBuf,
    /// The binary that was named, if not the release build.
    pub(super) carat: Option<PathBuf>,
    pub(super) threads: u32,
    pub(super) prompts: Vec<u32>,
    pub(super) generate: u32,
    pub(super) depth: u32,
    pub(super) kv: String,
    pub(super) rounds: u32,
}

impl Options {
    /// Reads the words behind `compare`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let (mut peer, mut model) = (None, None);
        let mut this = Self {
            peer: PathBuf::new(),
            model: PathBuf::new(),
            carat: None,
            threads: 2,
            prompts: vec![128, 512],
            generate: 64,
            depth: 0,
            kv: "f16".to_owned(),
            rounds: 5,
        };
        let mut words = words.iter().copied();
        while let Some(name) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{name} needs a value"))
            };
            match name {
                "--peer" => peer = Some(PathBuf::from(value()?)),
                "--model" => model = Some(PathBuf::from(value()?)),
                "--carat" => this.carat = Some(PathBuf::from(value()?)),
                "--threads" => this.threads = number(name, value()?, 1)?,
                "--prompts" => {
                    let lengths = value()?.split(',').map(|length| number(name, length, 1));
                    this.prompts = lengths.collect::<Result<_>>()?;
                }
                "--generate" => this.generate = number(name, value()?, 2)?,
                "--depth" => this.depth = number(name, value()?, 0)?,
                "--kv" => value()?.clone_into(&mut this.kv),
                "--rounds" => this.rounds = number(name, value()?, 1)?,
                _ => bail!("`{name}` is no option of compare"),
            }
        }
        ensure!(
            KV_TYPES.contains(&&*this.kv),
            "--kv is one of {}, not `{}`",
            KV_TYPES.join(", "),
            this.kv
        );
        this.prompts.sort_unstable();
        this.prompts.dedup();
        this.peer = peer.context("--peer is missing: the path of llama-bench")?;
        this.model = model.context("--model is missing: a GGUF file")?;
        Ok(this)
    }

    /// Everything that both are to measure, in the order of the table.
    pub(super) fn tests(&self) -> impl Iterator<Item = Test> {
        let prompts = self.prompts.iter().copied().map(Test::Prompt);
        prompts.chain([Test::Generate(self.generate)])
    }
}

fn number(name: &str, text: &str, least: u32) -> Result<u32> {
    let number = text.trim().parse().ok().filter(|&number| number >= least);
    number.with_context(|| format!("{name}: `{text}` is not a whole number from {least} on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 4] = ["--peer", "p/llama-bench", "--model", "m.gguf"];

    fn parse(more: &[&str]) -> Result<Options> {
        Options::parse(&[&NEEDED, more].concat())
    }

    #[test]
    fn options_have_defaults() {
        let options = parse(&[]).expect("complete");
        assert_eq!(options.prompts, [128, 512]);
        assert_eq!((options.threads, options.rounds), (2, 5));
        let options = parse(&["--prompts", "64, 8,64", "--kv", "q8_0", "--depth", "0"]);
        let options = options.expect("complete");
        let tests: Vec<_> = options.tests().collect();
        let expected = [Test::Prompt(8), Test::Prompt(64), Test::Generate(64)];
        assert_eq!(tests, expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (words, part) in [
            (&["--threads"][..], "--threads needs a value"),
            (&["--threads", "0"], "`0` is not a whole number from 1 on"),
            (&["--prompts", "128,,512"], "`` is not a whole number"),
            (&["--generate", "1"], "from 2 on"),
            (&["--kv", "q4_0"], "not `q4_0`"),
            (&["fast"], "`fast` is no option"),
        ] {
            let error = parse(words).expect_err("a mistake").to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = Options::parse(&NEEDED[..2]).expect_err("a mistake");
        assert!(error.to_string().contains("--model"), "{error}");
    }
}
