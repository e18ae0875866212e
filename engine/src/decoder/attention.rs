//! Attention: projections with head norms and rotation, then the windowed softmax over the cache
//! (`cached`) and the output matrix.

#[cfg(feature = "bench")]
pub(crate) mod bench;
mod cached;
#[cfg(test)]
mod tests;

use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result};

use super::config::LayerConfig;
use super::matrix::Matrix;
use super::ops::{Compute, activations_for, add, linear, rows, rows_mut};
use super::rope::Rotation;
use super::weights::AttentionWeights;
use crate::kernels::{self, Buffer, Epilogue, Input, List, OutTile, Product};
pub(crate) use cached::CachedAttention;

/// Queries, keys and values of `src`, normed and rotated, side by side in the rows of `dst`:
/// `[rows, q * d + 2 k * d]`, the rest of a row stays as it was.
pub(crate) struct Heads<'a> {
    pub(crate) weights: &'a AttentionWeights,
    pub(crate) layer: &'a LayerConfig,
    /// Its rows belong to the rows of the tensors.
    pub(crate) rotation: &'a Rotation,
    /// Whether values are normed as well, without a weight.
    pub(crate) norm_values: bool,
    pub(crate) epsilon: f32,
    pub(crate) rows: Range<usize>,
    /// The first row that has queries.
    pub(crate) first_query: usize,
    pub(crate) compute: Compute<'a>,
}

/// Rows that one task norms and rotates.
const TASK_ROWS: usize = 16;

impl InplaceOp2 for Heads<'_> {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let x = rows(src, src_layout, &self.rows)?.values;
        let (out, stride) = rows_mut(dst, dst_layout, &self.rows)?;
        self.project(x, out, stride);
        self.compute
            .pool
            .for_each_chunk(out, TASK_ROWS * stride, |i, out| {
                for (j, row) in out.chunks_exact_mut(stride).enumerate() {
                    self.norm_and_rotate(self.rows.start + i * TASK_ROWS + j, row);
                }
            });
        Ok(())
    }
}

impl Heads<'_> {
    /// Length of a row's queries, and of its keys or values.
    fn widths(&self) -> (usize, usize) {
        let l = self.layer;
        (l.n_heads * l.head_dim, l.n_kv_heads * l.head_dim)
    }

    /// All products in one loop.
    fn project(&self, x: &[f32], out: &mut [f32], stride: usize) {
        let Compute { level, pool } = self.compute;
        let (queries, keys) = self.widths();
        let skip = self.first_query - self.rows.start;
        let ids = Buffer::counting(self.rows.len());
        let query = self.weights.query.view();
        let at_once = self.rows.len() - skip;
        let mut matrices: List<_> = [query].into_iter().collect();
        if let Some(own) = &self.weights.key_value {
            matrices.push(own.key.view());
            matrices.extend(own.value.as_ref().map(Matrix::view));
        }
        let activations = activations_for(self.compute, x, &matrices, at_once);
        let inputs = [&ids[skip..], &ids[..]].map(|rows| Input {
            activations: &activations,
            rows,
        });
        let product = |weights, input| Product {
            weights,
            input,
            epilogue: Epilogue::Plain,
        };
        let (mut products, mut outs) = (List::new(), List::new());
        let (out, rest) = OutTile::new(out, stride).split(queries);
        products.push(product(query, 0));
        outs.push(out.skip_rows(skip));
        if let Some(own) = &self.weights.key_value {
            let (out, rest) = rest.split(keys);
            products.push(product(own.key.view(), 1));
            outs.push(out);
            if let Some(value) = &own.value {
                products.push(product(value.view(), 1));
                outs.push(rest.split(keys).0);
            }
        }
        kernels::products(level, pool, &inputs, &products, &outs);
    }

    fn norm_and_rotate(&self, token: usize, row: &mut [f32]) {
        let (queries, keys) = self.widths();
        if let Some(bias) = &self.weights.bias {
            add(row, bias);
        }
        let (row_queries, rest) = row.split_at_mut(queries);
        if token >= self.first_query {
            self.finish(token, row_queries, self.weights.query_norm.as_deref());
        }
        let Some(own) = &self.weights.key_value else {
            return;
        };
        let (row_keys, rest) = rest.split_at_mut(keys);
        let values = &mut rest[..keys];
        // Where the file has no value matrix, values are the keys before norm and rotation.
        if own.value.is_none() {
            values.copy_from_slice(row_keys);
        }
        self.finish(token, row_keys, own.key_norm.as_deref());
        if self.norm_values {
            for head in values.chunks_exact_mut(self.layer.head_dim) {
                kernels::rms_norm(self.compute.level, head, None, self.epsilon);
            }
        }
    }

    /// Norms heads if their norm has a weight, and rotates them.
    fn finish(&self, token: usize, heads: &mut [f32], norm: Option<&[f32]>) {
        for head in heads.chunks_exact_mut(self.layer.head_dim) {
            if norm.is_some() {
                kernels::rms_norm(self.compute.level, head, norm, self.epsilon);
            }
            self.rotation.apply(token, head);
        }
    }
}

/// `dst = Wo attend(queries in src)`
pub(crate) struct Attend<'a> {
    pub(crate) weights: &'a AttentionWeights,
    /// Rows with queries.
    pub(crate) rows: Range<usize>,
    pub(crate) cached: CachedAttention<'a>,
}

impl InplaceOp2 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let queries = rows(src, src_layout, &self.rows)?;
        let (out, hidden) = rows_mut(dst, dst_layout, &self.rows)?;
        let layer = self.cached.layer;
        let mut attended = Buffer::new(self.rows.len() * layer.n_heads * layer.head_dim);
        self.cached
            .attend(queries.values, queries.columns, &mut attended);
        let compute = self.cached.compute;
        let output = self.weights.output.view();
        let tile = OutTile::new(out, hidden);
        linear(compute, &attended, output, Epilogue::Plain, tile);
        if let Some(bias) = &self.weights.output_bias {
            for row in out.chunks_exact_mut(hidden) {
                add(row, bias);
            }
        }
        Ok(())
    }
}
