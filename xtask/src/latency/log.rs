//! What the server's log says of its work: prompt tokens that were read, lines that were written.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// What some lines of the log add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Prompt tokens that the models evaluated.
    pub(super) tokens: f64,
    /// Those of the model for rests.
    pub(super) tokens_at_rest: f64,
    /// When generations came to their end, in seconds of the day.
    pub(super) ends: Vec<f64>,
    /// Lines of the model for rests: when each was there, in seconds of the day, and its tokens.
    pub(super) lines: Vec<(f64, usize)>,
}

impl Work {
    /// Reads whole lines; `rest` is the file name of the model for rests, if there is one.
    pub(super) fn read(lines: &str, rest: Option<&str>) -> Self {
        let mut work = Self::default();
        for line in lines.lines() {
            let read = line.contains(" read for an answer ") || line.contains(" read ahead ");
            if let (true, Some(tokens)) = (read, field::<f64>(line, "tokens")) {
                work.tokens += tokens;
                if rest.is_some_and(|rest| line.contains(rest)) {
                    work.tokens_at_rest += tokens;
                }
            }
            // One that was told to stop is no line.
            if line.contains(" generated ") && !line.contains("stop=\"cancelled\"") {
                let (at, tokens) = (time_of_day(line), field(line, "tokens"));
                work.ends.extend(at);
                if line.contains(" at_rest=true") {
                    work.lines.extend(at.zip(tokens));
                }
            }
        }
        work
    }
}

/// Now, in seconds of the day.
pub(super) fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() % DAY
}

/// Seconds from one time of the day to another.
pub(super) fn between(from: f64, to: f64) -> f64 {
    (to - from).rem_euclid(DAY)
}

/// The number behind ` name=`.
fn field<T: std::str::FromStr>(line: &str, name: &str) -> Option<T> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// When a line was written: `2026-01-31T12:34:56.789012Z`.
fn time_of_day(line: &str) -> Option<f64> {
    let (_, time) = line.split_whitespace().next()?.split_once('T')?;
    let mut parts = time.trim_end_matches('Z').split(':');
    let mut part = || parts.next()?.parse::<f64>().ok();
    Some((part()? * 60.0 + part()?) * 60.0 + part()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn adds_up_what_was_read_and_written() {
        let log = "\
2026-01-31T00:00:01.500000Z DEBUG carat: read ahead tokens=2.5 of=12 model=\"large.gguf\"
2026-01-31T00:00:01.600000Z DEBUG carat: read for an answer tokens=3.0 of=12 model=\"default\"
2026-01-31T00:01:02.500000Z DEBUG carat: generated prompt_tokens=3 tokens=7 stop=\"newline\" at_rest=true
2026-01-31T00:01:03.500000Z DEBUG carat: generated prompt_tokens=3 tokens=7 stop=\"cancelled\" at_rest=true
2026-01-31T00:01:04.500000Z DEBUG carat: generated prompt_tokens=3 tokens=7 stop=\"newline\" at_rest=false
";
        let work = Work::read(log, Some("large.gguf"));
        let expected = Work {
            tokens: 5.5,
            tokens_at_rest: 2.5,
            ends: vec![62.5, 64.5],
            lines: vec![(62.5, 7)],
        };
        assert_eq!(work, expected);
        let over_midnight = Duration::from_secs_f64(between(86_399.0, 1.0));
        assert_eq!(over_midnight, Duration::from_secs(2));
    }
}
