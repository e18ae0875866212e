//! Every level against the scalar one, and the scalar one against candle's reading of the formats.

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K,
    BlockQ8_0, GgmlType,
};

use super::formats::half_to_f32;
use super::random::{Random, floats, random_rows};
use super::{
    BLOCK_KEYS, CpuLevel, Epilogue, Input, InstructionSet, MatrixRef, OutTile, Pool, Product,
    Reading, Repacked, dequantize, matmul, products,
};
use crate::gguf::TensorType;
use crate::kernels::Activations;

/// The shapes that tend to break kernels: one block, one more, ragged tails, many tokens.
fn shapes(tensor_type: TensorType) -> Vec<(usize, usize, usize)> {
    let block = tensor_type.block_len().max(32);
    let mut shapes = Vec::new();
    for columns in [block, 3 * block, 11 * block, 22 * block] {
        for rows in [1, 3, 9, 16, 37] {
            for tokens in [1, 2, 3, 4, 7, 15] {
                shapes.push((rows, columns, tokens));
            }
        }
    }
    shapes
}

fn quantized(x: &[f32], columns: usize) -> Activations<'_> {
    let pool = Pool::new(1).expect("no thread to start");
    Activations::quantized(CpuLevel::SCALAR, &pool, x, columns)
}

/// `[tokens, rows]`
fn tile(
    level: CpuLevel,
    weights: MatrixRef<'_>,
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut [f32],
) {
    let mut out = OutTile::new(out, weights.rows);
    super::matrix::tile(level, weights, activations, tokens, &mut out);
}

/// Compares within the rounding error of a sum of `columns` products.
#[track_caller]
pub(super) fn assert_close(what: &str, found: &[f32], expected: &[f32], scale: f32) {
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= 2e-6 * scale + 1e-6,
            "{what}: element {i} is {f}, expected {e}"
        );
    }
}

#[test]
fn every_level_equals_the_scalar_one() {
    let mut random = Random(42);
    for tensor_type in TensorType::all() {
        for (rows, columns, tokens) in shapes(tensor_type) {
            let bytes = random_rows(&mut random, tensor_type, rows, columns);
            let weights = MatrixRef {
                tensor_type,
                rows,
                columns,
                bytes: &bytes,
                panels: None,
                reading: Reading::ROWS,
            };
            let x = floats(&mut random, tokens * columns);
            let activations = if weights.is_float() {
                Activations::plain(&x, columns)
            } else {
                quantized(&x, columns)
            };
            let ids: Vec<u32> = (0..tokens as u32).rev().collect();
            let mut expected = vec![0.0; rows * tokens];
            tile(CpuLevel::SCALAR, weights, &activations, &ids, &mut expected);
            let mut weight_values = vec![0.0; rows * columns];
            dequantize(weights, &mut weight_values);
            let scale =
                weight_values.iter().fold(0.0f32, |m, v| m.max(v.abs())) * 3.0 * columns as f32;
            for level in
                CpuLevel::available().filter(|level| level.instructions() != InstructionSet::Candle)
            {
                let mut found = vec![0.0; rows * tokens];
                tile(level, weights, &activations, &ids, &mut found);
                let what = format!(
                    "{} {} {rows}x{columns} {tokens} tokens",
                    level.name(),
                    tensor_type.name()
                );
                assert_close(&what, &found, &expected, scale);
            }
        }
    }
}

/// candle rounds activations in its own way, so that only the size of the rounding error is common.
/// A draft that is verified gives the numbers that its tokens would have had one by one.
#[test]
fn few_tokens_are_to_the_last_bit_what_each_is_alone() {
    let ours = |level: &CpuLevel| {
        !matches!(
            level.instructions(),
            InstructionSet::Scalar | InstructionSet::Candle
        )
    };
    for level in CpuLevel::available().filter(ours) {
        for tensor_type in TensorType::quantized() {
            let block = tensor_type.block_len().max(32);
            // Less than a strip of 16 groups of weights, and several with a rest.
            for (blocks, rows, tokens) in [
                (11, 1, 2),
                (37, 1, 2),
                (37, 9, 3),
                (11, 37, 4),
                (37, 37, 4),
                (16, 16, 5),
                (37, 5, 6),
                (37, 6, 7),
                (11, 21, 8),
                (37, 21, 8),
            ] {
                let columns = blocks * block;
                let random = &mut Random(5);
                let bytes = random_rows(random, tensor_type, rows, columns);
                let weights = MatrixRef {
                    tensor_type,
                    rows,
                    columns,
                    bytes: &bytes,
                    panels: None,
                    reading: Reading::ROWS,
                };
                let x = floats(random, tokens * columns);
                let activations = quantized(&x, columns);
                let all: Vec<u32> = (0..tokens as u32).collect();
                let mut together = vec![0.0; tokens * rows];
                tile(level, weights, &activations, &all, &mut together);
                let mut alone = vec![0.0; tokens * rows];
                for (token, out) in all.iter().zip(alone.chunks_exact_mut(rows)) {
                    tile(level, weights, &activations, &[*token], out);
                }
                assert_eq!(
                    together,
                    alone,
                    "{} {} {rows} rows, {tokens} tokens",
                    level.name(),
                    tensor_type.name()
                );
            }
        }
    }
}

#[test]
fn panels_equal_the_rows_they_were_made_of() {
    let mut random = Random(48);
    for level in CpuLevel::available() {
        for tensor_type in [TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0] {
            for (rows, columns) in [(16, 32), (48, 96), (64, 704)] {
                let bytes = random_rows(&mut random, tensor_type, rows, columns);
                let plain = MatrixRef {
                    tensor_type,
                    rows,
                    columns,
                    bytes: &bytes,
                    panels: None,
                    reading: Reading::ROWS,
                };
                let Some(repacked) = Repacked::new(level, plain) else {
                    continue;
                };
                let weights = MatrixRef {
                    panels: Some(repacked.panels()),
                    reading: Reading::PANELS,
                    ..plain
                };
                let x = floats(&mut random, 2 * columns);
                let activations = quantized(&x, columns);
                let (mut expected, mut found) = (vec![0.0; rows], vec![0.0; rows]);
                tile(CpuLevel::SCALAR, plain, &activations, &[1], &mut expected);
                // Whole, and in two parts of which the second has panels only if it is whole.
                tile(level, weights, &activations, &[1], &mut found);
                let scale = expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
                assert_close(tensor_type.name(), &found, &expected, 8.0 * scale);
                for cut in [0, 5, 16] {
                    let part = weights.slice(cut, rows - cut);
                    assert_eq!(part.panels.is_some(), cut != 5);
                    if part.rows > 0 {
                        let found = &mut found[cut..];
                        found.fill(f32::NAN);
                        tile(level, part, &activations, &[1], found);
                    }
                    assert_close(tensor_type.name(), &found, &expected, 8.0 * scale);
                }
            }
        }
    }
}

#[test]
fn candle_is_within_the_rounding_of_activations() {
    let Some(candle) = InstructionSet::Candle.detect() else {
        println!("not checked: this processor lacks what candle's code has");
        return;
    };
    let mut random = Random(43);
    for tensor_type in TensorType::quantized() {
        let (rows, columns, tokens) = (4, 4 * tensor_type.block_len().max(64), 3);
        let bytes = random_rows(&mut random, tensor_type, rows, columns);
        let weights = MatrixRef {
            tensor_type,
            rows,
            columns,
            bytes: &bytes,
            panels: None,
            reading: Reading::ROWS,
        };
        let x = floats(&mut random, tokens * columns);
        let activations = quantized(&x, columns);
        let (mut found, mut values) = (vec![0.0; rows * tokens], vec![0.0; rows * columns]);
        tile(candle, weights, &activations, &[0, 1, 2], &mut found);
        dequantize(weights, &mut values);
        for (x, found) in x.chunks_exact(columns).zip(found.chunks_exact(rows)) {
            for (row, found) in values.chunks_exact(columns).zip(found) {
                let exact: f32 = row.iter().zip(x).map(|(a, b)| a * b).sum();
                let norm: f32 = row.iter().map(|a| a * a).sum::<f32>().sqrt();
                assert!(
                    (found - exact).abs() < 0.05 * norm,
                    "{}: {found}, exactly {exact}",
                    tensor_type.name()
                );
            }
        }
    }
}

#[test]
fn dot_products_match_the_dequantized_weights() {
    let mut random = Random(44);
    for tensor_type in TensorType::quantized() {
        let (rows, columns) = (5, 4 * tensor_type.block_len().max(64));
        let bytes = random_rows(&mut random, tensor_type, rows, columns);
        let weights = MatrixRef {
            tensor_type,
            rows,
            columns,
            bytes: &bytes,
            panels: None,
            reading: Reading::ROWS,
        };
        let x = floats(&mut random, columns);
        let activations = quantized(&x, columns);
        let rounded: Vec<f32> = activations
            .quants
            .iter()
            .enumerate()
            .map(|(i, &q)| activations.scales[i / 32] * f32::from(q))
            .collect();
        let (mut found, mut values) = (vec![0.0; rows], vec![0.0; rows * columns]);
        tile(CpuLevel::SCALAR, weights, &activations, &[0], &mut found);
        dequantize(weights, &mut values);
        let expected: Vec<f32> = values
            .chunks_exact(columns)
            .map(|row| row.iter().zip(&rounded).map(|(a, b)| a * b).sum())
            .collect();
        let scale = values.iter().fold(0.0f32, |m, v| m.max(v.abs())) * 3.0 * columns as f32;
        assert_close(tensor_type.name(), &found, &expected, scale);
    }
}

/// Tiles multiply rounded weights with rounded activations, and then lose nothing more.
#[test]
fn tiles_multiply_numbers_rounded_to_bf16() {
    let Some(tiles) = InstructionSet::AmxBf16.detect() else {
        println!("not checked: this processor has no tiles");
        return;
    };
    let mut random = Random(46);
    let pool = Pool::new(2).expect("threads start");
    let rounded = |x: &[f32]| -> Vec<f32> {
        x.iter()
            .map(|&x| half::bf16::from_f32(x).to_f32())
            .collect()
    };
    let n_tokens = 70;
    // Too short for tiles, exactly one tile, pairs of tiles, a single one behind pairs.
    let inputs: Vec<Vec<u32>> = [3, 16, 15, 32, 17, 70, 41]
        .into_iter()
        .map(|n| (0..n).map(|i| (i * 29 + n) % n_tokens).collect())
        .collect();
    let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
    for tensor_type in TensorType::quantized() {
        let block = tensor_type.block_len();
        for (rows, columns) in [
            (1, block),
            (16, 3 * block),
            (37, 11 * block),
            (100, 22 * block),
        ] {
            let bytes = random_rows(&mut random, tensor_type, rows, columns);
            let weights = MatrixRef {
                tensor_type,
                rows,
                columns,
                bytes: &bytes,
                panels: None,
                reading: Reading::ROWS,
            };
            let x = floats(&mut random, n_tokens as usize * columns);
            let activations = quantized(&x, columns);
            let list: Vec<_> = (0..inputs.len())
                .map(|input| Product {
                    weights,
                    input,
                    epilogue: Epilogue::Plain,
                })
                .collect();
            let lists: Vec<_> = inputs
                .iter()
                .map(|rows| Input {
                    activations: &activations,
                    rows,
                })
                .collect();
            let mut found: Vec<_> = inputs.iter().map(|i| vec![0.0; i.len() * rows]).collect();
            let outs: Vec<_> = found
                .iter_mut()
                .map(|out| OutTile::new(out, rows))
                .collect();
            products(tiles, &pool, &lists, &list, &outs);
            drop(outs);
            let mut values = vec![0.0; rows * columns];
            dequantize(weights, &mut values);
            let (values, x) = (rounded(&values), rounded(&x));
            let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs())) * 3.0;
            // The order of sums, and one weight that was rounded to the other side.
            let bound = 2e-6 * largest * columns as f32 + largest / 128.0;
            for (tokens, found) in inputs.iter().zip(&found).skip(1) {
                for (&token, found) in tokens.iter().zip(found.chunks_exact(rows)) {
                    let x = &x[token as usize * columns..][..columns];
                    for (row, found) in values.chunks_exact(columns).zip(found) {
                        let exact: f32 = row.iter().zip(x).map(|(a, b)| a * b).sum();
                        assert!(
                            (found - exact).abs() <= bound,
                            "{} {rows}x{columns}, {} tokens: {found}, expected {exact}",
                            tensor_type.name(),
                            tokens.len()
                        );
                    }
                }
            }
        }
    }
}

fn candle_values<B: GgmlType>(bytes: &[u8], n: usize) -> Vec<f32> {
    // A copy of the bytes at the alignment of the blocks.
    let mut blocks = vec![B::zeros(); bytes.len() / size_of::<B>()];
    // SAFETY: blocks are plain data of exactly this many bytes.
    let target =
        unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast::<u8>(), bytes.len()) };
    target.copy_from_slice(bytes);
    let mut values = vec![0.0; n];
    B::to_float(&blocks, &mut values);
    values
}

#[test]
fn formats_are_read_as_candle_reads_them() {
    let mut random = Random(45);
    for tensor_type in TensorType::quantized() {
        let columns = 4 * tensor_type.block_len();
        let bytes = random_rows(&mut random, tensor_type, 7, columns);
        let n = 7 * columns;
        let expected = match tensor_type {
            TensorType::Q4_0 => candle_values::<BlockQ4_0>(&bytes, n),
            TensorType::Q4_1 => candle_values::<BlockQ4_1>(&bytes, n),
            TensorType::Q5_0 => candle_values::<BlockQ5_0>(&bytes, n),
            TensorType::Q5_1 => candle_values::<BlockQ5_1>(&bytes, n),
            TensorType::Q8_0 => candle_values::<BlockQ8_0>(&bytes, n),
            TensorType::Q2K => candle_values::<BlockQ2K>(&bytes, n),
            TensorType::Q3K => candle_values::<BlockQ3K>(&bytes, n),
            TensorType::Q4K => candle_values::<BlockQ4K>(&bytes, n),
            TensorType::Q5K => candle_values::<BlockQ5K>(&bytes, n),
            TensorType::Q6K => candle_values::<BlockQ6K>(&bytes, n),
            _ => continue,
        };
        let mut found = vec![0.0; n];
        dequantize(
            MatrixRef {
                tensor_type,
                rows: 7,
                columns,
                bytes: &bytes,
                panels: None,
                reading: Reading::ROWS,
            },
            &mut found,
        );
        let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (f - e).abs() <= 4e-6 * largest,
                "{}: weight {i} is {f}, candle says {e}",
                tensor_type.name()
            );
        }
    }
}

#[test]
fn every_half_becomes_its_float() {
    for bits in 0..=u16::MAX {
        let (found, expected) = (half_to_f32(bits), half::f16::from_bits(bits).to_f32());
        assert!(
            found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
            "{bits:#06x}: {found}, expected {expected}"
        );
    }
}

#[test]
fn vector_functions_agree_on_all_lengths() {
    let mut random = Random(46);
    for level in CpuLevel::available() {
        for n in [0, 1, 15, 16, 17, 63, 64, 65, 257] {
            let (a, b) = (floats(&mut random, n), floats(&mut random, n));
            let mut gate = a.clone();
            super::gelu_times(level, &mut gate, &b);
            for i in 0..n {
                let x = f64::from(a[i]);
                let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                let exact = 0.5 * x * (1.0 + y.tanh()) * f64::from(b[i]);
                assert!(
                    (f64::from(gate[i]) - exact).abs() < 2e-6 * (1.0 + exact.abs()),
                    "{} gelu({x})",
                    level.name()
                );
            }

            let mut capped: Vec<f32> = a.iter().map(|x| x * 40.0).collect();
            super::softcap(level, &mut capped, 30.0);
            for (x, capped) in a.iter().zip(&capped) {
                let exact = 30.0 * (f64::from(*x * 40.0) / 30.0).tanh();
                assert!(
                    (f64::from(*capped) - exact).abs() < 1e-5,
                    "{} softcap({x})",
                    level.name()
                );
            }

            let mut e = a.clone();
            let sum = super::exp_minus(level, &mut e, 3.0);
            let exact: Vec<f64> = a.iter().map(|x| f64::from(x - 3.0).exp()).collect();
            assert!(
                (f64::from(sum) - exact.iter().sum::<f64>()).abs() < 1e-4,
                "{} sum of exp",
                level.name()
            );
            assert!(
                e.iter()
                    .zip(&exact)
                    .all(|(a, b)| (f64::from(*a) - b).abs() < 3e-7 * b + 1e-12),
                "{} exp",
                level.name()
            );
        }
    }
}

#[test]
fn products_of_float_rows_agree_on_all_shapes() {
    let mut random = Random(49);
    for level in CpuLevel::available() {
        for d in [1, 15, 16, 64, 65, 96, 257] {
            for (m, n) in [(1, 1), (1, 9), (4, 4), (5, 17), (8, 3), (11, BLOCK_KEYS)] {
                let (a, b) = (floats(&mut random, m * d), floats(&mut random, n * d));
                let mut out = vec![0.0; m * BLOCK_KEYS];
                super::scores(level, &a, &b, d, &mut out);
                let what = format!("{} {m}x{n} of {d}", level.name());
                for (i, a) in a.chunks_exact(d).enumerate() {
                    for (j, b) in b.chunks_exact(d).enumerate() {
                        let pairs = a.iter().zip(b);
                        let exact: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        let found = f64::from(out[i * BLOCK_KEYS + j]);
                        assert!((found - exact).abs() < 2e-4, "{what}: {found}, {exact}");
                    }
                }
                let stride = n + 2;
                let weights = floats(&mut random, m * stride);
                let mut sums = a.clone();
                super::add_weighted_rows(level, &mut sums, &weights, stride, &b, d);
                for (at, found) in sums.iter().enumerate() {
                    let (i, c) = (at / d, at % d);
                    let terms = (0..n).map(|j| weights[i * stride + j] * b[j * d + c]);
                    let exact = a[at] + terms.sum::<f32>();
                    assert!((found - exact).abs() < 1e-3, "{what}: {found}, {exact}");
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_product() {
    let mut random = Random(47);
    let (rows, columns, tokens) = (77, 64, 5);
    let bytes = random_rows(&mut random, TensorType::Q4_0, rows, columns);
    let weights = MatrixRef {
        tensor_type: TensorType::Q4_0,
        rows,
        columns,
        bytes: &bytes,
        panels: None,
        reading: Reading::ROWS,
    };
    let x = floats(&mut random, tokens * columns);
    let activations = quantized(&x, columns);
    let product = |threads| {
        let mut out = vec![0.0; rows * tokens];
        matmul(
            CpuLevel::current(),
            &Pool::new(threads).expect("threads start"),
            weights,
            &activations,
            &mut out,
        );
        out
    };
    assert_eq!(product(1), product(3));
}
