//! Matrix times vector: weights are read once, in the order in which they lie in memory.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::{Ahead, GROUPS, Wide};
use crate::kernels::activations::Activations;

/// Weights that are multiplied before their products are scaled.
pub(super) const fn step<F: Wide>() -> usize {
    if F::IN_HALVES { 128 } else { 64 }
}

/// Groups to which the lanes of the `j`th step of a strip belong: 4 or 8 lanes each.
#[inline(always)]
pub(super) unsafe fn group_of_lane<F: Wide>(j: usize) -> __m512i {
    let per_step = step::<F>() / F::GROUP;
    // SAFETY: the caller has the instructions.
    unsafe {
        let lanes = if per_step == 2 {
            _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        } else {
            _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0)
        };
        _mm512_add_epi32(lanes, _mm512_set1_epi32((per_step * j) as i32))
    }
}

/// 64 bytes, of which the first `exist` are read; zero beyond.
#[inline(always)]
unsafe fn first_bytes(from: *const i8, exist: usize) -> __m512i {
    // SAFETY: the caller promises `exist` readable bytes.
    unsafe {
        if exist >= 64 {
            _mm512_loadu_si512(from.cast())
        } else {
            _mm512_maskz_loadu_epi8((1 << exist) - 1, from)
        }
    }
}

/// The activations of a step in the order of its weights, of which `exist` are left.
#[inline(always)]
pub(super) unsafe fn step_activations<F: Wide>(quants: *const i8, exist: usize) -> [__m512i; 2] {
    // SAFETY: the caller promises `exist` activations.
    unsafe {
        let first = first_bytes(quants, exist);
        if !F::IN_HALVES {
            return [first, _mm512_setzero_si512()];
        }
        let second = first_bytes(quants.wrapping_add(64), exist.saturating_sub(64));
        [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(first, second),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(first, second),
        ]
    }
}

/// The weights of step `i` of a row, of which `exist` are left, in a strip that was looked up ahead.
#[inline(always)]
pub(super) unsafe fn step_weights<F: Wide>(
    ahead: &Ahead,
    row: *const u8,
    i: usize,
    exist: usize,
) -> [__m512i; 2] {
    // SAFETY: passed on from the caller.
    unsafe {
        if F::IN_HALVES {
            F::split(F::four_blocks(row, i, (exist / 32).min(4)))
        } else {
            [
                F::weights_of(ahead, row, i, exist >= 64),
                _mm512_setzero_si512(),
            ]
        }
    }
}

/// Sums of the products of a step, in lanes that belong to its groups.
#[inline(always)]
pub(super) unsafe fn step_dot<F: Wide>(
    weights: [__m512i; 2],
    activations: [__m512i; 2],
) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights[0], activations[0]);
        if F::IN_HALVES {
            _mm512_dpbusd_epi32(dot, weights[1], activations[1])
        } else {
            dot
        }
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
    // SAFETY: passed on from the caller.
    unsafe {
        if F::IN_PAIRS {
            streams_times_one::<F, 2>(rows, activations, token, out);
        } else {
            streams_times_one::<F, 4>(rows, activations, token, out);
        }
    }
}

/// The same, with so many rows read side by side.
#[inline(always)]
unsafe fn streams_times_one<F: Wide, const ROWS: usize>(
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
        let sums = unsafe { few_rows::<F, ROWS>(pointers, activations, token) };
        for (r, sum) in sums.into_iter().enumerate() {
            out[row(r)] = sum;
        }
    }
}

/// How far ahead of its use memory is asked for. The processor's own prefetcher stops at every
/// 4 KiB page, and in decoding every page is new.
const PREFETCH_BYTES: usize = 512;

/// Asks for what the loop reads [`PREFETCH_BYTES`] after step `i`.
///
/// One line at a time, between the products: a burst would fill the buffers of outstanding
/// loads and stop the loop. The few lines that a step of 68 or 72 bytes leaves out cost nothing.
#[inline(always)]
pub(super) unsafe fn prefetch<F: Wide>(row: *const u8, i: usize) {
    let weight = step::<F>() * i;
    let at = weight / F::LEN * F::BYTES + weight % F::LEN * F::BYTES / F::LEN;
    // SAFETY: passed on from the caller.
    unsafe { prefetch_behind(row.wrapping_add(at)) };
}

/// Asks for what lies [`PREFETCH_BYTES`] behind `at`.
#[inline(always)]
pub(super) unsafe fn prefetch_behind(at: *const u8) {
    let ahead = at.wrapping_add(PREFETCH_BYTES);
    // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
}

#[inline(always)]
unsafe fn few_rows<F: Wide, const ROWS: usize>(
    rows: [*const u8; ROWS],
    activations: &Activations<'_>,
    token: usize,
) -> [f32; ROWS] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); ROWS];
        for strip in 0..groups / GROUPS {
            add_strip::<F, ROWS>(rows, activations, token, strip, GROUPS, &mut sums);
        }
        if !groups.is_multiple_of(GROUPS) {
            let (strip, groups) = (groups / GROUPS, groups % GROUPS);
            add_strip::<F, ROWS>(rows, activations, token, strip, groups, &mut sums);
        }
        let mut totals = [0.0; ROWS];
        for r in 0..ROWS {
            totals[r] = _mm512_reduce_add_ps(sums[r]);
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip.
#[inline(always)]
unsafe fn add_strip<F: Wide, const ROWS: usize>(
    rows: [*const u8; ROWS],
    activations: &Activations<'_>,
    token: usize,
    strip: usize,
    groups: usize,
    sums: &mut [__m512; ROWS],
) {
    let quants = activations.row_quants(token).as_ptr();
    let (steps, weights) = (GROUPS * F::GROUP / step::<F>(), groups * F::GROUP);
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut scales = [_mm512_setzero_ps(); ROWS];
        let (act, group_sums) = activation_groups::<F>(activations, token, strip, groups);
        for r in 0..ROWS {
            let (scale, offset) = F::scales(rows[r], strip, groups);
            scales[r] = _mm512_mul_ps(scale, act);
            sums[r] = _mm512_fmadd_ps(offset, group_sums, sums[r]);
        }
        let mut ahead = [Ahead::none(); ROWS];
        for r in 0..ROWS {
            ahead[r] = F::ahead(rows[r], strip, groups);
        }
        for j in 0..weights.div_ceil(step::<F>()) {
            let (i, exist) = (strip * steps + j, weights - step::<F>() * j);
            let a = step_activations::<F>(quants.add(step::<F>() * i), exist);
            let group = group_of_lane::<F>(j);
            for r in 0..ROWS {
                prefetch::<F>(rows[r], i);
                let dot = step_dot::<F>(step_weights::<F>(&ahead[r], rows[r], i, exist), a);
                let scale = _mm512_permutexvar_ps(group, scales[r]);
                sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r]);
            }
        }
    }
}
