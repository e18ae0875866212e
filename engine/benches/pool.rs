//! What a parallel loop costs when its tasks do nothing: a token runs through some hundred loops.

mod common;

use std::num::NonZero;

use carat_engine::bench::Threads;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Loops of one task a thread, and of many, on two threads and on all.
fn empty_loop(criterion: &mut Criterion) {
    let all = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut counts = vec![2, all.max(2)];
    counts.dedup();
    let mut group = criterion.benchmark_group("empty_loop");
    for count in counts {
        let threads = Threads::new(count).expect("threads start");
        for tasks in [count, 64 * count] {
            let id = BenchmarkId::new(format!("{count} threads"), format!("{tasks} tasks"));
            group.bench_function(id, |bencher| bencher.iter(|| threads.empty_loop(tasks)));
        }
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = empty_loop }
criterion_main!(benches);
