//! Kernels for processors with AVX2, FMA and F16C.

pub(super) mod dot;
pub(super) mod formats;
mod gemm;
pub(super) mod gemm_few;
pub(super) mod gemv;

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use half::f16;

use super::super::activations::Activations;
use super::super::decode_attention::{self, StoredRows};
use super::super::formats::with_format;
use super::super::lanes::{LANES, Registers};
use super::super::prefill_attention;
use super::super::reading::Reading;
use super::super::{FEW_TOKENS, OutTile, vector};
use crate::gguf::TensorType;
use dot::{Dot, FEW_ROWS, pair_sums};
use formats::Wide;

pub(crate) fn is_available() -> bool {
    detects!("avx2", "fma", "f16c")
}

/// `out[token, row]` of quantized rows; false for types that hold floats.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    // SAFETY: this function enables what the kernels use; the caller checked the lengths.
    unsafe { tile_with::<Pairs>(tensor_type, rows, activations, tokens, reading, out) }
}

/// As [`quantized_tile`], with the products of a level.
///
/// # Safety
/// The processor has the instructions of `D`; the lengths fit.
#[inline(always)]
pub(super) unsafe fn tile_with<D: Dot>(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: passed on.
        unsafe {
            if let [token] = *tokens {
                let out = out.row(0);
                gemv::rows_times_one::<Format, D>(rows, activations, token as usize, reading, out);
            } else if tokens.len() <= FEW_TOKENS {
                gemm_few::rows_times_few::<Format, D>(rows, activations, tokens, out);
            } else {
                gemm::rows_times_many::<Format, D>(rows, activations, tokens, out);
            }
        }
        true
    }, float => false)
}

/// AVX2: products in pairs, in 16 bits, which are added in a second instruction.
struct Pairs;

impl Dot for Pairs {
    const FOUR: bool = false;

    #[inline(always)]
    unsafe fn add<F: Wide>(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe {
            let pairs = pair_sums::<F>(weights, activations);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline(never)]
    unsafe fn rows_times_one<F: Wide, const R: usize>(
        rows: &[u8],
        activations: &Activations<'_>,
        token: usize,
        ahead: usize,
        out: &mut [f32],
    ) {
        // SAFETY: passed on.
        unsafe { gemv::side_by_side::<F, Self, R>(rows, activations, token, ahead, out) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline(never)]
    unsafe fn rows_times_two<F: Wide>(
        rows: [*const u8; FEW_ROWS],
        activations: &Activations<'_>,
        tokens: [usize; 2],
    ) -> [[f32; FEW_ROWS]; 2] {
        // SAFETY: passed on.
        unsafe { gemm_few::rows_times::<F, Self, 2>(rows, activations, tokens) }
    }
}

/// Sixteen values in two registers of 256 bits.
struct Registers256;

impl Registers for Registers256 {
    const FMA: bool = true;
    const SIXTEENS: usize = 8;
    type Sixteen = [__m256; 2];

    #[inline(always)]
    unsafe fn load(values: &[f32; LANES]) -> [__m256; 2] {
        // SAFETY: the caller has the instructions; the values are 64 bytes.
        unsafe {
            let values = values.as_ptr();
            [_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))]
        }
    }

    #[inline(always)]
    unsafe fn store([low, high]: [__m256; 2], out: &mut [f32; LANES]) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), low);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), high);
        }
    }

    #[inline(always)]
    unsafe fn add_scaled(sum: [__m256; 2], weight: f32, x: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the caller has the instructions.
        unsafe {
            let weight = _mm256_set1_ps(weight);
            [
                _mm256_fmadd_ps(weight, x[0], sum[0]),
                _mm256_fmadd_ps(weight, x[1], sum[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as above.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn halves(values: &[f16; LANES]) -> [f32; LANES] {
        // SAFETY: the caller has the instructions; the values are 32 bytes, and so is each half of
        // the result.
        unsafe {
            let low = _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast()));
            let high = _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().add(8).cast()));
            std::mem::transmute([low, high])
        }
    }
}

vector::instantiate!("avx2,fma,f16c", Registers256, vector::quantize::<true>);

/// The sum of all lanes.
#[inline(always)]
unsafe fn total(lanes: __m256) -> f32 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let four = _mm_add_ps(
            _mm256_castps256_ps128(lanes),
            _mm256_extractf128_ps::<1>(lanes),
        );
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Transposes an 8 x 8 matrix of 32-bit lanes.
#[inline(always)]
unsafe fn transpose(m: &[__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let mut a = [_mm256_setzero_si256(); 8];
        // Inside of 128-bit lanes: 4 x 4 blocks.
        for k in 0..2 {
            let (r0, r1, r2, r3) = (m[4 * k], m[4 * k + 1], m[4 * k + 2], m[4 * k + 3]);
            let (lo01, hi01) = (_mm256_unpacklo_epi32(r0, r1), _mm256_unpackhi_epi32(r0, r1));
            let (lo23, hi23) = (_mm256_unpacklo_epi32(r2, r3), _mm256_unpackhi_epi32(r2, r3));
            a[4 * k] = _mm256_unpacklo_epi64(lo01, lo23);
            a[4 * k + 1] = _mm256_unpackhi_epi64(lo01, lo23);
            a[4 * k + 2] = _mm256_unpacklo_epi64(hi01, hi23);
            a[4 * k + 3] = _mm256_unpackhi_epi64(hi01, hi23);
        }
        // Then the 128-bit lanes themselves.
        let mut out = [_mm256_setzero_si256(); 8];
        for c in 0..4 {
            out[c] = _mm256_permute2x128_si256::<0x20>(a[c], a[4 + c]);
            out[4 + c] = _mm256_permute2x128_si256::<0x31>(a[c], a[4 + c]);
        }
        out
    }
}
