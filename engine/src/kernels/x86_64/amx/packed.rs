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
use crate::kernels::Pool;
use crate::kernels::activations::Activations;

/// Tokens from which on tiles are faster than vectors.
pub(crate) const MIN_TOKENS: usize = 12;

thread_local! {
    /// The tiles of the last product of this thread, for the next one.
    static MEMORY: RefCell<Vec<Tile>> = const { RefCell::new(Vec::new()) };
}

/// Lists of rows of activations, rounded to BF16 and packed: 16 tokens and 32 columns to a tile.
pub(crate) struct Packed {
    /// `[token tile, step]`; in a tile: pairs of columns by tokens, zero where there is no token.
    tiles: Vec<Tile>,
    /// Tiles of tokens of every input, nothing for inputs that are too short.
    inputs: Vec<Option<Range<usize>>>,
    columns: usize,
}

/// The tiles of one input.
#[derive(Clone, Copy)]
pub(crate) struct Tiles<'a> {
    tiles: &'a [Tile],
    columns: usize,
}

impl Packed {
    pub(crate) fn new(pool: &Pool, activations: &Activations<'_>, inputs: &[&[u32]]) -> Self {
        let columns = activations.columns;
        let steps = columns / STEP;
        let (mut tokens_of_tile, mut ranges) = (Vec::new(), Vec::with_capacity(inputs.len()));
        for tokens in inputs {
            let first = tokens_of_tile.len();
            if tokens.len() >= MIN_TOKENS {
                tokens_of_tile.extend(tokens.chunks(SIDE));
                ranges.push(Some(first..tokens_of_tile.len()));
            } else {
                ranges.push(None);
            }
        }
        let mut tiles = MEMORY.take();
        let n_tiles = tokens_of_tile.len() * steps;
        if tiles.len() < n_tiles {
            tiles.resize(n_tiles, Tile::ZERO);
        }
        pool.for_each_chunk(&mut tiles[..n_tiles], steps, |i, tiles| {
            // SAFETY: this module is used at its level only.
            unsafe { pack(activations, tokens_of_tile[i], tiles) };
        });
        Self {
            tiles,
            inputs: ranges,
            columns,
        }
    }

    /// The tiles of an input, if it is long enough for tiles.
    pub(crate) fn tiles(&self, input: usize) -> Option<Tiles<'_>> {
        let range = self.inputs[input].as_ref()?;
        let steps = self.columns / STEP;
        Some(Tiles {
            tiles: &self.tiles[range.start * steps..range.end * steps],
            columns: self.columns,
        })
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
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
fn pack(activations: &Activations<'_>, tokens: &[u32], tiles: &mut [Tile]) {
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
