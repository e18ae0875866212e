//! A whole model in the formats whose numbers come from a grid: nothing but activations is rounded.

use std::path::Path;

use super::tests::distance;
use super::*;
use crate::gguf::{ModelFile, TensorInfo, TensorType};
use crate::kernels::random::{Random, random_rows};
use crate::kernels::{MatrixRef, Reading, dequantize};
use crate::{CancelToken, LoadOptions};

/// The formats, and the scale of blocks at which random weights in rows of 256 are about 1/16.
const GRIDS: [(TensorType, u32, f32); 7] = [
    (TensorType::Iq2Xxs, 16, 1.0 / 640.0),
    (TensorType::Iq2Xs, 17, 1.0 / 640.0),
    (TensorType::Iq2S, 22, 1.0 / 640.0),
    (TensorType::Iq3Xxs, 18, 1.0 / 1900.0),
    (TensorType::Iq3S, 21, 1.0 / 2000.0),
    (TensorType::Iq1S, 19, 1.0 / 120.0),
    (TensorType::Iq1M, 29, 1.0 / 120.0),
];

/// Random blocks of a scale.
fn blocks(random: &mut Random, tensor_type: TensorType, rows: usize, scale: f32) -> Vec<u8> {
    let mut bytes = random_rows(random, tensor_type, rows, 256);
    let half = half::f16::from_f32(scale).to_bits();
    for block in bytes.chunks_exact_mut(tensor_type.block_bytes()) {
        if tensor_type == TensorType::Iq1M {
            for part in 0..4 {
                let high = &mut block[49 + 2 * part];
                *high = *high & 15 | ((half >> (4 * part)) as u8 & 15) << 4;
            }
        } else {
            block[..2].copy_from_slice(&half.to_le_bytes());
        }
    }
    bytes
}

fn values(tensor_type: TensorType, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let columns = shape[shape.len() - 1];
    let elements: usize = shape.iter().product();
    let mut values = vec![0.0; elements];
    let matrix = MatrixRef {
        tensor_type,
        rows: elements / columns,
        columns,
        bytes,
        panels: None,
        reading: Reading::ROWS,
    };
    dequantize(matrix, &mut values);
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A GGUF file with the metadata of `file`, whose bytes are given, and other tensors: number of the type
/// and data.
fn rewritten(file: &ModelFile, bytes: &[u8], tensors: &[(&TensorInfo, u32, Vec<u8>)]) -> Vec<u8> {
    let name = |info: &TensorInfo| {
        let name = info.name.as_bytes();
        [&(name.len() as u64).to_le_bytes(), name].concat()
    };
    let first = name(&file.tensors()[0]);
    let head = bytes
        .windows(first.len())
        .position(|window| window == first);
    let mut out = bytes[..head.expect("the list of tensors follows the metadata")].to_vec();
    let mut data = Vec::new();
    for (info, raw_type, bytes) in tensors {
        data.resize(data.len().next_multiple_of(32), 0);
        out.extend(name(info));
        out.extend((info.shape.len() as u32).to_le_bytes());
        for axis in info.shape.iter().rev() {
            out.extend((*axis as u64).to_le_bytes());
        }
        out.extend(raw_type.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    out
}

/// The same model twice: matrices with rows of 256 in the formats by turns, and all weights in F32.
fn models() -> [Model; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/parity/moe-wide.q4_0_q6k.gguf");
    let bytes = std::fs::read(&path).expect("a fixture of this repository");
    let file = ModelFile::open(&path).expect("a fixture of this repository");
    let mut random = Random(15);
    let (mut packed, mut plain, mut n) = (Vec::new(), Vec::new(), 0);
    for info in file.tensors() {
        let data = file.data(info);
        let tensor_type = info.tensor_type().expect("a type that runs");
        let columns = info.shape[info.shape.len() - 1];
        if info.shape.len() == 1 || tensor_type == TensorType::F32 {
            packed.push((info, info.raw_type, data.to_vec()));
            plain.push((info, info.raw_type, data.to_vec()));
            continue;
        }
        let (tensor_type, raw_type, data) = if columns == 256 {
            let (tensor_type, raw_type, scale) = GRIDS[n % GRIDS.len()];
            n += 1;
            let rows = info.elements() / 256;
            (
                tensor_type,
                raw_type,
                blocks(&mut random, tensor_type, rows, scale),
            )
        } else {
            (tensor_type, info.raw_type, data.to_vec())
        };
        plain.push((info, 0, values(tensor_type, &info.shape, &data)));
        packed.push((info, raw_type, data));
    }
    assert!(n >= 2 * GRIDS.len(), "every format several times, not {n}");
    [packed, plain].map(|tensors| {
        let bytes = rewritten(&file, &bytes, &tensors);
        let file = ModelFile::from_bytes("grids", &bytes).expect("a file");
        Model::from_file(&file, &LoadOptions { threads: Some(2) }).expect("a model")
    })
}

/// The limit is that of all quantized files (tests/fixtures/parity): activations have 8 bits.
#[test]
fn grids_give_the_logits_of_the_same_weights_in_f32() {
    let [packed, plain] = models();
    let session = |model: &Model, kv| {
        let options = SessionOptions {
            context_tokens: 256,
            kv,
            ..SessionOptions::default()
        };
        model.new_session(&options).expect("a session")
    };
    let mut random = Random(3);
    for length in [1, 7, 60] {
        let tokens: Vec<TokenId> = (0..length)
            .map(|_| 300 + (random.next() % 600) as TokenId)
            .collect();
        let never = CancelToken::new();
        let expected = session(&plain, KvType::F32).evaluate(&tokens, &never);
        let expected = expected.expect("logits");
        let together = session(&packed, KvType::F16).evaluate(&tokens, &never);
        let mut one_by_one = session(&packed, KvType::F16);
        let mut last = Vec::new();
        for token in &tokens {
            last = one_by_one.evaluate(&[*token], &never).expect("logits");
        }
        for found in [together.expect("logits"), last] {
            let distance = distance(&found, &expected);
            assert!(distance < 2e-2, "{length} tokens: {distance}");
        }
    }
}
