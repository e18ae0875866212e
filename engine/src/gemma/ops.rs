//! Small operations between candle tensors and our kernels.
//!
//! Hot blocks are candle custom operations around kernels that see plain slices. They run on the
//! CPU and have no backward pass.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::weights::Matrix;
use crate::kernels::Pool;
use crate::kernels::{self, Activations, CpuLevel, MatrixRef};

/// What every operation computes with.
#[derive(Clone, Copy)]
pub(crate) struct Compute<'a> {
    pub(crate) level: CpuLevel,
    pub(crate) pool: &'a Pool,
}

/// The numbers of a contiguous f32 tensor.
pub(crate) fn f32_slice<'s>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected a contiguous f32 tensor"),
    }
}

/// Rows and row length of a two-dimensional layout.
pub(crate) fn rows_and_columns(layout: &Layout) -> Result<(usize, usize)> {
    layout.shape().dims2()
}

/// Copies the numbers of a contiguous f32 tensor out.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1::<f32>()
}

/// Activations in the form that all of `matrices` multiply; they have the same number of columns.
pub(crate) fn activations_for<'x>(
    compute: Compute<'_>,
    values: &'x [f32],
    matrices: &[MatrixRef<'_>],
) -> Activations<'x> {
    let columns = matrices[0].columns;
    if matrices.iter().all(MatrixRef::is_float) {
        Activations::plain(values, columns)
    } else {
        Activations::quantized(compute.level, compute.pool, values, columns)
    }
}

/// `x W^T`: `[tokens, columns]` to `[tokens, rows]`.
pub(crate) struct Linear<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) compute: Compute<'a>,
}

impl CustomOp1 for Linear<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, columns) = rows_and_columns(layout)?;
        if columns != self.matrix.columns() {
            bail!(
                "linear: {columns} inputs for a matrix of {} columns",
                self.matrix.columns()
            );
        }
        let matrix = self.matrix.view();
        let activations = activations_for(self.compute, f32_slice(storage, layout)?, &[matrix]);
        let mut out = vec![0.0; tokens * matrix.rows];
        kernels::matmul(
            self.compute.level,
            self.compute.pool,
            matrix,
            &activations,
            &mut out,
        );
        Ok((CpuStorage::F32(out), (tokens, matrix.rows).into()))
    }
}

/// `x / rms(x) * weight` over rows of `[tokens, n]`.
pub(crate) struct RmsNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
}

impl CustomOp1 for RmsNorm<'_> {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = f32_slice(storage, layout)?.to_vec();
        for row in out.chunks_exact_mut(self.weight.len()) {
            rms_norm_row(row, Some(self.weight), self.epsilon);
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Divides by the root of the mean square, then multiplies with the weight.
pub(crate) fn rms_norm_row(row: &mut [f32], weight: Option<&[f32]>, epsilon: f32) {
    let scale = inverse_rms(row, epsilon);
    match weight {
        Some(weight) => row
            .iter_mut()
            .zip(weight)
            .for_each(|(x, w)| *x *= scale * w),
        None => row.iter_mut().for_each(|x| *x *= scale),
    }
}

/// `(mean(x^2) + epsilon)^(-1/2)`
pub(crate) fn inverse_rms(row: &[f32], epsilon: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let chunks = row.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    let mean = (lanes.iter().sum::<f32>() + rest) / row.len() as f32;
    (mean + epsilon).sqrt().recip()
}

/// `gelu(gate) * up`, GELU in its tanh form.
pub(crate) struct GeluTimes {
    pub(crate) level: CpuLevel,
}

impl CustomOp2 for GeluTimes {
    fn name(&self) -> &'static str {
        "gelu_times"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = f32_slice(gate, gate_layout)?.to_vec();
        let up = f32_slice(up, up_layout)?;
        if out.len() != up.len() {
            bail!("gelu_times: {} and {} values", out.len(), up.len());
        }
        kernels::gelu_times(self.level, &mut out, up);
        Ok((CpuStorage::F32(out), gate_layout.shape().clone()))
    }
}
