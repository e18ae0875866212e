//! Attention of many queries: products with keys and sums of values that were converted to f32, a block
//! of keys at a time.
//!
//! One source for all levels; [`Registers`] has the instructions of a level. Every output is added up in
//! the order of [`super::decode_attention`]: a token gets the same numbers however many are evaluated
//! with it.

use super::Buffer;
use super::decode_attention::BLOCK_KEYS;
use super::lanes::{LANES, Registers, multiply_add};

/// Rows of sums that are computed together.
const ROWS: usize = 4;
/// Registers of a row of sums, at most.
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
    // SAFETY: passed on.
    unsafe {
        turn::<R>(keys, d, &mut turned);
        if R::SIXTEENS < 32 {
            scores_of::<R, 2>(queries, &turned, d, out);
        } else {
            scores_of::<R, 4>(queries, &turned, d, out);
        }
    }
}

/// [`scores`], `M` queries at a time.
#[inline(always)]
unsafe fn scores_of<R: Registers, const M: usize>(
    queries: &[f32],
    turned: &[f32],
    d: usize,
    out: &mut [f32],
) {
    let queries = queries.chunks(M * d);
    for (queries, out) in queries.zip(out.chunks_mut(M * BLOCK_KEYS)) {
        // SAFETY: passed on.
        unsafe {
            if queries.len() == M * d {
                scores_of_tile::<R, M>(queries, turned, d, out);
            } else {
                let queries = queries.chunks_exact(d);
                for (query, out) in queries.zip(out.chunks_exact_mut(BLOCK_KEYS)) {
                    scores_of_tile::<R, 1>(query, turned, d, out);
                }
            }
        }
    }
}

/// [`scores`] for `M` queries.
///
/// A product of rows is sixteen sums, of every sixteenth term; they are added up by halves, the first
/// and the ninth, and so on ([`super::lanes::sum_lanes`]).
#[inline(always)]
unsafe fn scores_of_tile<R: Registers, const M: usize>(
    queries: &[f32],
    turned: &[f32],
    d: usize,
    out: &mut [f32],
) {
    // SAFETY: passed on.
    unsafe {
        for first in (0..BLOCK_KEYS).step_by(LANES) {
            let [mut even, mut odd] = [[R::load(&[0.0; LANES]); M]; 2];
            for (half, total) in [&mut even, &mut odd].into_iter().enumerate() {
                let a = pair::<R, M>(half, queries, turned, d, first);
                let b = pair::<R, M>(half + 4, queries, turned, d, first);
                let ab = add::<R, M>(a, b);
                let a = pair::<R, M>(half + 2, queries, turned, d, first);
                let b = pair::<R, M>(half + 6, queries, turned, d, first);
                *total = add::<R, M>(ab, add::<R, M>(a, b));
            }
            let mut sums = add::<R, M>(even, odd);
            let whole = d / LANES * LANES;
            if whole < d {
                let mut rest = [R::load(&[0.0; LANES]); M];
                for c in whole..d {
                    add_products::<R, M>(&mut rest, queries, turned, d, c, first);
                }
                sums = add::<R, M>(sums, rest);
            }
            for (i, sum) in sums.iter().enumerate() {
                let out = out[i * BLOCK_KEYS + first..].first_chunk_mut();
                R::store(*sum, out.expect("whole registers"));
            }
        }
    }
}

/// The sums of the terms `lane` and `lane + 8` of every sixteen, added to each other, of `M` queries and
/// the keys `first..first + 16`.
#[inline(always)]
unsafe fn pair<R: Registers, const M: usize>(
    lane: usize,
    queries: &[f32],
    turned: &[f32],
    d: usize,
    first: usize,
) -> [R::Sixteen; M] {
    // SAFETY: passed on.
    unsafe {
        let [mut a, mut b] = [[R::load(&[0.0; LANES]); M]; 2];
        for c in (lane..d / LANES * LANES).step_by(LANES) {
            add_products::<R, M>(&mut a, queries, turned, d, c, first);
            add_products::<R, M>(&mut b, queries, turned, d, c + LANES / 2, first);
        }
        add::<R, M>(a, b)
    }
}

/// Adds the products of the term `c`.
///
/// # Safety
/// As [`scores`]; there are `M` queries of `d` and `d` turned keys, `c` is less than `d` and `first` at
/// most 48.
#[inline(always)]
unsafe fn add_products<R: Registers, const M: usize>(
    sums: &mut [R::Sixteen; M],
    queries: &[f32],
    turned: &[f32],
    d: usize,
    c: usize,
    first: usize,
) {
    // SAFETY: so it is promised.
    unsafe {
        let keys = turned.as_ptr().add(c * BLOCK_KEYS + first);
        let keys = R::load(&*keys.cast());
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = R::add_scaled(*sum, *queries.get_unchecked(i * d + c), keys);
        }
    }
}

#[inline(always)]
unsafe fn add<R: Registers, const M: usize>(
    mut a: [R::Sixteen; M],
    b: [R::Sixteen; M],
) -> [R::Sixteen; M] {
    for (a, b) in a.iter_mut().zip(b) {
        // SAFETY: passed on.
        *a = unsafe { R::add(*a, b) };
    }
    a
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
    // The sums of four rows take half of the registers.
    let columns = (R::SIXTEENS / 2 / ROWS).min(MAX_COLUMNS);
    let whole = d / LANES * LANES;
    let wide = d / (columns * LANES) * (columns * LANES);
    // SAFETY: passed on.
    unsafe {
        for c in (0..wide).step_by(columns * LANES) {
            weighted_columns::<R, M>(columns, out, weights, stride, rows, d, c);
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
