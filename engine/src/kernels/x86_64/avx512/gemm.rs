//! Matrix times matrix: a strip of 16 weight rows is unpacked and interleaved once, then multiplied
//! with all tokens.
//!
//! In the interleaved strip a register holds four neighbouring weights of each of 16 rows. Four
//! activations of a token, broadcast, multiply all rows at once (`vpdpbusd`), so that a register of
//! sums belongs to 16 outputs of a token and no horizontal sum is needed.
//!
//! Registers are not handed to closures: a closure does not inherit the level's instructions.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::{GROUPS, Wide};
use super::transpose;
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;

/// Weight rows of a strip: the lanes of a register.
const ROWS: usize = 16;
/// Registers of a strip of groups of 32 weights: 16 groups, 8 times 4 weights each.
const STRIP: usize = GROUPS * 8;

/// 16 weight rows of one strip, interleaved.
struct Panel {
    /// `[weights / 4]`, lanes: rows, bytes: four neighbouring weights
    weights: [__m512i; STRIP],
    /// `[group]`, lanes: rows
    scale: [__m512; GROUPS],
    /// `[group]`, lanes: rows
    offset: [__m512; GROUPS],
}

impl Panel {
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: the caller has the instructions.
        unsafe {
            Self {
                weights: [_mm512_setzero_si512(); STRIP],
                scale: [_mm512_setzero_ps(); GROUPS],
                offset: [_mm512_setzero_ps(); GROUPS],
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
            let mut block = [_mm512_setzero_si512(); 16];
            for j in 0..weights.div_ceil(64) {
                let whole = weights - 64 * j >= 64;
                for (r, block) in block.iter_mut().enumerate() {
                    *block = F::weights(row(r), first + j, whole);
                }
                self.weights[16 * j..16 * j + 16].copy_from_slice(&transpose(&block));
            }
            let mut offsets = [_mm512_setzero_si512(); 16];
            for (r, (scale, offset)) in block.iter_mut().zip(&mut offsets).enumerate() {
                let (s, o) = F::scales(row(r), strip, groups);
                (*scale, *offset) = (_mm512_castps_si512(s), _mm512_castps_si512(o));
            }
            for (scale, lanes) in self.scale.iter_mut().zip(transpose(&block)) {
                *scale = _mm512_castsi512_ps(lanes);
            }
            if let Some(zero) = F::ZERO {
                for (offset, scale) in self.offset.iter_mut().zip(&self.scale) {
                    *offset = _mm512_mul_ps(*scale, _mm512_set1_ps(-zero));
                }
            } else {
                for (offset, lanes) in self.offset.iter_mut().zip(transpose(&offsets)) {
                    *offset = _mm512_castsi512_ps(lanes);
                }
            }
        }
    }

    /// Asks for the memory of the strip that comes next: of the same rows, or the first of the
    /// next 16 rows. It arrives while this strip is multiplied.
    #[inline(always)]
    unsafe fn prefetch<F: Wide>(rows: &[u8], row_bytes: usize, strip: usize) {
        let bytes = GROUPS * F::GROUP / F::LEN * F::BYTES;
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

    /// Adds the strip's products for `T` tokens to `sums`, `G` registers a group.
    #[inline(always)]
    unsafe fn multiply<const T: usize, const G: usize>(
        &self,
        groups: usize,
        tokens: &[TokenStrip; T],
        sums: &mut [__m512],
    ) {
        // SAFETY: a token's strip has `groups` groups.
        unsafe {
            let mut sum = [_mm512_setzero_ps(); T];
            sum.copy_from_slice(&sums[..T]);
            for g in 0..groups {
                let mut w = [_mm512_setzero_si512(); G];
                w.copy_from_slice(&self.weights[g * G..g * G + G]);
                for (sum, token) in sum.iter_mut().zip(tokens) {
                    let mut dot = _mm512_setzero_si512();
                    for (j, w) in w.iter().enumerate() {
                        let four = token.quants.add(4 * (g * G + j)).cast::<[u8; 4]>();
                        dot = _mm512_dpbusd_epi32(
                            dot,
                            *w,
                            _mm512_set1_epi32(i32::from_le_bytes(four.read())),
                        );
                    }
                    let scale =
                        _mm512_mul_ps(self.scale[g], _mm512_set1_ps(*token.scales.add(g * G / 8)));
                    let offset = _mm512_set1_ps(*token.sums.add(g));
                    *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *sum);
                    *sum = _mm512_fmadd_ps(self.offset[g], offset, *sum);
                }
            }
            sums[..T].copy_from_slice(&sum);
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
pub(super) unsafe fn rows_times_many<F: Wide>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    // SAFETY: strips and groups are counted from the length of a row.
    unsafe {
        let mut panel = Panel::new();
        let mut sums = vec![_mm512_setzero_ps(); tokens.len()];
        for (p, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
            sums.fill(_mm512_setzero_ps());
            let groups = activations.columns / F::GROUP;
            for strip in 0..groups.div_ceil(GROUPS) {
                let groups = GROUPS.min(groups - strip * GROUPS);
                panel.fill::<F>(rows, row_bytes, strip, groups);
                Panel::prefetch::<F>(rows, row_bytes, strip);
                multiply_all::<F>(&panel, strip, groups, activations, tokens, &mut sums);
            }
            let first = p * ROWS;
            let exist = (rows.len() / row_bytes) as u32;
            for (t, sum) in sums.iter().enumerate() {
                let out = &mut out.row(t)[first..first + exist as usize];
                _mm512_mask_storeu_ps(out.as_mut_ptr(), ((1u32 << exist) - 1) as __mmask16, *sum);
            }
        }
    }
}

/// All tokens, in tiles whose sums stay in registers.
#[inline(always)]
unsafe fn multiply_all<F: Wide>(
    panel: &Panel,
    strip: usize,
    groups: usize,
    activations: &Activations<'_>,
    tokens: &[u32],
    sums: &mut [__m512],
) {
    macro_rules! tiles {
        ($t:literal, $tokens:expr, $sums:expr) => {{
            let (tokens, sums): (&[u32], &mut [__m512]) = ($tokens, $sums);
            let whole = tokens.len() / $t * $t;
            let tiles = tokens[..whole].chunks_exact($t);
            for (tokens, sums) in tiles.zip(sums.chunks_exact_mut($t)) {
                let strips: [TokenStrip; $t] = std::array::from_fn(|t| TokenStrip::new::<F>(activations, tokens[t], strip));
                // SAFETY: the strips hold `groups` groups; a group of 32 has 8 registers, of 16 has 4.
                unsafe {
                    if F::GROUP == 32 {
                        panel.multiply::<$t, 8>(groups, &strips, sums);
                    } else {
                        panel.multiply::<$t, 4>(groups, &strips, sums);
                    }
                }
            }
            (&tokens[whole..], &mut sums[whole..])
        }};
    }
    let (tokens, sums) = tiles!(8, tokens, sums);
    let (tokens, sums) = tiles!(4, tokens, sums);
    let (tokens, sums) = tiles!(2, tokens, sums);
    tiles!(1, tokens, sums);
}
