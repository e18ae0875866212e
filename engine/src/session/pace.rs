//! How fast a session reads prompts, and how many tokens a chunk may have for it.

use std::time::Duration;

use crate::ModelInfo;

/// Multiplications of a weight that a thread does in a second, before anything was measured: what an
/// ordinary processor of today reaches.
const USUAL_MULTIPLICATIONS: f64 = 3e10;
/// Fewest tokens of a chunk: with less, weights are read from memory for too few of them.
const TOKENS_MIN: usize = 16;
/// By how much one measurement may change the length of chunks.
const STEP: f64 = 2.0;
/// The weight of the newest measurement in the speed.
const NEWEST: f64 = 0.3;

/// Measures chunks, and says how long the next one may be.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    most: usize,
    layers: usize,
    /// What a layer of a chunk may take; `None`: chunks are always as long as they can be.
    layer_time: Option<Duration>,
    tokens: usize,
    tokens_per_second: Option<f64>,
}

impl Pace {
    pub(super) fn new(info: &ModelInfo, most: usize, layer_time: Option<Duration>) -> Self {
        let layers = info.layers.max(1);
        let tokens = layer_time.map_or(most, |time| {
            let per_token = info.active_parameters.max(1) as f64 / layers as f64;
            let speed = info.threads.max(1) as f64 * USUAL_MULTIPLICATIONS / per_token;
            bounded(speed * time.as_secs_f64(), most)
        });
        Self {
            most,
            layers,
            layer_time,
            tokens,
            tokens_per_second: None,
        }
    }

    /// Tokens of the next chunk.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// The speed of the last chunks.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        self.tokens_per_second
    }

    /// Takes in that a whole chunk of `n` tokens took `elapsed`.
    pub(super) fn measured(&mut self, n: usize, elapsed: Duration) {
        // A few tokens have another speed than a chunk: that of decoding.
        if n < TOKENS_MIN.min(self.most) || elapsed.is_zero() {
            return;
        }
        let speed = n as f64 / elapsed.as_secs_f64();
        self.tokens_per_second = Some(match self.tokens_per_second {
            Some(before) => before + NEWEST * (speed - before),
            None => speed,
        });
        let Some(layer_time) = self.layer_time else {
            return;
        };
        let layer = elapsed.as_secs_f64() / self.layers as f64;
        let factor = (layer_time.as_secs_f64() / layer).clamp(1.0 / STEP, STEP);
        // A shorter chunk than planned tells whether the plan is too long, not whether it is too short.
        if n >= self.tokens || factor < 1.0 {
            self.tokens = bounded(n as f64 * factor, self.most);
        }
    }
}

fn bounded(tokens: f64, most: usize) -> usize {
    (tokens as usize).clamp(TOKENS_MIN.min(most), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(layer_time: Option<Duration>) -> Pace {
        Pace {
            most: 512,
            layers: 10,
            layer_time,
            tokens: 128,
            tokens_per_second: None,
        }
    }

    /// A machine that takes `ms` milliseconds for a token.
    fn settle(pace: &mut Pace, ms: f64) {
        for _ in 0..40 {
            let n = pace.tokens();
            pace.measured(n, Duration::from_secs_f64(n as f64 * ms / 1000.0));
        }
    }

    #[test]
    fn chunks_follow_the_speed() {
        let mut pace = pace(Some(Duration::from_millis(50)));
        settle(&mut pace, 10.0);
        assert_eq!(pace.tokens(), 50, "10 layers of 50 ms are 50 tokens");
        settle(&mut pace, 0.1);
        assert_eq!(pace.tokens(), 512, "as many as there is room for");
        settle(&mut pace, 1000.0);
        assert_eq!(pace.tokens(), TOKENS_MIN);
        let speed = pace.tokens_per_second().expect("it was measured");
        assert!((0.9..1.2).contains(&speed), "{speed}");
    }

    #[test]
    fn a_short_rest_of_a_prompt_does_not_make_chunks_longer() {
        let mut pace = pace(Some(Duration::from_millis(50)));
        pace.measured(20, Duration::from_millis(2));
        assert_eq!(pace.tokens(), 128);
        pace.measured(3, Duration::from_secs(1));
        assert_eq!(pace.tokens(), 128, "that was decoding");
    }

    #[test]
    fn without_a_time_chunks_keep_their_length() {
        let mut pace = pace(None);
        settle(&mut pace, 1000.0);
        assert_eq!(pace.tokens(), 128);
    }
}
