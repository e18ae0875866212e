//! Attention of many queries on tiles: products in BF16, softmax in f32.
//!
//! A lane is a query: scores lie as `[keys, queries]`, so that maximum, exponential and sum of a
//! block of keys need nothing across lanes. Keys are visited in blocks with a running maximum and sum
//! (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use super::super::avx512::transpose;
use super::packed::{pack, pair};
use super::tiles::{Configured, SIDE, STEP, STRIP_STEPS, Tile, WeightRow};
use crate::kernels::activations::Activations;
use crate::kernels::{Buffer, StoredRows, vector};

/// Keys of a block.
const KEYS: usize = 128;
/// Tiles of scores of a tile of queries, and tiles of their exponentials.
const SCORE_TILES: usize = KEYS / SIDE;
const EXP_TILES: usize = KEYS / STEP;
/// Stands for no score at all; its differences stay finite.
const NO_SCORE: f32 = -1e30;

/// Lengths of heads that the tiles can hold.
pub(crate) fn fits(d: usize) -> bool {
    d.is_multiple_of(STEP) && d <= STRIP_STEPS * STEP
}

/// The memory of a task.
#[derive(Default)]
struct Scratch {
    /// `[query tile, d / 32]`
    queries: Vec<Tile>,
    /// `[keys]`, a row in steps of 32 dimensions
    keys: Vec<WeightRow>,
    /// `[keys, d]`, BF16
    values: Vec<u16>,
    /// `[d]`, a row in steps of 32 keys
    value_rows: Vec<WeightRow>,
    /// `[query tile, SCORE_TILES]`: keys by queries
    scores: Vec<Tile>,
    /// `[query tile, EXP_TILES]`: pairs of keys by queries
    exps: Vec<Tile>,
    /// `[query tile, d / 16]`: dimensions by queries
    sums: Vec<Tile>,
    states: Vec<State>,
}

/// 16 queries.
#[derive(Clone, Copy)]
struct State {
    max: __m512,
    total: __m512,
    /// The first key that each sees, and the one behind the last.
    begin: __m512i,
    end: __m512i,
    /// Keys that all of them see.
    by_all: (usize, usize),
}

thread_local! {
    /// The memory of the last task of this thread, for the next one.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// `out[i] = softmax(queries[i] . keys) values` over the keys that query `i` sees.
///
/// `stored` gives the rows of a range of positions in runs: `(offset, keys, values)`.
///
/// # Safety
/// The level is available. `queries` and `out` are `[visible.len(), d]`, `d` [`fits`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16")]
pub(crate) unsafe fn attend<'c, I>(
    queries: &[f32],
    d: usize,
    visible: &[Range<usize>],
    stored: impl Fn(Range<usize>) -> I,
    out: &mut [f32],
) where
    I: Iterator<Item = (usize, StoredRows<'c>, StoredRows<'c>)>,
{
    let mut scratch = SCRATCH.take();
    let begin = visible.iter().map(|v| v.start).min().unwrap_or(0);
    let end = visible.iter().map(|v| v.end).max().unwrap_or(0);
    // SAFETY: this function enables the vector instructions; the rest is passed on.
    unsafe {
        scratch.start(queries, d, visible);
        let mut registers = Configured::new();
        for first in (begin..end).step_by(KEYS) {
            let n = KEYS.min(end - first);
            scratch.read(d, n, stored(first..first + n));
            scratch.score(&mut registers, d, n);
            scratch.exponentiate(d, first, n);
            scratch.add_values(&mut registers, d, n);
        }
        scratch.finish(d, out);
    }
    SCRATCH.set(scratch);
}

/// Makes a list at least so long.
fn at_least<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    if list.len() < len {
        list.resize(len, value);
    }
}

/// Keys that are multiplied: whole steps.
fn whole(n: usize) -> usize {
    n.next_multiple_of(STEP)
}

impl Scratch {
    /// Packs the queries, sums nothing yet.
    #[inline(always)]
    unsafe fn start(&mut self, queries: &[f32], d: usize, visible: &[Range<usize>]) {
        let steps = d / STEP;
        // Tiles are multiplied in pairs.
        let n_tiles = visible.len().div_ceil(SIDE).next_multiple_of(2);
        at_least(&mut self.queries, n_tiles * steps, Tile::ZERO);
        at_least(&mut self.keys, KEYS, WeightRow::ZERO);
        at_least(&mut self.values, KEYS * d, 0);
        at_least(&mut self.value_rows, d, WeightRow::ZERO);
        at_least(&mut self.scores, n_tiles * SCORE_TILES, Tile::ZERO);
        at_least(&mut self.exps, n_tiles * EXP_TILES, Tile::ZERO);
        self.sums.clear();
        self.sums.resize(n_tiles * (d / SIDE), Tile::ZERO);
        self.states.clear();
        let ids = Buffer::counting(visible.len());
        let activations = Activations::plain(queries, d);
        for tile in 0..n_tiles {
            let range = (tile * SIDE).min(visible.len())..((tile + 1) * SIDE).min(visible.len());
            let tiles = &mut self.queries[tile * steps..(tile + 1) * steps];
            // SAFETY: the caller has the instructions.
            unsafe {
                pack(&activations, &ids[range.clone()], tiles);
                let visible = &visible[range];
                let bound = |of: fn(&Range<usize>) -> usize| {
                    let lanes: [i32; SIDE] =
                        std::array::from_fn(|i| visible.get(i).map_or(0, of) as i32);
                    _mm512_loadu_si512(lanes.as_ptr().cast())
                };
                self.states.push(State {
                    max: _mm512_set1_ps(NO_SCORE),
                    total: _mm512_setzero_ps(),
                    begin: bound(|v| v.start),
                    end: bound(|v| v.end),
                    by_all: (
                        visible.iter().map(|v| v.start).max().unwrap_or(0),
                        visible.iter().map(|v| v.end).min().unwrap_or(usize::MAX),
                    ),
                });
            }
        }
    }

    /// Rounds a block of keys and values to BF16; rows behind it are zero.
    #[inline(always)]
    unsafe fn read<'c>(
        &mut self,
        d: usize,
        n: usize,
        runs: impl Iterator<Item = (usize, StoredRows<'c>, StoredRows<'c>)>,
    ) {
        // SAFETY: the caller has the instructions; rows are `d` long, a multiple of 32.
        unsafe {
            for (offset, keys, values) in runs {
                for row in 0..keys.len() / d {
                    let to = offset + row;
                    for step in 0..d / STEP {
                        let at = row * d + step * STEP;
                        let key = pair(sixteen(keys, at), sixteen(keys, at + 16));
                        let to_key = self.keys[to].0[step].0.as_mut_ptr();
                        _mm512_store_si512(to_key.cast(), key);
                        let value = pair(sixteen(values, at), sixteen(values, at + 16));
                        let to_value = self.values[to * d + step * STEP..][..STEP].as_mut_ptr();
                        _mm512_storeu_si512(to_value.cast(), value);
                    }
                }
            }
            for row in n..whole(n) {
                self.keys[row] = WeightRow::ZERO;
                self.values[row * d..(row + 1) * d].fill(0);
            }
            // Rows of values become columns: pairs of keys, which a product takes together.
            for step in 0..whole(n) / STEP {
                for block in 0..d / SIDE {
                    let mut pairs = [_mm512_setzero_si512(); SIDE];
                    for (i, pair) in pairs.iter_mut().enumerate() {
                        let at = (step * STEP + 2 * i) * d + block * SIDE;
                        let row = |at: usize| {
                            let row = self.values[at..][..SIDE].as_ptr();
                            _mm512_cvtepu16_epi32(_mm256_loadu_si256(row.cast()))
                        };
                        *pair = _mm512_or_si512(row(at), _mm512_slli_epi32::<16>(row(at + d)));
                    }
                    for (i, column) in transpose(&pairs).into_iter().enumerate() {
                        let to = self.value_rows[block * SIDE + i].0[step].0.as_mut_ptr();
                        _mm512_store_si512(to.cast(), column);
                    }
                }
            }
        }
    }

    /// `keys . queries`
    #[inline(always)]
    unsafe fn score(&mut self, registers: &mut Configured, d: usize, n: usize) {
        let steps = d / STEP;
        for t in (0..self.states.len()).step_by(2) {
            let queries = [t, t + 1].map(|t| self.queries[t * steps..][..steps].as_ptr());
            for r in (0..whole(n) / SIDE).step_by(2) {
                let keys = self.keys[r * SIDE..][..2 * SIDE].as_ptr();
                let scores = [t, t + 1].map(|t| {
                    let pair = &mut self.scores[t * SCORE_TILES + r..][..2];
                    pair.as_mut_ptr()
                });
                // SAFETY: all slices were cut to what is used.
                unsafe {
                    registers.clear();
                    registers.multiply::<2>(keys, queries, steps);
                    registers.store(scores);
                }
            }
        }
    }

    /// Brings the sums to the new maximum; scores become their exponentials in BF16.
    #[inline(always)]
    unsafe fn exponentiate(&mut self, d: usize, first: usize, n: usize) {
        let dims = d / SIDE;
        for (t, state) in self.states.iter_mut().enumerate() {
            let scores = &self.scores[t * SCORE_TILES..][..SCORE_TILES];
            let exps = &mut self.exps[t * EXP_TILES..][..EXP_TILES];
            let all_see = state.by_all.0 <= first && first + whole(n) <= state.by_all.1;
            // SAFETY: the caller has the instructions; rows of tiles are aligned to 64 bytes.
            unsafe {
                let sees = |key: usize| {
                    if all_see {
                        return 0xffff;
                    }
                    let position = _mm512_set1_epi32((first + key) as i32);
                    _mm512_cmple_epi32_mask(state.begin, position)
                        & _mm512_cmplt_epi32_mask(position, state.end)
                };
                let score =
                    |key: usize| _mm512_load_ps(scores[key / SIDE].row(key % SIDE).as_ptr().cast());
                let mut max = state.max;
                for key in 0..n {
                    max = _mm512_mask_max_ps(max, sees(key), max, score(key));
                }
                let factor = exp(_mm512_sub_ps(state.max, max));
                state.total = _mm512_mul_ps(state.total, factor);
                if _mm512_cmpneq_ps_mask(state.max, max) != 0 {
                    for tile in &mut self.sums[t * dims..(t + 1) * dims] {
                        for i in 0..SIDE {
                            let row = tile.row_mut(i).as_mut_ptr().cast();
                            _mm512_store_ps(row, _mm512_mul_ps(_mm512_load_ps(row), factor));
                        }
                    }
                }
                state.max = max;
                for i in 0..whole(n) / 2 {
                    let (even, odd) = (2 * i, 2 * i + 1);
                    let seen = |key: usize| if key < n { sees(key) } else { 0 };
                    let low = exp(_mm512_sub_ps(score(even), max));
                    let low = _mm512_maskz_mov_ps(seen(even), low);
                    let high = exp(_mm512_sub_ps(score(odd), max));
                    let high = _mm512_maskz_mov_ps(seen(odd), high);
                    state.total = _mm512_add_ps(state.total, _mm512_add_ps(low, high));
                    let to = exps[i / SIDE].row_mut(i % SIDE).as_mut_ptr();
                    _mm512_store_si512(to.cast(), interleave(pair(low, high)));
                }
            }
        }
    }

    /// Adds the products of values and exponentials.
    #[inline(always)]
    unsafe fn add_values(&mut self, registers: &mut Configured, d: usize, n: usize) {
        let (dims, steps) = (d / SIDE, whole(n) / STEP);
        for t in (0..self.states.len()).step_by(2) {
            let exps = [t, t + 1].map(|t| self.exps[t * EXP_TILES..][..steps].as_ptr());
            for r in (0..dims).step_by(2) {
                let values = self.value_rows[r * SIDE..][..2 * SIDE].as_ptr();
                let sums = [t, t + 1].map(|t| self.sums[t * dims + r..][..2].as_mut_ptr());
                // SAFETY: all slices were cut to what is used.
                unsafe {
                    registers.load(sums.map(<*mut Tile>::cast_const));
                    registers.multiply::<2>(values, exps, steps);
                    registers.store(sums);
                }
            }
        }
    }

    /// Divides by the sums of exponentials.
    #[inline(always)]
    unsafe fn finish(&self, d: usize, out: &mut [f32]) {
        let dims = d / SIDE;
        for (t, out) in out.chunks_mut(SIDE * d).enumerate() {
            // SAFETY: the caller has the instructions; a lane is a row of `out`.
            unsafe {
                let inverse = _mm512_div_ps(_mm512_set1_ps(1.0), self.states[t].total);
                for (block, tile) in self.sums[t * dims..(t + 1) * dims].iter().enumerate() {
                    let mut rows = [_mm512_setzero_si512(); SIDE];
                    for (i, row) in rows.iter_mut().enumerate() {
                        let sum = _mm512_load_ps(tile.row(i).as_ptr().cast());
                        *row = _mm512_castps_si512(_mm512_mul_ps(sum, inverse));
                    }
                    for (out, row) in out.chunks_exact_mut(d).zip(transpose(&rows)) {
                        let out = out[block * SIDE..][..SIDE].as_mut_ptr();
                        _mm512_storeu_ps(out, _mm512_castsi512_ps(row));
                    }
                }
            }
        }
    }
}

/// 16 values from `at` on.
#[inline(always)]
unsafe fn sixteen(rows: StoredRows<'_>, at: usize) -> __m512 {
    // SAFETY: the slices are cut to what is read; the caller has the instructions.
    unsafe {
        match rows {
            StoredRows::F32(values) => _mm512_loadu_ps(values[at..][..16].as_ptr()),
            StoredRows::F16(values) => {
                _mm512_cvtph_ps(_mm256_loadu_si256(values[at..][..16].as_ptr().cast()))
            }
            StoredRows::Q8 {
                block,
                quants,
                scales,
            } => {
                let quants = _mm_loadu_si128(quants[at..][..16].as_ptr().cast());
                let scale = _mm512_set1_ps(scales[at / block].to_f32());
                _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(quants)), scale)
            }
        }
    }
}

/// `e^x` in every lane.
#[inline(always)]
unsafe fn exp(x: __m512) -> __m512 {
    // SAFETY: both types are 64 bytes; the caller has the instructions.
    unsafe {
        let mut x: [f32; 16] = std::mem::transmute(x);
        for x in &mut x {
            *x = vector::exp::<true>(*x);
        }
        std::mem::transmute(x)
    }
}

/// From 16 low and 16 high halves: low and high of every lane side by side.
#[inline(always)]
unsafe fn interleave(halves: __m512i) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves));
        let high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(halves));
        _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
    }
}
