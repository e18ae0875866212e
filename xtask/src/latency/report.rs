//! The table of a latency run.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::editor::Manner;
use super::session::Figures;

/// What a rest may cost beside what was typed since the last one, in tokens.
const REST_TOKENS: f64 = 40.0;

/// Prints one row for each session.
pub(super) fn print(rows: &[(Manner, f64, Figures)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| manner | keys/s | keys | tokens/key | key to text p50/p95 ms | typed through p50/p99 ms \
         | rests with text | rest to text p50/p95 ms | rests over {REST_TOKENS} tokens, most | busy 2 s after |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    )?;
    for (manner, pace, figures) in rows {
        let per_key = figures.tokens / figures.keys.max(1) as f64;
        // A token has at least one character.
        let costs = figures.rest_costs.iter();
        let over = costs
            .clone()
            .filter(|(cost, typed)| *cost > *typed as f64 + REST_TOKENS);
        let most = costs.map(|(cost, _)| *cost).fold(0.0, f64::max);
        let busy = figures
            .idle
            .map_or("?".to_owned(), |idle| format!("{:.0}%", 100.0 * idle));
        writeln!(
            out,
            "| {} | {pace} | {} | {per_key:.2} | {} | {} | {} of {} | {} | {}, {most:.0} | {busy} |",
            manner.name(),
            figures.keys,
            times(&figures.answers, 0.95),
            times(&figures.typed_through, 0.99),
            figures.answered,
            figures.rests,
            times(&figures.rest_answers, 0.95),
            over.count(),
        )?;
    }
    Ok(())
}

/// The median and another quantile, in milliseconds.
fn times(times: &[Duration], high: f64) -> String {
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
}
