//! Kernels for processors with NEON and its integer dot products (`sdot`), and for those that multiply
//! small matrices as well (`smmla`).
//!
//! Both levels read one token, and few, with dot products; they differ in how many tokens are
//! multiplied. Tests run them under emulation; on a processor of this kind they were not measured yet.

mod formats;
mod instructions;
mod many;
mod rows;

use std::arch::aarch64::{vcvt_f32_f16, vld1_u16, vreinterpret_f16_u16};

use half::f16;

use super::super::activations::Activations;
use super::super::decode_attention::{self, Convert, StoredRows};
use super::super::formats::with_format;
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

/// Conversions in 128-bit registers.
struct Convert128;

impl Convert for Convert128 {
    const FMA: bool = true;

    #[inline(always)]
    unsafe fn halves(values: &[f16; decode_attention::LANES]) -> [f32; decode_attention::LANES] {
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

vector::instantiate!("neon", Convert128);
