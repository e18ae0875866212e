//! Weights that come from memory, times one token on two threads: every way to read them, in turns.
//!
//! No criterion: readings differ by less than a machine does from second to second, so each is compared
//! with the usual one within a round. The arguments are parts of names (`avx2/Q4_K`); none is all.

use std::io::Write as _;
use std::time::Instant;

use carat_engine::bench::{Matrix, Threads};
use carat_engine::gguf::TensorType;
use carat_engine::{CpuLevel, Reading};

/// The columns of an expert of the 26B model.
const COLUMNS: usize = 2816;
/// Three times what is last in the caches of the largest processors at hand.
const BYTES: usize = 96 << 20;
const ROUNDS: usize = 11;

fn main() -> std::io::Result<()> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut out = std::io::stdout().lock();
    for tensor_type in TensorType::quantized() {
        let mut matrix = None;
        for level in CpuLevel::available() {
            let name = format!("{}/{}", level.name(), tensor_type.name());
            if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
                continue;
            }
            let matrix = matrix.get_or_insert_with(|| {
                let rows = BYTES / tensor_type.row_bytes(COLUMNS);
                Matrix::random(tensor_type, rows, COLUMNS)
            });
            let readings = matrix.readings(level);
            if readings.len() > 1 {
                write!(out, "{name:24}")?;
                for (reading, speed, gain) in compared(level, matrix, &readings)? {
                    let Reading { rows, ahead } = reading;
                    write!(out, "  {rows}/{ahead} {speed:.1} GB/s ({gain:.2})")?;
                }
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

/// Each reading with its speed and how many times as fast as the first it is: medians.
fn compared(
    level: CpuLevel,
    matrix: &mut Matrix,
    readings: &[Reading],
) -> std::io::Result<Vec<(Reading, f64, f64)>> {
    let threads = Threads::new(2)?;
    let mut tokens = matrix.random_tokens(1);
    let mut times = vec![Vec::new(); readings.len()];
    for round in 0..ROUNDS {
        for i in 0..readings.len() {
            let turn = (i + round) % readings.len();
            matrix.read_as(readings[turn]);
            tokens.prepare(level, &threads, matrix, |product| {
                let begin = Instant::now();
                product();
                times[turn].push(begin.elapsed().as_secs_f64());
            });
        }
    }
    let bytes = matrix.bytes() as f64;
    Ok((readings.iter().zip(&times))
        .map(|(&reading, own)| {
            let gains = times[0].iter().zip(own).map(|(usual, own)| usual / own);
            let speed = bytes / median(own.clone()) / 1e9;
            (reading, speed, median(gains.collect()))
        })
        .collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
