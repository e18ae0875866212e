//! Matrix times vector: weights are read once, in the order in which they lie in memory.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::dot::Dot;
use super::formats::{Ahead, GROUPS, Wide};
use super::total;
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;

/// Lanes of the `j`th 32 weights of a strip that belong to a group: 4 or 8 lanes each.
#[inline(always)]
pub(super) unsafe fn group_of_lane<F: Wide>(j: usize) -> __m256i {
    let first = (32 / F::GROUP * j) as i32;
    // SAFETY: the caller has the instructions.
    unsafe {
        if F::GROUP == 32 {
            _mm256_set1_epi32(first)
        } else {
            let second = first + 1;
            _mm256_set_epi32(second, second, second, second, first, first, first, first)
        }
    }
}

/// All bits of the first `n` of 8 lanes.
#[inline(always)]
unsafe fn first_lanes(n: usize) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes)
    }
}

/// Scales of the activations of a strip, one for each group, and the sums of its groups.
#[inline(always)]
pub(super) unsafe fn activation_groups<F: Wide>(
    activations: &Activations<'_>,
    token: usize,
    strip: usize,
    groups: usize,
) -> (__m256, __m256) {
    let first = strip * GROUPS;
    // SAFETY: the masks keep the reads inside of the rows.
    unsafe {
        if F::GROUP == 32 {
            let scales = activations.row_scales(token).as_ptr().add(first);
            let sums = activations.row_group_sums(token).as_ptr().add(first);
            let exist = first_lanes(groups);
            (
                _mm256_maskload_ps(scales, exist),
                _mm256_maskload_ps(sums, exist),
            )
        } else {
            // Two groups of 16 share a scale. Strips are whole: a block has 16 groups.
            let scales = activations.row_scales(token).as_ptr().add(first / 2);
            let pairs = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
            (
                _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(scales)), pairs),
                _mm256_loadu_ps(activations.row_sums(token).as_ptr().add(first)),
            )
        }
    }
}

/// `out[row]` for whole rows of `F` and one token.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_one<F: Wide, D: Dot>(
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
            1 => D::rows_times_one::<F, 1>(rows, activations, token, ahead, out),
            2 => D::rows_times_one::<F, 2>(rows, activations, token, ahead, out),
            _ => D::rows_times_one::<F, 4>(rows, activations, token, ahead, out),
        }
    }
}

/// As [`rows_times_one`], with `R` rows side by side: an activation is loaded once for all of them.
///
/// # Safety
/// As there.
#[inline(always)]
pub(in crate::kernels::x86_64) unsafe fn side_by_side<F: Wide, D: Dot, const R: usize>(
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
        let sums = unsafe { few_rows::<F, D, R>(pointers, activations, token, ahead) };
        for (r, sum) in sums.into_iter().enumerate() {
            out[row(r)] = sum;
        }
    }
}

/// Asks for what the loop reads `ahead` bytes after the weights `64 * i..`: the processor's own
/// prefetcher stops at every 4 KiB page, and in decoding every page is new.
///
/// One line at a time, between the products: a burst would fill the buffers of outstanding loads
/// and stop the loop.
#[inline(always)]
pub(super) unsafe fn prefetch<F: Wide>(row: *const u8, i: usize, ahead: usize) {
    let line =
        row.wrapping_add(64 * i / F::LEN * F::BYTES + 64 * i % F::LEN * F::BYTES / F::LEN + ahead);
    // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

#[inline(always)]
unsafe fn few_rows<F: Wide, D: Dot, const R: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    token: usize,
    ahead: usize,
) -> [f32; R] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); R];
        for strip in 0..groups / GROUPS {
            add_strip::<F, D, R>(rows, activations, token, strip, GROUPS, ahead, &mut sums);
        }
        if !groups.is_multiple_of(GROUPS) {
            let (strip, groups) = (groups / GROUPS, groups % GROUPS);
            add_strip::<F, D, R>(rows, activations, token, strip, groups, ahead, &mut sums);
        }
        let mut totals = [0.0; R];
        for r in 0..R {
            totals[r] = total(sums[r]);
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip.
#[inline(always)]
unsafe fn add_strip<F: Wide, D: Dot, const R: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    token: usize,
    strip: usize,
    groups: usize,
    distance: usize,
    sums: &mut [__m256; R],
) {
    let quants = activations.row_quants(token).as_ptr();
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut scales = [_mm256_setzero_ps(); R];
        let (act, group_sums) = activation_groups::<F>(activations, token, strip, groups);
        for r in 0..R {
            let (scale, offset) = F::scales(rows[r], strip, groups);
            scales[r] = _mm256_mul_ps(scale, act);
            if !F::NUMBERS.signed() {
                sums[r] = _mm256_fmadd_ps(offset, group_sums, sums[r]);
            }
        }
        let mut ahead = [Ahead::NONE; R];
        for r in 0..R {
            ahead[r] = F::ahead(rows[r], strip);
        }
        let registers = groups * F::GROUP / 32;
        for j in 0..registers.div_ceil(2) {
            let i = strip * (GROUPS * F::GROUP / 64) + j;
            let whole = 2 * j + 1 < registers;
            let a = quants.add(64 * i);
            let first = _mm256_loadu_si256(a.cast());
            let second = if whole {
                _mm256_loadu_si256(a.add(32).cast())
            } else {
                _mm256_setzero_si256()
            };
            for r in 0..R {
                prefetch::<F>(rows[r], i, distance);
                let w = F::weights_of(&ahead[r], rows[r], i, whole);
                for (half, a) in [(0, first), (1, second)] {
                    let dot = D::add::<F>(_mm256_setzero_si256(), w[half], a);
                    let group = group_of_lane::<F>(2 * j + half);
                    let scale = _mm256_permutevar8x32_ps(scales[r], group);
                    sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[r]);
                }
            }
        }
    }
}
