//! Random weights and activations for tests and benchmarks.

use crate::gguf::TensorType;

/// A generator; xorshift64* (Vigna, 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number between -1 and 1.
    pub(super) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Offsets of the f16 scales inside a block, which must be finite and of a sensible size.
fn half_offsets(tensor_type: TensorType) -> &'static [usize] {
    match tensor_type {
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4K | TensorType::Q5K => &[0, 2],
        TensorType::Q2K => &[80, 82],
        TensorType::Q3K => &[108],
        TensorType::Q6K => &[208],
        TensorType::Mxfp4 | TensorType::Iq1M => &[],
        _ => &[0],
    }
}

/// Random rows of any type: random bits, but scales between -1/8 and 1/8.
pub(crate) fn random_rows(
    random: &mut Random,
    tensor_type: TensorType,
    rows: usize,
    columns: usize,
) -> Vec<u8> {
    let n = rows * tensor_type.row_bytes(columns);
    if tensor_type == TensorType::F32 {
        return (0..n / 4)
            .flat_map(|_| random.float().to_le_bytes())
            .collect();
    }
    if tensor_type == TensorType::F16 {
        return (0..n / 2)
            .flat_map(|_| half::f16::from_f32(random.float()).to_le_bytes())
            .collect();
    }
    if tensor_type == TensorType::BF16 {
        return (0..n / 2)
            .flat_map(|_| half::bf16::from_f32(random.float()).to_le_bytes())
            .collect();
    }
    let mut bytes: Vec<u8> = (0..n).map(|_| random.next() as u8).collect();
    for block in bytes.chunks_exact_mut(tensor_type.block_bytes()) {
        if tensor_type == TensorType::Mxfp4 {
            // Powers of two up to an eighth of 6.
            block[0] = 114 + block[0] % 8;
        }
        if tensor_type == TensorType::Iq1M {
            // Four bits of the scale in each of the last four words.
            let bits = half::f16::from_f32(random.float() / 8.0).to_bits();
            for part in 0..4 {
                let high = &mut block[49 + 2 * part];
                *high = *high & 15 | ((bits >> (4 * part)) as u8 & 15) << 4;
            }
        }
        for &at in half_offsets(tensor_type) {
            block[at..at + 2]
                .copy_from_slice(&half::f16::from_f32(random.float() / 8.0).to_le_bytes());
        }
    }
    bytes
}

/// Numbers between -3 and 3.
pub(crate) fn floats(random: &mut Random, n: usize) -> Vec<f32> {
    (0..n).map(|_| random.float() * 3.0).collect()
}
