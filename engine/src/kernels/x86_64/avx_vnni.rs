//! Kernels for processors with AVX-VNNI: those of AVX2, with four products added in one instruction.
//!
//! The instruction has two encodings that do the same. Intel's processors without AVX-512 have the VEX
//! form (since Alder Lake), AMD's Zen 4 the EVEX form alone, others both. Where there is no VEX form the
//! same code runs with the other, so that it can be tested; AVX-512 is chosen there by itself.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::avx2;
use super::avx2::dot::{Dot, FEW_ROWS as ROWS, unsigned_and_signed};
use super::avx2::formats::Wide;
use super::avx2::gemm_few::rows_times;
use super::avx2::gemv::side_by_side;
use crate::gguf::TensorType;
use crate::kernels::OutTile;
use crate::kernels::activations::Activations;
use crate::kernels::reading::Reading;

/// Whether the processor has either form.
pub(crate) fn is_available() -> bool {
    has_vex() || has_evex()
}

fn has_vex() -> bool {
    detects!("avx2", "fma", "f16c", "avxvnni")
}

fn has_evex() -> bool {
    detects!("avx2", "fma", "f16c", "avx512vl", "avx512vnni")
}

/// `out[token, row]` of quantized rows; false for types that hold floats.
///
/// # Safety
/// [`is_available`] says that the processor has it.
pub(crate) unsafe fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    // SAFETY: the form is one that the processor has.
    unsafe {
        if has_vex() {
            tile_vex(tensor_type, rows, activations, tokens, reading, out)
        } else {
            tile_evex(tensor_type, rows, activations, tokens, reading, out)
        }
    }
}

/// The instruction of AVX-VNNI.
struct Vex;

impl Dot for Vex {
    const FOUR: bool = true;

    #[inline(always)]
    unsafe fn add<F: Wide>(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe {
            let (unsigned, signed) = unsigned_and_signed::<F>(weights, activations);
            _mm256_dpbusd_avx_epi32(sum, unsigned, signed)
        }
    }

    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    #[inline(never)]
    unsafe fn rows_times_one<F: Wide, const R: usize>(
        rows: &[u8],
        activations: &Activations<'_>,
        token: usize,
        ahead: usize,
        out: &mut [f32],
    ) {
        // SAFETY: passed on.
        unsafe { side_by_side::<F, Self, R>(rows, activations, token, ahead, out) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    #[inline(never)]
    unsafe fn rows_times_two<F: Wide>(
        rows: [*const u8; ROWS],
        activations: &Activations<'_>,
        tokens: [usize; 2],
    ) -> [[f32; ROWS]; 2] {
        // SAFETY: passed on.
        unsafe { rows_times::<F, Self, 2>(rows, activations, tokens) }
    }
}

/// As [`quantized_tile`], in this form.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn tile_vex(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    // SAFETY: this function enables what the kernels use; the caller checked the lengths.
    unsafe { avx2::tile_with::<Vex>(tensor_type, rows, activations, tokens, reading, out) }
}

/// The same instruction as AVX-512 has it, for processors that have only this form.
struct Evex;

impl Dot for Evex {
    const FOUR: bool = true;

    #[inline(always)]
    unsafe fn add<F: Wide>(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe {
            let (unsigned, signed) = unsigned_and_signed::<F>(weights, activations);
            _mm256_dpbusd_epi32(sum, unsigned, signed)
        }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
    #[inline(never)]
    unsafe fn rows_times_one<F: Wide, const R: usize>(
        rows: &[u8],
        activations: &Activations<'_>,
        token: usize,
        ahead: usize,
        out: &mut [f32],
    ) {
        // SAFETY: passed on.
        unsafe { side_by_side::<F, Self, R>(rows, activations, token, ahead, out) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
    #[inline(never)]
    unsafe fn rows_times_two<F: Wide>(
        rows: [*const u8; ROWS],
        activations: &Activations<'_>,
        tokens: [usize; 2],
    ) -> [[f32; ROWS]; 2] {
        // SAFETY: passed on.
        unsafe { rows_times::<F, Self, 2>(rows, activations, tokens) }
    }
}

/// As [`quantized_tile`], in this form.
#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
fn tile_evex(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    reading: Reading,
    out: &mut OutTile<'_>,
) -> bool {
    // SAFETY: this function enables what the kernels use; the caller checked the lengths.
    unsafe { avx2::tile_with::<Evex>(tensor_type, rows, activations, tokens, reading, out) }
}
