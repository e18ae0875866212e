//! The machine's memory bandwidth, the yardstick of decoding.

use std::hint::black_box;
use std::time::Instant;

/// Bytes that are read; larger than the last-level caches of most machines.
const BUFFER_BYTES: usize = 512 << 20;
/// Runs, of which the best counts: the others were disturbed.
const RUNS: usize = 5;

/// Reads a large buffer on `threads` threads and returns bytes per second.
pub fn measure_bandwidth(threads: usize) -> f64 {
    let threads = threads.max(1);
    // Written, so that every page is backed by memory of its own.
    let buffer: Vec<u64> = (0..(BUFFER_BYTES / 8) as u64).collect();
    let part = buffer.len().div_ceil(threads);
    let run = || {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for part in buffer.chunks(part) {
                scope.spawn(move || black_box(sum(part)));
            }
        });
        BUFFER_BYTES as f64 / begin.elapsed().as_secs_f64()
    };
    (0..RUNS).map(|_| run()).fold(0.0, f64::max)
}

/// Sums in lanes, so that the loop waits for memory and not for additions.
fn sum(part: &[u64]) -> u64 {
    let mut lanes = [0u64; 32];
    for chunk in part.chunks_exact(32) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*value);
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
