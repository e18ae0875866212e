//! The table of a comparison: medians, their ranges and ratios.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{Options, Round, Test};

/// Speeds of all rounds.
#[derive(Default)]
pub(super) struct Report {
    carat: Measured,
    peer: Measured,
}

/// What one program has measured so far.
#[derive(Default)]
struct Measured {
    engine: String,
    tokens_per_s: BTreeMap<Test, Vec<f64>>,
}

impl Measured {
    fn add(&mut self, round: Round) {
        self.engine = round.engine;
        for sample in round.samples {
            let speeds = self.tokens_per_s.entry(sample.test).or_default();
            speeds.push(sample.tokens_per_s);
        }
    }

    fn range(&self, test: Test) -> Option<Range> {
        Range::of(self.tokens_per_s.get(&test)?)
    }
}

impl Report {
    /// Adds a round of Carat.
    pub(super) fn carat(&mut self, round: Round) {
        self.carat.add(round);
    }

    /// Adds a round of llama.cpp.
    pub(super) fn peer(&mut self, round: Round) {
        self.peer.add(round);
    }

    /// A row for every test; fails if one of the programs left one out.
    pub(super) fn table(&self, options: &Options) -> Result<String> {
        let model = options.model.file_name().unwrap_or_default();
        let mut text = format!(
            "{}, {} threads, {} cache, behind {} tokens\ncarat: {}\nllama.cpp: {}\n\
             tokens per second, median (min-max) of {} rounds\n\n",
            model.to_string_lossy(),
            options.threads,
            options.kv,
            options.depth,
            self.carat.engine,
            self.peer.engine,
            options.rounds,
        );
        text += &line("", "carat", "llama.cpp", "ratio");
        for test in options.tests() {
            let name = match test {
                Test::Prompt(tokens) => format!("prefill {tokens}"),
                Test::Generate(tokens) => format!("decode {tokens}"),
            };
            let missing = |program| format!("{program} measured no {name}");
            let carat = self.carat.range(test).with_context(|| missing("carat"))?;
            let peer = self
                .peer
                .range(test)
                .with_context(|| missing("llama.cpp"))?;
            let ratio = format!("{:.2}", carat.median / peer.median);
            text += &line(&name, &carat.to_string(), &peer.to_string(), &ratio);
        }
        Ok(text)
    }
}

fn line(name: &str, carat: &str, peer: &str, ratio: &str) -> String {
    format!("{name:<14} {carat:>28} {peer:>28} {ratio:>7}\n")
}

/// The middle and the ends of some speeds.
#[derive(Debug, PartialEq)]
struct Range {
    median: f64,
    min: f64,
    max: f64,
}

impl Range {
    fn of(speeds: &[f64]) -> Option<Self> {
        let mut sorted = speeds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            min,
            max,
        })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Three digits of a slow model, whole numbers of a fast one.
        let digits = match self.median {
            ..10.0 => 2,
            ..1000.0 => 1,
            _ => 0,
        };
        let Self { median, min, max } = self;
        write!(out, "{median:.digits$} ({min:.digits$}-{max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    fn round(engine: &str, speeds: &[(Test, f64)]) -> Round {
        let samples = speeds
            .iter()
            .map(|&(test, tokens_per_s)| Sample { test, tokens_per_s });
        Round {
            samples: samples.collect(),
            engine: engine.to_owned(),
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let range = |median, min, max| Some(Range { median, min, max });
        assert_eq!(Range::of(&[]), None);
        assert_eq!(Range::of(&[3.0]), range(3.0, 3.0, 3.0));
        assert_eq!(Range::of(&[9.0, 1.0, 2.0]), range(2.0, 1.0, 9.0));
        assert_eq!(Range::of(&[4.0, 1.0, 2.0, 9.0]), range(3.0, 1.0, 9.0));
    }

    #[test]
    fn the_table_has_medians_ranges_and_ratios() {
        let options = [
            "--peer",
            "b",
            "--model",
            "d/m.gguf",
            "--prompts",
            "128",
            "--rounds",
            "3",
        ];
        let options = Options::parse(&options).expect("complete");
        let (prompt, generate) = (Test::Prompt(128), Test::Generate(64));
        let mut report = Report::default();
        for speed in [3000.0, 1000.0, 2000.0] {
            report.carat(round("avx2 kernels", &[(prompt, speed), (generate, 7.5)]));
            report.peer(round("0c1e570, on Xeon", &[(prompt, speed / 2.0)]));
        }
        let error = report.table(&options).expect_err("one is missing");
        assert_eq!(error.to_string(), "llama.cpp measured no decode 64");
        report.peer(round("0c1e570, on Xeon", &[(generate, 60.0)]));
        let expected = "\
m.gguf, 2 threads, f16 cache, behind 0 tokens
carat: avx2 kernels
llama.cpp: 0c1e570, on Xeon
tokens per second, median (min-max) of 3 rounds

                                      carat                    llama.cpp   ratio
prefill 128                2000 (1000-3000)              1000 (500-1500)    2.00
decode 64                  7.50 (7.50-7.50)             60.0 (60.0-60.0)    0.12
";
        assert_eq!(report.table(&options).expect("complete"), expected);
    }
}
