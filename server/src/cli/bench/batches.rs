//! What several tokens at once cost, in tokens one by one: a keystroke, or a draft that is verified.

use std::time::{Duration, Instant};

use carat_engine::{CancelToken, Session, TokenId};
use serde_json::{Value, json};

use super::{median, restore};

/// A batch of one length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) tokens: usize,
    /// Median time.
    ms: f64,
    /// The same in times of the first length.
    relative: f64,
    /// Experts that were read, on average; one that several tokens use counts once. Zero where a model
    /// has none.
    experts: f64,
}

/// Evaluates batches of all `lengths` behind `depth` tokens of `text`, with the logits of all their
/// tokens: each round all lengths in turns, from another place of the text.
pub(super) fn measure(
    session: &mut Session,
    text: &[TokenId],
    depth: usize,
    lengths: &[u32],
    rounds: u32,
) -> anyhow::Result<Vec<Batch>> {
    let cancel = CancelToken::new();
    let longest = lengths.iter().max().map_or(0, |&n| n as usize);
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); lengths.len()];
    let mut experts = vec![0; lengths.len()];
    // The first round brings weights into the caches and does not count.
    for round in 0..=rounds as usize {
        let at = depth + round * longest;
        for (i, &n) in lengths.iter().enumerate() {
            restore(session, &text[..depth])?;
            let before = session.expert_reads();
            let begin = Instant::now();
            let batch = &text[at..at + n as usize];
            session.evaluate_rows(batch, batch.len(), &cancel)?;
            if round > 0 {
                times[i].push(begin.elapsed());
                experts[i] += session.expert_reads() - before;
            }
        }
    }
    let ms = |times: &[Duration]| median(times.iter().map(|time| time.as_secs_f64() * 1000.0));
    let one = times.first().map_or(1.0, |times| ms(times));
    let all = lengths.iter().zip(times).zip(experts);
    Ok(all
        .map(|((&tokens, times), experts)| Batch {
            tokens: tokens as usize,
            ms: ms(&times),
            relative: ms(&times) / one,
            experts: experts as f64 / f64::from(rounds.max(1)),
        })
        .collect())
}

impl Batch {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "tokens": self.tokens,
            "ms": self.ms,
            "relative": self.relative,
            "experts": self.experts,
        })
    }

    pub(super) fn for_readers(&self) -> String {
        let Self {
            tokens,
            ms,
            relative,
            experts,
        } = self;
        let experts = if *experts > 0.0 {
            format!(", {experts:.0} experts")
        } else {
            String::new()
        };
        format!("{tokens} tokens at once: {ms:.2} ms, {relative:.2} times the first{experts}")
    }
}
