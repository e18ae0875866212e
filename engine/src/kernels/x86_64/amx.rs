//! Matrix times matrix on AMX tiles: weights and activations in BF16, sums in f32.
//!
//! Weights are unpacked with their scale and offset, so that a tile of sums (16 weight rows by 16
//! tokens) stays in its register over the whole length of the rows. Rounding both sides to BF16
//! keeps 8 bits of every number; the 8-bit activations of the other levels keep 7 bits of the
//! largest of 32. Results are therefore nearer to the exact product than those of other levels.
//!
//! The standard library has no stable intrinsics for tiles; `tiles` has the few instructions.

pub(crate) mod attention;
mod packed;
mod tiles;

use std::cell::RefCell;

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::avx512::formats::{GROUPS, Wide};
use super::avx512::transpose;
use crate::gguf::TensorType;
use crate::kernels::OutTile;
use crate::kernels::formats::with_format;

use packed::pair;
pub(crate) use packed::{MIN_TOKENS, Packed, Tiles};
use tiles::{Configured, SIDE, STEP, STRIP_STEPS, Step, Tile, WeightRow};

/// Tiles of weight rows that are unpacked together: a strip of them stays in the second-level cache
/// while tokens stream by; with few tokens, in the first.
const MANY_ROW_TILES: usize = 8;
const FEW_ROW_TILES: usize = 2;
/// Tiles of tokens from which on they stream by.
const MANY_TOKEN_TILES: usize = 5;

/// Memory of a task.
#[derive(Default)]
struct Scratch {
    /// A strip of the rows of some tiles, in BF16.
    weights: Vec<WeightRow>,
    /// `[token tiles + 1, row tiles]` tiles of sums in f32: rows by tokens
    sums: Vec<Tile>,
}

thread_local! {
    /// The memory of the last task of this thread, for the next one.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Whether the processor has the level, and the system lets this process use it.
pub(crate) fn is_available() -> bool {
    let has_vectors = detects!(
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "xsave"
    );
    // SAFETY: it has `xsave`.
    has_vectors && unsafe { tiles::are_available() }
}

/// `out[token, row]` of quantized rows; types that hold floats are left alone.
///
/// # Safety
/// The level is available; `rows` holds whole rows, as long as those of the tokens, and `out` has a
/// place for every row and token.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16")]
pub(crate) unsafe fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    tokens: &Tiles<'_>,
    out: &mut OutTile<'_>,
) {
    let mut scratch = SCRATCH.take();
    scratch
        .weights
        .resize(MANY_ROW_TILES * SIDE, WeightRow::ZERO);
    let n_sums = (tokens.count() + 1) * MANY_ROW_TILES;
    if scratch.sums.len() < n_sums {
        scratch.sums.resize(n_sums, Tile::ZERO);
    }
    with_format!(tensor_type, Format => {
        // SAFETY: this function enables the vector instructions; the rest is passed on.
        unsafe { rows_times_tiles::<Format>(rows, tokens, &mut scratch, out) };
    }, float => {});
    SCRATCH.set(scratch);
}

#[inline(always)]
unsafe fn rows_times_tiles<F: Wide>(
    rows: &[u8],
    tokens: &Tiles<'_>,
    scratch: &mut Scratch,
    out: &mut OutTile<'_>,
) {
    let columns = tokens.columns();
    let row_bytes = columns / F::LEN * F::BYTES;
    let strip_weights = GROUPS * F::GROUP;
    let strips = columns.div_ceil(strip_weights);
    let block_rows = if tokens.count() < MANY_TOKEN_TILES {
        FEW_ROW_TILES * SIDE
    } else {
        MANY_ROW_TILES * SIDE
    };
    // SAFETY: strips, groups and steps are counted from the length of a row.
    unsafe {
        let mut registers = Configured::new();
        for (p, rows) in rows.chunks(block_rows * row_bytes).enumerate() {
            let n_rows = rows.len() / row_bytes;
            for strip in 0..strips {
                let first = strip * strip_weights;
                let weights = strip_weights.min(columns - first);
                for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
                    unpack::<F>(row.as_ptr(), strip, weights, &mut scratch.weights[r].0);
                    prefetch::<F>(row.as_ptr(), row_bytes, block_rows, strip);
                }
                let part = Part {
                    first_step: first / STEP,
                    steps: weights / STEP,
                    first: strip == 0,
                    last: strip + 1 == strips,
                };
                multiply(&mut registers, part, n_rows.div_ceil(SIDE), tokens, scratch);
            }
            store_sums(&scratch.sums, p * block_rows, n_rows, out);
        }
    }
}

/// Asks for the memory of the strip that comes next: of this row, or the first one of the row that
/// is unpacked in its place. It arrives while this strip is multiplied.
#[inline(always)]
unsafe fn prefetch<F: Wide>(row: *const u8, row_bytes: usize, block_rows: usize, strip: usize) {
    let bytes = GROUPS * F::GROUP / F::LEN * F::BYTES;
    let next = (strip + 1) * bytes;
    let (at, len) = if next < row_bytes {
        (next, bytes.min(row_bytes - next))
    } else {
        (block_rows * row_bytes, bytes.min(row_bytes))
    };
    for line in 0..len.div_ceil(64) {
        // SAFETY: prefetching faults nowhere, also behind the end of the matrix.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(at + 64 * line).cast()) };
    }
}

/// Unpacks a strip of one row.
#[inline(always)]
unsafe fn unpack<F: Wide>(
    row: *const u8,
    strip: usize,
    weights: usize,
    steps: &mut [Step; STRIP_STEPS + 1],
) {
    // SAFETY: the groups lie inside of the row, the steps inside of the tiles.
    unsafe {
        let scales = Scales::new::<F>(row, strip, weights / F::GROUP);
        let per_strip = GROUPS * F::GROUP / 64;
        let first = strip * per_strip;
        if weights == GROUPS * F::GROUP {
            for j in 0..per_strip {
                let w = F::weights(row, first + j, true);
                let (low, high) = to_bf16::<F>(w, &scales, j, true);
                _mm512_store_si512(steps[2 * j].0.as_mut_ptr().cast(), low);
                _mm512_store_si512(steps[2 * j + 1].0.as_mut_ptr().cast(), high);
            }
            return;
        }
        for j in 0..weights.div_ceil(64) {
            let whole = weights - 64 * j >= 64;
            let w = F::weights(row, first + j, whole);
            let (low, high) = to_bf16::<F>(w, &scales, j, whole);
            _mm512_store_si512(steps[2 * j].0.as_mut_ptr().cast(), low);
            if whole {
                _mm512_store_si512(steps[2 * j + 1].0.as_mut_ptr().cast(), high);
            }
        }
    }
}

/// Scales and offsets of the groups of a strip.
struct Scales {
    scale: [f32; GROUPS],
    offset: [f32; GROUPS],
    /// The first block of the strip.
    block: *const u8,
}

impl Scales {
    /// Whether a group is a block that begins with its scale.
    const fn is_in_place<F: Wide>() -> bool {
        F::LEN == 32 && F::ZERO.is_some()
    }

    #[inline(always)]
    unsafe fn new<F: Wide>(row: *const u8, strip: usize, groups: usize) -> Self {
        let mut this = Self {
            scale: [0.0; GROUPS],
            offset: [0.0; GROUPS],
            block: row.wrapping_add(strip * GROUPS * F::GROUP / F::LEN * F::BYTES),
        };
        if !Self::is_in_place::<F>() {
            // SAFETY: passed on.
            unsafe {
                let (scale, offset) = F::scales(row, strip, groups);
                _mm512_storeu_ps(this.scale.as_mut_ptr(), scale);
                _mm512_storeu_ps(this.offset.as_mut_ptr(), offset);
            }
        }
        this
    }

    /// Scale and offset of a group in all lanes.
    ///
    /// Broadcasts from memory leave the shuffle port to the conversions.
    #[inline(always)]
    unsafe fn of<F: Wide>(&self, group: usize) -> (__m512, __m512) {
        // SAFETY: the group is one of the strip; the caller has the instructions.
        unsafe {
            if let (true, Some(zero)) = (Self::is_in_place::<F>(), F::ZERO) {
                let block = self.block.add(group * F::BYTES);
                let half = _mm256_set1_epi16(block.cast::<i16>().read_unaligned());
                let scale = _mm512_cvtph_ps(half);
                (scale, _mm512_mul_ps(scale, _mm512_set1_ps(-zero)))
            } else {
                (
                    _mm512_set1_ps(self.scale[group]),
                    _mm512_set1_ps(self.offset[group]),
                )
            }
        }
    }
}

/// The `j`th 64 weights of a strip in BF16, in two halves. Where only 32 are left, `whole` is false
/// and the second half holds anything.
#[inline(always)]
unsafe fn to_bf16<F: Wide>(
    w: __m512i,
    scales: &Scales,
    j: usize,
    whole: bool,
) -> (__m512i, __m512i) {
    let groups_of_half = 32 / F::GROUP;
    let halves = [2 * j, if whole { 2 * j + 1 } else { 2 * j }].map(|half| half * groups_of_half);
    // SAFETY: the caller has the instructions.
    unsafe {
        if F::GROUP == 32 && F::LEVELS <= 32 {
            let low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(w));
            let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(w));
            (
                _mm512_permutexvar_epi16(low, table::<F>(scales, halves[0])),
                _mm512_permutexvar_epi16(high, table::<F>(scales, halves[1])),
            )
        } else {
            let mut floats = [_mm512_setzero_ps(); 4];
            let mut sixteen = [_mm512_castsi512_si128(w); 4];
            sixteen[1] = _mm512_extracti32x4_epi32::<1>(w);
            sixteen[2] = _mm512_extracti32x4_epi32::<2>(w);
            sixteen[3] = _mm512_extracti32x4_epi32::<3>(w);
            for (q, floats) in floats.iter_mut().enumerate() {
                let (scale, offset) = scales.of::<F>(halves[q / 2] + q % 2 * (groups_of_half - 1));
                let numbers = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen[q]));
                *floats = _mm512_fmadd_ps(numbers, scale, offset);
            }
            (pair(floats[0], floats[1]), pair(floats[2], floats[3]))
        }
    }
}

/// What each level of a format with few of them means in a group, in BF16.
#[inline(always)]
unsafe fn table<F: Wide>(scales: &Scales, group: usize) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let levels = _mm512_set_ps(
            15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0,
        );
        let (scale, offset) = scales.of::<F>(group);
        // Shorter than with an offset, where the level that means 0 is known.
        let (low, high) = (levels, _mm512_add_ps(levels, _mm512_set1_ps(16.0)));
        let (low, high) = if let Some(zero) = F::ZERO {
            let zero = _mm512_set1_ps(zero);
            (
                _mm512_mul_ps(_mm512_sub_ps(low, zero), scale),
                _mm512_mul_ps(_mm512_sub_ps(high, zero), scale),
            )
        } else {
            (
                _mm512_fmadd_ps(low, scale, offset),
                _mm512_fmadd_ps(high, scale, offset),
            )
        };
        if F::LEVELS <= 16 {
            let low = _mm512_cvtneps_pbh(low);
            return _mm512_castsi256_si512(std::mem::transmute::<__m256bh, __m256i>(low));
        }
        pair(low, high)
    }
}

/// The steps of a strip.
#[derive(Clone, Copy)]
struct Part {
    first_step: usize,
    steps: usize,
    /// The first strip of the rows: sums begin at zero.
    first: bool,
    /// The last strip of the rows: sums are complete.
    last: bool,
}

/// Adds the products of a strip of rows with all tokens to the sums.
#[inline(always)]
unsafe fn multiply(
    registers: &mut Configured,
    part: Part,
    row_tiles: usize,
    tokens: &Tiles<'_>,
    scratch: &mut Scratch,
) {
    let count = tokens.count();
    // Where a pair of tiles of tokens and of rows is all, the sums stay in the registers.
    let resident = count <= 2 && row_tiles <= 2;
    for t in (0..count).step_by(2) {
        let step = |t: usize| tokens.steps(t)[part.first_step..][..part.steps].as_ptr();
        let pair = if t + 1 < count {
            TokenTiles::Two([step(t), step(t + 1)])
        } else {
            TokenTiles::One(step(t))
        };
        for r in (0..row_tiles).step_by(2) {
            // SAFETY: the steps were cut to the strip; there are sums for every tile of tokens, and
            // for one more.
            unsafe {
                let weights = scratch.weights.as_ptr().add(r * SIDE);
                let sums = scratch.sums.as_mut_ptr().add(t * MANY_ROW_TILES + r);
                let sums = [sums, sums.add(MANY_ROW_TILES)];
                if part.first {
                    registers.clear();
                } else if !resident {
                    registers.load(sums.map(<*mut Tile>::cast_const));
                }
                match pair {
                    TokenTiles::Two(tokens) => {
                        if r + 1 < row_tiles {
                            registers.multiply::<2>(weights, tokens, part.steps);
                        } else {
                            registers.multiply::<1>(weights, tokens, part.steps);
                        }
                    }
                    TokenTiles::One(tokens) => {
                        registers.multiply_one(weights, tokens, part.steps);
                    }
                }
                if part.last || !resident {
                    registers.store(sums);
                }
            }
        }
    }
}

/// Where the steps of one or two tiles of tokens begin.
#[derive(Clone, Copy)]
enum TokenTiles {
    One(*const Tile),
    Two([*const Tile; 2]),
}

/// Copies the sums of `n_rows` rows from row `first` on to their places.
#[inline(always)]
unsafe fn store_sums(sums: &[Tile], first: usize, n_rows: usize, out: &mut OutTile<'_>) {
    let token_tiles = out.rows().div_ceil(SIDE);
    for t in 0..token_tiles {
        // The sums of a single tile of tokens are in two parts.
        let is_single = t + 1 == token_tiles && t % 2 == 0;
        for r in 0..n_rows.div_ceil(SIDE) {
            let tile = &sums[t * MANY_ROW_TILES + r];
            let second = &sums[(t + 1) * MANY_ROW_TILES + r];
            let exist = SIDE.min(n_rows - r * SIDE);
            // SAFETY: the caller has the instructions; the mask keeps the writes inside of `out`.
            unsafe {
                let mut rows = [_mm512_setzero_si512(); SIDE];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = _mm512_load_si512(tile.row(i).as_ptr().cast());
                    if is_single {
                        let second = _mm512_load_ps(second.row(i).as_ptr().cast());
                        *row =
                            _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(*row), second));
                    }
                }
                for (i, lanes) in transpose(&rows).into_iter().enumerate() {
                    let token = t * SIDE + i;
                    if token < out.rows() {
                        let out = &mut out.row(token)[first + r * SIDE..][..exist];
                        let mask = ((1u32 << exist) - 1) as __mmask16;
                        _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, _mm512_castsi512_ps(lanes));
                    }
                }
            }
        }
    }
}
