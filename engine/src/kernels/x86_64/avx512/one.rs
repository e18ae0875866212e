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
unsafe fn group_of_lane<F: Wide>(j: usize) -> __m512i {
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
unsafe fn activation_groups<F: Wide>(
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
    for (row, out) in rows.chunks_exact(row_bytes).zip(out) {
        // SAFETY: `row` holds `columns` weights; the instructions are passed on.
        *out = unsafe { row_times_one::<F>(row.as_ptr(), activations, token) };
    }
}

#[inline(always)]
unsafe fn row_times_one<F: Wide>(
    row: *const u8,
    activations: &Activations<'_>,
    token: usize,
) -> f32 {
    let columns = activations.columns;
    let quants = activations.row_quants(token).as_ptr();
    let per_strip = GROUPS * F::GROUP / 64;
    // SAFETY: `i` counts 64 weights each up to the end of the row; a last 32 are masked.
    unsafe {
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        let mut offsets = _mm512_setzero_ps();
        let whole_strips = columns / (GROUPS * F::GROUP);
        for strip in 0..whole_strips {
            let (scale, offset) = F::scales(row, strip, GROUPS);
            let (act, sums) = activation_groups::<F>(activations, token, strip, GROUPS);
            let scale = _mm512_mul_ps(scale, act);
            offsets = _mm512_fmadd_ps(offset, sums, offsets);
            for j in 0..per_strip {
                let i = strip * per_strip + j;
                let w = F::weights(row, i, true);
                let a = _mm512_loadu_si512(quants.add(64 * i).cast());
                let dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, a));
                let s = _mm512_permutexvar_ps(group_of_lane::<F>(j), scale);
                if j % 2 == 0 {
                    even = _mm512_fmadd_ps(dot, s, even);
                } else {
                    odd = _mm512_fmadd_ps(dot, s, odd);
                }
            }
        }
        let groups = columns / F::GROUP - whole_strips * GROUPS;
        if groups > 0 {
            let (scale, offset) = F::scales(row, whole_strips, groups);
            let (act, sums) = activation_groups::<F>(activations, token, whole_strips, groups);
            let scale = _mm512_mul_ps(scale, act);
            offsets = _mm512_fmadd_ps(offset, sums, offsets);
            for j in 0..(groups * F::GROUP).div_ceil(64) {
                let i = whole_strips * per_strip + j;
                let whole = columns - 64 * i >= 64;
                let w = F::weights(row, i, whole);
                let mask = if whole { !0 } else { 0xffff_ffff };
                let a = _mm512_maskz_loadu_epi8(mask, quants.add(64 * i));
                let dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, a));
                even = _mm512_fmadd_ps(
                    dot,
                    _mm512_permutexvar_ps(group_of_lane::<F>(j), scale),
                    even,
                );
            }
        }
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(even, odd), offsets))
    }
}
