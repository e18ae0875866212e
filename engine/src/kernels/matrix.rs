//! Products of weight matrices of any type with rows of activations.

use super::activations::Activations;
use super::formats::{BlockFormat, SUBGROUP, with_format};
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{CpuLevel, OutTile, Pool, candle, scalar, vector};
use crate::gguf::TensorType;

/// A weight matrix `[rows, columns]` in the bytes of the model file.
#[derive(Clone, Copy)]
pub(crate) struct MatrixRef<'a> {
    /// How the weights are stored.
    pub(crate) tensor_type: TensorType,
    /// Number of rows (outputs).
    pub(crate) rows: usize,
    /// Length of a row (inputs), a multiple of the type's block.
    pub(crate) columns: usize,
    /// `rows` rows, one after the other.
    pub(crate) bytes: &'a [u8],
}

impl MatrixRef<'_> {
    /// The rows `start..start + count`.
    pub(crate) fn slice(self, start: usize, count: usize) -> Self {
        let row_bytes = self.tensor_type.row_bytes(self.columns);
        Self {
            rows: count,
            bytes: &self.bytes[start * row_bytes..(start + count) * row_bytes],
            ..self
        }
    }

    /// Whether the weights are floats, which multiply activations that are not quantized.
    pub(crate) fn is_float(&self) -> bool {
        matches!(
            self.tensor_type,
            TensorType::F32 | TensorType::F16 | TensorType::BF16
        )
    }
}

/// `out[token, row]` for all rows of `weights` and the activation rows named by `tokens`.
pub(super) fn tile(
    level: CpuLevel,
    weights: MatrixRef<'_>,
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    assert_eq!(weights.columns, activations.columns, "inner lengths");
    assert_eq!(
        weights.bytes.len(),
        weights.rows * weights.tensor_type.row_bytes(weights.columns),
        "whole rows"
    );
    assert_eq!(
        (out.rows(), out.columns()),
        (tokens.len(), weights.rows),
        "an output for every row and token"
    );
    assert!(
        tokens.iter().all(|&t| (t as usize) < activations.rows),
        "tokens name rows of the activations"
    );
    if tokens.is_empty() || weights.rows == 0 {
        return;
    }
    let (tensor_type, bytes) = (weights.tensor_type, weights.bytes);
    if weights.is_float() {
        at_level!(
            level,
            float_tile(tensor_type, bytes, activations, tokens, out)
        );
        return;
    }
    assert_eq!(
        activations.quants.len(),
        activations.values.len(),
        "quantized activations"
    );
    let done = match level {
        // SAFETY: the level is available (header of `kernels`).
        #[cfg(target_arch = "x86_64")]
        CpuLevel::AmxBf16 | CpuLevel::Avx512Vnni => unsafe {
            x86_64::avx512::quantized_tile(tensor_type, bytes, activations, tokens, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => unsafe {
            x86_64::avx2::quantized_tile(tensor_type, bytes, activations, tokens, out)
        },
        CpuLevel::Candle => candle::quantized_tile(tensor_type, bytes, activations, tokens, out),
        _ => false,
    };
    if !done {
        scalar::quantized_tile(tensor_type, bytes, activations, tokens, out);
    }
}

/// Rows of a matrix that one task computes: enough work to be worth a task, few enough to balance.
const TASK_ROWS: usize = 64;
/// Multiplications below which a product is not worth a second thread.
const MIN_PARALLEL: usize = 1 << 16;

/// A matrix that multiplies some rows of the activations.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) weights: MatrixRef<'a>,
    /// Index of the list that names the rows.
    pub(crate) input: usize,
}

/// `out[token, row]` for all rows of a matrix and of `activations`, over all threads.
pub(crate) fn matmul(
    level: CpuLevel,
    pool: &Pool,
    weights: MatrixRef<'_>,
    activations: &Activations<'_>,
    out: &mut [f32],
) {
    matmuls(level, pool, &mut [(weights, out)], activations);
}

/// Several matrices times the same activations in one parallel loop.
pub(crate) fn matmuls(
    level: CpuLevel,
    pool: &Pool,
    matrices: &mut [(MatrixRef<'_>, &mut [f32])],
    activations: &Activations<'_>,
) {
    let tokens: Vec<u32> = (0..activations.rows as u32).collect();
    let list: Vec<_> = matrices
        .iter()
        .map(|&(weights, _)| Product { weights, input: 0 })
        .collect();
    let outs: Vec<_> = matrices
        .iter_mut()
        .map(|(weights, out)| OutTile::new(out, weights.rows))
        .collect();
    products(level, pool, activations, &[&tokens], &list, &outs);
}

/// `outs[i]` is product `i`: `[tokens of its input, rows of its weights]`. One parallel loop.
///
/// Each of `inputs` names rows of the activations.
pub(crate) fn products(
    level: CpuLevel,
    pool: &Pool,
    activations: &Activations<'_>,
    inputs: &[&[u32]],
    products: &[Product<'_>],
    outs: &[OutTile<'_>],
) {
    assert_eq!(products.len(), outs.len(), "an output for every product");
    for (product, out) in products.iter().zip(outs) {
        assert_eq!(
            (out.rows(), out.columns()),
            (inputs[product.input].len(), product.weights.rows),
            "an output for every row and token"
        );
    }
    #[cfg(target_arch = "x86_64")]
    let packed = uses_tiles(level, products.iter().map(|product| product.weights))
        .then(|| x86_64::amx::Packed::new(pool, activations, inputs));
    pool.for_each_columns(
        outs,
        task_rows(pool, inputs, products),
        |i, first, mut out| {
            let Product { weights, input } = products[i];
            let rows = weights.slice(first, out.columns());
            #[cfg(target_arch = "x86_64")]
            if let Some(tiles) = packed.as_ref().and_then(|packed| packed.tiles(input)) {
                // SAFETY: the level is available (header of `kernels`).
                unsafe {
                    x86_64::amx::quantized_tile(rows.tensor_type, rows.bytes, &tiles, &mut out);
                }
                return;
            }
            tile(level, rows, activations, inputs[input], &mut out);
        },
    );
}

/// Whether products of these matrices go through tiles, where there are enough tokens.
#[cfg(target_arch = "x86_64")]
fn uses_tiles<'a>(level: CpuLevel, mut weights: impl Iterator<Item = MatrixRef<'a>>) -> bool {
    level == CpuLevel::AmxBf16 && weights.all(|weights| !weights.is_float())
}

/// Whether products of `weights` with `tokens` tokens or more read the 8-bit activations.
pub(crate) fn reads_quants(level: CpuLevel, weights: &[MatrixRef<'_>], tokens: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if uses_tiles(level, weights.iter().copied()) {
        return tokens < x86_64::amx::MIN_TOKENS;
    }
    let _ = (level, weights, tokens);
    true
}

/// Rows of a task.
fn task_rows(pool: &Pool, inputs: &[&[u32]], products: &[Product<'_>]) -> usize {
    let rows: usize = products.iter().map(|p| p.weights.rows).sum();
    let widest = products.iter().map(|p| p.weights.rows).max().unwrap_or(1);
    let multiplications: usize = products
        .iter()
        .map(|p| p.weights.rows * p.weights.columns * inputs[p.input].len())
        .sum();
    if multiplications < MIN_PARALLEL && products.len() == 1 {
        widest
    } else if inputs.iter().all(|tokens| tokens.len() == 1) {
        // Long runs of memory; more tasks than threads, for threads that were disturbed.
        rows.div_ceil(4 * pool.threads()).max(TASK_ROWS / 2)
    } else if inputs.iter().any(|tokens| tokens.len() >= 128) {
        // Tokens stream by: the more rows meet them, the better, as long as all threads have some.
        (2 * TASK_ROWS).min(rows.div_ceil(2 * pool.threads()))
    } else {
        TASK_ROWS
    }
}

/// The weights of whole rows as f32.
pub(crate) fn dequantize(weights: MatrixRef<'_>, out: &mut [f32]) {
    assert_eq!(
        out.len(),
        weights.rows * weights.columns,
        "an output for every weight"
    );
    with_format!(weights.tensor_type, Format => dequantize_blocks::<Format>(weights.bytes, out), float => {
        vector::read_floats(weights.tensor_type, weights.bytes, out);
    });
}

fn dequantize_blocks<F: BlockFormat>(bytes: &[u8], out: &mut [f32]) {
    let mut u = vec![0u8; F::LEN];
    let mut scale = vec![0.0f32; F::LEN / SUBGROUP];
    let mut offset = vec![0.0f32; F::LEN / SUBGROUP];
    for (block, out) in bytes
        .chunks_exact(F::BYTES)
        .zip(out.chunks_exact_mut(F::LEN))
    {
        F::unpack(block, &mut u, &mut scale, &mut offset);
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale[i / SUBGROUP] * f32::from(u[i]) + offset[i / SUBGROUP];
        }
    }
}
