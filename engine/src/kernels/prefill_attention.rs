//! Attention of many queries: products with keys and sums of values that were converted to f32, a block
//! of keys at a time.
//!
//! One source for all levels; [`Registers`] has the instructions of a level. Every sum is added up in
//! the order of its terms, so that it does not depend on what is computed beside it.

use super::Buffer;
use super::decode_attention::BLOCK_KEYS;
use super::lanes::{LANES, Registers, multiply_add};

/// Rows of sums that are computed together.
const ROWS: usize = 4;
/// Registers of a row of sums, at most ([`Registers::COLUMNS`]).
const MAX_COLUMNS: usize = 4;

/// `out[i, j] = queries[i] . keys[j]` for at most [`BLOCK_KEYS`] keys; both are `[_, d]`, the rows of
/// `out` are [`BLOCK_KEYS`] apart.
///
/// Keys are turned first: sums lie side by side then, and none has to be added up across a register.
///
/// # Safety
/// The processor has the instructions of `R`.
#[inline(always)]
pub(super) unsafe fn scores<R: Registers>(
    queries: &[f32],
    keys: &[f32],
    d: usize,
    out: &mut [f32],
) {
    let mut turned = Buffer::new(d * BLOCK_KEYS);
    let out = &mut out[..queries.len() / d * BLOCK_KEYS];
    out.fill(0.0);
    // SAFETY: passed on.
    unsafe {
        turn::<R>(keys, d, &mut turned);
        add_weighted_rows::<R>(out, queries, d, &turned, BLOCK_KEYS);
    }
}

/// `turned[c, j] = rows[j, c]`; `rows` is `[n, d]`, the rows of `turned` are [`BLOCK_KEYS`] long and end
/// in zeros.
#[inline(always)]
unsafe fn turn<R: Registers>(rows: &[f32], d: usize, turned: &mut [f32]) {
    let n = rows.len() / d;
    for first in (0..BLOCK_KEYS).step_by(LANES) {
        for c in (0..d).step_by(LANES) {
            let mut tile = [[0.0; LANES]; LANES];
            let width = LANES.min(d - c);
            for (j, tile) in (first..n).zip(&mut tile) {
                tile[..width].copy_from_slice(&rows[j * d + c..][..width]);
            }
            // SAFETY: passed on.
            let tile = unsafe { R::turn(&tile) };
            for (i, tile) in tile.iter().take(width).enumerate() {
                turned[(c + i) * BLOCK_KEYS + first..][..LANES].copy_from_slice(tile);
            }
        }
    }
}

/// `out[i] += sum over j of weights[i, j] * rows[j]`; `out` is `[m, d]`, `rows` is `[n, d]`, the rows
/// of `weights` are `stride` apart.
///
/// # Safety
/// As [`scores`].
#[inline(always)]
pub(super) unsafe fn add_weighted_rows<R: Registers>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    d: usize,
) {
    for (i, out) in out.chunks_mut(ROWS * d).enumerate() {
        let weights = &weights[i * ROWS * stride..];
        // SAFETY: passed on.
        unsafe {
            if out.len() == ROWS * d {
                weighted::<R, ROWS>(out, weights, stride, rows, d);
            } else {
                for (i, out) in out.chunks_exact_mut(d).enumerate() {
                    weighted::<R, 1>(out, &weights[i * stride..], stride, rows, d);
                }
            }
        }
    }
}

/// [`add_weighted_rows`] for `M` rows of `out`.
#[inline(always)]
unsafe fn weighted<R: Registers, const M: usize>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    d: usize,
) {
    let whole = d / LANES * LANES;
    let wide = d / (R::COLUMNS * LANES) * (R::COLUMNS * LANES);
    // SAFETY: passed on.
    unsafe {
        for c in (0..wide).step_by(R::COLUMNS * LANES) {
            weighted_columns::<R, M>(R::COLUMNS, out, weights, stride, rows, d, c);
        }
        for c in (wide..whole).step_by(LANES) {
            weighted_columns::<R, M>(1, out, weights, stride, rows, d, c);
        }
    }
    for (i, out) in out.chunks_exact_mut(d).enumerate() {
        for (row, weight) in rows.chunks_exact(d).zip(&weights[i * stride..]) {
            for (out, x) in out[whole..].iter_mut().zip(&row[whole..]) {
                *out = if R::FMA {
                    multiply_add::<true>(*weight, *x, *out)
                } else {
                    multiply_add::<false>(*weight, *x, *out)
                };
            }
        }
    }
}

/// [`weighted`] for `columns` times sixteen columns from `c` on, whose sums stay in registers.
#[inline(always)]
unsafe fn weighted_columns<R: Registers, const M: usize>(
    columns: usize,
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    d: usize,
    c: usize,
) {
    let at = |w: usize| c + w * LANES;
    // SAFETY: passed on.
    unsafe {
        let mut sums = [[R::load(&[0.0; LANES]); MAX_COLUMNS]; M];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (w, sum) in sums[..columns].iter_mut().enumerate() {
                *sum = R::load(sixteen(&out[i * d + at(w)..]));
            }
        }
        for (j, row) in rows.chunks_exact(d).enumerate() {
            for w in 0..columns {
                let x = R::load(sixteen(&row[at(w)..]));
                for (i, sums) in sums.iter_mut().enumerate() {
                    sums[w] = R::add_scaled(sums[w], weights[i * stride + j], x);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (w, sum) in sums[..columns].iter().enumerate() {
                let out = out[i * d + at(w)..].first_chunk_mut();
                R::store(*sum, out.expect("whole registers"));
            }
        }
    }
}

#[inline(always)]
fn sixteen(values: &[f32]) -> &[f32; LANES] {
    values.first_chunk().expect("whole registers")
}
