//! Which experts a token uses, and with which weight.

use super::config::ExpertConfig;
use super::ops::Compute;
use super::weights::ExpertWeights;
use crate::kernels::{self, Buffer, keep};

/// A token that uses an expert.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Assignment {
    pub(super) expert: u32,
    pub(super) token: u32,
    pub(super) weight: f32,
}

keep!(Assignment);

/// The assignments of some tokens.
pub(super) struct Routing {
    /// Sorted by expert, then by token.
    pub(super) assignments: Buffer<Assignment>,
    /// `[tokens, experts in use]`: where a token's assignments are.
    places: Buffer<u32>,
    n_used: usize,
}

/// What goes into the router.
pub(super) struct Router<'a> {
    pub(super) compute: Compute<'a>,
    pub(super) epsilon: f32,
}

/// Tokens that one task routes.
const TASK_TOKENS: usize = 16;

impl Router<'_> {
    /// `x / rms(x) / sqrt(H) * router_scale` for every row of `residual`, `[tokens, H]`.
    pub(super) fn input(&self, residual: &[f32], scale: &[f32]) -> Buffer {
        let Compute { level, pool } = self.compute;
        let hidden = scale.len();
        let factor = (hidden as f32).powf(-0.5);
        let mut input = Buffer::new(residual.len());
        pool.for_each_chunk(&mut input, TASK_TOKENS * hidden, |i, rows| {
            rows.copy_from_slice(&residual[i * TASK_TOKENS * hidden..][..rows.len()]);
            for row in rows.chunks_exact_mut(hidden) {
                kernels::rms_norm_scaled(level, row, scale, factor, self.epsilon);
            }
        });
        input
    }
}

impl Routing {
    /// The `n_used` best experts of every row of `logits`, `[tokens, experts]`.
    pub(super) fn new(
        compute: Compute<'_>,
        weights: &ExpertWeights,
        config: ExpertConfig,
        logits: &[f32],
    ) -> Self {
        let n_used = config.n_used;
        let experts = weights.output_scale.len();
        let tokens = logits.len() / experts;
        let mut assignments = Buffer::<Assignment>::new(tokens * n_used);
        let chunk = TASK_TOKENS * n_used;
        compute
            .pool
            .for_each_chunk(&mut assignments, chunk, |i, chosen| {
                for (j, chosen) in chosen.chunks_exact_mut(n_used).enumerate() {
                    let token = i * TASK_TOKENS + j;
                    let logits = &logits[token * experts..][..experts];
                    choose(token as u32, logits, config.renormalised, chosen);
                    for a in chosen {
                        a.weight *= weights.output_scale[a.expert as usize];
                    }
                }
            });
        assignments.sort_unstable_by_key(|a| (a.expert, a.token));
        let mut places = Buffer::new(assignments.len());
        let mut found = Buffer::<u32>::new(tokens);
        found.fill(0);
        for (place, assignment) in (0u32..).zip(assignments.iter()) {
            let token = assignment.token as usize;
            places[token * n_used + found[token] as usize] = place;
            found[token] += 1;
        }
        Self {
            assignments,
            places,
            n_used,
        }
    }

    /// Where the assignments of a token are.
    pub(super) fn places_of(&self, token: usize) -> impl Iterator<Item = usize> {
        let places = &self.places[token * self.n_used..][..self.n_used];
        places.iter().map(|&place| place as usize)
    }

    /// Tokens of the expert in use that has the fewest.
    pub(super) fn least(&self) -> usize {
        self.runs().map(<[_]>::len).min().unwrap_or(0)
    }

    /// How many experts are in use.
    pub(super) fn experts(&self) -> usize {
        self.runs().count()
    }

    /// The assignments of each expert in use.
    fn runs(&self) -> impl Iterator<Item = &[Assignment]> {
        self.assignments.chunk_by(|a, b| a.expert == b.expert)
    }
}

/// The best experts of one token, with their share in the softmax over all experts. Renormalised over
/// the chosen ones, that is the softmax over the chosen ones.
fn choose(token: u32, logits: &[f32], renormalised: bool, chosen: &mut [Assignment]) {
    let mut n = 0;
    for (expert, &logit) in (0u32..).zip(logits) {
        // Sorted by insertion, best first; of equals, the first expert stays ahead.
        let better = |a: &Assignment| a.weight.total_cmp(&logit).is_lt();
        let at = n - chosen[..n].iter().rev().take_while(|a| better(a)).count();
        if at == chosen.len() {
            continue;
        }
        n = (n + 1).min(chosen.len());
        chosen[at..n].rotate_right(1);
        chosen[at] = Assignment {
            expert,
            token,
            weight: logit,
        };
    }
    let max = chosen[0].weight;
    let sum: f32 = if renormalised {
        chosen.iter().map(|a| (a.weight - max).exp()).sum()
    } else {
        logits.iter().map(|logit| (logit - max).exp()).sum()
    };
    for a in chosen {
        a.weight = (a.weight - max).exp() / sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_experts_share_the_weight() {
        let mut chosen = [Assignment::default(); 3];
        let logits = [0.0, 2.0, -1.0, 2.0, 1.0];
        choose(7, &logits, true, &mut chosen);
        assert_eq!(chosen.map(|a| a.expert), [1, 3, 4]);
        assert!(chosen.iter().all(|a| a.token == 7));
        let sum = 2.0 + (-1.0f32).exp();
        let expected = [1.0 / sum, 1.0 / sum, (-1.0f32).exp() / sum];
        for (a, expected) in chosen.iter().zip(expected) {
            assert!((a.weight - expected).abs() < 1e-6, "{a:?}");
        }
        let all = sum + (-2.0f32).exp() + (-3.0f32).exp();
        choose(7, &logits, false, &mut chosen);
        assert!((chosen[0].weight - 1.0 / all).abs() < 1e-6, "{chosen:?}");
    }

    #[test]
    fn all_experts_can_be_in_use() {
        let mut chosen = [Assignment::default(); 2];
        choose(0, &[f32::NEG_INFINITY, 0.0], true, &mut chosen);
        assert_eq!(chosen.map(|a| (a.expert, a.weight)), [(1, 1.0), (0, 0.0)]);
    }
}
