//! Attention of one token to keys and values as the cache stores them, on one thread.
//!
//! A block of keys is small enough to stay in the caches: this is the arithmetic of the kernels.

mod common;

use carat_engine::bench::{DecodedLayer, Rows, SCORES, Stored, random_floats};
use carat_engine::{CpuLevel, InstructionSet};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Layers of the 26B model: name, queries that share a key, length of a key, keys.
const LAYERS: [(&str, usize, usize, usize); 2] =
    [("sliding", 2, 256, 1024), ("global", 8, 512, 1024)];

const STORED: [(&str, Stored); 3] = [
    ("f32", Stored::F32),
    ("f16", Stored::F16),
    ("q8_0", Stored::Q8),
];

/// The levels whose code differs: candle has none for attention and uses the scalar one.
fn levels() -> impl Iterator<Item = CpuLevel> {
    CpuLevel::available().filter(|level| level.instructions() != InstructionSet::Candle)
}

/// Products of queries with keys.
fn stored_dots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stored_dots");
    for (layer, queries, dim, keys) in LAYERS {
        for (stored_name, stored) in STORED {
            let rows = Rows::random(stored, keys, dim);
            let queries = random_floats(queries * dim);
            let mut scores = vec![0.0; queries.len() / dim * SCORES];
            group.throughput(Throughput::Bytes(rows.bytes()));
            for level in levels() {
                let id = BenchmarkId::new(format!("{}/{stored_name}", level.name()), layer);
                group.bench_function(id, |bencher| {
                    bencher.iter(|| rows.dots(level, &queries, &mut scores));
                });
            }
        }
    }
}

/// Sums of values by the weights that the scores have become.
fn add_weighted_stored(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("add_weighted_stored");
    for (layer, queries, dim, keys) in LAYERS {
        for (stored_name, stored) in STORED {
            let rows = Rows::random(stored, keys, dim);
            let weights = random_floats(queries * SCORES);
            let mut sums = vec![0.0; queries * dim];
            group.throughput(Throughput::Bytes(rows.bytes()));
            for level in levels() {
                let id = BenchmarkId::new(format!("{}/{stored_name}", level.name()), layer);
                group.bench_function(id, |bencher| {
                    // From zero every time: sums that grow without end are no numbers after a while.
                    bencher.iter(|| {
                        sums.fill(0.0);
                        rows.add_weighted(level, &mut sums, &weights);
                    });
                });
            }
        }
    }
}

/// Attention of one token on two threads, with one part of the positions for each key/value head, and
/// split into segments as it is done: few heads, and many.
fn decoded_layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decoded_layer");
    for (kv_heads, queries, dim) in [(1, 8, 512), (2, 4, 512), (8, 2, 256), (16, 1, 128)] {
        for positions in [200, 512, 2048, 8192] {
            let layer = DecodedLayer::random(2, kv_heads, queries, dim, positions);
            let mut layer = layer.expect("threads start");
            for (name, split) in [("whole", false), ("split", true)] {
                let shape = format!("{kv_heads} heads/{positions} positions");
                group.bench_function(BenchmarkId::new(shape, name), |bencher| {
                    bencher.iter(|| layer.attend(split));
                });
            }
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = stored_dots, add_weighted_stored, decoded_layer }
criterion_main!(benches);
