//! The plain level: the definition of right, with which every other level is compared.

use super::OutTile;
use super::activations::Activations;
use super::dots::{self, Lanes};
use super::formats::with_format;
use crate::gguf::TensorType;

struct Plain;

impl Lanes for Plain {
    type Sum = f32;

    fn zero() -> f32 {
        0.0
    }

    unsafe fn add<const SMALL: bool>(
        sum: f32,
        u: &[u8],
        weight_scale: &[f32],
        q: &[i8],
        activation_scale: &[f32],
    ) -> f32 {
        let groups = u.chunks_exact(16).zip(q.chunks_exact(16)).zip(weight_scale);
        groups.enumerate().fold(sum, |sum, (i, ((u, q), scale))| {
            let dot: i32 = u
                .iter()
                .zip(q)
                .map(|(&u, &q)| i32::from(u) * i32::from(q))
                .sum();
            sum + scale * activation_scale[i / 2] * dot as f32
        })
    }

    unsafe fn total(sum: f32) -> f32 {
        sum
    }
}

/// `out[token, row]` of quantized rows; false for types that hold floats.
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        // SAFETY: plain Rust needs no instructions beyond the target's.
        unsafe { dots::tile::<Format, Plain>(rows, activations, tokens, out) };
        true
    }, float => false)
}
