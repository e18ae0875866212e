//! Matrix times matrix: a strip of 16 weight rows is unpacked and interleaved once, then multiplied
//! with all tokens, two such panels side by side where there are as many rows.
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
/// Tokens whose sums for one panel, and for two, stay in registers.
const TOKENS_OF_ONE: usize = 8;
const TOKENS_OF_TWO: usize = 6;
/// Registers of a strip of groups of 32 weights: 16 groups, 8 times 4 weights each.
const STRIP: usize = GROUPS * 8;

/// 16 weight rows of one strip, interleaved.
#[derive(Clone, Copy)]
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
}

/// Adds the products of a strip of `P` panels with `T` tokens to `sums`, `G` registers a group.
#[inline(always)]
unsafe fn multiply<F: Wide, const P: usize, const T: usize, const G: usize>(
    panels: &[Panel; P],
    groups: usize,
    tokens: [Token; T],
    ahead: &mut Ahead,
    sums: &mut [[__m512; P]],
) {
    // SAFETY: a token's strip has `groups` groups; the caller has the instructions.
    unsafe {
        let mut sum = [[_mm512_setzero_ps(); P]; T];
        sum.copy_from_slice(&sums[..T]);
        for g in 0..groups {
            ahead.ask();
            let mut dots = [[_mm512_setzero_si512(); P]; T];
            for j in g * G..g * G + G {
                for (dots, token) in dots.iter_mut().zip(&tokens) {
                    let four = token.quants.add(4 * j).cast::<[u8; 4]>().read();
                    let four = _mm512_set1_epi32(i32::from_le_bytes(four));
                    for (dot, panel) in dots.iter_mut().zip(panels) {
                        *dot = _mm512_dpbusd_epi32(*dot, panel.weights[j], four);
                    }
                }
            }
            for (t, token) in tokens.iter().enumerate() {
                let scale = _mm512_set1_ps(*token.scales.add(g * G / 8));
                let offset = _mm512_set1_ps(*token.sums.add(g));
                for (p, panel) in panels.iter().enumerate() {
                    let dot = _mm512_cvtepi32_ps(dots[t][p]);
                    let scale = _mm512_mul_ps(panel.scale[g], scale);
                    let sum = &mut sum[t][p];
                    *sum = _mm512_fmadd_ps(dot, scale, *sum);
                    *sum = _mm512_fmadd_ps(panel.offset[g], offset, *sum);
                }
            }
        }
        sums[..T].copy_from_slice(&sum);
    }
}

/// The memory of the strip that comes next, of the same rows or the first of the next rows: asked
/// for line by line while this strip is multiplied. All at once they would fill the buffers of
/// outstanding loads and stop the loop.
struct Ahead {
    first: *const u8,
    rows: usize,
    row_bytes: usize,
    /// Lines that are left.
    left: usize,
    /// Lines of a row.
    lines: usize,
    /// Lines that are asked for at a time.
    at_a_time: usize,
}

impl Ahead {
    /// `asks` times some lines will be asked for while `strip` of all `rows` is multiplied.
    fn new<F: Wide>(rows: &[u8], row_bytes: usize, strip: usize, asks: usize) -> Self {
        let n = rows.len() / row_bytes;
        let bytes = GROUPS * F::GROUP / F::LEN * F::BYTES;
        let next = (strip + 1) * bytes;
        let (at, len) = if next < row_bytes {
            (next, bytes.min(row_bytes - next))
        } else {
            (rows.len(), bytes.min(row_bytes))
        };
        let lines = len.div_ceil(64);
        Self {
            first: rows.as_ptr().wrapping_add(at),
            rows: n,
            row_bytes,
            left: n * lines,
            lines,
            at_a_time: (n * lines).div_ceil(asks),
        }
    }

    #[inline(always)]
    unsafe fn ask(&mut self) {
        for _ in 0..self.at_a_time.min(self.left) {
            self.left -= 1;
            let (row, line) = (
                self.left % self.rows,
                self.lines - 1 - self.left / self.rows,
            );
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
        let tokens: Vec<Token> = tokens
            .iter()
            .map(|&token| Token::new::<F>(activations, token))
            .collect();
        let pairs = rows.len() / (2 * ROWS * row_bytes);
        let (pairs, rest) = rows.split_at(pairs * 2 * ROWS * row_bytes);
        let split = pairs.len() / row_bytes;
        panels_times_many::<F, 2>(pairs, activations, &tokens, 0, out);
        panels_times_many::<F, 1>(rest, activations, &tokens, split, out);
    }
}

/// As [`rows_times_many`], for rows that become `P` panels at a time; the first is the row `first` of
/// the output.
#[inline(always)]
unsafe fn panels_times_many<F: Wide, const P: usize>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[Token],
    first: usize,
    out: &mut OutTile<'_>,
) {
    if rows.is_empty() {
        return;
    }
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    // SAFETY: strips and groups are counted from the length of a row.
    unsafe {
        let mut panels = [Panel::new(); P];
        let mut sums = vec![[_mm512_setzero_ps(); P]; tokens.len()];
        for (i, rows) in rows.chunks(P * ROWS * row_bytes).enumerate() {
            sums.fill([_mm512_setzero_ps(); P]);
            let groups = activations.columns / F::GROUP;
            for strip in 0..groups.div_ceil(GROUPS) {
                let groups = GROUPS.min(groups - strip * GROUPS);
                for (panel, rows) in panels.iter_mut().zip(rows.chunks(ROWS * row_bytes)) {
                    panel.fill::<F>(rows, row_bytes, strip, groups);
                }
                let at_once = if P == 1 { TOKENS_OF_ONE } else { TOKENS_OF_TWO };
                let asks = groups * tokens.len().div_ceil(at_once);
                let mut ahead = Ahead::new::<F>(rows, row_bytes, strip, asks);
                multiply_all::<F, P>(&panels, strip, groups, tokens, &mut ahead, &mut sums);
            }
            for (p, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
                let first = first + (i * P + p) * ROWS;
                let exist = (rows.len() / row_bytes) as u32;
                for (t, sum) in sums.iter().enumerate() {
                    let out = &mut out.row(t)[first..first + exist as usize];
                    let mask = ((1u32 << exist) - 1) as __mmask16;
                    _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, sum[p]);
                }
            }
        }
    }
}

/// All tokens, in tiles whose sums stay in registers.
#[inline(always)]
unsafe fn multiply_all<F: Wide, const P: usize>(
    panels: &[Panel; P],
    strip: usize,
    groups: usize,
    tokens: &[Token],
    ahead: &mut Ahead,
    sums: &mut [[__m512; P]],
) {
    macro_rules! tiles {
        ($t:expr, $tokens:expr, $sums:expr) => {{
            let (tokens, sums): (&[Token], &mut [[__m512; P]]) = ($tokens, $sums);
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
                        multiply::<F, P, $t, 8>(panels, groups, here, ahead, sums);
                    } else {
                        multiply::<F, P, $t, 4>(panels, groups, here, ahead, sums);
                    }
                }
            }
            (&tokens[whole..], &mut sums[whole..])
        }};
    }
    let (tokens, sums) = if P == 1 {
        tiles!(TOKENS_OF_ONE, tokens, sums)
    } else {
        tiles!(TOKENS_OF_TWO, tokens, sums)
    };
    let (tokens, sums) = tiles!(4, tokens, sums);
    let (tokens, sums) = tiles!(2, tokens, sums);
    tiles!(1, tokens, sums);
}
