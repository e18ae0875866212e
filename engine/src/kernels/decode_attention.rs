//! Attention of few queries: dot products and sums straight from the form in which the cache stores
//! keys and values, which are read once and converted in registers.
//!
//! One source for all levels; [`Registers`] has the instructions of a level.

use half::f16;

use super::formats::half_to_f32;
use super::lanes::{LANES, Registers, sum_lanes};

/// Rows of the cache, one after the other, as they are stored.
#[derive(Clone, Copy)]
pub(crate) enum StoredRows<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    /// Integers, and a scale for every `block` of them.
    Q8 {
        block: usize,
        quants: &'a [i8],
        scales: &'a [f16],
    },
}

impl StoredRows<'_> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Q8 { quants, .. } => quants.len(),
        }
    }
}

/// Keys that attention visits before their values: with values and scores they stay in the
/// second-level cache.
pub(crate) const BLOCK_KEYS: usize = 64;

/// A source of f32 values, 16 at a time.
trait Source: Copy {
    /// The values from `at` on, which is a multiple of 16.
    ///
    /// # Safety
    /// The processor has the instructions of the level.
    unsafe fn sixteen<C: Registers>(self, at: usize) -> [f32; LANES];
}

#[inline(always)]
fn lanes<T>(values: &[T], at: usize) -> &[T; LANES] {
    values[at..]
        .first_chunk()
        .expect("whole lanes: lengths were checked")
}

impl Source for &[f32] {
    #[inline(always)]
    unsafe fn sixteen<C: Registers>(self, at: usize) -> [f32; LANES] {
        *lanes(self, at)
    }
}

impl Source for &[f16] {
    #[inline(always)]
    unsafe fn sixteen<C: Registers>(self, at: usize) -> [f32; LANES] {
        // SAFETY: passed on.
        unsafe { C::halves(lanes(self, at)) }
    }
}

/// Integers with scales, whose blocks are a multiple of 16 long.
#[derive(Clone, Copy)]
struct Q8<'a> {
    block: usize,
    quants: &'a [i8],
    scales: &'a [f16],
}

impl Source for Q8<'_> {
    #[inline(always)]
    unsafe fn sixteen<C: Registers>(self, at: usize) -> [f32; LANES] {
        let scale = half_to_f32(self.scales[at / self.block].to_bits());
        let mut values = [0.0; LANES];
        for (value, q) in values.iter_mut().zip(lanes(self.quants, at)) {
            *value = scale * f32::from(*q);
        }
        values
    }
}

/// Calls a function for the kind of rows at hand.
macro_rules! for_rows {
    ($rows:expr, $name:ident::<$($generic:ty),*>($($argument:expr),*)) => {
        match $rows {
            StoredRows::F32(values) => $name::<$($generic),*, _>($($argument),*, values),
            StoredRows::F16(values) => $name::<$($generic),*, _>($($argument),*, values),
            StoredRows::Q8 { block, quants, scales } => {
                $name::<$($generic),*, _>($($argument),*, Q8 { block, quants, scales })
            }
        }
    };
}

/// Keys that are multiplied together, and queries.
const TILE: usize = 4;

/// `out[i * stride + j] = queries[i] . rows[j]`
///
/// # Safety
/// The processor has the instructions of `C`. Rows are a multiple of 16 long.
#[inline(always)]
pub(super) unsafe fn dots<C: Registers>(
    queries: &[f32],
    rows: StoredRows<'_>,
    d: usize,
    out: &mut [f32],
    stride: usize,
) {
    let n = rows.len() / d;
    // SAFETY: passed on.
    unsafe { for_rows!(rows, dots_of::<C>(queries, n, d, out, stride)) }
}

#[inline(always)]
unsafe fn dots_of<C: Registers, S: Source>(
    queries: &[f32],
    n: usize,
    d: usize,
    out: &mut [f32],
    stride: usize,
    rows: S,
) {
    let m = queries.len() / d;
    let mut i = 0;
    while i < m {
        let left = (&queries[i * d..], &mut out[i * stride..]);
        // SAFETY: passed on.
        unsafe {
            i += match m - i {
                1 => dots_of_queries::<C, S, 1>(left.0, n, d, left.1, stride, rows),
                2 | 3 => dots_of_queries::<C, S, 2>(left.0, n, d, left.1, stride, rows),
                _ => dots_of_queries::<C, S, 4>(left.0, n, d, left.1, stride, rows),
            };
        }
    }
}

/// As [`dots`], for `M` queries; returns `M`.
#[inline(always)]
unsafe fn dots_of_queries<C: Registers, S: Source, const M: usize>(
    queries: &[f32],
    n: usize,
    d: usize,
    out: &mut [f32],
    stride: usize,
    rows: S,
) -> usize {
    for first in (0..n).step_by(TILE) {
        let keys = TILE.min(n - first);
        let mut sums = [[[0.0f32; LANES]; TILE]; M];
        for c in (0..d).step_by(LANES) {
            for j in 0..TILE {
                // Where fewer are left, the last one is computed again.
                let row = first + j.min(keys - 1);
                // SAFETY: passed on.
                let key = unsafe { rows.sixteen::<C>(row * d + c) };
                for (i, sums) in sums.iter_mut().enumerate() {
                    add_product::<C>(&mut sums[j], lanes(queries, i * d + c), &key);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (out, sum) in out[i * stride + first..][..keys].iter_mut().zip(sums) {
                *out = sum_lanes(*sum);
            }
        }
    }
    M
}

/// `out[i] += sum over j of weights[i * stride + j] * rows[j]`
///
/// # Safety
/// As [`dots`].
#[inline(always)]
pub(super) unsafe fn add_weighted<C: Registers>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: StoredRows<'_>,
    d: usize,
) {
    let n = rows.len() / d;
    // SAFETY: passed on.
    unsafe { for_rows!(rows, add_weighted_of::<C>(out, weights, stride, n, d)) }
}

#[inline(always)]
unsafe fn add_weighted_of<C: Registers, S: Source>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    n: usize,
    d: usize,
    rows: S,
) {
    let m = out.len() / d;
    let mut i = 0;
    while i < m {
        let left = (&mut out[i * d..], &weights[i * stride..]);
        // SAFETY: passed on.
        unsafe {
            i += match m - i {
                1 => weighted::<C, S, 1>(left.0, left.1, stride, n, d, rows),
                2 | 3 => weighted::<C, S, 2>(left.0, left.1, stride, n, d, rows),
                _ => weighted::<C, S, 4>(left.0, left.1, stride, n, d, rows),
            };
        }
    }
}

/// As [`add_weighted`], for `M` rows of `out`; returns `M`.
#[inline(always)]
unsafe fn weighted<C: Registers, S: Source, const M: usize>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    n: usize,
    d: usize,
    rows: S,
) -> usize {
    const WIDE: usize = 4;
    let wide = d / (WIDE * LANES) * (WIDE * LANES);
    // SAFETY: passed on.
    unsafe {
        for c in (0..wide).step_by(WIDE * LANES) {
            weighted_columns::<C, S, M, WIDE>(out, weights, stride, n, d, c, rows);
        }
        for c in (wide..d).step_by(LANES) {
            weighted_columns::<C, S, M, 1>(out, weights, stride, n, d, c, rows);
        }
    }
    M
}

/// `W` times 16 columns from `c` on, whose sums stay in registers.
#[inline(always)]
unsafe fn weighted_columns<C: Registers, S: Source, const M: usize, const W: usize>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    n: usize,
    d: usize,
    c: usize,
    rows: S,
) {
    let mut sums = [[[0.0f32; LANES]; W]; M];
    for (i, sums) in sums.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            *sum = *lanes(out, i * d + c + w * LANES);
        }
    }
    for j in 0..n {
        for w in 0..W {
            // SAFETY: passed on.
            let value = unsafe { rows.sixteen::<C>(j * d + c + w * LANES) };
            for (i, sums) in sums.iter_mut().enumerate() {
                add_product::<C>(&mut sums[w], &[weights[i * stride + j]; LANES], &value);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (w, sum) in sums.iter().enumerate() {
            out[i * d + c + w * LANES..][..LANES].copy_from_slice(sum);
        }
    }
}

/// `sum += a * b`
#[inline(always)]
fn add_product<C: Registers>(sum: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
    for l in 0..LANES {
        sum[l] = if C::FMA {
            a[l].mul_add(b[l], sum[l])
        } else {
            a[l] * b[l] + sum[l]
        };
    }
}
