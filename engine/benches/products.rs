//! Weight matrices times tokens, on one thread: every type, number of tokens and level.
//!
//! A matrix stays in the caches from one product to the next: this is the arithmetic of the
//! kernels. What memory adds to it is in `carat bench`. The last part of a name is the number of tokens.

mod common;

use carat_engine::bench::{Matrix, Threads};
use carat_engine::gguf::TensorType;
use carat_engine::{CpuLevel, InstructionSet};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};

/// One token is decoding, 8 are a short piece of a prompt, the others are prefill.
const TOKENS: [usize; 4] = [1, 8, 128, 512];

/// Gate and up of an expert of the 26B model: rows, columns.
const EXPERT: (usize, usize) = (1408, 2816);
/// Rows for the levels that are there to be compared with, which are slow.
const ROWS_OF_SLOW_LEVELS: usize = 16;

/// The matrices of a layer of the embedded model and of one four times as wide.
const SMALL: [(usize, usize); 2] = [(256, 256), (1024, 1024)];

/// Bytes of weights and multiplications (criterion's elements) per second.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    level: CpuLevel,
    matrix: &Matrix,
    tokens: usize,
) {
    let threads = Threads::new(1).expect("no thread to start");
    // The longest take milliseconds: as many in one sample as in the next.
    group.sampling_mode(if tokens < 128 {
        SamplingMode::Auto
    } else {
        SamplingMode::Flat
    });
    group.throughput(Throughput::ElementsAndBytes {
        elements: matrix.weights() * tokens as u64,
        bytes: matrix.bytes(),
    });
    matrix
        .random_tokens(tokens)
        .prepare(level, &threads, matrix, |product| {
            group.bench_function(id, |bencher| bencher.iter(&mut *product));
        });
}

/// In the order of the file.
fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rows");
    for level in CpuLevel::available() {
        let (mut rows, columns) = EXPERT;
        if matches!(
            level.instructions(),
            InstructionSet::Scalar | InstructionSet::Candle
        ) {
            rows = ROWS_OF_SLOW_LEVELS;
        }
        for tensor_type in TensorType::all() {
            let matrix = Matrix::random(tensor_type, rows, columns);
            let name = format!("{}/{}/{rows}x{columns}", level.name(), tensor_type.name());
            for tokens in TOKENS {
                let id = BenchmarkId::new(&name, tokens);
                measure(&mut group, id, level, &matrix, tokens);
            }
        }
    }
}

/// Small models in panels of 16 rows, beside the same in the order of the file.
fn panels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("panels");
    for level in CpuLevel::available() {
        for tensor_type in [TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0] {
            for (rows, columns) in SMALL {
                let plain = Matrix::random(tensor_type, rows, columns);
                let Some(panels) = Matrix::random(tensor_type, rows, columns).repacked(level)
                else {
                    continue;
                };
                let name = format!("{}/{}/{rows}x{columns}", level.name(), tensor_type.name());
                for (order, matrix) in [("panels", &panels), ("rows", &plain)] {
                    measure(&mut group, BenchmarkId::new(&name, order), level, matrix, 1);
                }
            }
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = rows, panels }
criterion_main!(benches);
