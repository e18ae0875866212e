//! The experts of a layer as one operation: router, chosen experts, weighted sum.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

use super::config::ExpertConfig;
use super::ops::{Compute, RmsNorm, activations_for, f32_slice, rows_and_columns};
use super::weights::{ExpertWeights, GateUp};
use crate::kernels::{self, Activations, MatrixRef, OutTile, Product};

/// `sum over the chosen experts of weight * expert(norm(x))`, before the norm that follows.
///
/// The input `[tokens, H]` is the residual after attention: the router norms it in its own way.
pub(crate) struct Experts<'a> {
    pub(crate) weights: &'a ExpertWeights,
    pub(crate) config: ExpertConfig,
    pub(crate) epsilon: f32,
    pub(crate) compute: Compute<'a>,
}

/// A token that uses an expert.
#[derive(Clone, Copy)]
struct Assignment {
    expert: usize,
    token: u32,
    weight: f32,
}

impl CustomOp1 for Experts<'_> {
    fn name(&self) -> &'static str {
        "experts"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, hidden) = rows_and_columns(layout)?;
        let residual = f32_slice(storage, layout)?;
        let assignments = self.route(residual, tokens);
        let mut input = residual.to_vec();
        RmsNorm {
            weight: &self.weights.norm,
            epsilon: self.epsilon,
            compute: self.compute,
        }
        .apply(&mut input);
        let input = activations_for(self.compute, &input, &[self.first_matrix()]);
        let gated = self.gate_up(&input, &assignments);
        let mut out = vec![0.0; tokens * hidden];
        self.down(&gated, &assignments, hidden, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl Experts<'_> {
    /// Chooses the experts of every token; sorted by expert.
    fn route(&self, residual: &[f32], tokens: usize) -> Vec<Assignment> {
        let Compute { level, pool } = self.compute;
        let hidden = residual.len() / tokens;
        let scale = (hidden as f32).powf(-0.5);
        let mut input = residual.to_vec();
        for row in input.chunks_exact_mut(hidden) {
            let inverse = kernels::inverse_rms(level, row, self.epsilon) * scale;
            row.iter_mut()
                .zip(&self.weights.router_scale)
                .for_each(|(x, s)| *x *= inverse * s);
        }
        let router = self.weights.router.view();
        let mut logits = vec![0.0; tokens * router.rows];
        kernels::matmul(
            level,
            pool,
            router,
            &activations_for(self.compute, &input, &[router]),
            &mut logits,
        );
        let mut assignments = Vec::with_capacity(tokens * self.config.n_used);
        for (token, logits) in logits.chunks_exact(router.rows).enumerate() {
            self.choose(token as u32, logits, &mut assignments);
        }
        assignments.sort_by_key(|a| (a.expert, a.token));
        assignments
    }

    /// The best experts of one token. The softmax over all experts, renormalised over the chosen
    /// ones, is the softmax over the chosen ones.
    fn choose(&self, token: u32, logits: &[f32], assignments: &mut Vec<Assignment>) {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let by_logit = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
        order.select_nth_unstable_by(self.config.n_used - 1, by_logit);
        let chosen = &order[..self.config.n_used];
        let max = chosen
            .iter()
            .fold(f32::NEG_INFINITY, |max, &e| max.max(logits[e]));
        let sum: f32 = chosen.iter().map(|&e| (logits[e] - max).exp()).sum();
        assignments.extend(chosen.iter().map(|&expert| Assignment {
            expert,
            token,
            weight: (logits[expert] - max).exp() / sum * self.weights.output_scale[expert],
        }));
    }

    fn first_matrix(&self) -> MatrixRef<'_> {
        match &self.weights.gate_up {
            GateUp::Fused(fused) => fused.expert(0),
            GateUp::Split { gate, .. } => gate.expert(0),
        }
    }

    /// `gelu(gate) * up` of every assignment: `[assignments, W]`.
    fn gate_up(&self, input: &Activations<'_>, assignments: &[Assignment]) -> Vec<f32> {
        let width = self.config.width;
        let (gate, up) = match &self.weights.gate_up {
            GateUp::Fused(fused) => {
                let both = self.by_assignment(assignments, 2 * width, input, Rows::OfToken, |e| {
                    fused.expert(e)
                });
                let mut gate = Vec::with_capacity(assignments.len() * width);
                let mut up = Vec::with_capacity(assignments.len() * width);
                for both in both.chunks_exact(2 * width) {
                    gate.extend_from_slice(&both[..width]);
                    up.extend_from_slice(&both[width..]);
                }
                (gate, up)
            }
            GateUp::Split { gate, up } => (
                self.by_assignment(assignments, width, input, Rows::OfToken, |e| gate.expert(e)),
                self.by_assignment(assignments, width, input, Rows::OfToken, |e| up.expert(e)),
            ),
        };
        let mut gate = gate;
        self.compute
            .pool
            .for_each_chunk(&mut gate, GELU_CHUNK, |i, gate| {
                kernels::gelu_times(
                    self.compute.level,
                    gate,
                    &up[i * GELU_CHUNK..][..gate.len()],
                );
            });
        gate
    }

    /// Adds every assignment's output, times its weight, to its token's row.
    fn down(&self, gated: &[f32], assignments: &[Assignment], hidden: usize, out: &mut [f32]) {
        let down = &self.weights.down;
        let input = activations_for(self.compute, gated, &[down.expert(0)]);
        let outputs = self.by_assignment(assignments, hidden, &input, Rows::OfAssignment, |e| {
            down.expert(e)
        });
        for (a, output) in assignments.iter().zip(outputs.chunks_exact(hidden)) {
            let row = &mut out[a.token as usize * hidden..][..hidden];
            row.iter_mut()
                .zip(output)
                .for_each(|(sum, x)| *sum += a.weight * x);
        }
    }

    /// Multiplies every assignment's activations with its expert's matrix: `[assignments, rows]`.
    ///
    /// Assignments of an expert are neighbours, so that a weight row serves all of them at once.
    fn by_assignment<'m>(
        &self,
        assignments: &[Assignment],
        rows: usize,
        input: &Activations<'_>,
        which: Rows,
        matrix: impl Fn(usize) -> MatrixRef<'m>,
    ) -> Vec<f32> {
        let Compute { level, pool } = self.compute;
        let ids: Vec<u32> = assignments
            .iter()
            .enumerate()
            .map(|(i, a)| match which {
                Rows::OfToken => a.token,
                Rows::OfAssignment => i as u32,
            })
            .collect();
        // Assignments of an expert are rows of one block of the output.
        let mut out = vec![0.0; assignments.len() * rows];
        let (mut inputs, mut products, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut ids) = (&mut out[..], &ids[..]);
        for run in assignments.chunk_by(|a, b| a.expert == b.expert) {
            let (block, later) = rest.split_at_mut(run.len() * rows);
            rest = later;
            outs.push(OutTile::new(block, rows));
            products.push(Product {
                weights: matrix(run[0].expert),
                input: inputs.len(),
            });
            let (now, later) = ids.split_at(run.len());
            ids = later;
            inputs.push(now);
        }
        kernels::products(level, pool, input, &inputs, &products, &outs);
        drop(outs);
        out
    }
}

/// Which row of the activations belongs to an assignment.
#[derive(Clone, Copy)]
enum Rows {
    OfToken,
    OfAssignment,
}

/// Values of one task of the activation function.
const GELU_CHUNK: usize = 8192;
