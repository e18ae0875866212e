//! The feed-forward block with experts as one operation: router, chosen experts, weighted sum and, in
//! some models, a dense block or a shared expert beside them, which are the same but for what weighs them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result};

use super::config::ExpertConfig;
use super::ops::{Compute, activations_for, rms_norm, rows, rows_mut};
use super::routing::{Assignment, Router, Routing};
use super::weights::{ExpertWeights, FeedForwardWeights, GateUp};
use crate::kernels::{self, Buffer, Epilogue, Gate, Input, List, MatrixRef, OutTile, Product};

/// `dst = norm(dense(src)) + norm(sum over the chosen experts of weight * expert(src))`, as far as the
/// model has a dense block and norms
///
/// The source is the residual after attention, which the dense block, the router and the experts
/// norm in their own ways. Both halves share three parallel loops: the dense block's first half with
/// the router, its second with the experts' first, the experts' second.
pub(crate) struct Experts<'a> {
    pub(crate) weights: &'a ExpertWeights,
    pub(crate) dense: Option<&'a FeedForwardWeights>,
    pub(crate) config: ExpertConfig,
    pub(crate) gate: Gate,
    pub(crate) epsilon: f32,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
    /// Counts the experts that are read.
    pub(crate) reads: &'a AtomicU64,
}

/// Tokens whose experts one task sums up.
const TASK_TOKENS: usize = 16;

impl InplaceOp2 for Experts<'_> {
    fn name(&self) -> &'static str {
        "experts"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let residual = rows(src, src_layout, &self.rows)?.values;
        let (out, _) = rows_mut(dst, dst_layout, &self.rows)?;
        let tokens = Buffer::counting(self.rows.len());
        let (dense_gated, router_logits) = self.first_loop(residual, &tokens);
        let routing = Routing::new(self.compute, self.weights, self.config, &router_logits);
        let reads = routing.experts() as u64;
        self.reads.fetch_add(reads, Ordering::Relaxed);
        let (gated, dense) = self.second_loop(residual, &tokens, &routing, &dense_gated);
        let outputs = self.third_loop(&gated, &routing);
        self.sum(residual, &outputs, &routing, &dense, out);
        Ok(())
    }
}

impl Experts<'_> {
    /// The dense block's `gate(y) * up(y)`, `[tokens, F]`, and the router's logits, `[tokens, E]`.
    fn first_loop(&self, residual: &[f32], tokens: &[u32]) -> (Buffer, Buffer) {
        let n = tokens.len();
        let w = self.weights;
        let mut input = Buffer::new(residual.len());
        let norm = self.dense.map_or(&w.norm, |dense| &dense.norm);
        rms_norm(self.compute, residual, norm, self.epsilon, &mut input);
        let router = Router {
            compute: self.compute,
            epsilon: self.epsilon,
        };
        let scale = w.router_scale.as_ref();
        let router_input = scale.map(|scale| router.input(residual, scale));
        let router_input = router_input.as_ref().unwrap_or(&input);
        let matrix = w.router.view();
        let router_input = activations_for(self.compute, router_input, &[matrix], n);
        let mut logits = Buffer::new(n * matrix.rows);
        let logits_out = OutTile::new(&mut logits, matrix.rows);
        let router_input = Input {
            activations: &router_input,
            rows: tokens,
        };
        let Some(dense) = self.dense else {
            let product = product(matrix, 0, Epilogue::Plain);
            self.products(&[router_input], &[product], &[logits_out]);
            return (Buffer::empty(), logits);
        };
        let (gate, up) = (dense.gate.view(), dense.up.view());
        let dense_input = Input {
            activations: &activations_for(self.compute, &input, &[gate, up], n),
            rows: tokens,
        };
        let mut gated = Buffer::new(n * up.rows);
        let products = [
            product(up, 0, Epilogue::GatedBy(gate, self.gate)),
            product(matrix, 1, Epilogue::Plain),
        ];
        let outs = [OutTile::new(&mut gated, up.rows), logits_out];
        self.products(&[dense_input, router_input], &products, &outs);
        (gated, logits)
    }

    /// `gate(y) * up(y)` of every assignment, `[assignments, W]`, and what the dense block gives,
    /// `[tokens, H]`.
    fn second_loop(
        &self,
        residual: &[f32],
        tokens: &[u32],
        routing: &Routing,
        dense_gated: &[f32],
    ) -> (Buffer, Buffer) {
        let assignments = &routing.assignments;
        let width = self.config.width;
        let mut input = Buffer::new(residual.len());
        let norm = &self.weights.norm;
        rms_norm(self.compute, residual, norm, self.epsilon, &mut input);
        let (gate, up) = self.gate_and_up(0);
        let input = activations_for(self.compute, &input, &[gate, up], routing.least());
        let down = self.dense.map(|dense| dense.down.view());
        let dense_input =
            down.map(|down| activations_for(self.compute, dense_gated, &[down], tokens.len()));
        let mut gated = Buffer::new(assignments.len() * width);
        let mut dense = Buffer::new(down.map_or(0, |_| residual.len()));
        let mut ids = Buffer::new(assignments.len());
        for (id, assignment) in ids.iter_mut().zip(assignments.iter()) {
            *id = assignment.token;
        }
        let (mut inputs, mut products, mut outs) = (List::new(), List::new(), List::new());
        for (expert, run, out) in runs(assignments, &mut gated, width) {
            let (gate, up) = self.gate_and_up(expert);
            products.push(product(
                up,
                inputs.len(),
                Epilogue::GatedBy(gate, self.gate),
            ));
            inputs.push(Input {
                activations: &input,
                rows: &ids[run],
            });
            outs.push(out);
        }
        if let (Some(down), Some(dense_input)) = (down, &dense_input) {
            products.push(product(down, inputs.len(), Epilogue::Plain));
            inputs.push(Input {
                activations: dense_input,
                rows: tokens,
            });
            outs.push(OutTile::new(&mut dense, down.rows));
        }
        self.products(&inputs, &products, &outs);
        drop(outs);
        (gated, dense)
    }

    /// What the expert of every assignment gives: `[assignments, H]`.
    fn third_loop(&self, gated: &[f32], routing: &Routing) -> Buffer {
        let assignments = &routing.assignments;
        let hidden = self.weights.norm.len();
        let mut outputs = Buffer::new(assignments.len() * hidden);
        let any = self.weights.down.expert(0);
        let input = activations_for(self.compute, gated, &[any], routing.least());
        let ids = Buffer::counting(assignments.len());
        let (mut inputs, mut products, mut outs) = (List::new(), List::new(), List::new());
        for (expert, run, out) in runs(assignments, &mut outputs, hidden) {
            let weights = self.weights.down.expert(expert);
            products.push(product(weights, inputs.len(), Epilogue::Plain));
            inputs.push(Input {
                activations: &input,
                rows: &ids[run],
            });
            outs.push(out);
        }
        self.products(&inputs, &products, &outs);
        drop(outs);
        outputs
    }

    /// The norms of both halves, and their sum.
    fn sum(
        &self,
        residual: &[f32],
        outputs: &[f32],
        routing: &Routing,
        dense: &[f32],
        out: &mut [f32],
    ) {
        let Compute { level, pool } = self.compute;
        let (w, hidden) = (self.weights, self.weights.norm.len());
        pool.for_each_chunk(out, TASK_TOKENS * hidden, |i, rows| {
            for (j, row) in rows.chunks_exact_mut(hidden).enumerate() {
                let token = i * TASK_TOKENS + j;
                row.fill(0.0);
                for place in routing.places_of(token) {
                    let output = &outputs[place * hidden..][..hidden];
                    kernels::add_scaled(level, row, routing.assignments[place].weight, output);
                }
                if let Some(post_norm) = &w.post_norm {
                    kernels::rms_norm(level, row, Some(post_norm), self.epsilon);
                }
                if let (Some(gate), Some(shared)) = (&w.shared_gate, self.dense) {
                    let residual = &residual[token * hidden..][..hidden];
                    let share = self.share_of_shared(residual, &shared.norm, gate);
                    kernels::add_scaled(level, row, share, &dense[token * hidden..][..hidden]);
                } else if self.dense.is_some() {
                    let dense = &dense[token * hidden..][..hidden];
                    let weight = w.dense_post_norm.as_deref();
                    kernels::add_normed(level, row, dense, weight, self.epsilon, 1.0);
                }
            }
        });
    }

    /// The weight of the shared expert for one token: a sigmoid of its gate times the normed residual.
    fn share_of_shared(&self, residual: &[f32], norm: &[f32], gate: &[f32]) -> f32 {
        let mut input: Buffer = Buffer::new(residual.len());
        input.copy_from_slice(residual);
        kernels::rms_norm(self.compute.level, &mut input, Some(norm), self.epsilon);
        let dot: f32 = input.iter().zip(gate).map(|(x, gate)| x * gate).sum();
        1.0 / (1.0 + (-dot).exp())
    }

    /// The first two matrices of an expert.
    fn gate_and_up(&self, expert: usize) -> (MatrixRef<'_>, MatrixRef<'_>) {
        match &self.weights.gate_up {
            GateUp::Fused(fused) => {
                let (both, width) = (fused.expert(expert), self.config.width);
                (both.slice(0, width), both.slice(width, width))
            }
            GateUp::Split { gate, up } => (gate.expert(expert), up.expert(expert)),
        }
    }

    fn products(&self, inputs: &[Input<'_>], products: &[Product<'_>], outs: &[OutTile<'_>]) {
        let Compute { level, pool } = self.compute;
        kernels::products(level, pool, inputs, products, outs);
    }
}

fn product<'a>(weights: MatrixRef<'a>, input: usize, epilogue: Epilogue<'a>) -> Product<'a> {
    Product {
        weights,
        input,
        epilogue,
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
