//! `cargo xtask compare`: Carat and llama.cpp on the same file, in turns, as the host's speed moves.

mod options;
mod programs;
mod report;

use std::path::Path;

use anyhow::Result;

pub(crate) use options::{HELP, Options};
use programs::{Carat, Peer};
use report::Report;

/// What is measured of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    /// Reading a prompt of so many tokens.
    Prompt(u32),
    /// Writing so many tokens.
    Generate(u32),
}

/// A speed of one run, in tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    test: Test,
    tokens_per_s: f64,
}

/// What one program measured in one round.
#[derive(Debug)]
struct Round {
    samples: Vec<Sample>,
    /// What the program says of itself and of the processor.
    engine: String,
}

/// Runs both programs for all rounds, one process after the other, and prints the table.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let carat = Carat::find(root, options)?;
    let peer = Peer::find(options)?;
    let mut report = Report::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: llama.cpp", options.rounds);
        report.peer(peer.measure(options)?);
        eprintln!("round {round} of {}: carat", options.rounds);
        report.carat(carat.measure(options)?);
    }
    crate::ci::print_line(report.table(options)?.trim_end());
    Ok(())
}
