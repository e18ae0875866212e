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

/// Activations in the form that all of `matrices` multiply, all rows together; the matrices have the
/// same number of columns.
pub(crate) fn activations_for<'x>(
    compute: Compute<'_>,
    values: &'x [f32],
    matrices: &[MatrixRef<'_>],
) -> Activations<'x> {
    let columns = matrices[0].columns;
    activations_in_parts(compute, values, matrices, values.len() / columns)
}

/// As [`activations_for`], where some matrix multiplies only `least_rows` of the rows.
pub(crate) fn activations_in_parts<'x>(
    compute: Compute<'_>,
    values: &'x [f32],
    matrices: &[MatrixRef<'_>],
    least_rows: usize,
) -> Activations<'x> {
    let columns = matrices[0].columns;
    let Compute { level, pool } = compute;
    let is_float = matrices.iter().all(MatrixRef::is_float);
    if is_float || !kernels::reads_quants(level, matrices, least_rows) {
        Activations::plain(values, columns)
    } else {
        Activations::quantized(level, pool, values, columns)
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

/// Rows that one task norms.
const NORM_ROWS: usize = 16;

/// `x / rms(x) * weight` over rows of `[tokens, n]`.
pub(crate) struct RmsNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) compute: Compute<'a>,
}

impl RmsNorm<'_> {
    /// Norms whole rows.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let (Compute { level, pool }, n) = (self.compute, self.weight.len());
        pool.copy_chunks(x, NORM_ROWS * n, |_, rows| {
            for row in rows.chunks_exact_mut(n) {
                kernels::rms_norm(level, row, Some(self.weight), self.epsilon);
            }
        })
    }
}

impl CustomOp1 for RmsNorm<'_> {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.apply(f32_slice(storage, layout)?);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// `(x + branch / rms(branch) * weight) * factor` over rows of `[tokens, n]`: the end of a branch.
pub(crate) struct AddNormed<'a> {
    /// Gemma 1 adds its branches as they are.
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) epsilon: f32,
    pub(crate) factor: f32,
    pub(crate) compute: Compute<'a>,
}

impl CustomOp2 for AddNormed<'_> {
    fn name(&self) -> &'static str {
        "add_normed"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        branch: &CpuStorage,
        branch_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, n) = rows_and_columns(x_layout)?;
        let (x, branch) = (f32_slice(x, x_layout)?, f32_slice(branch, branch_layout)?);
        if x.len() != branch.len() {
            bail!("add_normed: {} and {} values", x.len(), branch.len());
        }
        let Compute { level, pool } = self.compute;
        let out = pool.copy_chunks(x, NORM_ROWS * n, |i, rows| {
            let branch = &branch[i * NORM_ROWS * n..];
            for (x, branch) in rows.chunks_exact_mut(n).zip(branch.chunks_exact(n)) {
                kernels::add_normed(level, x, branch, self.weight, self.epsilon, self.factor);
            }
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

/// Values of one task of the activation function.
const GELU_VALUES: usize = 8192;

/// `gelu(gate) * up` where rows of `both` hold `width` values of each, the gate's first.
pub(crate) fn gelu_gate_up(compute: Compute<'_>, both: &[f32], width: usize, out: &mut [f32]) {
    let rows = (GELU_VALUES / width).max(1);
    compute.pool.for_each_chunk(out, rows * width, |i, out| {
        let both = both[i * rows * 2 * width..].chunks_exact(2 * width);
        for (out, both) in out.chunks_exact_mut(width).zip(both) {
            let (gate, up) = both.split_at(width);
            out.copy_from_slice(gate);
            kernels::gelu_times(compute.level, out, up);
        }
    });
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
