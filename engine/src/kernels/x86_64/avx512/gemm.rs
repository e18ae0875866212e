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
/// Tokens whose sums stay in registers.
const MOST_TOKENS: usize = 8;
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
        let weights = groups * F::GROUP;
        // SAFETY: the groups lie inside of the rows.
        unsafe {
            let mut block = [_mm512_setzero_si512(); 16];
            if F::IN_HALVES {
                // Transposed before they are split: half the work.
                let first = strip * GROUPS / 4;
                for (j, registers) in self.weights.chunks_exact_mut(32).enumerate() {
                    if 4 * j >= groups {
                        break;
                    }
                    for (r, block) in block.iter_mut().enumerate() {
                        *block = F::four_blocks(row(r), first + j, (groups - 4 * j).min(4));
                    }
                    let packed = transpose(&block);
                    for (group, packed) in registers.chunks_exact_mut(8).zip(packed.chunks_exact(4))
                    {
                        for (k, packed) in packed.iter().enumerate() {
                            [group[k], group[4 + k]] = F::split(*packed);
                        }
                    }
                }
            } else {
                let first = strip * GROUPS * F::GROUP / 64;
                for j in 0..weights.div_ceil(64) {
                    let whole = weights - 64 * j >= 64;
                    for (r, block) in block.iter_mut().enumerate() {
                        *block = F::weights(row(r), first + j, whole);
                    }
                    self.weights[16 * j..16 * j + 16].copy_from_slice(&transpose(&block));
                }
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

    /// Adds the strip's products for `T` tokens to `sums`, `G` registers a group.
    #[inline(always)]
    unsafe fn multiply<F: Wide, const T: usize, const G: usize>(
        &self,
        groups: usize,
        tokens: [Token; T],
        ahead: &mut Ahead,
        sums: &mut [__m512],
    ) {
        // SAFETY: a token's strip has `groups` groups.
        unsafe {
            let mut sum = [_mm512_setzero_ps(); T];
            sum.copy_from_slice(&sums[..T]);
            for g in 0..groups {
                ahead.ask();
                let mut dots = [_mm512_setzero_si512(); T];
                for j in g * G..g * G + G {
                    let w = self.weights[j];
                    for (dot, token) in dots.iter_mut().zip(&tokens) {
                        let four = token.quants.add(4 * j).cast::<[u8; 4]>().read();
                        let four = _mm512_set1_epi32(i32::from_le_bytes(four));
                        *dot = _mm512_dpbusd_epi32(*dot, w, four);
                    }
                }
                for (t, token) in tokens.iter().enumerate() {
                    let dot = _mm512_cvtepi32_ps(dots[t]);
                    let scale = _mm512_set1_ps(*token.scales.add(g * G / 8));
                    let scale = _mm512_mul_ps(self.scale[g], scale);
                    sum[t] = _mm512_fmadd_ps(dot, scale, sum[t]);
                    let offset = _mm512_set1_ps(*token.sums.add(g));
                    sum[t] = _mm512_fmadd_ps(self.offset[g], offset, sum[t]);
                }
            }
            sums[..T].copy_from_slice(&sum);
        }
    }
}

/// The memory of the strip that comes next, of the same rows or the first of the next 16 rows: asked
/// for line by line while this strip is multiplied. All at once they would fill the buffers of
/// outstanding loads and stop the loop.
struct Ahead {
    first: *const u8,
    row_bytes: usize,
    /// Lines that are left.
    left: usize,
    /// Lines of a row.
    lines: usize,
    /// Lines that are asked for at a time.
    at_a_time: usize,
}

impl Ahead {
    /// `asks` times some lines will be asked for while `strip` is multiplied.
    fn new<F: Wide>(rows: &[u8], row_bytes: usize, strip: usize, asks: usize) -> Self {
        let bytes = GROUPS * F::GROUP / F::LEN * F::BYTES;
        let next = (strip + 1) * bytes;
        let (at, len) = if next < row_bytes {
            (next, bytes.min(row_bytes - next))
        } else {
            (ROWS * row_bytes, bytes.min(row_bytes))
        };
        let lines = len.div_ceil(64);
        Self {
            first: rows.as_ptr().wrapping_add(at),
            row_bytes,
            left: ROWS * lines,
            lines,
            at_a_time: (ROWS * lines).div_ceil(asks),
        }
    }

    #[inline(always)]
    unsafe fn ask(&mut self) {
        for _ in 0..self.at_a_time.min(self.left) {
            self.left -= 1;
            let (row, line) = (self.left % ROWS, self.lines - 1 - self.left / ROWS);
            let at = self.first.wrapping_add(row * self.row_bytes + 64 * line);
            // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
    }
}

/// Where a token's activations begin.
#[derive(Clone, Copy)]
struct Token {
    quants: *const i8,
    /// One for 32 activations.
    scales: *const f32,
    /// One for a group of weights.
    sums: *const f32,
}

impl Token {
    fn new<F: Wide>(activations: &Activations<'_>, token: u32) -> Self {
        let token = token as usize;
        let sums = if F::GROUP == 32 {
            activations.row_group_sums(token)
        } else {
            activations.row_sums(token)
        };
        Self {
            quants: activations.row_quants(token).as_ptr(),
            scales: activations.row_scales(token).as_ptr(),
            sums: sums.as_ptr(),
        }
    }

    /// The same from group `group` on.
    #[inline(always)]
    fn at_group<F: Wide>(self, group: usize) -> Self {
        Self {
            quants: self.quants.wrapping_add(group * F::GROUP),
            scales: self.scales.wrapping_add(group * F::GROUP / 32),
            sums: self.sums.wrapping_add(group),
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
        let tokens: Vec<Token> = tokens
            .iter()
            .map(|&token| Token::new::<F>(activations, token))
            .collect();
        let mut sums = vec![_mm512_setzero_ps(); tokens.len()];
        for (p, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
            sums.fill(_mm512_setzero_ps());
            let groups = activations.columns / F::GROUP;
            for strip in 0..groups.div_ceil(GROUPS) {
                let groups = GROUPS.min(groups - strip * GROUPS);
                panel.fill::<F>(rows, row_bytes, strip, groups);
                let asks = groups * tokens.len().div_ceil(MOST_TOKENS);
                let mut ahead = Ahead::new::<F>(rows, row_bytes, strip, asks);
                multiply_all::<F>(&panel, strip, groups, &tokens, &mut ahead, &mut sums);
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
    tokens: &[Token],
    ahead: &mut Ahead,
    sums: &mut [__m512],
) {
    macro_rules! tiles {
        ($t:expr, $tokens:expr, $sums:expr) => {{
            let (tokens, sums): (&[Token], &mut [__m512]) = ($tokens, $sums);
            let whole = tokens.len() / $t * $t;
            let tiles = tokens[..whole].chunks_exact($t);
            for (tokens, sums) in tiles.zip(sums.chunks_exact_mut($t)) {
                let mut here = [tokens[0]; $t];
                for (here, token) in here.iter_mut().zip(tokens) {
                    *here = token.at_group::<F>(strip * GROUPS);
                }
                // SAFETY: the tokens have `groups` groups there; a group of 32 has 8 registers, of 16 has 4.
                unsafe {
                    if F::GROUP == 32 {
                        panel.multiply::<F, $t, 8>(groups, here, ahead, sums);
                    } else {
                        panel.multiply::<F, $t, 4>(groups, here, ahead, sums);
                    }
                }
            }
            (&tokens[whole..], &mut sums[whole..])
        }};
    }
    let (tokens, sums) = tiles!(MOST_TOKENS, tokens, sums);
    let (tokens, sums) = tiles!(4, tokens, sums);
    let (tokens, sums) = tiles!(2, tokens, sums);
    tiles!(1, tokens, sums);
}
