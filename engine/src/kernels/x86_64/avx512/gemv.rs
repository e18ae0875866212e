//! Matrix times vector: weights are read once, in the order in which they lie in memory.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::{Ahead, GROUPS, Wide};
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;

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
    reading: Reading,
    out: &mut [f32],
) {
    let ahead = usize::from(reading.ahead);
    // SAFETY: passed on.
    unsafe {
        match reading.rows {
            1 => side_by_side::<F, 1>(rows, activations, token, ahead, out),
            2 => side_by_side::<F, 2>(rows, activations, token, ahead, out),
            _ => side_by_side::<F, 4>(rows, activations, token, ahead, out),
        }
    }
}

/// As [`rows_times_one`], with `R` rows side by side: an activation is loaded once for all of them. A
/// function of its own, as [`super::gemm_few`] has them.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline(never)]
unsafe fn side_by_side<F: Wide, const R: usize>(
    rows: &[u8],
    activations: &Activations<'_>,
    token: usize,
    ahead: usize,
    out: &mut [f32],
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    // Every stream is a part of the rows, walked from its begin to its end: the processor's
    // prefetcher follows long streams only.
    let (n, part) = (out.len(), out.len().div_ceil(R));
    for i in 0..part {
        // Where a part is shorter, the last row is computed again.
        let row = |r: usize| (r * part + i).min(n - 1);
        let pointers = std::array::from_fn(|r| rows[row(r) * row_bytes..].as_ptr());
        // SAFETY: each holds `columns` weights; the instructions are passed on.
        let sums = unsafe { few_rows::<F, R>(pointers, activations, token, ahead) };
        for (r, sum) in sums.into_iter().enumerate() {
            out[row(r)] = sum;
        }
    }
}

/// Asks for what the loop reads `ahead` bytes after step `i`: the processor's own prefetcher stops at
/// every 4 KiB page, and in decoding every page is new.
///
/// One line at a time, between the products: a burst would fill the buffers of outstanding
/// loads and stop the loop. The few lines that a step of 68 or 72 bytes leaves out cost nothing.
#[inline(always)]
pub(super) unsafe fn prefetch<F: Wide>(row: *const u8, i: usize, ahead: usize) {
    let weight = step::<F>() * i;
    let at = weight / F::LEN * F::BYTES + weight % F::LEN * F::BYTES / F::LEN;
    // SAFETY: passed on from the caller.
    unsafe { prefetch_behind(row.wrapping_add(at), ahead) };
}

/// Asks for what lies `ahead` bytes behind `at`.
#[inline(always)]
pub(super) unsafe fn prefetch_behind(at: *const u8, ahead: usize) {
    // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast()) };
}

#[inline(always)]
unsafe fn few_rows<F: Wide, const R: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    token: usize,
    ahead: usize,
) -> [f32; R] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); R];
        for strip in 0..groups / GROUPS {
            add_strip::<F, R>(rows, activations, token, strip, GROUPS, ahead, &mut sums);
        }
        if !groups.is_multiple_of(GROUPS) {
            let (strip, groups) = (groups / GROUPS, groups % GROUPS);
            add_strip::<F, R>(rows, activations, token, strip, groups, ahead, &mut sums);
        }
        let mut totals = [0.0; R];
        for r in 0..R {
            totals[r] = _mm512_reduce_add_ps(sums[r]);
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip.
#[inline(always)]
unsafe fn add_strip<F: Wide, const R: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    token: usize,
    strip: usize,
    groups: usize,
    distance: usize,
    sums: &mut [__m512; R],
) {
    let quants = activations.row_quants(token).as_ptr();
    let (steps, weights) = (GROUPS * F::GROUP / step::<F>(), groups * F::GROUP);
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut scales = [_mm512_setzero_ps(); R];
        let (act, group_sums) = activation_groups::<F>(activations, token, strip, groups);
        for r in 0..R {
            let (scale, offset) = F::scales(rows[r], strip, groups);
            scales[r] = _mm512_mul_ps(scale, act);
            sums[r] = _mm512_fmadd_ps(offset, group_sums, sums[r]);
        }
        let mut ahead = [Ahead::none(); R];
        for r in 0..R {
            ahead[r] = F::ahead(rows[r], strip, groups);
        }
        for j in 0..weights.div_ceil(step::<F>()) {
            let (i, exist) = (strip * steps + j, weights - step::<F>() * j);
            let a = step_activations::<F>(quants.add(step::<F>() * i), exist);
            let group = group_of_lane::<F>(j);
            for r in 0..R {
                prefetch::<F>(rows[r], i, distance);
                let dot = step_dot::<F>(step_weights::<F>(&ahead[r], rows[r], i, exist), a);
                let scale = _mm512_permutexvar_ps(group, scales[r]);
                sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r]);
            }
        }
    }
}
