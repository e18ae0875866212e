//! The gated feed-forward block as one operation: gate and up in one pass, GELU, down.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

use super::ops::{Compute, activations_for, f32_slice, rows_and_columns};
use super::weights::FeedForwardWeights;
use crate::kernels;

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
        let mut gated = vec![0.0; tokens * gate.rows];
        let mut raised = vec![0.0; tokens * up.rows];
        let mut products = [(gate, &mut gated[..]), (up, &mut raised[..])];
        kernels::matmuls(level, pool, &mut products, &input);
        pool.for_each_chunk(&mut gated, GELU_CHUNK, |i, gated| {
            kernels::gelu_times(level, gated, &raised[i * GELU_CHUNK..][..gated.len()]);
        });
        let inner = activations_for(self.compute, &gated, &[down]);
        let mut out = vec![0.0; tokens * hidden];
        kernels::matmul(level, pool, down, &inner, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Values of one task of the activation function.
const GELU_CHUNK: usize = 8192;
