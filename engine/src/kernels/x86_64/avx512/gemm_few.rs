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

use super::formats::{Ahead, GROUPS, Wide};
use super::gemv::{
    activation_groups, group_of_lane, prefetch, step, step_activations, step_dot, step_weights,
};
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;

/// Rows that are read side by side: two tokens leave registers for four, more tokens for two.
const ROWS_OF_TWO: usize = 4;
const ROWS: usize = 2;
/// Bytes between what is multiplied and what is asked of memory.
pub(super) const AHEAD: usize = Reading::ROWS.ahead as usize;

/// `out[token, row]` for whole rows of `F` and 2 to 8 tokens.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_few<F: Wide>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let n = out.columns();
    let streams = if tokens.len() == 2 { ROWS_OF_TWO } else { ROWS };
    // Every stream is a part of the rows: the processor's prefetcher follows long streams only.
    let part = n.div_ceil(streams);
    for i in 0..part {
        // Where a part is shorter, the last row is computed again.
        let row = |r: usize| (r * part + i).min(n - 1);
        let pointer = |r: usize| rows[row(r) * row_bytes..].as_ptr();
        macro_rules! together {
            ($r:expr, $t:literal, $first:expr) => {{
                let first: usize = $first;
                let tokens: [usize; $t] = std::array::from_fn(|t| tokens[first + t] as usize);
                let pointers: [*const u8; $r] = std::array::from_fn(pointer);
                // SAFETY: each row holds `columns` weights; the instructions are passed on.
                let sums = unsafe { rows_times::<F, $r, $t>(pointers, activations, tokens) };
                for (t, sums) in sums.into_iter().enumerate() {
                    let out = out.row(first + t);
                    for (r, sum) in sums.into_iter().enumerate() {
                        out[row(r)] = sum;
                    }
                }
            }};
        }
        if streams == ROWS_OF_TWO {
            together!(ROWS_OF_TWO, 2, 0);
            continue;
        }
        // The tokens take turns with the rows at hand, which the first cache still has.
        let mut first = 0;
        while first < tokens.len() {
            match tokens.len() - first {
                2 => together!(ROWS, 2, first),
                3 | 5 | 6 => together!(ROWS, 3, first),
                _ => together!(ROWS, 4, first),
            }
            first += match tokens.len() - first {
                2 => 2,
                3 | 5 | 6 => 3,
                _ => 4,
            };
        }
    }
}

/// `[token][row]`
///
/// A function of its own, which the many kernels of a level share no code with: it is compiled in a
/// fraction of the time.
///
/// # Safety
/// The processor has the instructions of the level; the rows hold whole rows.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline(never)]
unsafe fn rows_times<F: Wide, const R: usize, const T: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    tokens: [usize; T],
) -> [[f32; R]; T] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); T]; R];
        // Whole strips on their own: their lengths are known to the compiler.
        for strip in 0..groups / GROUPS {
            add_strip::<F, R, T>(rows, activations, tokens, strip, GROUPS, &mut sums);
        }
        if !groups.is_multiple_of(GROUPS) {
            let (strip, groups) = (groups / GROUPS, groups % GROUPS);
            add_strip::<F, R, T>(rows, activations, tokens, strip, groups, &mut sums);
        }
        let mut totals = [[0.0; R]; T];
        for r in 0..R {
            for t in 0..T {
                totals[t][r] = _mm512_reduce_add_ps(sums[r][t]);
            }
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip.
#[inline(always)]
pub(super) unsafe fn add_strip<F: Wide, const R: usize, const T: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    tokens: [usize; T],
    strip: usize,
    groups: usize,
    sums: &mut [[__m512; T]; R],
) {
    let (steps, weights) = (GROUPS * F::GROUP / step::<F>(), groups * F::GROUP);
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut quants = [std::ptr::null(); T];
        let mut act = [_mm512_setzero_ps(); T];
        let mut group_sums = [_mm512_setzero_ps(); T];
        for t in 0..T {
            quants[t] = activations.row_quants(tokens[t]).as_ptr();
            (act[t], group_sums[t]) = activation_groups::<F>(activations, tokens[t], strip, groups);
        }
        let mut scales = [[_mm512_setzero_ps(); T]; R];
        for r in 0..R {
            let (scale, offset) = F::scales(rows[r], strip, groups);
            for t in 0..T {
                scales[r][t] = _mm512_mul_ps(scale, act[t]);
                sums[r][t] = _mm512_fmadd_ps(offset, group_sums[t], sums[r][t]);
            }
        }
        let mut ahead = [Ahead::none(); R];
        for r in 0..R {
            ahead[r] = F::ahead(rows[r], strip, groups);
        }
        for j in 0..weights.div_ceil(step::<F>()) {
            let (i, exist) = (strip * steps + j, weights - step::<F>() * j);
            let group = group_of_lane::<F>(j);
            let mut a = [[_mm512_setzero_si512(); 2]; T];
            for t in 0..T {
                a[t] = step_activations::<F>(quants[t].add(step::<F>() * i), exist);
            }
            for r in 0..R {
                prefetch::<F>(rows[r], i, AHEAD);
                let w = step_weights::<F>(&ahead[r], rows[r], i, exist);
                for t in 0..T {
                    let dot = step_dot::<F>(w, a[t]);
                    let scale = _mm512_permutexvar_ps(group, scales[r][t]);
                    sums[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r][t]);
                }
            }
        }
    }
}
