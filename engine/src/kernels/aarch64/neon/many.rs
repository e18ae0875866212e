//! Matrix times many tokens: a strip of 8 weight rows is unpacked and interleaved once, then multiplied
//! with all tokens.
//!
//! How weights and activations lie beside each other is for [`Instructions`] to say; either way 4 rows
//! and 2 tokens have their 8 sums in two registers, and no horizontal sum is needed.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, vcvtq_f32_s32, vdupq_n_f32, vdupq_n_s8, vdupq_n_s32, vfmaq_f32,
    vld1q_s8, vmulq_f32, vreinterpretq_f32_s32, vreinterpretq_s32_f32, vst1q_f32, vsubq_s8,
};

use super::formats::{GROUPS, Narrow};
use super::instructions::{Instructions, transpose};
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;

/// Weight rows that are interleaved with each other.
const SIDE: usize = 4;
/// Such rows side by side.
const SIDES: usize = 2;
/// Weight rows of a strip.
const ROWS: usize = SIDE * SIDES;
/// Registers of a row in a strip of groups of 32 weights.
const STRIP: usize = GROUPS * 2;

/// The sums of 8 rows and 2 tokens.
type Sums = [[float32x4_t; 2]; SIDES];

/// 8 weight rows of one strip, interleaved.
struct Panel {
    /// `[weights / 16][side]`: 16 weights of 4 rows, signed
    weights: [[[int8x16_t; SIDE]; SIDES]; STRIP],
    /// `[group][side]`, lanes: rows
    scale: [[float32x4_t; SIDES]; GROUPS],
    /// `[group][side]`, lanes: rows
    offset: [[float32x4_t; SIDES]; GROUPS],
}

impl Panel {
    #[inline(always)]
    fn new() -> Self {
        // SAFETY: registers of which all bits are zero are zeros.
        unsafe { std::mem::zeroed() }
    }

    /// Fills in the groups of `strip`; where there are fewer than 8 rows, the last stands in.
    #[inline(always)]
    unsafe fn fill<F: Narrow, I: Instructions>(
        &mut self,
        rows: &[u8],
        row_bytes: usize,
        strip: usize,
        groups: usize,
    ) {
        let n_rows = rows.len() / row_bytes;
        let first = strip * GROUPS * F::GROUP / 64;
        let weights = groups * F::GROUP;
        // SAFETY: the groups lie inside of the rows.
        unsafe {
            let zero = vdupq_n_s8(F::ZERO);
            for side in 0..SIDES {
                let pointers: [*const u8; SIDE] = std::array::from_fn(|r| {
                    rows[(SIDE * side + r).min(n_rows - 1) * row_bytes..].as_ptr()
                });
                for j in 0..weights.div_ceil(64) {
                    let whole = weights - 64 * j >= 64;
                    let mut block = [[zero; 4]; SIDE];
                    for (block, &row) in block.iter_mut().zip(&pointers) {
                        *block = F::weights(row, first + j, whole);
                    }
                    for k in 0..4 {
                        let mut sixteen = [zero; SIDE];
                        for (sixteen, block) in sixteen.iter_mut().zip(&block) {
                            *sixteen = vsubq_s8(block[k], zero);
                        }
                        self.weights[4 * j + k][side] = I::weights(sixteen);
                    }
                }
                let mut scales = [[vdupq_n_s32(0); SIDE]; 2];
                let mut offsets = [[vdupq_n_s32(0); SIDE]; 2];
                for (r, &row) in pointers.iter().enumerate() {
                    let (s, o) = F::scales(row, strip, groups);
                    for half in 0..2 {
                        scales[half][r] = vreinterpretq_s32_f32(s[half]);
                        offsets[half][r] = vreinterpretq_s32_f32(o[half]);
                    }
                }
                for half in 0..2 {
                    let (scales, offsets) = (transpose(scales[half]), transpose(offsets[half]));
                    for g in 0..GROUPS / 2 {
                        self.scale[GROUPS / 2 * half + g][side] = vreinterpretq_f32_s32(scales[g]);
                        if F::OFFSETS {
                            let offset = vreinterpretq_f32_s32(offsets[g]);
                            self.offset[GROUPS / 2 * half + g][side] = offset;
                        }
                    }
                }
            }
        }
    }

    /// Adds the strip's products for `P` pairs of tokens to `sums`.
    #[inline(always)]
    unsafe fn multiply<F: Narrow, I: Instructions, const P: usize>(
        &self,
        groups: usize,
        tokens: &[[TokenStrip; 2]; P],
        sums: &mut [Sums; P],
    ) {
        const { assert!(F::GROUP == 16 || F::GROUP == 32) };
        // SAFETY: a token's strip has `groups` groups; the instructions are passed on.
        unsafe {
            for g in 0..groups {
                let mut dots = [[[vdupq_n_s32(0); 2]; SIDES]; P];
                for k in 0..F::GROUP / 16 {
                    let at = g * F::GROUP / 16 + k;
                    for p in 0..P {
                        let a = [
                            vld1q_s8(tokens[p][0].quants.add(16 * at)),
                            vld1q_s8(tokens[p][1].quants.add(16 * at)),
                        ];
                        let a = I::activations(a);
                        for (dots, &w) in dots[p].iter_mut().zip(&self.weights[at]) {
                            *dots = I::add(*dots, w, a);
                        }
                    }
                }
                for p in 0..P {
                    let [a, b] = &tokens[p];
                    let at = g * F::GROUP / 32;
                    let token_scale = I::of_tokens([*a.scales.add(at), *b.scales.add(at)]);
                    let token_sum = I::of_tokens([*a.sums.add(g), *b.sums.add(g)]);
                    for side in 0..SIDES {
                        let scale = I::of_rows(self.scale[g][side]);
                        let offset = I::of_rows(self.offset[g][side]);
                        for half in 0..2 {
                            let sum = &mut sums[p][side][half];
                            let scale = vmulq_f32(scale[half], token_scale[half]);
                            *sum = vfmaq_f32(*sum, vcvtq_f32_s32(dots[p][side][half]), scale);
                            if F::OFFSETS {
                                *sum = vfmaq_f32(*sum, offset[half], token_sum[half]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where a token's activations of a strip begin.
#[derive(Clone, Copy)]
struct TokenStrip {
    quants: *const i8,
    /// One for 32 activations.
    scales: *const f32,
    /// One for a group of weights.
    sums: *const f32,
}

impl TokenStrip {
    #[inline(always)]
    fn new<F: Narrow>(activations: &Activations<'_>, token: u32, strip: usize) -> Self {
        let (token, group) = (token as usize, strip * GROUPS);
        let sums = if F::GROUP == 32 {
            activations.row_group_sums(token)
        } else {
            activations.row_sums(token)
        };
        Self {
            quants: activations.row_quants(token)[group * F::GROUP..].as_ptr(),
            scales: activations.row_scales(token)[group * F::GROUP / 32..].as_ptr(),
            sums: sums[group..].as_ptr(),
        }
    }
}

/// `out[token, row]` for whole rows of `F` and several tokens.
///
/// # Safety
/// The processor has the instructions, and this is inlined into a function that enables them; `rows`
/// holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_many<F: Narrow, I: Instructions>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let groups = activations.columns / F::GROUP;
    // SAFETY: strips and groups are counted from the length of a row, and a side has four rows.
    unsafe {
        let mut panel = Panel::new();
        let mut sums = vec![[[vdupq_n_f32(0.0); 2]; SIDES]; tokens.len().div_ceil(2)];
        for (p, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
            sums.fill([[vdupq_n_f32(0.0); 2]; SIDES]);
            for strip in 0..groups.div_ceil(GROUPS) {
                let groups = GROUPS.min(groups - strip * GROUPS);
                panel.fill::<F, I>(rows, row_bytes, strip, groups);
                multiply_all::<F, I>(&panel, strip, groups, activations, tokens, &mut sums);
            }
            let exist = rows.len() / row_bytes;
            for (pair, sums) in sums.iter().enumerate() {
                let mut lanes = [[0.0f32; ROWS]; 2];
                for (side, sums) in sums.iter().enumerate() {
                    for (lanes, sum) in lanes.iter_mut().zip(I::by_token(*sums)) {
                        vst1q_f32(lanes[SIDE * side..].as_mut_ptr(), sum);
                    }
                }
                for (t, lanes) in (2 * pair..tokens.len()).zip(&lanes) {
                    out.row(t)[p * ROWS..][..exist].copy_from_slice(&lanes[..exist]);
                }
            }
        }
    }
}

/// All tokens, in tiles whose sums stay in registers. Of an odd number, one is computed twice.
#[inline(always)]
unsafe fn multiply_all<F: Narrow, I: Instructions>(
    panel: &Panel,
    strip: usize,
    groups: usize,
    activations: &Activations<'_>,
    tokens: &[u32],
    sums: &mut [Sums],
) {
    let pair = |p: usize| {
        let last = tokens.len() - 1;
        [2 * p, 2 * p + 1].map(|t| TokenStrip::new::<F>(activations, tokens[t.min(last)], strip))
    };
    let (fours, rest) = sums.as_chunks_mut::<2>();
    let n_fours = fours.len();
    for (p, sums) in fours.iter_mut().enumerate() {
        let tokens = [pair(2 * p), pair(2 * p + 1)];
        // SAFETY: the strips hold `groups` groups; the instructions are passed on.
        unsafe { panel.multiply::<F, I, 2>(groups, &tokens, sums) };
    }
    for sums in rest {
        let tokens = [pair(2 * n_fours)];
        // SAFETY: as above.
        unsafe { panel.multiply::<F, I, 1>(groups, &tokens, std::array::from_mut(sums)) };
    }
}
