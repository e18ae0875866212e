//! Kernels for processors with AVX-512 F, BW, VL and VNNI.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::super::activations::Activations;
use super::super::dots::{self, Lanes};
use super::super::formats::with_format;
use super::super::vector;
use crate::gguf::TensorType;

/// Sixteen f32 lanes, four of them for every 16 weights.
struct Lanes16;

impl Lanes for Lanes16 {
    type Sum = __m512;

    #[inline(always)]
    fn zero() -> __m512 {
        // SAFETY: reached only from entry points that enable AVX-512.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn add<const SMALL: bool>(
        mut sum: __m512,
        u: &[u8],
        weight_scale: &[f32],
        q: &[i8],
        activation_scale: &[f32],
    ) -> __m512 {
        // SAFETY: pairs of groups lie inside the slices, and so do their four and two scales; a
        // last group alone is loaded under a mask. VNNI multiplies u8 by i8 into i32 without
        // saturation for any values.
        unsafe {
            let by_four = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
            let by_eight = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
            let pairs = u.len() / 64;
            for i in 0..pairs {
                let w = _mm512_loadu_si512(u.as_ptr().add(64 * i).cast());
                let a = _mm512_loadu_si512(q.as_ptr().add(64 * i).cast());
                let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, a);
                let ws = _mm512_permutexvar_ps(
                    by_four,
                    _mm512_castps128_ps512(_mm_loadu_ps(weight_scale.as_ptr().add(4 * i))),
                );
                let two = _mm_castpd_ps(_mm_load_sd(activation_scale.as_ptr().add(2 * i).cast()));
                let scale = _mm512_mul_ps(
                    ws,
                    _mm512_permutexvar_ps(by_eight, _mm512_castps128_ps512(two)),
                );
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum);
            }
            if !u.len().is_multiple_of(64) {
                let w =
                    _mm512_castsi256_si512(_mm256_loadu_si256(u.as_ptr().add(64 * pairs).cast()));
                let a = _mm512_maskz_loadu_epi32(0x00ff, q.as_ptr().add(64 * pairs).cast());
                let dot = _mm512_dpbusd_epi32(
                    _mm512_setzero_si512(),
                    _mm512_maskz_mov_epi32(0x00ff, w),
                    a,
                );
                let two = _mm_castpd_ps(_mm_load_sd(weight_scale.as_ptr().add(4 * pairs).cast()));
                let ws = _mm512_maskz_permutexvar_ps(0x00ff, by_four, _mm512_castps128_ps512(two));
                let scale = _mm512_mul_ps(
                    ws,
                    _mm512_set1_ps(*activation_scale.get_unchecked(2 * pairs)),
                );
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum);
            }
        }
        sum
    }

    #[inline(always)]
    unsafe fn total(sum: __m512) -> f32 {
        // SAFETY: reached only from entry points that enable AVX-512.
        unsafe { _mm512_reduce_add_ps(sum) }
    }
}

/// `out[row, token]` of quantized rows; false for types that hold floats.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut [f32],
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: this function enables what the lanes use.
        unsafe { dots::tile::<Format, Lanes16>(rows, activations, tokens, out) };
        true
    }, float => false)
}

vector::instantiate!("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni");
