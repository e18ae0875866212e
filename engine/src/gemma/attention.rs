//! Attention: projections with head norms and rotation, then the windowed softmax over the cache.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::config::LayerConfig;
use super::ops::{Compute, activations_for, f32_slice, rows_and_columns};
use super::rope::Rotation;
use super::weights::{AttentionWeights, Matrix};
use crate::kernels::{self, Buffer};
use crate::kv_cache::KvCache;

/// Queries, keys and values of a chunk, normed and rotated, ready for the cache.
pub(crate) struct Projected {
    /// `[rows, n_heads * d]`, for the rows whose outputs are wanted
    pub(crate) queries: Tensor,
    /// `[tokens, n_kv_heads * d]` each; absent where the layer uses another one's
    pub(crate) keys_values: Option<(Tensor, Tensor)>,
}

/// The projection of one layer.
pub(crate) struct Projection<'a> {
    pub(crate) weights: &'a AttentionWeights,
    pub(crate) layer: &'a LayerConfig,
    pub(crate) rotation: &'a Rotation,
    /// Gemma 4 norms the values as well, without a weight.
    pub(crate) norm_values: bool,
    pub(crate) epsilon: f32,
    pub(crate) compute: Compute<'a>,
}

impl Projection<'_> {
    /// Projects the normed input `[tokens, H]`. Queries are made from row `first_row` on; rows of
    /// the rotation belong to rows of `input` from `rotation_offset` on.
    pub(crate) fn apply(
        &self,
        input: &Tensor,
        first_row: usize,
        rotation_offset: usize,
    ) -> Result<Projected> {
        let tokens = input.dim(0)?;
        let query = Heads {
            matrix: &self.weights.query,
            weight: self.weights.query_norm.as_deref(),
            normed: self.weights.query_norm.is_some(),
            first_rotation: Some(rotation_offset + first_row),
        };
        let Some(kv) = &self.weights.key_value else {
            let input = input.narrow(0, first_row, tokens - first_row)?;
            let [queries] = self.project(&input, &[query])?;
            return Ok(Projected {
                queries,
                keys_values: None,
            });
        };
        let key = Heads {
            matrix: &kv.key,
            weight: kv.key_norm.as_deref(),
            normed: kv.key_norm.is_some(),
            first_rotation: Some(rotation_offset),
        };
        // Where the file has no value matrix, values are the keys before norm and rotation.
        let value = Heads {
            matrix: kv.value.as_ref().unwrap_or(&kv.key),
            weight: None,
            normed: self.norm_values,
            first_rotation: None,
        };
        let (queries, keys, values) = if first_row == 0 {
            let [queries, keys, values] = self.project(input, &[query, key, value])?;
            (queries, keys, values)
        } else {
            let query_input = input.narrow(0, first_row, tokens - first_row)?;
            let [queries] = self.project(&query_input, &[query])?;
            let [keys, values] = self.project(input, &[key, value])?;
            (queries, keys, values)
        };
        Ok(Projected {
            queries,
            keys_values: Some((keys, values)),
        })
    }

    /// Several projections of the same input, each `[tokens, heads * d]`.
    fn project<const N: usize>(
        &self,
        input: &Tensor,
        heads: &[Heads<'_>; N],
    ) -> Result<[Tensor; N]> {
        let widths = heads.each_ref().map(|heads| heads.matrix.view().rows);
        let all = input.apply_op1_no_bwd(&HeadsOp {
            heads,
            projection: self,
        })?;
        // The outputs lie one after the other.
        let tokens = input.dim(0)?;
        let mut start = 0;
        let mut parts = Vec::with_capacity(N);
        for width in widths {
            let part = all.narrow(0, start, tokens * width)?;
            parts.push(part.reshape((tokens, width))?);
            start += tokens * width;
        }
        parts
            .try_into()
            .map_err(|_| candle_core::Error::Msg("a part for every projection".to_owned()))
    }
}

/// A projection to heads: matrix, norm of every head, rotation.
struct Heads<'a> {
    matrix: &'a Matrix,
    weight: Option<&'a [f32]>,
    normed: bool,
    /// The row of the angles that belongs to the first row of the input.
    first_rotation: Option<usize>,
}

/// Projections of one input: `[tokens, H]` to the outputs one after the other, in one dimension.
struct HeadsOp<'a> {
    heads: &'a [Heads<'a>],
    projection: &'a Projection<'a>,
}

impl CustomOp1 for HeadsOp<'_> {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let p = self.projection;
        let Compute { level, pool } = p.compute;
        let (tokens, _) = rows_and_columns(layout)?;
        let matrices: Vec<_> = self.heads.iter().map(|h| h.matrix.view()).collect();
        let input = activations_for(p.compute, f32_slice(storage, layout)?, &matrices);
        let mut out = vec![0.0; tokens * matrices.iter().map(|m| m.rows).sum::<usize>()];
        let mut products = Vec::with_capacity(matrices.len());
        let mut rest = &mut out[..];
        for &matrix in &matrices {
            let (now, later) = rest.split_at_mut(tokens * matrix.rows);
            products.push((matrix, now));
            rest = later;
        }
        kernels::matmuls(level, pool, &mut products, &input);
        for (heads, (matrix, out)) in self.heads.iter().zip(products) {
            pool.for_each_chunk(out, matrix.rows, |token, row| {
                for head in row.chunks_exact_mut(p.layer.head_dim) {
                    if heads.normed {
                        kernels::rms_norm(level, head, heads.weight, p.epsilon);
                    }
                    if let Some(first) = heads.first_rotation {
                        p.rotation.apply(first + token, head);
                    }
                }
            });
        }
        let n = out.len();
        Ok((CpuStorage::F32(out), n.into()))
    }
}

/// Softmax attention of queries over the cache, exact in the window.
pub(crate) struct Attend<'a> {
    pub(crate) cache: &'a KvCache,
    /// The cache's store of the layer whose keys and values are used.
    pub(crate) store: usize,
    pub(crate) layer: &'a LayerConfig,
    /// Position of the first row of the queries.
    pub(crate) first_position: usize,
    /// Factor on the scores.
    pub(crate) scale: f32,
    pub(crate) compute: Compute<'a>,
}

/// Query rows of one task: enough to pay for the conversion of keys and values to f32.
const BLOCK_ROWS: usize = 16;
/// Query rows up to which keys and values are read as they are stored.
const IN_PLACE_ROWS: usize = 2;
/// Keys of one step: with values and scores they stay in the second-level cache.
const BLOCK_KEYS: usize = 64;

impl CustomOp1 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = rows_and_columns(layout)?;
        let queries = f32_slice(storage, layout)?;
        let group = self.layer.n_heads / self.layer.n_kv_heads;
        let group_width = group * self.layer.head_dim;
        // Task by task: key/value head, then block of rows.
        let mut by_task = Buffer::new(rows * width);
        by_task.fill(0.0);
        let mut tasks = Vec::new();
        let mut rest = &mut by_task[..];
        for kv_head in 0..self.layer.n_kv_heads {
            for first_row in (0..rows).step_by(BLOCK_ROWS) {
                let n = BLOCK_ROWS.min(rows - first_row);
                let (now, later) = rest.split_at_mut(n * group_width);
                tasks.push((kv_head, first_row, now));
                rest = later;
            }
        }
        self.compute.pool.for_each_chunk(&mut tasks, 1, |_, task| {
            let (kv_head, first_row, out) = &mut task[0];
            self.block(queries, width, *kv_head, *first_row, out);
        });
        let mut out = vec![0.0; rows * width];
        self.compute
            .pool
            .for_each_chunk(&mut out, BLOCK_ROWS * width, |i, out| {
                for (j, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = i * BLOCK_ROWS + j;
                    for (kv_head, out) in out.chunks_exact_mut(group_width).enumerate() {
                        let at = (kv_head * rows + row) * group_width;
                        out.copy_from_slice(&by_task[at..at + group_width]);
                    }
                }
            });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl Attend<'_> {
    /// One key/value head and a block of query rows; `out` is `[rows, group, d]`.
    ///
    /// Keys are visited in blocks with a running maximum and sum (Milakov and Gimelshein,
    /// "Online normalizer calculation for softmax", 2018).
    fn block(
        &self,
        queries: &[f32],
        width: usize,
        kv_head: usize,
        first_row: usize,
        out: &mut [f32],
    ) {
        let level = self.compute.level;
        let d = self.layer.head_dim;
        let group = self.layer.n_heads / self.layer.n_kv_heads;
        let n_rows = out.len() / (group * d);
        let n_queries = n_rows * group;
        // The queries of the group side by side, with the factor on the scores.
        let mut scaled = Buffer::new(n_queries * d);
        for (i, scaled) in scaled.chunks_exact_mut(group * d).enumerate() {
            let heads = &queries[(first_row + i) * width + kv_head * group * d..][..group * d];
            for (scaled, q) in scaled.iter_mut().zip(heads) {
                *scaled = q * self.scale;
            }
        }
        let mut running = vec![Running::default(); n_queries];
        let mut scores = Buffer::new(n_queries * BLOCK_KEYS);
        // Few queries do not pay for converted keys and values.
        let in_place = n_rows <= IN_PLACE_ROWS && kernels::fits_stored(d);
        let converted = if in_place { 0 } else { BLOCK_KEYS * d };
        let (mut keys, mut values) = (Buffer::new(converted), Buffer::new(converted));
        let first = self.first_position + first_row;
        let (begin, end) = (self.lowest_visible(first), first + n_rows);
        for start in (begin..end).step_by(BLOCK_KEYS) {
            let stop = end.min(start + BLOCK_KEYS);
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
            let rows = out.chunks_exact_mut(d).zip(&mut running);
            for (i, (out, running)) in rows.enumerate() {
                let position = first + i / group;
                let from = self.lowest_visible(position).clamp(start, stop) - start;
                let to = (position + 1).clamp(start, stop) - start;
                let scores = &mut scores[i * BLOCK_KEYS..][..stop - start];
                // What the query does not see has no weight.
                scores[..from.min(to)].fill(0.0);
                scores[to..].fill(0.0);
                if from < to {
                    let scores = &mut scores[from..to];
                    running.rescale(scores, out);
                    running.sum += kernels::exp_minus(level, scores, running.max);
                }
            }
            if in_place {
                for (offset, _, values) in self.cache.stored(self.store, kv_head, start..stop) {
                    let scores = &scores[offset..];
                    kernels::add_weighted_stored(level, out, scores, BLOCK_KEYS, values, d);
                }
            } else {
                let values = &mut values[..n];
                self.cache
                    .read_values(self.store, kv_head, start..stop, values);
                kernels::add_weighted_rows(level, out, &scores, BLOCK_KEYS, values, d);
            }
        }
        for (out, running) in out.chunks_exact_mut(d).zip(&running) {
            let inverse = running.sum.recip();
            for x in out {
                *x *= inverse;
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
