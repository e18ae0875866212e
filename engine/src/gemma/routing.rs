//! Which experts a token uses, and with which weight.

use super::config::ExpertConfig;
use super::ops::{Compute, activations_for};
use super::weights::ExpertWeights;
use crate::kernels::{self, Buffer};

/// A token that uses an expert.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Assignment {
    pub(super) expert: u32,
    pub(super) token: u32,
    pub(super) weight: f32,
}

/// The assignments of some tokens.
pub(super) struct Routing {
    /// Sorted by expert, then by token.
    pub(super) assignments: Vec<Assignment>,
    /// `[tokens, experts in use]`: where a token's assignments are.
    pub(super) places: Vec<u32>,
}

/// Tokens that one task routes.
const TASK_TOKENS: usize = 16;

/// Chooses the experts of every row of `residual`, `[tokens, H]`.
///
/// The router has a norm of its own: `x / rms(x) / sqrt(H) * router_scale`.
pub(super) fn route(
    compute: Compute<'_>,
    weights: &ExpertWeights,
    config: &ExpertConfig,
    epsilon: f32,
    residual: &[f32],
) -> Routing {
    let Compute { level, pool } = compute;
    let hidden = weights.router_scale.len();
    let tokens = residual.len() / hidden;
    let factor = (hidden as f32).powf(-0.5);
    let mut input = Buffer::new(residual.len());
    pool.for_each_chunk(&mut input, TASK_TOKENS * hidden, |i, rows| {
        rows.copy_from_slice(&residual[i * TASK_TOKENS * hidden..][..rows.len()]);
        for row in rows.chunks_exact_mut(hidden) {
            kernels::rms_norm_scaled(level, row, &weights.router_scale, factor, epsilon);
        }
    });
    let router = weights.router.view();
    let mut logits = Buffer::new(tokens * router.rows);
    let input = activations_for(compute, &input, &[router]);
    kernels::matmul(level, pool, router, &input, &mut logits);
    let n_used = config.n_used;
    let mut assignments = vec![Assignment::default(); tokens * n_used];
    pool.for_each_chunk(&mut assignments, TASK_TOKENS * n_used, |i, chosen| {
        for (j, chosen) in chosen.chunks_exact_mut(n_used).enumerate() {
            let token = i * TASK_TOKENS + j;
            let logits = &logits[token * router.rows..][..router.rows];
            choose(token as u32, logits, &weights.output_scale, chosen);
        }
    });
    assignments.sort_unstable_by_key(|a| (a.expert, a.token));
    let mut places = vec![0; assignments.len()];
    let mut found = vec![0; tokens];
    for (place, assignment) in (0u32..).zip(&assignments) {
        let token = assignment.token as usize;
        places[token * n_used + found[token]] = place;
        found[token] += 1;
    }
    Routing {
        assignments,
        places,
    }
}

/// The best experts of one token. The softmax over all experts, renormalised over the chosen ones,
/// is the softmax over the chosen ones.
fn choose(token: u32, logits: &[f32], output_scale: &[f32], chosen: &mut [Assignment]) {
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
    let sum: f32 = chosen.iter().map(|a| (a.weight - max).exp()).sum();
    for a in chosen {
        a.weight = (a.weight - max).exp() / sum * output_scale[a.expert as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_experts_share_the_weight() {
        let mut chosen = [Assignment::default(); 3];
        choose(
            7,
            &[0.0, 2.0, -1.0, 2.0, 1.0],
            &[1.0, 1.0, 1.0, 2.0, 1.0],
            &mut chosen,
        );
        assert_eq!(chosen.map(|a| a.expert), [1, 3, 4]);
        assert!(chosen.iter().all(|a| a.token == 7));
        let sum = 2.0 + (-1.0f32).exp();
        let expected = [1.0 / sum, 2.0 / sum, (-1.0f32).exp() / sum];
        for (a, expected) in chosen.iter().zip(expected) {
            assert!((a.weight - expected).abs() < 1e-6, "{a:?}");
        }
    }

    #[test]
    fn all_experts_can_be_in_use() {
        let mut chosen = [Assignment::default(); 2];
        choose(0, &[f32::NEG_INFINITY, 0.0], &[1.0, 1.0], &mut chosen);
        assert_eq!(chosen.map(|a| (a.expert, a.weight)), [(1, 1.0), (0, 0.0)]);
    }
}
