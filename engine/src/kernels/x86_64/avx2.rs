//! Kernels for processors with AVX2, FMA and F16C.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use half::f16;

use super::super::activations::Activations;
use super::super::dots::{self, Lanes};
use super::super::formats::with_format;
use super::super::stored::{self, Convert, StoredRows};
use super::super::{OutTile, vector};
use crate::gguf::TensorType;

/// Eight f32 lanes: lanes 0 to 3 belong to the first 16 weights of a group, 4 to 7 to the second.
struct Lanes8;

impl Lanes for Lanes8 {
    type Sum = __m256;

    #[inline(always)]
    fn zero() -> __m256 {
        // SAFETY: reached only from entry points that enable AVX2.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn add<const SMALL: bool>(
        mut sum: __m256,
        u: &[u8],
        weight_scale: &[f32],
        q: &[i8],
        activation_scale: &[f32],
    ) -> __m256 {
        for i in 0..u.len() / 32 {
            // SAFETY: 32 bytes from 32 * i on lie inside both slices; two scales of 16 weights
            // each belong to them.
            unsafe {
                let w = _mm256_loadu_si256(u.as_ptr().add(32 * i).cast());
                let a = _mm256_loadu_si256(q.as_ptr().add(32 * i).cast());
                let dot = if SMALL {
                    // Pairs of products stay below 2 * 127 * 127 and fit i16.
                    _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1))
                } else {
                    let low = _mm256_madd_epi16(
                        _mm256_cvtepu8_epi16(_mm256_castsi256_si128(w)),
                        _mm256_cvtepi8_epi16(_mm256_castsi256_si128(a)),
                    );
                    let high = _mm256_madd_epi16(
                        _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(w)),
                        _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(a)),
                    );
                    // hadd keeps the halves of 16 weights apart only after the lanes are reordered.
                    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high))
                };
                let scale = _mm256_set_m128(
                    _mm_set1_ps(*weight_scale.get_unchecked(2 * i + 1)),
                    _mm_set1_ps(*weight_scale.get_unchecked(2 * i)),
                );
                let scale =
                    _mm256_mul_ps(scale, _mm256_set1_ps(*activation_scale.get_unchecked(i)));
                sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sum);
            }
        }
        sum
    }

    #[inline(always)]
    unsafe fn total(sum: __m256) -> f32 {
        // SAFETY: reached only from entry points that enable AVX2.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// `out[token, row]` of quantized rows; false for types that hold floats.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: this function enables what the lanes use.
        unsafe { dots::tile::<Format, Lanes8>(rows, activations, tokens, out) };
        true
    }, float => false)
}

/// Conversions in 256-bit registers.
struct Convert256;

impl Convert for Convert256 {
    const FMA: bool = true;

    #[inline(always)]
    unsafe fn halves(values: &[f16; stored::LANES]) -> [f32; stored::LANES] {
        // SAFETY: the caller has the instructions; the values are 32 bytes, and so is each half of
        // the result.
        unsafe {
            let low = _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast()));
            let high = _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().add(8).cast()));
            std::mem::transmute([low, high])
        }
    }
}

vector::instantiate!("avx2,fma,f16c", Convert256);
