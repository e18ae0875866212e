//! The experts of a layer as one operation: router, chosen experts, weighted sum.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

use super::config::ExpertConfig;
use super::ops::{
    Compute, RmsNorm, activations_in_parts, f32_slice, gelu_gate_up, rows_and_columns,
};
use super::routing::{self, Assignment, Routing};
use super::weights::{ExpertWeights, GateUp};
use crate::kernels::{self, Buffer, OutTile, Product};

/// `sum over the chosen experts of weight * expert(norm(x))`, before the norm that follows.
///
/// The input `[tokens, H]` is the residual after attention: the router norms it in its own way.
pub(crate) struct Experts<'a> {
    pub(crate) weights: &'a ExpertWeights,
    pub(crate) config: ExpertConfig,
    pub(crate) epsilon: f32,
    pub(crate) compute: Compute<'a>,
}

/// Tokens whose experts one task sums up.
const TASK_TOKENS: usize = 16;

impl CustomOp1 for Experts<'_> {
    fn name(&self) -> &'static str {
        "experts"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, hidden) = rows_and_columns(layout)?;
        let residual = f32_slice(storage, layout)?;
        let routing = routing::route(
            self.compute,
            self.weights,
            &self.config,
            self.epsilon,
            residual,
        );
        let input = RmsNorm {
            weight: &self.weights.norm,
            epsilon: self.epsilon,
            compute: self.compute,
        }
        .apply(residual);
        let mut out = vec![0.0; tokens * hidden];
        let gated = self.gate_up(&input, &routing.assignments);
        self.down(&gated, &routing, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl Experts<'_> {
    /// `gelu(gate) * up` of every assignment: `[assignments, W]`.
    fn gate_up(&self, input: &[f32], assignments: &[Assignment]) -> Buffer {
        let width = self.config.width;
        let mut both = Buffer::new(assignments.len() * 2 * width);
        let ids: Vec<u32> = assignments.iter().map(|a| a.token).collect();
        let (mut inputs, mut products, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        for (expert, run, out) in runs(assignments, &mut both, 2 * width) {
            let input = inputs.len();
            inputs.push(&ids[run]);
            match &self.weights.gate_up {
                GateUp::Fused(fused) => {
                    let weights = fused.expert(expert);
                    products.push(Product { weights, input });
                    outs.push(out);
                }
                GateUp::Split { gate, up } => {
                    let (gate_out, up_out) = out.halves();
                    for (matrices, out) in [(gate, gate_out), (up, up_out)] {
                        let weights = matrices.expert(expert);
                        products.push(Product { weights, input });
                        outs.push(out);
                    }
                }
            }
        }
        self.multiply(input, &inputs, &products, &outs);
        drop(outs);
        let mut gated = Buffer::new(assignments.len() * width);
        gelu_gate_up(self.compute, &both, width, &mut gated);
        gated
    }

    /// Adds every assignment's output, times its weight, to its token's row.
    fn down(&self, gated: &[f32], routing: &Routing, out: &mut [f32]) {
        let Compute { level, pool } = self.compute;
        let (assignments, n_used) = (&routing.assignments, self.config.n_used);
        let hidden = self.weights.norm.len();
        let mut outputs = Buffer::new(assignments.len() * hidden);
        let ids: Vec<u32> = (0..assignments.len() as u32).collect();
        let (mut inputs, mut products, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        for (expert, run, out) in runs(assignments, &mut outputs, hidden) {
            products.push(Product {
                weights: self.weights.down.expert(expert),
                input: inputs.len(),
            });
            inputs.push(&ids[run]);
            outs.push(out);
        }
        self.multiply(gated, &inputs, &products, &outs);
        drop(outs);
        pool.for_each_chunk(out, TASK_TOKENS * hidden, |i, rows| {
            for (j, row) in rows.chunks_exact_mut(hidden).enumerate() {
                let places = &routing.places[(i * TASK_TOKENS + j) * n_used..][..n_used];
                for place in places.iter().map(|&place| place as usize) {
                    let output = &outputs[place * hidden..][..hidden];
                    kernels::add_scaled(level, row, assignments[place].weight, output);
                }
            }
        });
    }

    /// All products of one step of all experts in use.
    fn multiply(
        &self,
        input: &[f32],
        inputs: &[&[u32]],
        products: &[Product<'_>],
        outs: &[OutTile<'_>],
    ) {
        let Compute { level, pool } = self.compute;
        let matrices: Vec<_> = products.iter().map(|product| product.weights).collect();
        let least = inputs.iter().map(|rows| rows.len()).min().unwrap_or(0);
        let input = activations_in_parts(self.compute, input, &matrices, least);
        kernels::products(level, pool, &input, inputs, products, outs);
    }
}

/// The experts in use, each with the range of its assignments and their rows of `out`. A weight row
/// serves all assignments of its expert at once.
fn runs<'o>(
    assignments: &[Assignment],
    mut out: &'o mut [f32],
    columns: usize,
) -> impl Iterator<Item = (usize, Range<usize>, OutTile<'o>)> {
    let mut end = 0;
    let same_expert = |a: &Assignment, b: &Assignment| a.expert == b.expert;
    assignments.chunk_by(same_expert).map(move |run| {
        let (block, rest) = std::mem::take(&mut out).split_at_mut(run.len() * columns);
        out = rest;
        end += run.len();
        let expert = run[0].expert as usize;
        (expert, end - run.len()..end, OutTile::new(block, columns))
    })
}
