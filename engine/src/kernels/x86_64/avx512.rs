//! Kernels for processors with AVX-512 F, BW, VL and VNNI.

pub(super) mod formats;
mod gemm;
mod gemm_few;
mod gemv;
mod panels;
mod rounding;
mod turned;

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use half::f16;

use formats::Wide as _;
pub(crate) use panels::panels_times_one;

use super::super::activations::Activations;
use super::super::decode_attention::{self, StoredRows};
use super::super::formats::with_format;
use super::super::lanes::{LANES, Registers};
use super::super::prefill_attention;
use super::super::reading::Reading;
use super::super::{FEW_TOKENS, OutTile, vector};
use crate::gguf::TensorType;

pub(crate) fn is_available() -> bool {
    detects!(
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni"
    )
}

/// `out[token, row]` of quantized rows; false for types that hold floats.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: this function enables what the kernels use; the caller checked the lengths.
        unsafe {
            if Format::TURNS && tokens.len() <= FEW_TOKENS {
                turned::rows_times_few::<Format>(rows, activations, tokens, reading, out);
            } else if let [token] = *tokens {
                let out = out.row(0);
                gemv::rows_times_one::<Format>(rows, activations, token as usize, reading, out);
            } else if tokens.len() <= FEW_TOKENS {
                gemm_few::rows_times_few::<Format>(rows, activations, tokens, out);
            } else {
                gemm::rows_times_many::<Format>(rows, activations, tokens, out);
            }
        }
        true
    }, float => false)
}

/// Sixteen values in a register of 512 bits.
struct Registers512;

impl Registers for Registers512 {
    const FMA: bool = true;
    const SIXTEENS: usize = 32;
    type Sixteen = __m512;

    #[inline(always)]
    unsafe fn load(values: &[f32; LANES]) -> __m512 {
        // SAFETY: the caller has the instructions; the values are 64 bytes.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(values: __m512, out: &mut [f32; LANES]) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) }
    }

    #[inline(always)]
    unsafe fn add_scaled(sum: __m512, weight: f32, x: __m512) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe { _mm512_fmadd_ps(_mm512_set1_ps(weight), x, sum) }
    }

    #[inline(always)]
    unsafe fn turn(rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        // SAFETY: a row is 64 bytes, as a register is.
        unsafe {
            let rows = std::mem::transmute::<[[f32; LANES]; LANES], [__m512i; LANES]>(*rows);
            std::mem::transmute(transpose(&rows))
        }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn halves(values: &[f16; LANES]) -> [f32; LANES] {
        // SAFETY: the caller has the instructions; the values are 32 bytes, the result is 64.
        unsafe { std::mem::transmute(_mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast()))) }
    }
}

vector::instantiate!(
    "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni",
    Registers512,
    rounding::quantize
);

/// Transposes a 16 x 16 matrix of 32-bit lanes.
#[inline(always)]
pub(super) unsafe fn transpose(m: &[__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let mut a = [_mm512_setzero_si512(); 16];
        // Inside of 128-bit lanes: 4 x 4 blocks.
        for k in 0..4 {
            let (r0, r1, r2, r3) = (m[4 * k], m[4 * k + 1], m[4 * k + 2], m[4 * k + 3]);
            let (lo01, hi01) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
            let (lo23, hi23) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
            a[4 * k] = _mm512_unpacklo_epi64(lo01, lo23);
            a[4 * k + 1] = _mm512_unpackhi_epi64(lo01, lo23);
            a[4 * k + 2] = _mm512_unpacklo_epi64(hi01, hi23);
            a[4 * k + 3] = _mm512_unpackhi_epi64(hi01, hi23);
        }
        // Then the 128-bit lanes themselves.
        let mut out = [_mm512_setzero_si512(); 16];
        for c in 0..4 {
            let x = _mm512_shuffle_i32x4::<0x44>(a[c], a[4 + c]);
            let y = _mm512_shuffle_i32x4::<0xee>(a[c], a[4 + c]);
            let z = _mm512_shuffle_i32x4::<0x44>(a[8 + c], a[12 + c]);
            let w = _mm512_shuffle_i32x4::<0xee>(a[8 + c], a[12 + c]);
            out[c] = _mm512_shuffle_i32x4::<0x88>(x, z);
            out[4 + c] = _mm512_shuffle_i32x4::<0xdd>(x, z);
            out[8 + c] = _mm512_shuffle_i32x4::<0x88>(y, w);
            out[12 + c] = _mm512_shuffle_i32x4::<0xdd>(y, w);
        }
        out
    }
}
