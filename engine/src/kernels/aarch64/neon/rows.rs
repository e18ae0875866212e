//! Matrix times one token or a few: weights are read once, in the order in which they lie in memory, and
//! unpacked once for all tokens.
//!
//! Every output is computed with the same operations in the same order, however many tokens there are:
//! tokens that are evaluated together have the numbers that they would have one by one.

use std::arch::aarch64::{
    float32x4_t, int32x4_t, vaddvq_f32, vcvtq_f32_s32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32,
    vld1q_f32, vld1q_s8, vmulq_f32, vpaddq_s32, vzip1q_f32, vzip2q_f32,
};

use super::formats::{GROUPS, Narrow, first_of};
use super::instructions::dot;
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;

/// Rows that are read side by side for one token: activations are loaded once for all of them.
const ROWS_OF_ONE: usize = 4;
/// The same for a few tokens, whose sums need the registers.
const ROWS_OF_FEW: usize = 2;

/// `out[token, row]` for whole rows of `F` and at most a few tokens.
///
/// # Safety
/// The processor has dot products, and this is inlined into a function that enables them; `rows` holds
/// whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_few<F: Narrow>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let mut first = 0;
    while first < tokens.len() {
        // SAFETY: passed on.
        unsafe {
            first += match tokens.len() - first {
                1 => rows_times::<F, ROWS_OF_ONE, 1>(rows, activations, tokens, first, out),
                2 => rows_times::<F, ROWS_OF_FEW, 2>(rows, activations, tokens, first, out),
                _ => rows_times::<F, ROWS_OF_FEW, 4>(rows, activations, tokens, first, out),
            };
        }
    }
}

/// As [`rows_times_few`] for the `T` tokens from `first` on; returns `T`.
///
/// Where fewer are left, the last one is computed again.
#[inline(always)]
unsafe fn rows_times<F: Narrow, const R: usize, const T: usize>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    first: usize,
    out: &mut OutTile<'_>,
) -> usize {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let token = |t: usize| (first + t).min(tokens.len() - 1);
    let ids: [usize; T] = std::array::from_fn(|t| tokens[token(t)] as usize);
    // Every stream is a part of the rows, walked from its begin to its end.
    let (n, part) = (out.columns(), out.columns().div_ceil(R));
    for i in 0..part {
        let row = |r: usize| (r * part + i).min(n - 1);
        let pointers: [*const u8; R] = std::array::from_fn(|r| rows[row(r) * row_bytes..].as_ptr());
        // SAFETY: each row holds `columns` weights; the instructions are passed on.
        let sums = unsafe { products::<F, R, T>(pointers, activations, ids) };
        for (r, sums) in sums.into_iter().enumerate() {
            for (t, sum) in sums.into_iter().enumerate() {
                out.row(token(t))[row(r)] = sum;
            }
        }
    }
    T
}

/// `[row][token]`
#[inline(always)]
unsafe fn products<F: Narrow, const R: usize, const T: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    tokens: [usize; T],
) -> [[f32; T]; R] {
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips are counted from the length of a row.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); T]; R];
        for strip in 0..groups / GROUPS {
            add_strip::<F, R, T>(rows, activations, tokens, strip, GROUPS, &mut sums);
        }
        if !groups.is_multiple_of(GROUPS) {
            let (strip, groups) = (groups / GROUPS, groups % GROUPS);
            add_strip::<F, R, T>(rows, activations, tokens, strip, groups, &mut sums);
        }
        let mut totals = [[0.0; T]; R];
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = vaddvq_f32(sum);
            }
        }
        totals
    }
}

/// Adds the products of the first `groups` groups of a strip: lane `i` of a sum has the groups `i` and
/// `i + 4`.
#[inline(always)]
unsafe fn add_strip<F: Narrow, const R: usize, const T: usize>(
    rows: [*const u8; R],
    activations: &Activations<'_>,
    tokens: [usize; T],
    strip: usize,
    groups: usize,
    sums: &mut [[float32x4_t; T]; R],
) {
    const HALF: usize = GROUPS / 2;
    // SAFETY: the groups lie inside of the rows and of the activations.
    unsafe {
        let mut of_tokens = [Groups::ZERO; T];
        for (of_token, &token) in of_tokens.iter_mut().zip(&tokens) {
            *of_token = Groups::new::<F>(activations, token, strip, groups);
        }
        for r in 0..R {
            let (scales, offsets) = F::scales(rows[r], strip, groups);
            for half in 0..groups.div_ceil(HALF) {
                let mut dots = [[vdupq_n_s32(0); HALF]; T];
                for chunk in 0..HALF * F::GROUP / 64 {
                    let done = HALF * half + chunk * 64 / F::GROUP;
                    if done >= groups {
                        break;
                    }
                    let left = (groups - done) * F::GROUP;
                    let i = (strip * GROUPS + done) * F::GROUP / 64;
                    let w = F::weights(rows[r], i, left >= 64);
                    for t in 0..T {
                        let quants = activations.row_quants(tokens[t]).as_ptr().add(64 * i);
                        for k in 0..4.min(left / 16) {
                            let dot_of_group = &mut dots[t][(64 * chunk + 16 * k) / F::GROUP];
                            *dot_of_group = dot(*dot_of_group, w[k], vld1q_s8(quants.add(16 * k)));
                        }
                    }
                }
                for t in 0..T {
                    let sum = &mut sums[r][t];
                    let scales = vmulq_f32(scales[half], of_tokens[t].scales[half]);
                    *sum = vfmaq_f32(*sum, vcvtq_f32_s32(sum_each(dots[t])), scales);
                    if F::OFFSETS || F::ZERO != 0 {
                        *sum = vfmaq_f32(*sum, offsets[half], of_tokens[t].sums[half]);
                    }
                }
            }
        }
    }
}

/// The sums of four registers, one in a lane.
#[inline(always)]
fn sum_each(v: [int32x4_t; 4]) -> int32x4_t {
    // SAFETY: NEON belongs to the target.
    unsafe { vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])) }
}

/// What activations of a strip have in common, one number for each group of weights.
#[derive(Clone, Copy)]
struct Groups {
    scales: [float32x4_t; 2],
    sums: [float32x4_t; 2],
}

impl Groups {
    const ZERO: Self = Self {
        // SAFETY: four numbers of which all bits are zero are four zeros.
        scales: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        sums: unsafe { std::mem::zeroed() },
    };

    #[inline(always)]
    fn new<F: Narrow>(
        activations: &Activations<'_>,
        token: usize,
        strip: usize,
        groups: usize,
    ) -> Self {
        let first = strip * GROUPS;
        if F::GROUP == 32 {
            return Self {
                scales: first_of(&activations.row_scales(token)[first..][..groups]),
                sums: first_of(&activations.row_group_sums(token)[first..][..groups]),
            };
        }
        // Two groups of 16 share a scale. Strips are whole: a block has 16 groups.
        let scales = &activations.row_scales(token)[first / 2..][..GROUPS / 2];
        // SAFETY: four numbers are read.
        let scales = unsafe {
            let four = vld1q_f32(scales.as_ptr());
            [vzip1q_f32(four, four), vzip2q_f32(four, four)]
        };
        Self {
            scales,
            sums: first_of(&activations.row_sums(token)[first..][..groups]),
        }
    }
}
