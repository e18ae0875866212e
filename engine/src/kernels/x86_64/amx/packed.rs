//! Activations in the order in which a tile multiplies them.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use super::super::avx512::transpose;
use super::tiles::{SIDE, STEP, Tile};
use crate::kernels::activations::{Activations, Input};
use crate::kernels::{List, Pool};

/// Tokens from which on tiles are faster than vectors.
pub(crate) const MIN_TOKENS: usize = 12;

thread_local! {
    /// The tiles of the last product of this thread, for the next one.
    static MEMORY: RefCell<Vec<Tile>> = const { RefCell::new(Vec::new()) };
}

/// Inputs of products, rounded to BF16 and packed: 16 tokens and 32 columns to a tile.
pub(crate) struct Packed {
    /// `[token tile, step]`; in a tile: pairs of columns by tokens, zero where there is no token.
    tiles: Vec<Tile>,
    /// Where the tiles of every input are, and the length of its rows; nothing if it is not packed.
    inputs: List<(Range<usize>, usize)>,
}

/// The tiles of one input.
#[derive(Clone, Copy)]
pub(crate) struct Tiles<'a> {
    tiles: &'a [Tile],
    columns: usize,
}

impl Packed {
    /// Packs the inputs that are `wanted`.
    pub(crate) fn new(pool: &Pool, inputs: &[Input<'_>], wanted: impl Fn(usize) -> bool) -> Self {
        let (mut ranges, mut n_tiles) = (List::new(), 0);
        if !(0..inputs.len()).any(&wanted) {
            return Self {
                tiles: Vec::new(),
                inputs: ranges,
            };
        }
        for (i, input) in inputs.iter().enumerate() {
            let columns = input.activations.columns;
            let n = if wanted(i) {
                input.rows.len().div_ceil(SIDE) * (columns / STEP)
            } else {
                0
            };
            ranges.push((n_tiles..n_tiles + n, columns));
            n_tiles += n;
        }
        let mut tiles = MEMORY.take();
        if tiles.len() < n_tiles {
            tiles.resize(n_tiles, Tile::ZERO);
        }
        let (mut tasks, mut rest) = (List::new(), &mut tiles[..n_tiles]);
        for (input, (range, columns)) in inputs.iter().zip(&ranges) {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(range.len());
            let parts = input.rows.chunks(SIDE).zip(now.chunks_mut(columns / STEP));
            tasks.extend(parts.map(|(rows, tiles)| (input.activations, rows, tiles)));
            rest = later;
        }
        pool.for_each_chunk(&mut tasks, 1, |_, tasks| {
            for (activations, rows, tiles) in tasks {
                // SAFETY: this module is used at its level only.
                unsafe { pack(activations, rows, tiles) };
            }
        });
        drop(tasks);
        Self {
            tiles,
            inputs: ranges,
        }
    }

    /// The tiles of an input, which was wanted.
    pub(crate) fn tiles(&self, input: usize) -> Tiles<'_> {
        let (range, columns) = &self.inputs[input];
        Tiles {
            tiles: &self.tiles[range.clone()],
            columns: *columns,
        }
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        if self.tiles.is_empty() {
            return;
        }
        // A thread that ends has no memory to keep.
        let _ = MEMORY.try_with(|memory| memory.replace(std::mem::take(&mut self.tiles)));
    }
}

impl Tiles<'_> {
    /// Length of the rows of activations.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of tiles of tokens.
    pub(super) fn count(&self) -> usize {
        self.tiles.len() / (self.columns / STEP)
    }

    /// The steps of a tile of tokens.
    #[inline(always)]
    pub(super) fn steps(&self, tile: usize) -> &[Tile] {
        let steps = self.columns / STEP;
        &self.tiles[tile * steps..(tile + 1) * steps]
    }
}

/// Packs at most 16 tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack(activations: &Activations<'_>, tokens: &[u32], tiles: &mut [Tile]) {
    for (step, tile) in tiles.iter_mut().enumerate() {
        // SAFETY: a step is 32 columns of a row; the function enables the instructions.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); SIDE];
            for (row, &token) in rows.iter_mut().zip(tokens) {
                let x = activations.row_values(token as usize)[step * STEP..][..STEP].as_ptr();
                *row = pair(_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16)));
            }
            for (i, row) in transpose(&rows).into_iter().enumerate() {
                _mm512_store_si512(tile.row_mut(i).as_mut_ptr().cast(), row);
            }
        }
    }
}

/// 32 numbers rounded to BF16.
#[inline(always)]
pub(super) unsafe fn pair(low: __m512, high: __m512) -> __m512i {
    // SAFETY: the caller has the instructions; both types are 64 bytes without padding.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}
