//! `carat stats`: what was shown and taken on this machine, and forgetting it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::output;
use crate::statistics::{self, Count};

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat stats            ghost text that was shown and taken, of the last days
  carat stats --days 1   today alone
  carat stats --clear    forget all of it

Only these numbers are kept, by language and day (in UTC); no text, and nothing is sent. Text counts as
taken where an edit inserts it, so a few counts are wrong; what is undone at once is taken back. Keys
saved are the characters that were inserted, without indentation, less the key that took them.
Servers write their numbers down every minute, and when they end. The setting `statistics` ends counting.";

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Days to show, today included
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Forget everything that was counted
    #[arg(long, conflicts_with_all = ["days", "json"])]
    clear: bool,
}

pub(super) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let file = statistics::file()
        .context("there is no folder to count in; set XDG_STATE_HOME or HOME to one")?;
    let shown = || output::path(&file);
    if args.clear {
        statistics::clear(&file).with_context(|| format!("{} cannot be removed", shown()))?;
        eprintln!("{}: forgotten", shown());
        return Ok(());
    }
    let mut counts =
        statistics::read(&file).with_context(|| format!("{} cannot be read", shown()))?;
    let first = statistics::first_day(args.days.into());
    counts.retain(|count| count.day >= first);
    if args.json {
        return output::print_json(&json!({ "file": file, "since": first, "counts": counts }));
    }
    if counts.is_empty() {
        return output::print(&format!(
            "nothing was counted since {first}; servers write to {} every minute",
            shown()
        ));
    }
    output::print(&table(&counts))
}

/// A row for each day and language, and one for each language in all.
fn table(counts: &[Count]) -> String {
    let mut text = String::new();
    let mut row = |day: &str, count: &Count| {
        let Count {
            language,
            shown,
            taken,
            saved,
            ..
        } = count;
        let share = 100.0 * *taken as f64 / (*shown).max(1) as f64;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{day:<12}{language:<18}{shown:>7}{taken:>7}{share:>6.0}%{saved:>12}"
        );
    };
    let mut all: BTreeMap<&str, Count> = BTreeMap::new();
    for count in counts {
        row(&count.day, count);
        let sum = all.entry(&count.language).or_default();
        sum.language.clone_from(&count.language);
        sum.shown += count.shown;
        sum.taken += count.taken;
        sum.saved += count.saved;
    }
    for sum in all.values() {
        row("all", sum);
    }
    let head = format!(
        "{:<12}{:<18}{:>7}{:>7}{:>7}{:>12}\n",
        "day", "language", "shown", "taken", "share", "keys saved"
    );
    head + &text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_days_and_sums() {
        let count = |day: &str, shown, taken| Count {
            day: day.to_owned(),
            language: "rust".to_owned(),
            shown,
            taken,
            saved: 10 * taken,
        };
        let table = table(&[count("2026-11-20", 10, 4), count("2026-11-21", 30, 10)]);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows.len(), 4, "{table}");
        assert_eq!(rows[1], ["2026-11-20", "rust", "10", "4", "40%", "40"]);
        assert_eq!(rows[3], ["all", "rust", "40", "14", "35%", "140"]);
    }
}
