//! Attention: projections with head norms and rotation, then the windowed softmax over the cache.

use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result};

use super::branches::Branches;
use super::config::LayerConfig;
use super::matrix::Matrix;
use super::ops::{Compute, activations_for, add, linear, rows, rows_mut};
use super::rope::Rotation;
use super::weights::AttentionWeights;
use crate::kernels::{
    self, BLOCK_KEYS, Buffer, Epilogue, FEW_TOKENS, Input, List, OutTile, Product,
};
use crate::kv_cache::KvCache;

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

/// `dst = Wo attend(queries in src)`: softmax attention over the cache, exact in the window.
pub(crate) struct Attend<'a> {
    pub(crate) weights: &'a AttentionWeights,
    pub(crate) cache: &'a KvCache,
    /// The cache's store of the layer whose keys and values are used.
    pub(crate) store: usize,
    pub(crate) layer: &'a LayerConfig,
    /// Rows with queries.
    pub(crate) rows: Range<usize>,
    /// Position of the first of them, unless they are branches.
    pub(crate) first_position: usize,
    /// What the rows see, if they are not consecutive tokens.
    pub(crate) branches: Option<Branches<'a>>,
    /// Factor on the scores.
    pub(crate) scale: f32,
    pub(crate) compute: Compute<'a>,
}

/// Query rows of one task, at least: enough to pay for the conversion of keys and values.
const BLOCK_ROWS: usize = 16;
/// Queries of one task, if they are not more rows than that.
const BLOCK_QUERIES: usize = 128;
/// Query rows up to which keys and values are read as they are stored: one token, and drafts that are
/// verified, which have the numbers that they would have one by one.
const IN_PLACE_ROWS: usize = FEW_TOKENS;

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
        let all = rows(src, src_layout, &self.rows)?;
        let (out, hidden) = rows_mut(dst, dst_layout, &self.rows)?;
        let n_kv_heads = self.layer.n_kv_heads;
        let group_width = self.layer.n_heads / n_kv_heads * self.layer.head_dim;
        let mut attended = Buffer::new(self.rows.len() * n_kv_heads * group_width);
        let group = self.layer.n_heads / n_kv_heads;
        // Each branch sees other keys.
        let block_rows = match self.branches {
            Some(_) => 1,
            None => (BLOCK_QUERIES / group).max(BLOCK_ROWS),
        };
        let blocks = attended.chunks_mut(block_rows * n_kv_heads * group_width);
        let blocks: List<_> = blocks
            .map(|block| OutTile::new(block, n_kv_heads * group_width))
            .collect();
        // A task is a key/value head and a block of rows.
        let pool = self.compute.pool;
        pool.for_each_columns(&blocks, group_width, |block, first_column, out| {
            let first_row = block * block_rows;
            let queries = &all.values[first_row * all.columns + first_column..];
            self.block(
                queries,
                all.columns,
                first_column / group_width,
                first_row,
                out,
            );
        });
        drop(blocks);
        let output = self.weights.output.view();
        let tile = OutTile::new(out, hidden);
        linear(self.compute, &attended, output, Epilogue::Plain, tile);
        if let Some(bias) = &self.weights.output_bias {
            for row in out.chunks_exact_mut(hidden) {
                add(row, bias);
            }
        }
        Ok(())
    }
}

impl Attend<'_> {
    /// One key/value head and a block of query rows, `[rows, group, d]`: `queries` begins with the
    /// first query, its rows are `stride` apart.
    ///
    /// Keys are visited in blocks with a running maximum and sum (Milakov and Gimelshein,
    /// "Online normalizer calculation for softmax", 2018).
    fn block(
        &self,
        queries: &[f32],
        stride: usize,
        kv_head: usize,
        first_row: usize,
        mut out: OutTile<'_>,
    ) {
        let level = self.compute.level;
        let d = self.layer.head_dim;
        let group = self.layer.n_heads / self.layer.n_kv_heads;
        let n_rows = out.rows();
        let n_queries = n_rows * group;
        // The queries of the group side by side, with the factor on the scores.
        let mut scaled = Buffer::new(n_queries * d);
        for (scaled, heads) in scaled
            .chunks_exact_mut(group * d)
            .zip(queries.chunks(stride))
        {
            for (scaled, q) in scaled.iter_mut().zip(heads) {
                *scaled = q * self.scale;
            }
        }
        let mut sums = Buffer::new(n_queries * d);
        sums.fill(0.0);
        let first = self.first_position + first_row;
        // What each query sees; a branch sees all that is visited.
        let visible: List<Range<usize>> = if self.branches.is_some() {
            smallvec::smallvec![0..usize::MAX; n_queries]
        } else {
            (0..n_queries)
                .map(|i| first + i / group)
                .map(|position| self.lowest_visible(position)..position + 1)
                .collect()
        };
        let visited: List<Range<usize>> = if let Some(branches) = self.branches {
            branches.visible(first_row, self.lowest_visible(branches.position()))
        } else {
            smallvec::smallvec![self.lowest_visible(first)..first + n_rows]
        };
        // A cache in f32 is there to be exact.
        let stored = |positions| self.cache.stored(self.store, kv_head, positions);
        if self.branches.is_none()
            && !self.cache.is_exact()
            && kernels::attend(level, &scaled, d, &visible, stored, &mut sums)
        {
            for (i, sums) in sums.chunks_exact(group * d).enumerate() {
                out.row(i).copy_from_slice(sums);
            }
            return;
        }
        let mut running: List<Running> = smallvec::smallvec![Running::default(); n_queries];
        let mut scores = Buffer::new(n_queries * BLOCK_KEYS);
        // Few queries do not pay for converted keys and values.
        let in_place = n_rows <= IN_PLACE_ROWS && kernels::fits_stored(d);
        let converted = if in_place { 0 } else { BLOCK_KEYS * d };
        let (mut keys, mut values) = (Buffer::new(converted), Buffer::new(converted));
        // Blocks end at the same positions for every query, so that its sums do not depend on the
        // other rows.
        let blocks = visited.into_iter().flat_map(|Range { start, end }| {
            let begins = (start / BLOCK_KEYS * BLOCK_KEYS..end).step_by(BLOCK_KEYS);
            begins.map(move |begin| (begin.max(start), end.min(begin + BLOCK_KEYS)))
        });
        for (start, stop) in blocks {
            let n = (stop - start) * d;
            if in_place {
                for (offset, keys, _) in self.cache.stored(self.store, kv_head, start..stop) {
                    let scores = &mut scores[offset..];
                    kernels::stored_dots(level, &scaled, keys, d, scores, BLOCK_KEYS);
                }
            } else {
                let keys = &mut keys[..n];
                self.cache.read_keys(self.store, kv_head, start..stop, keys);
                kernels::dots(level, &scaled, keys, d, &mut scores, BLOCK_KEYS);
            }
            let rows = sums.chunks_exact_mut(d).zip(&mut running);
            for (i, (sums, running)) in rows.enumerate() {
                let from = visible[i].start.clamp(start, stop) - start;
                let to = visible[i].end.clamp(start, stop) - start;
                let scores = &mut scores[i * BLOCK_KEYS..][..stop - start];
                // What the query does not see has no weight.
                scores[..from.min(to)].fill(0.0);
                scores[to..].fill(0.0);
                if from < to {
                    let scores = &mut scores[from..to];
                    running.rescale(scores, sums);
                    running.sum += kernels::exp_minus(level, scores, running.max);
                }
            }
            if in_place {
                for (offset, _, values) in self.cache.stored(self.store, kv_head, start..stop) {
                    let scores = &scores[offset..];
                    kernels::add_weighted_stored(level, &mut sums, scores, BLOCK_KEYS, values, d);
                }
            } else {
                let values = &mut values[..n];
                self.cache
                    .read_values(self.store, kv_head, start..stop, values);
                kernels::add_weighted_rows(level, &mut sums, &scores, BLOCK_KEYS, values, d);
            }
        }
        let rows = sums
            .chunks_exact(group * d)
            .zip(running.chunks_exact(group));
        for (i, (sums, running)) in rows.enumerate() {
            let heads = out.row(i).chunks_exact_mut(d).zip(sums.chunks_exact(d));
            for ((out, sums), running) in heads.zip(running) {
                let inverse = running.sum.recip();
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum * inverse;
                }
            }
        }
    }

    /// The first position that a query at `position` sees.
    fn lowest_visible(&self, position: usize) -> usize {
        self.layer
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Maximum of the scores so far, and the sum of their exponentials relative to it.
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            max: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Running {
    /// Takes the maximum of new scores in, and brings what was summed to the new maximum.
    fn rescale(&mut self, scores: &[f32], out: &mut [f32]) {
        let max = scores.iter().fold(self.max, |max, &score| max.max(score));
        if max > self.max {
            let factor = (self.max - max).exp();
            self.sum *= factor;
            for x in out {
                *x *= factor;
            }
            self.max = max;
        }
    }
}
