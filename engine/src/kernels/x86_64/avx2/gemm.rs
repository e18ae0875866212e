//! Matrix times matrix: a strip of 16 weight rows is unpacked and interleaved once, then multiplied
//! with all tokens.
//!
//! In the interleaved strip a register holds four neighbouring weights of each of 8 rows. Four
//! activations of a token, broadcast, multiply all of them, so that two registers of sums belong to
//! 16 outputs of a token and no horizontal sum is needed. Sums of two products are added in 16 bits
//! for as long as they fit, which saves a widening for every register of weights.
//!
//! Registers are not handed to closures: a closure does not inherit the level's instructions.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::dot::{Dot, pair_sums};
use super::formats::{GROUPS, Numbers, Wide};
use super::transpose;
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;

/// Weight rows of a register: its lanes.
const LANES: usize = 8;
/// Registers side by side.
const SIDES: usize = 2;
/// Weight rows of a strip.
const ROWS: usize = LANES * SIDES;
/// Registers on each side of a strip of groups of 32 weights: 8 groups, 8 times 4 weights each.
const STRIP: usize = GROUPS * 8;

/// 16 weight rows of one strip, interleaved.
struct Panel {
    /// `[weights / 4][side]`, lanes: rows, bytes: four neighbouring weights
    weights: [[__m256i; SIDES]; STRIP],
    /// `[group][side]`, lanes: rows
    scale: [[__m256; SIDES]; GROUPS],
    /// `[group][side]`, lanes: rows
    offset: [[__m256; SIDES]; GROUPS],
}

impl Panel {
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: the caller has the instructions.
        unsafe {
            Self {
                weights: [[_mm256_setzero_si256(); SIDES]; STRIP],
                scale: [[_mm256_setzero_ps(); SIDES]; GROUPS],
                offset: [[_mm256_setzero_ps(); SIDES]; GROUPS],
            }
        }
    }

    /// Fills in the groups of `strip`; where there are fewer than 16 rows, the last stands in.
    #[inline(always)]
    unsafe fn fill<F: Wide>(&mut self, rows: &[u8], row_bytes: usize, strip: usize, groups: usize) {
        let n_rows = rows.len() / row_bytes;
        let row = |r: usize| rows[r.min(n_rows - 1) * row_bytes..].as_ptr();
        let first = strip * GROUPS * F::GROUP / 64;
        let weights = groups * F::GROUP;
        // SAFETY: the groups lie inside of the rows.
        unsafe {
            for side in 0..SIDES {
                let mut pointers = [std::ptr::null(); LANES];
                for (r, pointer) in pointers.iter_mut().enumerate() {
                    *pointer = row(LANES * side + r);
                }
                for j in 0..weights.div_ceil(64) {
                    let whole = weights - 64 * j >= 64;
                    let mut block = [[_mm256_setzero_si256(); LANES]; 2];
                    for r in 0..LANES {
                        [block[0][r], block[1][r]] = F::weights(pointers[r], first + j, whole);
                    }
                    for (half, block) in block.iter().enumerate() {
                        let columns = transpose(block);
                        for (k, column) in columns.into_iter().enumerate() {
                            self.weights[16 * j + 8 * half + k][side] = column;
                        }
                    }
                }
                let mut scales = [_mm256_setzero_si256(); LANES];
                let mut offsets = [_mm256_setzero_si256(); LANES];
                for r in 0..LANES {
                    let (s, o) = F::scales(pointers[r], strip, groups);
                    (scales[r], offsets[r]) = (_mm256_castps_si256(s), _mm256_castps_si256(o));
                }
                for (g, scale) in transpose(&scales).into_iter().enumerate() {
                    self.scale[g][side] = _mm256_castsi256_ps(scale);
                }
                match F::NUMBERS {
                    Numbers::Signed => {}
                    Numbers::Around { zero, .. } => {
                        for (offset, scale) in self.offset.iter_mut().zip(&self.scale) {
                            offset[side] = _mm256_mul_ps(scale[side], _mm256_set1_ps(-zero));
                        }
                    }
                    Numbers::Offset { .. } => {
                        for (g, offset) in transpose(&offsets).into_iter().enumerate() {
                            self.offset[g][side] = _mm256_castsi256_ps(offset);
                        }
                    }
                }
            }
        }
    }

    /// Asks for the memory of the strip that comes next: of the same rows, or the first of the
    /// next 16 rows. It arrives while this strip is multiplied.
    #[inline(always)]
    unsafe fn prefetch<F: Wide>(rows: &[u8], row_bytes: usize, strip: usize) {
        let bytes = GROUPS * F::GROUP * F::BYTES / F::LEN;
        let next = (strip + 1) * bytes;
        let (at, len) = if next < row_bytes {
            (next, bytes.min(row_bytes - next))
        } else {
            (ROWS * row_bytes, bytes.min(row_bytes))
        };
        for r in 0..ROWS {
            let row = rows.as_ptr().wrapping_add(r * row_bytes + at);
            for line in 0..len.div_ceil(64) {
                // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(64 * line).cast()) };
            }
        }
    }

    /// Adds the strip's products for `T` tokens to `sums`.
    #[inline(always)]
    unsafe fn multiply<F: Wide, D: Dot, const T: usize>(
        &self,
        groups: usize,
        tokens: &[TokenStrip; T],
        sums: &mut [[__m256; SIDES]],
    ) {
        // SAFETY: a token's strip has `groups` groups.
        unsafe {
            for g in 0..groups {
                let dots = if D::FOUR {
                    self.dots_of_four::<F, D, T>(g, tokens)
                } else {
                    self.dots::<F, T>(g, tokens)
                };
                for t in 0..T {
                    let token = &tokens[t];
                    let token_scale = _mm256_set1_ps(*token.scales.add(g * F::GROUP / 32));
                    let token_sum = _mm256_set1_ps(*token.sums.add(g));
                    for side in 0..SIDES {
                        let mut sum = sums[t][side];
                        let scale = _mm256_mul_ps(self.scale[g][side], token_scale);
                        sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t][side]), scale, sum);
                        if !F::NUMBERS.signed() {
                            sum = _mm256_fmadd_ps(self.offset[g][side], token_sum, sum);
                        }
                        sums[t][side] = sum;
                    }
                }
            }
        }
    }

    /// Integer products of a group with `T` tokens, where one instruction adds four.
    #[inline(always)]
    unsafe fn dots_of_four<F: Wide, D: Dot, const T: usize>(
        &self,
        g: usize,
        tokens: &[TokenStrip; T],
    ) -> [[__m256i; SIDES]; T] {
        let registers = F::GROUP / 4;
        // SAFETY: passed on.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); SIDES]; T];
            for at in g * registers..(g + 1) * registers {
                let w = self.weights[at];
                for t in 0..T {
                    let four = tokens[t].quants.add(4 * at).cast::<i32>().read_unaligned();
                    let a = _mm256_set1_epi32(four);
                    for side in 0..SIDES {
                        sums[t][side] = D::add::<F>(sums[t][side], w[side], a);
                    }
                }
            }
            sums
        }
    }

    /// Integer products of a group with `T` tokens, by sums of two in 16 bits.
    #[inline(always)]
    unsafe fn dots<F: Wide, const T: usize>(
        &self,
        g: usize,
        tokens: &[TokenStrip; T],
    ) -> [[__m256i; SIDES]; T] {
        let registers = F::GROUP / 4;
        let chain = F::NUMBERS.sums().min(registers);
        // SAFETY: passed on.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut wide = [[_mm256_setzero_si256(); SIDES]; T];
            for first in (0..registers).step_by(chain) {
                let mut narrow = [[_mm256_setzero_si256(); SIDES]; T];
                for k in first..first + chain {
                    let at = g * registers + k;
                    let w = self.weights[at];
                    for t in 0..T {
                        let four = tokens[t].quants.add(4 * at).cast::<i32>().read_unaligned();
                        let a = _mm256_set1_epi32(four);
                        for side in 0..SIDES {
                            let pairs = pair_sums::<F>(w[side], a);
                            narrow[t][side] = _mm256_add_epi16(narrow[t][side], pairs);
                        }
                    }
                }
                for t in 0..T {
                    for side in 0..SIDES {
                        let four = _mm256_madd_epi16(narrow[t][side], ones);
                        wide[t][side] = _mm256_add_epi32(wide[t][side], four);
                    }
                }
            }
            wide
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
    fn new<F: Wide>(activations: &Activations<'_>, token: u32, strip: usize) -> Self {
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
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_many<F: Wide, D: Dot>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    // SAFETY: strips and groups are counted from the length of a row.
    unsafe {
        let mut panel = Panel::new();
        let mut sums = vec![[_mm256_setzero_ps(); SIDES]; tokens.len()];
        for (p, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
            sums.fill([_mm256_setzero_ps(); SIDES]);
            let groups = activations.columns / F::GROUP;
            for strip in 0..groups.div_ceil(GROUPS) {
                let groups = GROUPS.min(groups - strip * GROUPS);
                panel.fill::<F>(rows, row_bytes, strip, groups);
                Panel::prefetch::<F>(rows, row_bytes, strip);
                multiply_all::<F, D>(&panel, strip, groups, activations, tokens, &mut sums);
            }
            let exist = rows.len() / row_bytes;
            for (t, sum) in sums.iter().enumerate() {
                let mut lanes = [0.0f32; ROWS];
                _mm256_storeu_ps(lanes.as_mut_ptr(), sum[0]);
                _mm256_storeu_ps(lanes[LANES..].as_mut_ptr(), sum[1]);
                out.row(t)[p * ROWS..][..exist].copy_from_slice(&lanes[..exist]);
            }
        }
    }
}

/// All tokens, in tiles whose sums stay in registers.
#[inline(always)]
unsafe fn multiply_all<F: Wide, D: Dot>(
    panel: &Panel,
    strip: usize,
    groups: usize,
    activations: &Activations<'_>,
    tokens: &[u32],
    sums: &mut [[__m256; SIDES]],
) {
    macro_rules! tiles {
        ($t:literal, $tokens:expr, $sums:expr) => {{
            let (tokens, sums): (&[u32], &mut [[__m256; SIDES]]) = ($tokens, $sums);
            let whole = tokens.len() / $t * $t;
            let tiles = tokens[..whole].chunks_exact($t);
            for (tokens, sums) in tiles.zip(sums.chunks_exact_mut($t)) {
                let strips: [TokenStrip; $t] =
                    std::array::from_fn(|t| TokenStrip::new::<F>(activations, tokens[t], strip));
                // SAFETY: the strips hold `groups` groups.
                unsafe { panel.multiply::<F, D, $t>(groups, &strips, sums) };
            }
            (&tokens[whole..], &mut sums[whole..])
        }};
    }
    let (tokens, sums) = tiles!(4, tokens, sums);
    let (tokens, sums) = tiles!(2, tokens, sums);
    tiles!(1, tokens, sums);
}
