//! The gated feed-forward block as one operation: gate and up in one pass, GELU, down.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

use super::ops::{Compute, activations_for, f32_slice, gelu_gate_up, rows_and_columns};
use super::weights::FeedForwardWeights;
use crate::kernels::{self, Buffer, OutTile, Product};

/// `Wdown (gelu(Wgate x) * (Wup x))`: `[tokens, H]` to `[tokens, H]`.
pub(crate) struct FeedForward<'a> {
    pub(crate) weights: &'a FeedForwardWeights,
    pub(crate) compute: Compute<'a>,
}

impl CustomOp1 for FeedForward<'_> {
    fn name(&self) -> &'static str {
        "feed_forward"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Compute { level, pool } = self.compute;
        let (tokens, hidden) = rows_and_columns(layout)?;
        let (gate, up, down) = (
            self.weights.gate.view(),
            self.weights.up.view(),
            self.weights.down.view(),
        );
        let input = activations_for(self.compute, f32_slice(storage, layout)?, &[gate, up]);
        let width = gate.rows;
        let mut both = Buffer::new(tokens * 2 * width);
        let ids: Vec<u32> = (0..tokens as u32).collect();
        let (gate_out, up_out) = OutTile::new(&mut both, 2 * width).halves();
        let products = [gate, up].map(|weights| Product { weights, input: 0 });
        kernels::products(level, pool, &input, &[&ids], &products, &[gate_out, up_out]);
        let mut gated = Buffer::new(tokens * width);
        gelu_gate_up(self.compute, &both, width, &mut gated);
        let inner = activations_for(self.compute, &gated, &[down]);
        let mut out = vec![0.0; tokens * hidden];
        kernels::matmul(level, pool, down, &inner, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
