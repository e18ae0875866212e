//! The arithmetic: safe entry points that check lengths, then run the code of one level.
//!
//! This is the one module of the engine with `unsafe` code and `core::arch`. A [`CpuLevel`] comes only
//! from [`InstructionSet::detect`], which asked for every feature that the functions of the level
//! enable; that is the reason why each call below is sound.

#![expect(
    clippy::inline_always,
    reason = "generic code gets the instructions of the level only where it is inlined into it"
)]
#![expect(
    unsafe_code,
    reason = "vector instructions; every level is compared with the scalar one"
)]

/// Calls a function of `vector` compiled for `$level`.
macro_rules! at_level {
    ($level:expr, $name:ident($($argument:expr),*)) => {{
        use crate::kernels::InstructionSet;
        match $level.instructions() {
            // SAFETY: the level is available (module header).
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AmxBf16 | InstructionSet::Avx512Vnni => unsafe { x86_64::avx512::$name($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni | InstructionSet::Avx2 => unsafe { x86_64::avx2::$name($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            InstructionSet::NeonI8mm | InstructionSet::NeonDotprod => unsafe { aarch64::neon::$name($($argument),*) },
            _ => vector::$name::<false>($($argument),*),
        }
    }};
}

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod activations;
#[cfg(test)]
mod attention_tests;
#[cfg(feature = "bench")]
pub(crate) mod bench;
mod buffer;
mod candle;
mod decode_attention;
mod formats;
#[cfg(test)]
mod formats_tests;
mod lanes;
mod level;
mod matrix;
mod output;
mod pool;
mod prefill_attention;
mod product;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod random;
mod reading;
mod repacked;
mod rounding;
mod scalar;
#[cfg(test)]
mod tests;
mod time_slice;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use activations::{Activations, Input};
pub use buffer::release_freed_memory;
pub(crate) use buffer::{Buffer, Free, Kept, keep};
pub(crate) use decode_attention::{BLOCK_KEYS, StoredRows};
pub use level::{CpuLevel, InstructionSet};
pub(crate) use matrix::{MatrixRef, dequantize};
pub(crate) use output::OutTile;
pub(crate) use pool::Pool;
#[cfg(test)]
pub(crate) use product::matmul;
pub(crate) use product::{Epilogue, Gate, Product, products, reads_quants};
pub use reading::{Order, Reading};
pub(crate) use reading::{Readings, candidates};
pub(crate) use repacked::Repacked;

/// Tokens up to which weights are read as for one, in the order in which they lie in memory, and kept
/// in a register for all of them: a keystroke, or a draft that is verified. Interleaving the weights
/// costs more than it saves for so few.
pub(crate) const FEW_TOKENS: usize = 8;

/// A list that is short when one token is decoded: then it lives on the stack.
pub(crate) type List<T> = smallvec::SmallVec<[T; 12]>;

/// `out[i, j] = queries[i] . keys[j]` for many queries and at most [`BLOCK_KEYS`] keys; both are
/// `[_, d]`, the rows of `out` are [`BLOCK_KEYS`] apart.
pub(crate) fn scores(level: CpuLevel, queries: &[f32], keys: &[f32], d: usize, out: &mut [f32]) {
    assert!(
        d > 0 && queries.len().is_multiple_of(d) && keys.len().is_multiple_of(d),
        "whole rows"
    );
    assert!(
        keys.len() / d <= BLOCK_KEYS && queries.len() / d * BLOCK_KEYS <= out.len(),
        "an output for every pair"
    );
    at_level!(level, scores(queries, keys, d, out));
}

/// `out[i] += sum over j of weights[i, j] * rows[j]`; `out` is `[m, d]`, `rows` is `[n, d]`, the rows
/// of `weights` are `stride` apart.
pub(crate) fn add_weighted_rows(
    level: CpuLevel,
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    d: usize,
) {
    assert!(
        d > 0 && out.len().is_multiple_of(d) && rows.len().is_multiple_of(d),
        "whole rows"
    );
    assert!(
        rows.len() / d <= stride && out.len() / d * stride <= weights.len(),
        "a weight for every pair"
    );
    at_level!(level, add_weighted_rows(out, weights, stride, rows, d));
}

/// `out[i * stride + j] = queries[i] . rows[j]`; `queries` is `[m, d]`, `rows` `[n, d]`, `d` a multiple
/// of 16.
pub(crate) fn stored_dots(
    level: CpuLevel,
    queries: &[f32],
    rows: StoredRows<'_>,
    d: usize,
    out: &mut [f32],
    stride: usize,
) {
    check_stored(queries.len(), rows, d, out.len(), stride);
    at_level!(level, stored_dots(queries, rows, d, out, stride));
}

/// `out[i] += sum over j of weights[i * stride + j] * rows[j]`; `out` is `[m, d]`, `rows` `[n, d]`, `d` a
/// multiple of 16.
pub(crate) fn add_weighted_stored(
    level: CpuLevel,
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: StoredRows<'_>,
    d: usize,
) {
    check_stored(out.len(), rows, d, weights.len(), stride);
    at_level!(level, add_weighted_stored(out, weights, stride, rows, d));
}

/// Queries from which on attention on tiles is faster.
#[cfg(target_arch = "x86_64")]
const MIN_TILED_QUERIES: usize = 16;

/// `out[i] = softmax(queries[i] . keys) values` over the keys that query `i` sees, for many queries and
/// a rounded cache on a level with tiles; false elsewhere. `queries` and `out` are
/// `[visible.len(), d]`.
///
/// `stored` gives the rows of a range of positions in runs: `(offset, keys, values)`.
pub(crate) fn attend<'c, I>(
    level: CpuLevel,
    queries: &[f32],
    d: usize,
    visible: &[Range<usize>],
    stored: impl Fn(Range<usize>) -> I,
    out: &mut [f32],
) -> bool
where
    I: Iterator<Item = (usize, StoredRows<'c>, StoredRows<'c>)>,
{
    assert_eq!(queries.len(), visible.len() * d, "a query for every range");
    assert_eq!(out.len(), queries.len(), "an output for every query");
    #[cfg(target_arch = "x86_64")]
    if level.instructions() == InstructionSet::AmxBf16
        && visible.len() >= MIN_TILED_QUERIES
        && x86_64::amx::attention::fits(d)
    {
        // SAFETY: the level is available (module header).
        unsafe { x86_64::amx::attention::attend(queries, d, visible, stored, out) };
        return true;
    }
    let _ = (level, stored);
    false
}

/// Whether `d` is what [`stored_dots`] and [`add_weighted_stored`] can do.
pub(crate) fn fits_stored(d: usize) -> bool {
    d.is_multiple_of(lanes::LANES)
}

fn check_stored(values: usize, rows: StoredRows<'_>, d: usize, scores: usize, stride: usize) {
    assert!(d > 0 && fits_stored(d), "whole lanes");
    assert!(
        values.is_multiple_of(d) && rows.len().is_multiple_of(d),
        "whole rows"
    );
    let (m, n) = (values / d, rows.len() / d);
    assert!(
        n <= stride && (m == 0 || (m - 1) * stride + n <= scores),
        "a score for every pair"
    );
    if let StoredRows::Q8 {
        block,
        quants,
        scales,
    } = rows
    {
        assert!(
            fits_stored(block) && scales.len() * block == quants.len(),
            "a scale for every block"
        );
    }
}

/// `gate = gelu(gate) * up`, GELU in its tanh form.
pub(crate) fn gelu_times(level: CpuLevel, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equally long");
    at_level!(level, gelu_times(gate, up));
}

/// `gate = silu(gate) * up`
pub(crate) fn silu_times(level: CpuLevel, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "equally long");
    at_level!(level, silu_times(gate, up));
}

/// `x += weight * y`
pub(crate) fn add_scaled(level: CpuLevel, x: &mut [f32], weight: f32, y: &[f32]) {
    assert_eq!(x.len(), y.len(), "equally long");
    at_level!(level, add_scaled(x, weight, y));
}

/// `x = x / rms(x) * factor * weight`
pub(crate) fn rms_norm_scaled(
    level: CpuLevel,
    x: &mut [f32],
    weight: &[f32],
    factor: f32,
    epsilon: f32,
) {
    assert_eq!(x.len(), weight.len(), "a weight for every value");
    at_level!(level, rms_norm_scaled(x, weight, factor, epsilon));
}

/// `x = e^(x - max)`; returns the sum.
pub(crate) fn exp_minus(level: CpuLevel, x: &mut [f32], max: f32) -> f32 {
    at_level!(level, exp_minus(x, max))
}

/// `x = cap * tanh(x / cap)`
pub(crate) fn softcap(level: CpuLevel, x: &mut [f32], cap: f32) {
    at_level!(level, softcap(x, cap));
}

/// `x = x / rms(x) * weight`; no weight is a weight of ones.
pub(crate) fn rms_norm(level: CpuLevel, x: &mut [f32], weight: Option<&[f32]>, epsilon: f32) {
    assert!(
        weight.is_none_or(|w| w.len() == x.len()),
        "a weight for every value"
    );
    at_level!(level, rms_norm(x, weight, epsilon));
}

/// `x = (x + branch / rms(branch) * weight) * factor`; without a weight the branch is added as it is.
pub(crate) fn add_normed(
    level: CpuLevel,
    x: &mut [f32],
    branch: &[f32],
    weight: Option<&[f32]>,
    epsilon: f32,
    factor: f32,
) {
    assert_eq!(x.len(), branch.len(), "equally long");
    assert!(
        weight.is_none_or(|w| w.len() == x.len()),
        "a weight for every value"
    );
    at_level!(level, add_normed(x, branch, weight, epsilon, factor));
}

/// Sum of `e^(x - max)`.
pub(crate) fn sum_exp_minus(level: CpuLevel, x: &[f32], max: f32) -> f64 {
    at_level!(level, sum_exp_minus(x, max))
}

/// The largest value; NaN counts as nothing, and nothing has negative infinity.
pub(crate) fn largest(level: CpuLevel, x: &[f32]) -> f32 {
    at_level!(level, largest(x))
}
