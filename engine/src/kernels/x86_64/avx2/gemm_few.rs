//! Matrix times a few tokens: weights are read once, in the order in which they lie in memory, and a
//! register of them is unpacked once for all tokens.
//!
//! Each output is computed with the same operations in the same order as `gemv` does it, so that tokens
//! that are evaluated together have the numbers that they would have one by one.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::dot::{Dot, FEW_ROWS as ROWS};
use super::formats::{Ahead, GROUPS, Wide};
use super::gemv::{activation_groups, group_of_lane, prefetch};
use super::total;
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;

/// Bytes between what is multiplied and what is asked of memory.
const AHEAD: usize = Reading::ROWS.ahead as usize;

/// `out[token, row]` for whole rows of `F` and 2 to 8 tokens.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_few<F: Wide, D: Dot>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let n = out.columns();
    let part = n.div_ceil(ROWS);
    for i in 0..part {
        // Where a part is shorter, the last row is computed again.
        let row = |r: usize| (r * part + i).min(n - 1);
        let pointers: [*const u8; ROWS] =
            std::array::from_fn(|r| rows[row(r) * row_bytes..].as_ptr());
        // Two tokens fill the registers; of an odd number, one is computed again.
        for k in 0..tokens.len().div_ceil(2) {
            let first = (2 * k).min(tokens.len() - 2);
            let pair = [tokens[first] as usize, tokens[first + 1] as usize];
            // SAFETY: each row holds `columns` weights; the instructions are passed on.
            let sums = unsafe { D::rows_times_two::<F>(pointers, activations, pair) };
            for (t, sums) in sums.into_iter().enumerate() {
                let out = out.row(first + t);
                for (r, sum) in sums.into_iter().enumerate() {
                    out[row(r)] = sum;
                }
            }
        }
    }
}

/// `[token][row]`
///
/// # Safety
/// The processor has the instructions of the level; the rows hold whole rows.
#[inline(always)]
pub(in crate::kernels::x86_64) unsafe fn rows_times<F: Wide, D: Dot, const T: usize>(
    rows: [*const u8; ROWS],
    activations: &Activations<'_>,
    tokens: [usize; T],
) -> [[f32; ROWS]; T] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); T]; ROWS];
        for strip in 0..groups.div_ceil(GROUPS) {
            let here = GROUPS.min(groups - strip * GROUPS);
            add_strip::<F, D, T>(rows, activations, tokens, strip, here, &mut sums);
        }
        let mut totals = [[0.0; ROWS]; T];
        for r in 0..ROWS {
            for t in 0..T {
                totals[t][r] = total(sums[r][t]);
            }
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip.
#[inline(always)]
unsafe fn add_strip<F: Wide, D: Dot, const T: usize>(
    rows: [*const u8; ROWS],
    activations: &Activations<'_>,
    tokens: [usize; T],
    strip: usize,
    groups: usize,
    sums: &mut [[__m256; T]; ROWS],
) {
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut quants = [std::ptr::null(); T];
        let mut act = [_mm256_setzero_ps(); T];
        let mut group_sums = [_mm256_setzero_ps(); T];
        for t in 0..T {
            quants[t] = activations.row_quants(tokens[t]).as_ptr();
            (act[t], group_sums[t]) = activation_groups::<F>(activations, tokens[t], strip, groups);
        }
        let mut scales = [[_mm256_setzero_ps(); T]; ROWS];
        for r in 0..ROWS {
            let (scale, offset) = F::scales(rows[r], strip, groups);
            for t in 0..T {
                scales[r][t] = _mm256_mul_ps(scale, act[t]);
                if !F::NUMBERS.signed() {
                    sums[r][t] = _mm256_fmadd_ps(offset, group_sums[t], sums[r][t]);
                }
            }
        }
        let mut ahead = [Ahead::NONE; ROWS];
        for r in 0..ROWS {
            ahead[r] = F::ahead(rows[r], strip);
        }
        let registers = groups * F::GROUP / 32;
        for j in 0..registers.div_ceil(2) {
            let i = strip * (GROUPS * F::GROUP / 64) + j;
            let whole = 2 * j + 1 < registers;
            for r in 0..ROWS {
                prefetch::<F>(rows[r], i, AHEAD);
                let w = F::weights_of(&ahead[r], rows[r], i, whole);
                for (half, &w) in w.iter().enumerate().take(1 + usize::from(whole)) {
                    let group = group_of_lane::<F>(2 * j + half);
                    for t in 0..T {
                        let a = _mm256_loadu_si256(quants[t].add(64 * i + 32 * half).cast());
                        let dot = D::add::<F>(_mm256_setzero_si256(), w, a);
                        let scale = _mm256_permutevar8x32_ps(scales[r][t], group);
                        sums[r][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[r][t]);
                    }
                }
            }
        }
    }
}
