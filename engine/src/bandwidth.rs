//! The machine's memory bandwidth, the yardstick of decoding.

use std::hint::black_box;
use std::time::Instant;

use memmap2::MmapMut;

/// Bytes that are read; larger than the last-level caches of most machines.
const BUFFER_BYTES: usize = 512 << 20;
/// Runs, of which the best counts: the others were disturbed.
const RUNS: usize = 5;

/// Places from which a thread reads by turns: as many as the kernels do, since one stream does not
/// keep the memory busy.
const STREAMS: usize = 4;
/// Bytes that are read from a stream at a time.
const PIECE_BYTES: usize = 256;

/// Reads a large buffer on `threads` threads and returns bytes per second.
pub fn measure_bandwidth(threads: usize) -> f64 {
    let threads = threads.max(1);
    let Ok(mut buffer) = MmapMut::map_anon(BUFFER_BYTES) else {
        return 0.0;
    };
    // Model files are mapped in large pages where there are any. Without them the advice has no
    // effect.
    #[cfg(target_os = "linux")]
    let _ = buffer.advise(memmap2::Advice::HugePage);
    // Written, so that every page is backed by memory of its own.
    buffer.fill(1);
    let part = BUFFER_BYTES
        .div_ceil(threads)
        .next_multiple_of(STREAMS * PIECE_BYTES);
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
fn sum(part: &[u8]) -> u64 {
    let mut lanes = [0u64; PIECE_BYTES / 8];
    let (first, rest) = part.split_at(part.len() / STREAMS);
    let (second, rest) = rest.split_at(first.len());
    let (third, fourth) = rest.split_at(first.len());
    let streams = [first, second, third, fourth].map(|stream| stream.chunks_exact(PIECE_BYTES));
    let [first, second, third, fourth] = streams;
    for (((a, b), c), d) in first.zip(second).zip(third).zip(fourth) {
        for piece in [a, b, c, d] {
            for (lane, bytes) in lanes.iter_mut().zip(piece.chunks_exact(8)) {
                let value = bytes
                    .first_chunk()
                    .map_or(0, |bytes| u64::from_le_bytes(*bytes));
                *lane = lane.wrapping_add(value);
            }
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
