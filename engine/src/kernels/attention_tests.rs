//! Attention straight from the cache and on tiles, against attention in plain f32.

use super::random::{Random, floats};
use super::tests::assert_close;
use super::{BLOCK_KEYS, CpuLevel, InstructionSet, StoredRows, attend};

#[test]
fn stored_rows_are_multiplied_as_converted_ones() {
    let mut random = Random(47);
    for (d, block) in [(16, 16), (80, 16), (96, 32), (256, 32)] {
        for (m, n) in [(1, 1), (2, 7), (3, 4), (9, 64)] {
            let (queries, weights) = (floats(&mut random, m * d), floats(&mut random, m * 70));
            let values = floats(&mut random, n * d);
            let halves: Vec<_> = values.iter().map(|&x| half::f16::from_f32(x)).collect();
            let quants: Vec<i8> = (0..n * d).map(|_| random.next() as i8).collect();
            let scales: Vec<_> = (0..n * d / block)
                .map(|_| half::f16::from_f32(random.float()))
                .collect();
            let q8 = StoredRows::Q8 {
                block,
                quants: &quants,
                scales: &scales,
            };
            let from_halves: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
            let from_q8: Vec<f32> = quants
                .iter()
                .enumerate()
                .map(|(i, &q)| scales[i / block].to_f32() * f32::from(q))
                .collect();
            for (rows, converted) in [
                (StoredRows::F32(&values), &values),
                (StoredRows::F16(&halves), &from_halves),
                (q8, &from_q8),
            ] {
                let (mut expected, mut sums) =
                    (vec![0.0; m * BLOCK_KEYS], floats(&mut random, m * d));
                super::scores(CpuLevel::SCALAR, &queries, converted, d, &mut expected);
                let before = sums.clone();
                super::add_weighted_rows(CpuLevel::SCALAR, &mut sums, &weights, 70, converted, d);
                for level in CpuLevel::available() {
                    let mut found = vec![0.0; m * BLOCK_KEYS];
                    super::stored_dots(level, &queries, rows, d, &mut found, BLOCK_KEYS);
                    assert_close(level.name(), &found, &expected, 400.0 * d as f32);
                    let mut found = before.clone();
                    super::add_weighted_stored(level, &mut found, &weights, 70, rows, d);
                    assert_close(level.name(), &found, &sums, 400.0 * n as f32);
                }
            }
        }
    }
}

#[test]
fn many_queries_get_the_numbers_of_few() {
    let mut random = Random(53);
    for level in CpuLevel::available() {
        for (d, m, n) in [(16, 9, 5), (64, 7, 64), (80, 4, 33), (512, 18, 64)] {
            let keys: Vec<_> = (floats(&mut random, n * d).into_iter())
                .map(half::f16::from_f32)
                .collect();
            let converted: Vec<f32> = keys.iter().map(|x| x.to_f32()).collect();
            let queries = floats(&mut random, m * d);
            let mut many = vec![0.0; m * BLOCK_KEYS];
            super::scores(level, &queries, &converted, d, &mut many);
            let sums = floats(&mut random, m * d);
            let (mut many_sums, weights) = (sums.clone(), many.clone());
            super::add_weighted_rows(level, &mut many_sums, &weights, BLOCK_KEYS, &converted, d);
            for i in 0..m {
                let mut one = [0.0; BLOCK_KEYS];
                let (query, stored) = (&queries[i * d..][..d], StoredRows::F16(&keys));
                super::stored_dots(level, query, stored, d, &mut one, BLOCK_KEYS);
                let many = &many[i * BLOCK_KEYS..][..n];
                assert_eq!(many, &one[..n], "{} {m}x{n} of {d}", level.name());
                let (mut sums, weights) = (sums[i * d..][..d].to_vec(), &weights[i * BLOCK_KEYS..]);
                super::add_weighted_stored(level, &mut sums, weights, BLOCK_KEYS, stored, d);
                assert_eq!(&many_sums[i * d..][..d], &sums, "{} of {d}", level.name());
            }
        }
    }
}

#[test]
fn attention_on_tiles_is_the_softmax_of_what_a_query_sees() {
    let mut random = Random(49);
    for level in CpuLevel::available() {
        for (d, n_queries, n_keys, window) in [
            (32, 16, 5, 100),
            (64, 40, 300, 70),
            (256, 130, 131, 500),
            (512, 17, 128, 3),
        ] {
            let mut queries = floats(&mut random, n_queries * d);
            for query in &mut queries {
                *query /= (d as f32).sqrt();
            }
            let rounded = |values: Vec<f32>| -> Vec<half::f16> {
                values.into_iter().map(half::f16::from_f32).collect()
            };
            let keys = rounded(floats(&mut random, n_keys * d));
            let values = rounded(floats(&mut random, n_keys * d));
            let visible: Vec<_> = (0..n_queries)
                .map(|i| {
                    let end = n_keys - (n_queries - 1 - i).min(n_keys - 1);
                    end.saturating_sub(window)..end
                })
                .collect();
            // Two runs, as in a ring that wraps around.
            let stored = |range: std::ops::Range<usize>| {
                let cut = (range.start + range.len() / 3 + 1).min(range.end);
                [(0, range.start..cut), (cut - range.start, cut..range.end)]
                    .into_iter()
                    .filter(|(_, run)| !run.is_empty())
                    .map(|(offset, run)| {
                        let run = run.start * d..run.end * d;
                        let rows = |all| StoredRows::F16(&(all as &[half::f16])[run.clone()]);
                        (offset, rows(&keys), rows(&values))
                    })
            };
            let mut found = vec![f32::NAN; n_queries * d];
            if !attend(level, &queries, d, &visible, stored, &mut found) {
                assert_ne!(level.instructions(), InstructionSet::AmxBf16);
                continue;
            }
            for ((query, seen), found) in queries
                .chunks_exact(d)
                .zip(visible)
                .zip(found.chunks_exact(d))
            {
                let row = |all: &[half::f16], i: usize| -> Vec<f32> {
                    all[i * d..][..d].iter().map(|x| x.to_f32()).collect()
                };
                let scores = seen.clone().map(|key| {
                    let key = row(&keys, key);
                    query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>()
                });
                let scores: Vec<f32> = scores.collect();
                let max = scores.iter().fold(f32::MIN, |max, &score| max.max(score));
                let exps: Vec<f32> = scores.iter().map(|score| (score - max).exp()).collect();
                let total: f32 = exps.iter().sum();
                let mut expected = vec![0.0; d];
                for (exp, i) in exps.iter().zip(seen) {
                    for (sum, value) in expected.iter_mut().zip(row(&values, i)) {
                        *sum += exp / total * value;
                    }
                }
                // Everything is rounded to 8 bits; values are below 3.
                let bound = 0.06;
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < bound,
                        "{found}, expected {expected}, d {d}"
                    );
                }
            }
        }
    }
}
