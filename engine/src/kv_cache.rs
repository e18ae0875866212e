//! Keys and values of past tokens, one store per layer that owns them.
//!
//! A layer with a sliding window keeps a ring of its most recent positions: the window, the
//! largest chunk of a prefill (whose first token still needs a whole window behind it) and a
//! margin, by which the cache can be truncated without losing the window.

use half::f16;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;

use crate::kernels::{List, Pool, StoredRows};

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 32-bit floats, for comparisons with references.
    F32,
    /// 16-bit floats.
    #[default]
    F16,
    /// 8-bit integers with an f16 scale for every 32 values; about half the memory of f16.
    Q8_0,
}

impl KvType {
    /// The name that the command line takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Bytes of `n` values in heads of `head_dim`.
    fn bytes(self, n: usize, head_dim: usize) -> usize {
        match self {
            Self::F32 => 4 * n,
            Self::F16 => 2 * n,
            Self::Q8_0 => n + 2 * (n / q8_block(head_dim)),
        }
    }
}

/// Values that share a scale in [`KvType::Q8_0`]: 32, or what divides a shorter head evenly.
fn q8_block(head_dim: usize) -> usize {
    32.min(1 << head_dim.trailing_zeros())
}

/// What a layer stores per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    /// Key/value heads.
    pub(crate) n_kv_heads: usize,
    /// Length of a head.
    pub(crate) head_dim: usize,
    /// Positions that a query sees, itself included; `None`: all.
    pub(crate) window: Option<usize>,
}

/// Keys and values of all layers of one sequence.
pub(crate) struct KvCache {
    /// One store per layer that owns keys and values, in the order of the layers.
    layers: Vec<LayerStore>,
    /// Positions that are filled: 0..len.
    len: usize,
    /// Positions up to here were written, or begun to be: what they overwrote in the rings is lost.
    high_water: usize,
    context: usize,
}

/// Keys or values of one layer: `[n_kv_heads, capacity, head_dim]`.
struct LayerStore {
    shape: KvShape,
    capacity: usize,
    keys: Store,
    values: Store,
}

enum Store {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Q8_0 {
        block: usize,
        quants: Vec<i8>,
        scales: Vec<f16>,
    },
}

impl Store {
    fn new(kv: KvType, n: usize, head_dim: usize) -> Self {
        // Zeroed integers come from the operating system untouched, so that memory is used only once
        // positions are filled; zeros of another type would be written.
        let halves = |n: usize| vec![0u16; n].reinterpret_into::<f16>();
        match kv {
            KvType::F32 => Self::F32(vec![0.0; n]),
            KvType::F16 => Self::F16(halves(n)),
            KvType::Q8_0 => {
                let block = q8_block(head_dim);
                Self::Q8_0 {
                    block,
                    quants: vec![0; n],
                    scales: halves(n / block),
                }
            }
        }
    }

    /// Copies some values, whole rows, from a store of the same type.
    fn copy(&mut self, from: &Self, range: std::ops::Range<usize>) {
        match (self, from) {
            (Self::F32(to), Self::F32(from)) => to[range.clone()].copy_from_slice(&from[range]),
            (Self::F16(to), Self::F16(from)) => to[range.clone()].copy_from_slice(&from[range]),
            (
                Self::Q8_0 {
                    block,
                    quants,
                    scales,
                },
                Self::Q8_0 {
                    quants: from_quants,
                    scales: from_scales,
                    ..
                },
            ) => {
                let blocks = range.start / *block..range.end / *block;
                scales[blocks.clone()].copy_from_slice(&from_scales[blocks]);
                quants[range.clone()].copy_from_slice(&from_quants[range]);
            }
            _ => unreachable!("caches of one model and one type"),
        }
    }

    /// The parts of the heads, `len` values each.
    fn heads(&mut self, len: usize) -> List<HeadStore<'_>> {
        match self {
            Self::F32(store) => store.chunks_exact_mut(len).map(HeadStore::F32).collect(),
            Self::F16(store) => store.chunks_exact_mut(len).map(HeadStore::F16).collect(),
            Self::Q8_0 {
                block,
                quants,
                scales,
            } => {
                let block = *block;
                let scales = scales.chunks_exact_mut(len / block);
                let heads = quants.chunks_exact_mut(len).zip(scales);
                heads
                    .map(|(quants, scales)| HeadStore::Q8_0 {
                        block,
                        quants,
                        scales,
                    })
                    .collect()
            }
        }
    }

    /// `n` values from `at` on, both whole blocks.
    fn rows(&self, at: usize, n: usize) -> StoredRows<'_> {
        match self {
            Self::F32(store) => StoredRows::F32(&store[at..at + n]),
            Self::F16(store) => StoredRows::F16(&store[at..at + n]),
            Self::Q8_0 {
                block,
                quants,
                scales,
            } => StoredRows::Q8 {
                block: *block,
                quants: &quants[at..at + n],
                scales: &scales[at / block..(at + n) / block],
            },
        }
    }

    fn read(&self, at: usize, out: &mut [f32]) {
        let n = out.len();
        match self {
            Self::F32(store) => out.copy_from_slice(&store[at..at + n]),
            Self::F16(store) => store[at..at + n].convert_to_f32_slice(out),
            Self::Q8_0 {
                block,
                quants,
                scales,
            } => {
                let blocks = out
                    .chunks_exact_mut(*block)
                    .zip(quants[at..at + n].chunks_exact(*block));
                for ((out, q), scale) in blocks.zip(&scales[at / *block..]) {
                    let d = scale.to_f32();
                    for (out, q) in out.iter_mut().zip(q) {
                        *out = d * f32::from(*q);
                    }
                }
            }
        }
    }
}

/// The keys or the values of one head, to be written.
enum HeadStore<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    Q8_0 {
        block: usize,
        quants: &'a mut [i8],
        scales: &'a mut [f16],
    },
}

impl HeadStore<'_> {
    fn write(&mut self, at: usize, values: &[f32]) {
        let n = values.len();
        match self {
            Self::F32(store) => store[at..at + n].copy_from_slice(values),
            Self::F16(store) => store[at..at + n].convert_from_f32_slice(values),
            Self::Q8_0 {
                block,
                quants,
                scales,
            } => {
                let blocks = values
                    .chunks_exact(*block)
                    .zip(quants[at..at + n].chunks_exact_mut(*block));
                for ((x, q), scale) in blocks.zip(&mut scales[at / *block..]) {
                    let max = x.iter().fold(0.0f32, |max, v| max.max(v.abs()));
                    *scale = f16::from_f32(max / 127.0);
                    let d = scale.to_f32();
                    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
                    for (q, v) in q.iter_mut().zip(x) {
                        *q = (v * inverse).round() as i8;
                    }
                }
            }
        }
    }
}

/// Keys or values of some tokens: heads side by side in rows.
#[derive(Clone, Copy)]
pub(crate) struct HeadRows<'a> {
    /// Begins with the first head of the first token and ends in the row of the last.
    pub(crate) values: &'a [f32],
    /// Distance of two rows.
    pub(crate) stride: usize,
}

impl HeadRows<'_> {
    fn head(&self, token: usize, head: usize, d: usize) -> &[f32] {
        &self.values[token * self.stride + head * d..][..d]
    }
}

/// Tokens from which on heads are stored in parallel.
const PARALLEL_TOKENS: usize = 16;

/// Sizes that decide how much a cache keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvLimits {
    /// Positions that fit.
    pub(crate) context: usize,
    /// Tokens that are appended at once at most.
    pub(crate) chunk: usize,
    /// Tokens that can be taken back without losing a window.
    pub(crate) margin: usize,
}

impl KvCache {
    /// An empty cache for layers of these shapes.
    pub(crate) fn new(shapes: &[KvShape], kv: KvType, limits: KvLimits) -> Self {
        let layers = shapes
            .iter()
            .map(|&shape| {
                let capacity = ring_capacity(shape, limits);
                let n = shape.n_kv_heads * capacity * shape.head_dim;
                LayerStore {
                    shape,
                    capacity,
                    keys: Store::new(kv, n, shape.head_dim),
                    values: Store::new(kv, n, shape.head_dim),
                }
            })
            .collect();
        Self {
            layers,
            len: 0,
            high_water: 0,
            context: limits.context,
        }
    }

    /// Bytes that a full cache of these shapes takes.
    pub(crate) fn bytes(shapes: &[KvShape], kv: KvType, limits: KvLimits) -> usize {
        shapes
            .iter()
            .map(|&shape| {
                2 * kv.bytes(
                    shape.n_kv_heads * ring_capacity(shape, limits) * shape.head_dim,
                    shape.head_dim,
                )
            })
            .sum()
    }

    /// Becomes a copy of the first `n` positions of `other`, a cache of the same sizes; returns how many
    /// it has then: `n`, or 0 where a sliding window that a token at `n` needs is gone there.
    pub(crate) fn copy_prefix(&mut self, other: &Self, n: usize) -> usize {
        assert_eq!(self.context, other.context, "caches of the same sizes");
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            to.copy(from, other.high_water);
        }
        (self.len, self.high_water) = (other.len, other.high_water);
        self.truncate(n)
    }

    /// Number of filled positions.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether keys and values are kept as they were computed.
    pub(crate) fn is_exact(&self) -> bool {
        let first = self.layers.first();
        first.is_none_or(|layer| matches!(layer.keys, Store::F32(_)))
    }

    /// Positions that fit.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// Stores keys and values of consecutive tokens at positions `start..`.
    ///
    /// The tokens count as filled only after [`KvCache::advance`], once every layer has stored them.
    pub(crate) fn store(
        &mut self,
        pool: &Pool,
        layer: usize,
        start: usize,
        keys: HeadRows<'_>,
        values: HeadRows<'_>,
    ) {
        let LayerStore {
            shape,
            capacity,
            keys: key_store,
            values: value_store,
        } = &mut self.layers[layer];
        let (capacity, d) = (*capacity, shape.head_dim);
        let key_heads = key_store.heads(capacity * d).into_iter();
        let mut heads: List<_> = key_heads
            .zip(value_store.heads(capacity * d))
            .enumerate()
            .collect();
        let n_tokens = keys.values.len().div_ceil(keys.stride);
        // Few tokens are not worth a second thread.
        let heads_at_once = if n_tokens < PARALLEL_TOKENS {
            heads.len()
        } else {
            1
        };
        pool.for_each_chunk(&mut heads, heads_at_once, |_, heads| {
            for (head, (key_store, value_store)) in heads {
                for token in 0..n_tokens {
                    let at = (start + token) % capacity * d;
                    key_store.write(at, keys.head(token, *head, d));
                    value_store.write(at, values.head(token, *head, d));
                }
            }
        });
    }

    /// Says that `n_tokens` more positions are about to be written. What they overwrite in the rings
    /// is lost even where a cancellation keeps them from ever counting as filled.
    pub(crate) fn begin(&mut self, n_tokens: usize) {
        self.high_water = self.high_water.max(self.len + n_tokens);
        self.assert_invariants();
    }

    /// Counts `n_tokens` more positions as filled.
    pub(crate) fn advance(&mut self, n_tokens: usize) {
        self.len += n_tokens;
        self.high_water = self.high_water.max(self.len);
        self.assert_invariants();
    }

    /// Keys of `positions` of one head, as f32 `[positions, head_dim]`.
    pub(crate) fn read_keys(
        &self,
        layer: usize,
        head: usize,
        positions: std::ops::Range<usize>,
        out: &mut [f32],
    ) {
        let store = &self.layers[layer];
        store.read(&store.keys, head, positions, out);
    }

    /// Values of `positions` of one head, as f32 `[positions, head_dim]`.
    pub(crate) fn read_values(
        &self,
        layer: usize,
        head: usize,
        positions: std::ops::Range<usize>,
        out: &mut [f32],
    ) {
        let store = &self.layers[layer];
        store.read(&store.values, head, positions, out);
    }

    /// The rows of keys and of values of `positions` of one head as they are stored, in runs of
    /// neighbours: `(offset of the first, keys, values)`.
    pub(crate) fn stored(
        &self,
        layer: usize,
        head: usize,
        positions: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (usize, StoredRows<'_>, StoredRows<'_>)> {
        let store = &self.layers[layer];
        let d = store.shape.head_dim;
        let begin = positions.start;
        store.runs(positions).map(move |(position, slot, n)| {
            let at = (head * store.capacity + slot) * d;
            let (keys, values) = (&store.keys, &store.values);
            (
                position - begin,
                keys.rows(at, n * d),
                values.rows(at, n * d),
            )
        })
    }

    /// Forgets all positions from `n` on and returns how many are left.
    ///
    /// That is `n`, or 0 where a sliding window that a token at `n` needs was already overwritten.
    pub(crate) fn truncate(&mut self, n: usize) -> usize {
        if n >= self.len {
            return self.len;
        }
        self.len = if self.can_truncate(n) { n } else { 0 };
        if self.len == 0 {
            self.high_water = 0;
        }
        self.assert_invariants();
        self.len
    }

    /// Whether every sliding window that a token at `n` needs is still there.
    pub(crate) fn can_truncate(&self, n: usize) -> bool {
        let mut layers = self.layers.iter();
        layers.all(|layer| layer.window_is_whole(n, self.high_water))
    }

    /// Panics if the cache contradicts itself.
    pub(crate) fn assert_invariants(&self) {
        assert!(
            self.len <= self.high_water && self.high_water <= self.context,
            "filled positions fit the context"
        );
        assert!(
            self.layers
                .iter()
                .all(|layer| layer.window_is_whole(self.len, self.high_water)),
            "the window of the next token is whole in every layer"
        );
    }
}

/// Positions that a layer keeps.
fn ring_capacity(shape: KvShape, limits: KvLimits) -> usize {
    match shape.window {
        Some(window) => limits.context.min(window + limits.chunk + limits.margin),
        None => limits.context,
    }
}

impl LayerStore {
    /// Copies all that a store of the same shape holds of positions up to `written`.
    fn copy(&mut self, from: &Self, written: usize) {
        assert_eq!(self.capacity, from.capacity, "stores of the same sizes");
        let (d, n) = (self.shape.head_dim, written.min(self.capacity));
        for head in 0..self.shape.n_kv_heads {
            let at = head * self.capacity * d;
            self.keys.copy(&from.keys, at..at + n * d);
            self.values.copy(&from.values, at..at + n * d);
        }
    }

    /// Whether the positions that a token at `next` sees are all in the ring, after positions up
    /// to `high_water` were written.
    fn window_is_whole(&self, next: usize, high_water: usize) -> bool {
        let lowest_kept = high_water.saturating_sub(self.capacity);
        let lowest_seen = self
            .shape
            .window
            .map_or(0, |window| (next + 1).saturating_sub(window));
        lowest_kept <= lowest_seen || next == 0
    }

    /// Runs of neighbours in the ring, which wraps around at most once: `(position, slot, length)`.
    fn runs(
        &self,
        positions: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let capacity = self.capacity;
        let mut position = positions.start;
        std::iter::from_fn(move || {
            let slot = position % capacity;
            let n = (capacity - slot).min(positions.end - position);
            position += n;
            (n > 0).then_some((position - n, slot, n))
        })
    }

    /// Reads positions of one head.
    fn read(&self, store: &Store, head: usize, positions: std::ops::Range<usize>, out: &mut [f32]) {
        let d = self.shape.head_dim;
        let begin = positions.start;
        for (position, slot, n) in self.runs(positions) {
            let out = &mut out[(position - begin) * d..][..n * d];
            store.read((head * self.capacity + slot) * d, out);
        }
    }
}

#[cfg(test)]
mod tests;
