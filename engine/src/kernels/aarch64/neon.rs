//! Kernels for processors with NEON and its integer dot products (`sdot`), and for those that multiply
//! small matrices as well (`smmla`).
//!
//! Both levels read one token, and few, with dot products; they differ in how many tokens are
//! multiplied. Tests run them under emulation; on a processor of this kind they were not measured yet.

mod formats;
mod instructions;
mod many;
mod rows;

use std::arch::aarch64::{
    float32x4x4_t, vaddq_f32, vcvt_f32_f16, vfmaq_n_f32, vld1_u16, vld1q_f32_x4,
    vreinterpret_f16_u16, vst1q_f32_x4,
};

use half::f16;

use super::super::activations::Activations;
use super::super::decode_attention::{self, StoredRows};
use super::super::formats::with_format;
use super::super::lanes::{LANES, Registers};
use super::super::prefill_attention;
use super::super::{FEW_TOKENS, OutTile, vector};
use crate::gguf::TensorType;
use formats::Narrow;
use instructions::{DotProducts, MatrixProducts};

/// A level: its features stand here once, for detection and for the functions of the level.
macro_rules! level {
    ($name:ident, $features:tt, $($function:item)+) => {
        pub(crate) mod $name {
            use super::*;

            /// Whether the processor has what the functions of this level enable.
            pub(crate) fn is_available() -> bool {
                detected!($features)
            }

            $(enabled!($features $function);)+
        }
    };
}

macro_rules! detected {
    ([$($feature:tt),+]) => { $(std::arch::is_aarch64_feature_detected!($feature))&&+ };
}

macro_rules! enabled {
    ([$($feature:tt),+] $function:item) => { $(#[target_feature(enable = $feature)])+ $function };
}

level! { dotprod, ["neon", "dotprod"],
    /// `out[token, row]` of quantized rows; false for types that hold floats.
    pub(crate) fn quantized_tile(
        tensor_type: TensorType,
        rows: &[u8],
        activations: &Activations<'_>,
        tokens: &[u32],
        out: &mut OutTile<'_>,
    ) -> bool {
        with_format!(tensor_type, Format => {
            if tokens.len() <= FEW_TOKENS {
                few::<Format>(rows, activations, tokens, out);
            } else {
                many::<Format>(rows, activations, tokens, out);
            }
            true
        }, float => false)
    }

    /// Not inlined: all formats in one function would take the compiler minutes.
    #[inline(never)]
    pub(super) fn few<F: Narrow>(
        rows: &[u8],
        activations: &Activations<'_>,
        tokens: &[u32],
        out: &mut OutTile<'_>,
    ) {
        // SAFETY: this function enables what the kernels use; the caller checked the lengths.
        unsafe { rows::rows_times_few::<F>(rows, activations, tokens, out) }
    }

    /// As above.
    #[inline(never)]
    fn many<F: Narrow>(
        rows: &[u8],
        activations: &Activations<'_>,
        tokens: &[u32],
        out: &mut OutTile<'_>,
    ) {
        // SAFETY: as above.
        unsafe { many::rows_times_many::<F, DotProducts>(rows, activations, tokens, out) }
    }
}

level! { i8mm, ["neon", "dotprod", "i8mm"],
    /// `out[token, row]` of quantized rows; false for types that hold floats.
    pub(crate) fn quantized_tile(
        tensor_type: TensorType,
        rows: &[u8],
        activations: &Activations<'_>,
        tokens: &[u32],
        out: &mut OutTile<'_>,
    ) -> bool {
        with_format!(tensor_type, Format => {
            if tokens.len() <= FEW_TOKENS {
                dotprod::few::<Format>(rows, activations, tokens, out);
            } else {
                many::<Format>(rows, activations, tokens, out);
            }
            true
        }, float => false)
    }

    /// Not inlined: all formats in one function would take the compiler minutes.
    #[inline(never)]
    fn many<F: Narrow>(
        rows: &[u8],
        activations: &Activations<'_>,
        tokens: &[u32],
        out: &mut OutTile<'_>,
    ) {
        // SAFETY: this function enables what the kernels use; the caller checked the lengths.
        unsafe { many::rows_times_many::<F, MatrixProducts>(rows, activations, tokens, out) }
    }
}

/// Sixteen values in four registers of 128 bits.
struct Registers128;

impl Registers for Registers128 {
    const FMA: bool = true;
    const SIXTEENS: usize = 8;
    type Sixteen = float32x4x4_t;

    #[inline(always)]
    unsafe fn load(values: &[f32; LANES]) -> float32x4x4_t {
        // SAFETY: the caller has the instructions; the values are 64 bytes.
        unsafe { vld1q_f32_x4(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(values: float32x4x4_t, out: &mut [f32; LANES]) {
        // SAFETY: as above.
        unsafe { vst1q_f32_x4(out.as_mut_ptr(), values) }
    }

    #[inline(always)]
    unsafe fn add_scaled(sum: float32x4x4_t, weight: f32, x: float32x4x4_t) -> float32x4x4_t {
        // SAFETY: the caller has the instructions.
        unsafe {
            float32x4x4_t(
                vfmaq_n_f32(sum.0, x.0, weight),
                vfmaq_n_f32(sum.1, x.1, weight),
                vfmaq_n_f32(sum.2, x.2, weight),
                vfmaq_n_f32(sum.3, x.3, weight),
            )
        }
    }

    #[inline(always)]
    unsafe fn add(a: float32x4x4_t, b: float32x4x4_t) -> float32x4x4_t {
        // SAFETY: as above.
        unsafe {
            float32x4x4_t(
                vaddq_f32(a.0, b.0),
                vaddq_f32(a.1, b.1),
                vaddq_f32(a.2, b.2),
                vaddq_f32(a.3, b.3),
            )
        }
    }

    #[inline(always)]
    unsafe fn halves(values: &[f16; LANES]) -> [f32; LANES] {
        let four = |at: usize| {
            // SAFETY: four of the sixteen values begin at each quarter.
            unsafe {
                vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(
                    values.as_ptr().add(at).cast(),
                )))
            }
        };
        // SAFETY: four registers of 16 bytes are 64 bytes, as sixteen numbers are.
        unsafe { std::mem::transmute([four(0), four(4), four(8), four(12)]) }
    }
}

vector::instantiate!("neon", Registers128, vector::quantize::<true>);
