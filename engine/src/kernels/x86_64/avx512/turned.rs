//! Up to eight tokens times rows of blocks of 18 bytes: a scale, and 32 weights in nibbles.
//!
//! A strip of 16 groups is turned until each lane of a register belongs to a group of its own: the
//! products of a lane, 32 in all, are added as integers and scaled once. In the order of the file a
//! lane comes to another group with every register, and each one costs a conversion, a permutation of
//! the scales and a multiplication. Turning takes eight operations, about as many as it saves for one
//! token; every further token gains.
//!
//! One token and several run the same code, so that tokens that are evaluated together have the
//! numbers that they would have one by one.

#![expect(
    clippy::needless_range_loop,
    reason = "registers are counted alike everywhere"
)]

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::{GROUPS, TURNED_BLOCK as BLOCK, Wide};
use super::gemm_few::{AHEAD, add_strip};
use super::gemv::{activation_groups, prefetch_behind, step_activations};
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;
use crate::kernels::{Buffer, OutTile, keep};

/// Bytes of a strip of blocks.
const STRIP: usize = GROUPS * BLOCK;

/// Where the registers of a strip begin: neighbours hold four blocks together.
const BEGINS: [usize; 5] = [0, 64, 128, 192, STRIP - 64];

/// `NIBBLES[i]` are the words of the blocks `4 * i..` in the registers `i` and `i + 1`.
const NIBBLES: [[u16; 32]; 4] = {
    let mut all = [[0; 32]; 4];
    let mut n = 0;
    while n < 4 * 32 {
        let (i, word) = (n / 32, n % 32);
        let byte = (4 * i + word / 8) * BLOCK + 2 + word % 8 * 2;
        all[i][word] = if byte < BEGINS[i] + 64 {
            (byte - BEGINS[i]) / 2
        } else {
            32 + (byte - BEGINS[i + 1]) / 2
        } as u16;
        n += 1;
    }
    all
};

/// The group of a lane, once four registers of four groups are turned.
const fn group_of(lane: usize) -> usize {
    4 * (lane % 4) + lane / 4
}

/// Lanes whose scales lie in the first two registers: those of the groups 0 to 7.
const IN_FIRST_TWO: __mmask32 = 0x3333;
/// The lane of the last group, whose scale lies in the last register.
const IN_LAST: __mmask32 = 0x8000;

/// The words of the scales in the registers that have them.
const SCALES: [u16; 32] = {
    let mut words = [0; 32];
    let mut lane = 0;
    while lane < GROUPS {
        let from = match group_of(lane) {
            0..=7 => 0,
            8..=14 => BEGINS[2],
            _ => BEGINS[4],
        };
        words[lane] = ((group_of(lane) * BLOCK - from) / 2) as u16;
        lane += 1;
    }
    words
};

/// The groups of the lanes.
const GROUP_OF_LANE: [i32; GROUPS] = {
    let mut lanes = [0; GROUPS];
    let mut lane = 0;
    while lane < GROUPS {
        lanes[lane] = group_of(lane) as i32;
        lane += 1;
    }
    lanes
};

/// A strip of one token's activations, turned as weights are.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Turned {
    /// `[four of 16 neighbours][low, high nibbles]`, lanes: groups
    quants: [[[[i8; 4]; GROUPS]; 2]; 4],
    scales: [f32; GROUPS],
    /// Scale times sum of a group.
    sums: [f32; GROUPS],
}

keep!(Turned);

/// Turns four registers of four groups of 16 bytes: a lane of all four belongs to one group.
#[inline(always)]
unsafe fn turn(q: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (a, b) = (
            _mm512_unpacklo_epi32(q[0], q[1]),
            _mm512_unpackhi_epi32(q[0], q[1]),
        );
        let (c, d) = (
            _mm512_unpacklo_epi32(q[2], q[3]),
            _mm512_unpackhi_epi32(q[2], q[3]),
        );
        [
            _mm512_unpacklo_epi64(a, c),
            _mm512_unpackhi_epi64(a, c),
            _mm512_unpacklo_epi64(b, d),
            _mm512_unpackhi_epi64(b, d),
        ]
    }
}

impl Turned {
    /// Becomes the whole strip `strip` of a token.
    #[inline(always)]
    unsafe fn fill<F: Wide>(&mut self, activations: &Activations<'_>, token: usize, strip: usize) {
        // SAFETY: the strip is whole, and a register is as long as what it is stored to; the caller
        // has the instructions.
        unsafe {
            let quants = activations.row_quants(token)[strip * GROUPS * F::GROUP..].as_ptr();
            let mut halves = [[_mm512_setzero_si512(); 4]; 2];
            for i in 0..4 {
                [halves[0][i], halves[1][i]] = step_activations::<F>(quants.add(128 * i), 128);
            }
            for (half, registers) in halves.into_iter().enumerate() {
                for (k, register) in turn(registers).into_iter().enumerate() {
                    _mm512_storeu_si512(self.quants[k][half].as_mut_ptr().cast(), register);
                }
            }
            let (scales, sums) = activation_groups::<F>(activations, token, strip, GROUPS);
            let lanes = _mm512_loadu_si512(GROUP_OF_LANE.as_ptr().cast());
            let scales = _mm512_permutexvar_ps(lanes, scales);
            let sums = _mm512_permutexvar_ps(lanes, sums);
            _mm512_storeu_ps(self.scales.as_mut_ptr(), scales);
            _mm512_storeu_ps(self.sums.as_mut_ptr(), sums);
        }
    }
}

/// Rows that are read side by side for several tokens: more streams keep more of the memory busy. From
/// five tokens on, the sums of two rows fill the registers.
const ROWS: usize = 4;
const ROWS_OF_MANY: usize = 2;

/// `out[token, row]` for whole rows of `F` and 1 to 8 tokens.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[inline(always)]
pub(super) unsafe fn rows_times_few<F: Wide>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) {
    let ahead = if tokens.len() == 1 {
        usize::from(reading.ahead)
    } else {
        AHEAD
    };
    macro_rules! tile {
        ($rows:expr, $tokens:literal) => {{
            let tokens: [usize; $tokens] = std::array::from_fn(|t| tokens[t] as usize);
            // SAFETY: passed on from the caller.
            unsafe { tile::<F, $rows, $tokens>(rows, activations, tokens, ahead, out) }
        }};
    }
    match tokens.len() {
        1 => match reading.rows {
            1 => tile!(1, 1),
            2 => tile!(2, 1),
            _ => tile!(4, 1),
        },
        2 => tile!(ROWS, 2),
        3 => tile!(ROWS, 3),
        4 => tile!(ROWS, 4),
        5 => tile!(ROWS_OF_MANY, 5),
        6 => tile!(ROWS_OF_MANY, 6),
        7 => tile!(ROWS_OF_MANY, 7),
        _ => tile!(ROWS_OF_MANY, 8),
    }
}

/// A function of its own, which the many kernels of a level share no code with: it is compiled in a
/// fraction of the time.
///
/// # Safety
/// The processor has the instructions of the level; `rows` holds whole rows.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline(never)]
unsafe fn tile<F: Wide, const R: usize, const T: usize>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: [usize; T],
    ahead: usize,
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let groups = activations.columns / F::GROUP;
    let strips = groups / GROUPS;
    let mut turned = Buffer::<Turned>::new(strips * T);
    // SAFETY: strips are counted from the length of a row; the instructions are passed on.
    unsafe {
        for (strip, turned) in turned.chunks_exact_mut(T).enumerate() {
            for t in 0..T {
                turned[t].fill::<F>(activations, tokens[t], strip);
            }
        }
        // Every stream is a part of the rows, walked from its begin to its end: the processor's
        // prefetcher follows long streams only.
        let n = out.columns();
        let part = n.div_ceil(R);
        for i in 0..part {
            // Where a part is shorter, the last row is computed again.
            let row = |r: usize| (r * part + i).min(n - 1);
            let pointers: [*const u8; R] =
                std::array::from_fn(|r| rows[row(r) * row_bytes..].as_ptr());
            let mut sums = [[_mm512_setzero_ps(); T]; R];
            for (strip, turned) in turned.chunks_exact(T).enumerate() {
                for r in 0..R {
                    let strip = pointers[r].add(strip * STRIP);
                    add_turned::<F, T>(strip, turned, ahead, &mut sums[r]);
                }
            }
            if !groups.is_multiple_of(GROUPS) {
                let left = groups % GROUPS;
                add_strip::<F, R, T>(pointers, activations, tokens, strips, left, &mut sums);
            }
            for t in 0..T {
                let out = out.row(t);
                for r in 0..R {
                    out[row(r)] = _mm512_reduce_add_ps(sums[r][t]);
                }
            }
        }
    }
}

/// Adds the products of a whole strip of one row with `T` tokens.
#[inline(always)]
unsafe fn add_turned<F: Wide, const T: usize>(
    strip: *const u8,
    turned: &[Turned],
    ahead: usize,
    sums: &mut [__m512; T],
) {
    // SAFETY: the strip is whole, and its last register begins 64 bytes before its end; there is a
    // turned strip for each token. The caller has the instructions.
    unsafe {
        let mut z = [_mm512_setzero_si512(); 5];
        for (z, begin) in z.iter_mut().zip(BEGINS) {
            *z = _mm512_loadu_si512(strip.add(begin).cast());
        }
        let mut blocks = [_mm512_setzero_si512(); 4];
        for i in 0..4 {
            let words = _mm512_loadu_si512(NIBBLES[i].as_ptr().cast());
            blocks[i] = _mm512_permutex2var_epi16(z[i], words, z[i + 1]);
        }
        let words = _mm512_loadu_si512(SCALES.as_ptr().cast());
        let first = _mm512_permutex2var_epi16(z[0], words, z[1]);
        let second = _mm512_permutex2var_epi16(z[2], words, z[3]);
        let second = _mm512_mask_permutexvar_epi16(second, IN_LAST, words, z[4]);
        let halves = _mm512_mask_mov_epi16(second, IN_FIRST_TWO, first);
        let scale = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
        let offset = _mm512_mul_ps(scale, _mm512_set1_ps(-F::ZERO.unwrap_or(0.0)));
        let mut weights = [[_mm512_setzero_si512(); 2]; 4];
        for (k, nibbles) in turn(blocks).into_iter().enumerate() {
            prefetch_behind(strip.wrapping_add(k * STRIP / 4), ahead);
            weights[k] = F::split(nibbles);
        }
        for t in 0..T {
            let turned = turned.get_unchecked(t);
            let mut dot = _mm512_setzero_si512();
            for k in 0..4 {
                for half in 0..2 {
                    let quants = _mm512_loadu_si512(turned.quants[k][half].as_ptr().cast());
                    dot = _mm512_dpbusd_epi32(dot, weights[k][half], quants);
                }
            }
            let scale = _mm512_mul_ps(scale, _mm512_loadu_ps(turned.scales.as_ptr()));
            sums[t] = _mm512_fmadd_ps(offset, _mm512_loadu_ps(turned.sums.as_ptr()), sums[t]);
            sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[t]);
        }
    }
}
