//! Matrix times vector: weights are read once, in the order in which they lie in memory.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::{GROUPS, Wide};
use crate::kernels::activations::Activations;

/// Lanes of the `j`th 64 weights of a strip that belong to a group: 4 or 8 lanes each.
#[inline(always)]
pub(super) unsafe fn group_of_lane<F: Wide>(j: usize) -> __m512i {
    let per_register = (64 / F::GROUP * j) as i32;
    // SAFETY: the caller has the instructions.
    unsafe {
        let lanes = if F::GROUP == 32 {
            _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        } else {
            _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0)
        };
        _mm512_add_epi32(lanes, _mm512_set1_epi32(per_register))
    }
}

/// The first `n` of 16 lanes.
#[inline(always)]
fn first_lanes(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

/// Scales of the activations of a strip, one for each group, and the sums of its groups.
#[inline(always)]
pub(super) unsafe fn activation_groups<F: Wide>(
    activations: &Activations<'_>,
    token: usize,
    strip: usize,
    groups: usize,
) -> (__m512, __m512) {
    let first = strip * GROUPS;
    let exist = first_lanes(groups);
    // SAFETY: the masks keep the reads inside of the rows.
    unsafe {
        if F::GROUP == 32 {
            (
                _mm512_maskz_loadu_ps(exist, activations.row_scales(token).as_ptr().add(first)),
                _mm512_maskz_loadu_ps(exist, activations.row_group_sums(token).as_ptr().add(first)),
            )
        } else {
            // Two groups of 16 share a scale.
            let scales = activations.row_scales(token).as_ptr().add(first / 2);
            let eight = _mm512_maskz_loadu_ps(first_lanes(groups / 2), scales);
            let pairs = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
            (
                _mm512_permutexvar_ps(pairs, eight),
                _mm512_maskz_loadu_ps(exist, activations.row_sums(token).as_ptr().add(first)),
            )
        }
    }
}

/// Rows that are read side by side: more streams keep more of the memory busy (one stream reaches
/// four fifths of what four do), and an activation is loaded once for all of them.
const ROWS: usize = 4;

/// `out[row]` for whole rows of `F` and one token.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_one<F: Wide>(
    rows: &[u8],
    activations: &Activations<'_>,
    token: usize,
    out: &mut [f32],
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    // Every stream is a part of the rows, walked from its begin to its end: the processor's
    // prefetcher follows long streams only.
    let (n, part) = (out.len(), out.len().div_ceil(ROWS));
    for i in 0..part {
        // Where a part is shorter, the last row is computed again.
        let row = |r: usize| (r * part + i).min(n - 1);
        let pointers = std::array::from_fn(|r| rows[row(r) * row_bytes..].as_ptr());
        // SAFETY: each holds `columns` weights; the instructions are passed on.
        let sums = unsafe { few_rows::<F>(pointers, activations, token) };
        for (r, sum) in sums.into_iter().enumerate() {
            out[row(r)] = sum;
        }
    }
}

/// How far ahead of its use memory is asked for. The processor's own prefetcher stops at every
/// 4 KiB page, and in decoding every page is new.
const PREFETCH_BYTES: usize = 1024;

/// Asks for what the loop reads [`PREFETCH_BYTES`] after the weights `64 * i..`.
///
/// One line at a time, between the products: a burst would fill the buffers of outstanding loads
/// and stop the loop.
#[inline(always)]
pub(super) unsafe fn prefetch<F: Wide>(row: *const u8, i: usize) {
    let ahead = row.wrapping_add(
        64 * i / F::LEN * F::BYTES + 64 * i % F::LEN * F::BYTES / F::LEN + PREFETCH_BYTES,
    );
    // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
}

#[inline(always)]
unsafe fn few_rows<F: Wide>(
    rows: [*const u8; ROWS],
    activations: &Activations<'_>,
    token: usize,
) -> [f32; ROWS] {
    let columns = activations.columns;
    let quants = activations.row_quants(token).as_ptr();
    let per_strip = GROUPS * F::GROUP / 64;
    // SAFETY: `i` counts 64 weights each up to the end of the row; a last 32 are masked.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); ROWS];
        let mut scales = [_mm512_setzero_ps(); ROWS];
        let groups = columns / F::GROUP;
        for strip in 0..groups / GROUPS {
            let (act, group_sums) = activation_groups::<F>(activations, token, strip, GROUPS);
            for r in 0..ROWS {
                let (scale, offset) = F::scales(rows[r], strip, GROUPS);
                scales[r] = _mm512_mul_ps(scale, act);
                sums[r] = _mm512_fmadd_ps(offset, group_sums, sums[r]);
            }
            for j in 0..per_strip {
                let i = strip * per_strip + j;
                let a = _mm512_loadu_si512(quants.add(64 * i).cast());
                let group = group_of_lane::<F>(j);
                for r in 0..ROWS {
                    prefetch::<F>(rows[r], i);
                    let w = F::weights(rows[r], i, true);
                    let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, a);
                    let scale = _mm512_permutexvar_ps(group, scales[r]);
                    sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r]);
                }
            }
        }
        let (strip, groups) = (groups / GROUPS, groups % GROUPS);
        if groups > 0 {
            let (act, group_sums) = activation_groups::<F>(activations, token, strip, groups);
            for r in 0..ROWS {
                let (scale, offset) = F::scales(rows[r], strip, groups);
                scales[r] = _mm512_mul_ps(scale, act);
                sums[r] = _mm512_fmadd_ps(offset, group_sums, sums[r]);
            }
            for j in 0..(groups * F::GROUP).div_ceil(64) {
                let i = strip * per_strip + j;
                let whole = columns - 64 * i >= 64;
                let mask = if whole { !0 } else { 0xffff_ffff };
                let a = _mm512_maskz_loadu_epi8(mask, quants.add(64 * i));
                let group = group_of_lane::<F>(j);
                for r in 0..ROWS {
                    let w = F::weights(rows[r], i, whole);
                    let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, a);
                    let scale = _mm512_permutexvar_ps(group, scales[r]);
                    sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r]);
                }
            }
        }
        let mut totals = [0.0; ROWS];
        for r in 0..ROWS {
            totals[r] = _mm512_reduce_add_ps(sums[r]);
        }
        totals
    }
}
