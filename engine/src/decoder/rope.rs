//! Rotary position embeddings: angles for the positions of a chunk, rotation of heads.

use std::f32::consts::TAU;

use super::config::{Config, RopeConfig, RopePairs, Yarn};
use crate::kernels::Buffer;

/// Frequencies of one kind of layer, `[d / 2]`.
pub(crate) struct Rope {
    inverse_frequencies: Vec<f32>,
    position_scale: f32,
    magnitude: f32,
    pairs: RopePairs,
}

/// Cosines and sines of a chunk, each `[tokens, d / 2]`.
pub(crate) struct Rotation {
    half: usize,
    pairs: RopePairs,
    cos: Buffer,
    sin: Buffer,
}

impl Rope {
    /// Frequencies `theta^(-2i/d)`, each divided by its factor where the file has factors.
    pub(crate) fn new(rope: RopeConfig, head_dim: usize, factors: Option<&[f32]>) -> Self {
        let d = rope.rotated.unwrap_or(head_dim);
        let inverse_frequencies = (0..d / 2)
            .map(|i| {
                let frequency = 1.0 / rope.theta.powf(2.0 * i as f32 / d as f32);
                let slower = rope.yarn.map_or(1.0, |yarn| yarn.slower(i, d, rope.theta));
                frequency * slower / factors.map_or(1.0, |factors| factors[i])
            })
            .collect();
        Self {
            inverse_frequencies,
            position_scale: rope.position_scale,
            magnitude: rope.magnitude,
            pairs: rope.pairs,
        }
    }

    /// Gemma 4 turns only the first quarter of the pairs of a global head ("proportional").
    /// Files say so in `rope_freqs.weight`; this is what they say, for files that do not.
    pub(crate) fn proportional_factors(head_dim: usize) -> Vec<f32> {
        let half = head_dim / 2;
        (0..half)
            .map(|i| if i < half / 4 { 1.0 } else { 1e30 })
            .collect()
    }

    /// The rotation of tokens at these positions.
    pub(crate) fn rotation(&self, positions: impl ExactSizeIterator<Item = usize>) -> Rotation {
        let (half, n_tokens) = (self.inverse_frequencies.len(), positions.len());
        let (mut cos, mut sin) = (Buffer::new(n_tokens * half), Buffer::new(n_tokens * half));
        let turns = cos.chunks_exact_mut(half).zip(sin.chunks_exact_mut(half));
        for (position, (cos, sin)) in positions.zip(turns) {
            let position = position as f32 * self.position_scale;
            let turns = cos.iter_mut().zip(sin).zip(&self.inverse_frequencies);
            for ((cos, sin), frequency) in turns {
                let (s, c) = (position * frequency).sin_cos();
                (*sin, *cos) = (s * self.magnitude, c * self.magnitude);
            }
        }
        Rotation {
            half,
            pairs: self.pairs,
            cos,
            sin,
        }
    }
}

impl Yarn {
    /// The factor on the frequency of pair `i` of `d / 2`: 1 for fast pairs, 1 / factor for slow ones,
    /// something in between for the others.
    fn slower(self, i: usize, d: usize, theta: f32) -> f32 {
        // The pair that turns `beta` times in the original context.
        let pair = |beta: f32| {
            d as f32 * (self.original_context as f32 / (beta * TAU)).ln() / (2.0 * theta.ln())
        };
        let low = pair(self.beta_fast).floor().max(0.0);
        let high = pair(self.beta_slow).ceil().min(d as f32 - 1.0);
        let ramp = ((i as f32 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
        (1.0 - ramp) + ramp / self.factor
    }
}

impl Rotation {
    /// Turns the pairs of one head of the chunk's token `token`; values behind them stay.
    pub(crate) fn apply(&self, token: usize, head: &mut [f32]) {
        let angles = token * self.half..(token + 1) * self.half;
        let turns = self.cos[angles.clone()].iter().zip(&self.sin[angles]);
        match self.pairs {
            RopePairs::Halves => {
                let (first, second) = head[..2 * self.half].split_at_mut(self.half);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            RopePairs::Neighbours => {
                let (pairs, _) = head.as_chunks_mut();
                for ([a, b], (cos, sin)) in pairs.iter_mut().zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}

/// The two kinds of rotation of a model.
pub(crate) struct Ropes {
    local: Option<Rope>,
    global: Option<Rope>,
}

impl Ropes {
    /// Frequencies for the head lengths that the layers have.
    pub(crate) fn new(config: &Config, factors: Option<&[f32]>) -> Self {
        let head_dim = |local: bool| {
            config
                .layers
                .iter()
                .find(|l| l.window.is_some() == local)
                .map(|l| l.head_dim)
        };
        Self {
            local: head_dim(true).map(|d| Rope::new(config.rope_local, d, None)),
            global: head_dim(false).map(|d| match factors {
                Some(factors) => Rope::new(config.rope_global, d, Some(factors)),
                None if config.rope_global.proportional => {
                    Rope::new(config.rope_global, d, Some(&Rope::proportional_factors(d)))
                }
                None => Rope::new(config.rope_global, d, None),
            }),
        }
    }

    /// Rotations of tokens at these positions: of local and of global layers.
    pub(crate) fn rotations(
        &self,
        positions: &(impl ExactSizeIterator<Item = usize> + Clone),
    ) -> Rotations {
        let of = |rope: &Option<Rope>| rope.as_ref().map(|rope| rope.rotation(positions.clone()));
        Rotations {
            local: of(&self.local),
            global: of(&self.global),
        }
    }
}

/// Rotations of one chunk.
pub(crate) struct Rotations {
    local: Option<Rotation>,
    global: Option<Rotation>,
}

impl Rotations {
    /// The rotation of a layer with or without a window.
    pub(crate) fn of(&self, local: bool) -> Option<&Rotation> {
        if local {
            self.local.as_ref()
        } else {
            self.global.as_ref()
        }
    }
}
