//! The plain level: the definition of right, with which every other level is compared.

use super::OutTile;
use super::activations::{Activations, GROUP};
use super::formats::{BlockFormat, SUBGROUP, Unpacked, with_format};
use crate::gguf::TensorType;

/// `out[token, row]` of quantized rows; false for types that hold floats.
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) -> bool {
    with_format!(tensor_type, Format => {
        tile::<Format>(rows, activations, tokens, out);
        true
    }, float => false)
}

/// A block is unpacked once for all tokens, each of which adds its blocks in order.
fn tile<F: BlockFormat>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let mut weights = Unpacked::default();
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (b, block) in row.chunks_exact(F::BYTES).enumerate() {
            weights.read::<F>(block);
            let first = b * F::LEN;
            for (t, &token) in tokens.iter().enumerate() {
                let token = token as usize;
                let dot = block_dot(
                    &weights,
                    &activations.row_quants(token)[first..first + F::LEN],
                    &activations.row_scales(token)[first / GROUP..],
                    &activations.row_sums(token)[first / SUBGROUP..],
                );
                let out = &mut out.row(t)[r];
                *out = if b == 0 { dot } else { *out + dot };
            }
        }
    }
}

/// Weights `scale * u + offset` times activations `activation_scale * q`, of which 16 each have `sums`.
fn block_dot(weights: &Unpacked, q: &[i8], activation_scale: &[f32], sums: &[f32]) -> f32 {
    let groups = weights
        .u
        .chunks_exact(SUBGROUP)
        .zip(q.chunks_exact(SUBGROUP));
    let of_group = groups.enumerate().map(|(i, (u, q))| {
        let products = u.iter().zip(q).map(|(&u, &q)| i32::from(u) * i32::from(q));
        let scale = weights.scale[i] * activation_scale[i / (GROUP / SUBGROUP)];
        scale * products.sum::<i32>() as f32 + weights.offset[i] * sums[i]
    });
    of_group.sum()
}
