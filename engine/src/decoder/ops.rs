//! Small operations on the matrices of a workspace.
//!
//! Hot blocks are candle custom operations around kernels that see plain slices. Each changes some
//! rows of one matrix in place, so that a pass allocates nothing.

use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, bail};

use super::matrix::Matrix;
use super::weights::{Norm, PerLayerWeights};
use crate::TokenId;
use crate::kernels::{
    self, Activations, Buffer, CpuLevel, Epilogue, Input, MatrixRef, OutTile, Pool, Product,
};

/// What every operation computes with.
#[derive(Clone, Copy)]
pub(crate) struct Compute<'a> {
    pub(crate) level: CpuLevel,
    pub(crate) pool: &'a Pool,
}

/// Some rows of a matrix: all of them lie one after the other.
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) columns: usize,
}

/// The rows `rows` of a contiguous f32 matrix.
pub(crate) fn rows<'s>(
    storage: &'s CpuStorage,
    layout: &Layout,
    rows: &Range<usize>,
) -> Result<Rows<'s>> {
    let (_, columns) = layout.shape().dims2()?;
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(Rows {
            values: &values[start..end][rows.start * columns..rows.end * columns],
            columns,
        }),
        _ => bail!("expected a contiguous f32 matrix"),
    }
}

/// As [`rows`], to be changed; the second is the number of columns.
pub(crate) fn rows_mut<'s>(
    storage: &'s mut CpuStorage,
    layout: &Layout,
    rows: &Range<usize>,
) -> Result<(&'s mut [f32], usize)> {
    let (_, columns) = layout.shape().dims2()?;
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => {
            let values = &mut values[start..end];
            Ok((
                &mut values[rows.start * columns..rows.end * columns],
                columns,
            ))
        }
        _ => bail!("expected a contiguous f32 matrix"),
    }
}

/// Rows of values in the form that every one of `matrices` multiplies, `at_once` rows or more of them
/// together. The matrices have the same number of columns; their types may differ.
pub(crate) fn activations_for<'x>(
    compute: Compute<'_>,
    values: &'x [f32],
    matrices: &[MatrixRef<'_>],
    at_once: usize,
) -> Activations<'x> {
    let Compute { level, pool } = compute;
    let columns = matrices[0].columns;
    let reads_quants = |&matrix: &MatrixRef<'_>| kernels::reads_quants(level, matrix, at_once);
    if matrices.iter().any(reads_quants) {
        Activations::quantized(level, pool, values, columns)
    } else {
        Activations::plain(values, columns)
    }
}

/// `x W^T` for one matrix and all rows of `x`.
pub(crate) fn linear(
    compute: Compute<'_>,
    x: &[f32],
    weights: MatrixRef<'_>,
    epilogue: Epilogue<'_>,
    out: OutTile<'_>,
) {
    let n = x.len() / weights.columns;
    let ids = Buffer::counting(n);
    let gate = match epilogue {
        Epilogue::GatedBy(gate, _) => gate,
        Epilogue::Plain | Epilogue::Softcap(_) => weights,
    };
    let input = Input {
        activations: &activations_for(compute, x, &[weights, gate], n),
        rows: &ids,
    };
    let product = Product {
        weights,
        input: 0,
        epilogue,
    };
    kernels::products(compute.level, compute.pool, &[input], &[product], &[out]);
}

/// `dst = src W^T`
pub(crate) struct Linear<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp2 for Linear<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let x = rows(src, src_layout, &self.rows)?;
        let (out, stride) = rows_mut(dst, dst_layout, &self.rows)?;
        let matrix = self.matrix.view();
        let (out, _) = OutTile::new(out, stride).split(matrix.rows);
        linear(self.compute, x.values, matrix, Epilogue::Plain, out);
        Ok(())
    }
}

/// Rows that one task norms.
const NORM_ROWS: usize = 16;

/// `x / rms(x) * weight` for rows of `x`, which are as long as `weight`.
pub(crate) fn rms_norm(
    compute: Compute<'_>,
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    let n = weight.len();
    compute.pool.for_each_chunk(out, NORM_ROWS * n, |i, out| {
        out.copy_from_slice(&x[i * NORM_ROWS * n..][..out.len()]);
        for row in out.chunks_exact_mut(n) {
            kernels::rms_norm(compute.level, row, Some(weight), epsilon);
        }
    });
}

/// As [`rms_norm`], or the layer norm `(x - mean(x)) / sd(x) * weight + bias` where the norm has a bias.
pub(crate) fn norm(compute: Compute<'_>, x: &[f32], by: &Norm, epsilon: f32, out: &mut [f32]) {
    let Some(bias) = &by.bias else {
        return rms_norm(compute, x, &by.weight, epsilon, out);
    };
    let n = bias.len();
    compute.pool.for_each_chunk(out, NORM_ROWS * n, |i, out| {
        out.copy_from_slice(&x[i * NORM_ROWS * n..][..out.len()]);
        for row in out.chunks_exact_mut(n) {
            let mean = row.iter().sum::<f32>() / n as f32;
            for x in row.iter_mut() {
                *x -= mean;
            }
            // Without its mean, the deviation of a row is its root mean square.
            kernels::rms_norm(compute.level, row, Some(&by.weight), epsilon);
            add(row, bias);
        }
    });
}

/// `x = x + y`
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `dst = norm(src)`
pub(crate) struct Normed<'a> {
    pub(crate) by: &'a Norm,
    pub(crate) epsilon: f32,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp2 for Normed<'_> {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        dst: &mut CpuStorage,
        dst_layout: &Layout,
        src: &CpuStorage,
        src_layout: &Layout,
    ) -> Result<()> {
        let x = rows(src, src_layout, &self.rows)?;
        let (out, _) = rows_mut(dst, dst_layout, &self.rows)?;
        norm(self.compute, x.values, self.by, self.epsilon, out);
        Ok(())
    }
}

/// `x = (x + branch / rms(branch) * weight) * factor`: the end of a branch.
pub(crate) struct AddNormed<'a> {
    /// Gemma 1 adds its branches as they are.
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) epsilon: f32,
    pub(crate) factor: f32,
    pub(crate) rows: Range<usize>,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp2 for AddNormed<'_> {
    fn name(&self) -> &'static str {
        "add_normed"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        branch: &CpuStorage,
        branch_layout: &Layout,
    ) -> Result<()> {
        let branch = rows(branch, branch_layout, &self.rows)?.values;
        let (x, n) = rows_mut(x, x_layout, &self.rows)?;
        let Compute { level, pool } = self.compute;
        pool.for_each_chunk(x, NORM_ROWS * n, |i, rows| {
            let branch = &branch[i * NORM_ROWS * n..];
            for (x, branch) in rows.chunks_exact_mut(n).zip(branch.chunks_exact(n)) {
                kernels::add_normed(level, x, branch, self.weight, self.epsilon, self.factor);
            }
        });
        Ok(())
    }
}

/// `x = E[token] * scale`
pub(crate) struct Embed<'a> {
    pub(crate) table: &'a Matrix,
    pub(crate) tokens: &'a [TokenId],
    pub(crate) scale: f32,
}

impl InplaceOp1 for Embed<'_> {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (x, hidden) = rows_mut(x, layout, &(0..self.tokens.len()))?;
        let table = self.table.view();
        for (&token, row) in self.tokens.iter().zip(x.chunks_exact_mut(hidden)) {
            kernels::dequantize(table.slice(token as usize, 1), row);
            for x in row {
                *x *= self.scale;
            }
        }
        Ok(())
    }
}

/// What every layer adds per token: `(norm(x / sqrt(H)) + table[token] * sqrt(P)) / sqrt(2)`, where `x`
/// is the projection of the embedding.
pub(crate) struct EmbedPerLayer<'a> {
    pub(crate) weights: &'a PerLayerWeights,
    pub(crate) tokens: &'a [TokenId],
    pub(crate) hidden: usize,
    pub(crate) epsilon: f32,
    pub(crate) compute: Compute<'a>,
}

impl InplaceOp1 for EmbedPerLayer<'_> {
    fn name(&self) -> &'static str {
        "embed_per_layer"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (x, columns) = rows_mut(x, layout, &(0..self.tokens.len()))?;
        let Compute { level, pool } = self.compute;
        let norm = &self.weights.projection_norm;
        let table = self.weights.token_embedding.view();
        let width = norm.len();
        let (factor, scale) = ((self.hidden as f32).powf(-0.5), (width as f32).sqrt());
        pool.for_each_chunk(x, columns, |token, row| {
            for x in row.iter_mut() {
                *x *= factor;
            }
            for part in row.chunks_exact_mut(width) {
                kernels::rms_norm(level, part, Some(norm), self.epsilon);
            }
            let mut own = Buffer::new(columns);
            kernels::dequantize(table.slice(self.tokens[token] as usize, 1), &mut own);
            for (x, own) in row.iter_mut().zip(own.iter()) {
                *x = (*x + own * scale) * 0.5f32.sqrt();
            }
        });
        Ok(())
    }
}

/// `gate = gelu(gate) * embedding` with the part of the per-layer embeddings that belongs to a layer.
pub(crate) struct GateEmbedding {
    /// Index of the layer.
    pub(crate) layer: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) level: CpuLevel,
}

impl InplaceOp2 for GateEmbedding {
    fn name(&self) -> &'static str {
        "gate_embedding"
    }

    fn cpu_fwd(
        &self,
        gate: &mut CpuStorage,
        gate_layout: &Layout,
        embeddings: &CpuStorage,
        embeddings_layout: &Layout,
    ) -> Result<()> {
        let all = rows(embeddings, embeddings_layout, &self.rows)?;
        let (gate, width) = rows_mut(gate, gate_layout, &self.rows)?;
        let embeddings = all.values.chunks_exact(all.columns);
        for (gate, embeddings) in gate.chunks_exact_mut(width).zip(embeddings) {
            let own = &embeddings[self.layer * width..][..width];
            kernels::gelu_times(self.level, gate, own);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::TensorType;
    use crate::kernels::Reading;

    #[test]
    fn one_quantized_matrix_is_enough_for_rounded_activations() {
        let pool = Pool::new(1).expect("no thread to start");
        let bytes = [0; 4 * 32];
        let matrix = |tensor_type: TensorType| MatrixRef {
            tensor_type,
            rows: 1,
            columns: 32,
            bytes: &bytes[..tensor_type.row_bytes(32)],
            panels: None,
            reading: Reading::ROWS,
        };
        let (float, quantized) = (matrix(TensorType::F32), matrix(TensorType::Q4_0));
        let values = [1.0; 32];
        for level in CpuLevel::available() {
            let compute = Compute { level, pool: &pool };
            let quants = |matrices: &[MatrixRef<'_>]| {
                activations_for(compute, &values, matrices, 1).quants.len()
            };
            assert_eq!(quants(&[float, float]), 0);
            assert_eq!(quants(&[float, quantized]), 32);
            // Either may be the gate of the other.
            for (up, gate) in [(float, quantized), (quantized, float)] {
                let mut out = [f32::NAN];
                let tile = OutTile::new(&mut out, 1);
                linear(
                    compute,
                    &values,
                    up,
                    Epilogue::GatedBy(gate, kernels::Gate::Gelu),
                    tile,
                );
                assert!(out[0].abs() < 1e-6, "weights of zero give {}", out[0]);
            }
        }
    }
}
