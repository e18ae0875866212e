//! The feed-forward block as one operation, with a gate or without.

use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result};

use super::ops::{Compute, add, linear, norm, rms_norm, rows, rows_mut};
use super::weights::{FeedForwardWeights, UngatedWeights};
use crate::kernels::{self, Buffer, Epilogue, Gate, OutTile};

/// `dst = Wdown (gate(Wgate y) * (Wup y))` with `y = norm(src)`
pub(crate) struct FeedForward<'a> {
    pub(crate) weights: &'a FeedForwardWeights,
    pub(crate) gate: Gate,
    pub(crate) epsilon: f32,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp2 for FeedForward<'_> {
    fn name(&self) -> &'static str {
        "feed_forward"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let residual = rows(src, src_layout, &self.rows)?.values;
        let (out, hidden) = rows_mut(dst, dst_layout, &self.rows)?;
        let w = self.weights;
        let mut input = Buffer::new(residual.len());
        rms_norm(self.compute, residual, &w.norm, self.epsilon, &mut input);
        let (gate, up, down) = (w.gate.view(), w.up.view(), w.down.view());
        let mut gated = Buffer::new(self.rows.len() * up.rows);
        let gated_out = OutTile::new(&mut gated, up.rows);
        let epilogue = Epilogue::GatedBy(gate, self.gate);
        linear(self.compute, &input, up, epilogue, gated_out);
        let out = OutTile::new(out, hidden);
        linear(self.compute, &gated, down, Epilogue::Plain, out);
        Ok(())
    }
}

/// `dst = Wdown gelu(Wup y + bup) + bdown` with `y = norm(src)`
pub(crate) struct Ungated<'a> {
    pub(crate) weights: &'a UngatedWeights,
    pub(crate) epsilon: f32,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp2 for Ungated<'_> {
    fn name(&self) -> &'static str {
        "ungated"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let residual = rows(src, src_layout, &self.rows)?.values;
        let (out, hidden) = rows_mut(dst, dst_layout, &self.rows)?;
        let w = self.weights;
        let mut input = Buffer::new(residual.len());
        norm(self.compute, residual, &w.norm, self.epsilon, &mut input);
        let (up, down) = (w.up.view(), w.down.view());
        let mut inner = Buffer::new(self.rows.len() * up.rows);
        let inner_out = OutTile::new(&mut inner, up.rows);
        linear(self.compute, &input, up, Epilogue::Plain, inner_out);
        let Compute { level, pool } = self.compute;
        pool.for_each_chunk(&mut inner, up.rows, |_, row| {
            let mut ones = Buffer::new(row.len());
            ones.fill(1.0);
            add(row, &w.up_bias);
            kernels::gelu_times(level, row, &ones);
        });
        let tile = OutTile::new(out, hidden);
        linear(self.compute, &inner, down, Epilogue::Plain, tile);
        for row in out.chunks_exact_mut(hidden) {
            add(row, &w.down_bias);
        }
        Ok(())
    }
}
