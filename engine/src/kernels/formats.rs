//! The weight formats of GGUF: how one block of bytes becomes integers, scales and offsets.
//!
//! Every quantized format is the same thing to the kernels: for each 16 weights an unsigned 8-bit
//! integer `u` per weight, a scale and an offset, such that `weight = scale * u + offset`. A dot
//! product with activations is then an integer dot product per 16 weights plus the offset times
//! the sum of the activations. Source of the layouts: `ggml-common.h` and `ggml-quants.c` of ggml.

mod grids;

#[cfg(target_arch = "x86_64")]
pub(crate) use grids::spread;
pub(crate) use grids::{Grid, Iq1M, Iq1S, Iq2S, Iq2Xs, Iq2Xxs, Iq3S, Iq3Xxs};

/// Weights that share a scale and an offset.
pub(crate) const SUBGROUP: usize = 16;

/// One quantized format.
pub(crate) trait BlockFormat {
    /// Weights in a block, a multiple of 32.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Unpacks one block: `u` has `LEN` entries, `scale` and `offset` have `LEN / 16`.
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]);
}

/// Weights of the longest block of any format.
const LONGEST_BLOCK: usize = 256;

/// One block of any format, unpacked.
pub(crate) struct Unpacked {
    pub(crate) u: [u8; LONGEST_BLOCK],
    pub(crate) scale: [f32; LONGEST_BLOCK / SUBGROUP],
    pub(crate) offset: [f32; LONGEST_BLOCK / SUBGROUP],
}

impl Default for Unpacked {
    fn default() -> Self {
        Self {
            u: [0; LONGEST_BLOCK],
            scale: [0.0; LONGEST_BLOCK / SUBGROUP],
            offset: [0.0; LONGEST_BLOCK / SUBGROUP],
        }
    }
}

impl Unpacked {
    /// Reads a block, `F::BYTES` bytes; the first `F::LEN` weights are those of the block.
    pub(crate) fn read<F: BlockFormat>(&mut self, block: &[u8]) {
        let groups = F::LEN / SUBGROUP;
        F::unpack(
            block,
            &mut self.u[..F::LEN],
            &mut self.scale[..groups],
            &mut self.offset[..groups],
        );
    }
}

#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    half_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// f16 to f32 in integer arithmetic, free of branches, tables and feature tests.
#[inline(always)]
pub(crate) fn half_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    // As f32 the exponent is 112 larger. Scales of K-quants are often subnormal: these are whole
    // multiples of 2^-24. (Bits of a subnormal f32 would be correct too, at a hundred cycles each.)
    let subnormal = (f32::from(bits & 0x03ff) * f32::from_bits((127 - 24) << 23)).to_bits();
    let magnitude = match bits & 0x7c00 {
        0 => subnormal,
        // Infinity and NaN keep their mantissa under the largest exponent.
        0x7c00 => magnitude | 0x7f80_0000,
        _ => magnitude + (112 << 23),
    };
    f32::from_bits(sign | magnitude)
}

macro_rules! nibbles {
    ($packed:expr, $u:expr) => {
        let (low, high) = $u.split_at_mut(16);
        for i in 0..16 {
            low[i] = $packed[i] & 15;
            high[i] = $packed[i] >> 4;
        }
    };
}

/// `d * (q - 8)`, 32 weights: f16 d, 16 bytes of nibbles (low: 0..16, high: 16..32).
pub(crate) struct Q4_0;
impl BlockFormat for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (d, packed) = (half_at(block, 0), &block[2..18]);
        nibbles!(packed, u);
        scale.fill(d);
        offset.fill(-8.0 * d);
    }
}

/// `d * q + m`, 32 weights: f16 d, f16 m, nibbles.
pub(crate) struct Q4_1;
impl BlockFormat for Q4_1 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let packed = &block[4..20];
        nibbles!(packed, u);
        scale.fill(half_at(block, 0));
        offset.fill(half_at(block, 2));
    }
}

/// Adds the fifth bits: bit i of the little-endian word belongs to weight i.
#[inline(always)]
fn add_fifth_bits(word: &[u8], u: &mut [u8]) {
    let bits = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    for (i, u) in u[..32].iter_mut().enumerate() {
        *u |= (((bits >> i) & 1) << 4) as u8;
    }
}

/// `d * (q - 16)`, 32 weights: f16 d, 4 bytes of fifth bits, nibbles.
pub(crate) struct Q5_0;
impl BlockFormat for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (d, packed) = (half_at(block, 0), &block[6..22]);
        nibbles!(packed, u);
        add_fifth_bits(&block[2..6], u);
        scale.fill(d);
        offset.fill(-16.0 * d);
    }
}

/// `d * q + m`, 32 weights: f16 d, f16 m, 4 bytes of fifth bits, nibbles.
pub(crate) struct Q5_1;
impl BlockFormat for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let packed = &block[8..24];
        nibbles!(packed, u);
        add_fifth_bits(&block[4..8], u);
        scale.fill(half_at(block, 0));
        offset.fill(half_at(block, 2));
    }
}

/// `d * q`, 32 signed bytes after an f16 d.
pub(crate) struct Q8_0;
impl BlockFormat for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let d = half_at(block, 0);
        for (u, q) in u[..32].iter_mut().zip(&block[2..34]) {
            *u = q ^ 0x80;
        }
        scale.fill(d);
        offset.fill(-128.0 * d);
    }
}

/// 256 weights in 16 groups: 4-bit scale and 4-bit minimum each, 2-bit quants.
pub(crate) struct Q2K;
impl BlockFormat for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (scales, qs) = (&block[..16], &block[16..80]);
        let (d, dmin) = (half_at(block, 80), half_at(block, 82));
        for half in 0..2 {
            for shift in 0..4 {
                let u = &mut u[half * 128 + shift * 32..][..32];
                for (u, q) in u.iter_mut().zip(&qs[half * 32..half * 32 + 32]) {
                    *u = (q >> (2 * shift)) & 3;
                }
            }
        }
        for i in 0..16 {
            scale[i] = d * f32::from(scales[i] & 15);
            offset[i] = -dmin * f32::from(scales[i] >> 4);
        }
    }
}

/// 256 weights in 16 groups: 6-bit scale each, 2 low bits and 1 high bit per weight.
pub(crate) struct Q3K;
impl BlockFormat for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (hmask, qs, packed) = (&block[..32], &block[32..96], &block[96..108]);
        let d = half_at(block, 108);
        for half in 0..2 {
            for shift in 0..4 {
                let u = &mut u[half * 128 + shift * 32..][..32];
                let q = &qs[half * 32..half * 32 + 32];
                for i in 0..32 {
                    let high = (hmask[i] >> (half * 4 + shift)) & 1;
                    u[i] = ((q[i] >> (2 * shift)) & 3) | (high << 2);
                }
            }
        }
        for i in 0..16 {
            let low = if i < 8 {
                packed[i] & 15
            } else {
                packed[i - 8] >> 4
            };
            let high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
            let s = d * (f32::from(low | (high << 4)) - 32.0);
            scale[i] = s;
            offset[i] = -4.0 * s;
        }
    }
}

/// The 6-bit scale and minimum of group `j` of 8 in `Q4_K` and `Q5_K`.
#[inline(always)]
fn scale_and_min(j: usize, packed: &[u8]) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
            (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
        )
    }
}

#[inline(always)]
fn k_scales(block: &[u8], scale: &mut [f32], offset: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for j in 0..8 {
        let (s, m) = scale_and_min(j, &block[4..16]);
        scale[2 * j..2 * j + 2].fill(d * f32::from(s));
        offset[2 * j..2 * j + 2].fill(-dmin * f32::from(m));
    }
}

/// 256 weights in 8 groups of 32: 6-bit scale and minimum each, 4-bit quants.
pub(crate) struct Q4K;
impl BlockFormat for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        k_scales(block, scale, offset);
        for pair in 0..4 {
            let q = &block[16 + pair * 32..][..32];
            let (low, high) = u[pair * 64..pair * 64 + 64].split_at_mut(32);
            for i in 0..32 {
                low[i] = q[i] & 15;
                high[i] = q[i] >> 4;
            }
        }
    }
}

/// `Q4_K` with a fifth bit per weight.
pub(crate) struct Q5K;
impl BlockFormat for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        k_scales(block, scale, offset);
        let high_bits = &block[16..48];
        for pair in 0..4 {
            let q = &block[48 + pair * 32..][..32];
            let (low, high) = u[pair * 64..pair * 64 + 64].split_at_mut(32);
            for i in 0..32 {
                low[i] = (q[i] & 15) | (((high_bits[i] >> (2 * pair)) & 1) << 4);
                high[i] = (q[i] >> 4) | (((high_bits[i] >> (2 * pair + 1)) & 1) << 4);
            }
        }
    }
}

/// 256 weights in 16 groups: 8-bit scale each, 4 low and 2 high bits per weight, minus 32.
pub(crate) struct Q6K;
impl BlockFormat for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let d = half_at(block, 208);
        for half in 0..2 {
            let ql = &block[half * 64..][..64];
            let qh = &block[128 + half * 32..][..32];
            let u = &mut u[half * 128..][..128];
            for i in 0..32 {
                u[i] = (ql[i] & 15) | ((qh[i] & 3) << 4);
                u[i + 32] = (ql[i + 32] & 15) | (((qh[i] >> 2) & 3) << 4);
                u[i + 64] = (ql[i] >> 4) | (((qh[i] >> 4) & 3) << 4);
                u[i + 96] = (ql[i + 32] >> 4) | (((qh[i] >> 6) & 3) << 4);
            }
        }
        for i in 0..16 {
            let s = d * f32::from(block[192 + i] as i8);
            scale[i] = s;
            offset[i] = -32.0 * s;
        }
    }
}

/// The eight 6-bit scales and minima of `Q4_K` and `Q5_K` in words: one byte each.
#[inline(always)]
pub(crate) fn k_bytes([a, b, c]: [u32; 3]) -> (u64, u64) {
    let (nibble, pair) = (0x0f0f_0f0f, 0x0303_0303);
    let scale_high = (c & nibble) | (((a >> 6) & pair) << 4);
    let min_high = ((c >> 4) & nibble) | (((b >> 6) & pair) << 4);
    (
        u64::from(a & 0x3f3f_3f3f) | u64::from(scale_high) << 32,
        u64::from(b & 0x3f3f_3f3f) | u64::from(min_high) << 32,
    )
}

/// Eight of the 16 6-bit scales of `Q3_K` in words, the first or the second half: one byte each.
///
/// Eight bytes hold the low nibbles and four the high pairs of bits.
#[inline(always)]
pub(crate) fn q3_bytes([a, b, c]: [u32; 3], half: usize) -> u64 {
    let (nibble, pair) = (0x0f0f_0f0f, 0x0303_0303);
    let low = [(a >> (4 * half)) & nibble, (b >> (4 * half)) & nibble];
    let high = [(c >> (4 * half)) & pair, (c >> (4 * half + 2)) & pair];
    u64::from(low[0] | high[0] << 4) | u64::from(low[1] | high[1] << 4) << 32
}

/// The 16 values of `IQ4_NL` and `IQ4_XS`, plus 128.
pub(crate) const NONLINEAR: [u8; 16] = [
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241,
];

/// `d * table[q]`, 32 weights: f16 d, nibbles.
pub(crate) struct Iq4Nl;
impl BlockFormat for Iq4Nl {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (d, packed) = (half_at(block, 0), &block[2..18]);
        for i in 0..16 {
            u[i] = NONLINEAR[usize::from(packed[i] & 15)];
            u[i + 16] = NONLINEAR[usize::from(packed[i] >> 4)];
        }
        scale.fill(d);
        offset.fill(-128.0 * d);
    }
}

/// 256 weights in 8 groups of 32: 6-bit scale each, quants as in `IQ4_NL`.
pub(crate) struct Iq4Xs;
impl BlockFormat for Iq4Xs {
    const LEN: usize = 256;
    const BYTES: usize = 136;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let d = half_at(block, 0);
        let high = u16::from_le_bytes([block[2], block[3]]);
        for group in 0..8 {
            let low = (block[4 + group / 2] >> (4 * (group % 2))) & 15;
            let bits = low | ((((high >> (2 * group)) & 3) as u8) << 4);
            let s = d * (f32::from(bits) - 32.0);
            scale[2 * group..2 * group + 2].fill(s);
            offset[2 * group..2 * group + 2].fill(-128.0 * s);
            let packed = &block[8 + group * 16..][..16];
            let u = &mut u[group * 32..][..32];
            for i in 0..16 {
                u[i] = NONLINEAR[usize::from(packed[i] & 15)];
                u[i + 16] = NONLINEAR[usize::from(packed[i] >> 4)];
            }
        }
    }
}

/// The 16 values of `MXFP4` in halves, plus 12.
pub(crate) const HALVES: [u8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];

/// Half of the power of two that a byte stands for; below all weights for the two smallest.
#[inline(always)]
pub(crate) fn half_of_power(exponent: u8) -> f32 {
    f32::from_bits(u32::from(exponent.max(1) - 1) << 23)
}

/// `2^(e - 127) * float`, 32 floats of 4 bits: one sign, two bits of exponent, one of mantissa; e, nibbles.
pub(crate) struct Mxfp4;
impl BlockFormat for Mxfp4 {
    const LEN: usize = 32;
    const BYTES: usize = 17;
    #[inline(always)]
    fn unpack(block: &[u8], u: &mut [u8], scale: &mut [f32], offset: &mut [f32]) {
        let (d, packed) = (half_of_power(block[0]), &block[1..17]);
        for i in 0..16 {
            u[i] = HALVES[usize::from(packed[i] & 15)];
            u[i + 16] = HALVES[usize::from(packed[i] >> 4)];
        }
        scale.fill(d);
        offset.fill(-12.0 * d);
    }
}

/// Calls `$body` with `$format` bound to the [`BlockFormat`] of a quantized tensor type.
///
/// `$float` is the value for types that hold floats.
macro_rules! with_format {
    ($tensor_type:expr, $format:ident => $body:expr, float => $float:expr) => {{
        use $crate::gguf::TensorType as T;
        use $crate::kernels::formats as f;
        match $tensor_type {
            T::Q4_0 => {
                type $format = f::Q4_0;
                $body
            }
            T::Q4_1 => {
                type $format = f::Q4_1;
                $body
            }
            T::Q5_0 => {
                type $format = f::Q5_0;
                $body
            }
            T::Q5_1 => {
                type $format = f::Q5_1;
                $body
            }
            T::Q8_0 => {
                type $format = f::Q8_0;
                $body
            }
            T::Q2K => {
                type $format = f::Q2K;
                $body
            }
            T::Q3K => {
                type $format = f::Q3K;
                $body
            }
            T::Q4K => {
                type $format = f::Q4K;
                $body
            }
            T::Q5K => {
                type $format = f::Q5K;
                $body
            }
            T::Q6K => {
                type $format = f::Q6K;
                $body
            }
            T::Iq4Nl => {
                type $format = f::Iq4Nl;
                $body
            }
            T::Iq4Xs => {
                type $format = f::Iq4Xs;
                $body
            }
            T::Mxfp4 => {
                type $format = f::Mxfp4;
                $body
            }
            T::Iq2Xxs => {
                type $format = f::Iq2Xxs;
                $body
            }
            T::Iq2Xs => {
                type $format = f::Iq2Xs;
                $body
            }
            T::Iq2S => {
                type $format = f::Iq2S;
                $body
            }
            T::Iq3Xxs => {
                type $format = f::Iq3Xxs;
                $body
            }
            T::Iq3S => {
                type $format = f::Iq3S;
                $body
            }
            T::Iq1S => {
                type $format = f::Iq1S;
                $body
            }
            T::Iq1M => {
                type $format = f::Iq1M;
                $body
            }
            T::F32 | T::F16 | T::BF16 => $float,
        }
    }};
}
pub(crate) use with_format;
