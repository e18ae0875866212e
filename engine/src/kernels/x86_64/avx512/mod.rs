//! Kernels for processors with AVX-512 F, BW, VL and VNNI.

mod formats;
mod many;
mod one;

use super::super::activations::Activations;
use super::super::formats::with_format;
use super::super::{OutTile, vector};
use crate::gguf::TensorType;

/// `out[token, row]` of quantized rows; false for types that hold floats.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: this function enables what the kernels use; the caller checked the lengths.
        unsafe {
            if let [token] = *tokens {
                one::rows_times_one::<Format>(rows, activations, token as usize, out.row(0));
            } else {
                many::rows_times_many::<Format>(rows, activations, tokens, out);
            }
        }
        true
    }, float => false)
}

vector::instantiate!("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni");
