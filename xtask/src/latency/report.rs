//! The table of a latency run.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::editor::Manner;
use super::session::Figures;

/// What a rest may cost beside what was typed since the last one, in tokens.
const REST_TOKENS: f64 = 40.0;

/// What a key may cost on average, in tokens.
const KEY_TOKENS: f64 = 3.0;

/// The least share of rests that get a text.
const ANSWERED: f64 = 0.9;

/// The share of a processor that an idle server may use.
const IDLE: f64 = 0.05;

/// Prints one row for each session.
pub(super) fn print(rows: &[(Manner, f64, Figures)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| manner | keys/s | keys | tokens/key | key to text p50/p95 ms | typed through p50/p99 ms \
         | rests with text | with a generation's end | rest to text p50/p95 ms | rests over {REST_TOKENS} tokens, most | busy 2 s after \
         | lines at rest, p50/p95 ms, tokens | tokens at rest/new line |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for (manner, pace, figures) in rows {
        let per_key = figures.per_key();
        let costs = figures.rest_costs.iter();
        let most = costs.map(|(cost, _)| *cost).fold(0.0, f64::max);
        let busy = figures
            .idle
            .map_or("?".to_owned(), |idle| format!("{:.0}%", 100.0 * idle));
        writeln!(
            out,
            "| {} | {pace} | {} | {per_key:.2} | {} | {} | {} of {} | {} | {} | {}, {most:.0} | {busy} | {} | {:.1} |",
            manner.name(),
            figures.keys,
            times(&figures.answers, 0.95),
            times(&figures.typed_through, 0.99),
            figures.answered,
            figures.rests,
            figures.generated,
            times(&figures.rest_answers, 0.95),
            figures.over(),
            lines_at_rest(figures),
            figures.tokens_at_rest / figures.breaks.max(1) as f64,
        )?;
    }
    for (manner, pace, figures) in rows {
        for (why, times) in &figures.silences {
            writeln!(
                out,
                "{}, {pace} keys a second: {times} rests without text: {why}",
                manner.name()
            )?;
        }
    }
    Ok(())
}

/// Whether a slow model is of use to who types: what is not as it should be is named.
pub(super) fn check(rows: &[(Manner, f64, Figures)]) -> Result<()> {
    let mut faults = Vec::new();
    for (manner, pace, figures) in rows {
        let answered = figures.answered as f64 / figures.rests.max(1) as f64;
        let of = [
            (answered < ANSWERED).then(|| format!("{:.0}% of rests get a text", 100.0 * answered)),
            (figures.over() > 0).then(|| format!("{} rests cost too much", figures.over())),
            (figures.per_key() > KEY_TOKENS)
                .then(|| format!("{:.2} tokens for a key", figures.per_key())),
            figures
                .idle
                .filter(|busy| *busy > IDLE)
                .map(|busy| format!("{:.0}% busy 2 s after the last key", 100.0 * busy)),
        ];
        let of = of.into_iter().flatten();
        faults.extend(of.map(|fault| format!("{}, {pace} keys a second: {fault}", manner.name())));
    }
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

impl Figures {
    /// Prompt tokens for a key.
    fn per_key(&self) -> f64 {
        self.tokens / self.keys.max(1) as f64
    }

    /// Rests that cost more than they may. A token has at least one character.
    fn over(&self) -> usize {
        let costs = self.rest_costs.iter();
        costs
            .filter(|(cost, typed)| *cost > *typed as f64 + REST_TOKENS)
            .count()
    }
}

/// How many lines came at rest, when, and how long they were.
fn lines_at_rest(figures: &Figures) -> String {
    let lines = &figures.rest_lines;
    let all: Vec<Duration> = lines.iter().map(|(took, _)| *took).collect();
    let tokens: usize = lines.iter().map(|(_, tokens)| tokens).sum();
    let mean = tokens as f64 / lines.len().max(1) as f64;
    format!("{}, {}, {mean:.1}", lines.len(), times(&all, 0.95))
}

/// The median and another quantile, in milliseconds.
pub(super) fn times(times: &[Duration], high: f64) -> String {
    if times.is_empty() {
        return "none".to_owned();
    }
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let last = sorted.len() - 1;
        sorted[(last as f64 * share).round() as usize].as_secs_f64() * 1000.0
    };
    format!("{:.1}/{:.1}", at(0.5), at(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_median_and_a_high_quantile() {
        let all: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        assert_eq!(times(&all, 0.95), "51.0/96.0");
        assert_eq!(times(&[], 0.95), "none");
    }

    #[test]
    fn names_what_is_not_as_it_should_be() {
        let good = Figures {
            keys: 10,
            tokens: 30.0,
            rests: 10,
            answered: 9,
            rest_costs: vec![(50.0, 10)],
            idle: Some(0.01),
            ..Figures::default()
        };
        assert!(check(&[(Manner::Pairs, 1.0, good.clone())]).is_ok());
        let bad = Figures {
            answered: 8,
            rest_costs: vec![(51.0, 10)],
            tokens: 31.0,
            idle: Some(0.2),
            ..good
        };
        let told = check(&[(Manner::Plain, 6.0, bad)]).map_err(|error| error.to_string());
        assert_eq!(told.map_err(|told| told.split("; ").count()), Err(4));
    }
}
