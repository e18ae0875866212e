//! The portable level: candle's dot products, which know the vector units of other processors.

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K,
    BlockQ8_0, GgmlType,
};

use super::OutTile;
use super::activations::Activations;
use crate::gguf::TensorType;

/// `out[token, row]` of quantized rows; false for types and row lengths that candle does not know.
pub(crate) fn quantized_tile(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) -> bool {
    // candle's plain kernels of these types take two blocks at a time.
    let in_pairs = matches!(
        tensor_type,
        TensorType::Q4_1 | TensorType::Q5_0 | TensorType::Q5_1
    );
    if in_pairs
        && !activations
            .columns
            .is_multiple_of(2 * tensor_type.block_len())
    {
        return false;
    }
    match tensor_type {
        TensorType::Q4_0 => tile::<BlockQ4_0>(rows, activations, tokens, out),
        TensorType::Q4_1 => tile::<BlockQ4_1>(rows, activations, tokens, out),
        TensorType::Q5_0 => tile::<BlockQ5_0>(rows, activations, tokens, out),
        TensorType::Q5_1 => tile::<BlockQ5_1>(rows, activations, tokens, out),
        TensorType::Q8_0 => tile::<BlockQ8_0>(rows, activations, tokens, out),
        TensorType::Q2K => tile::<BlockQ2K>(rows, activations, tokens, out),
        TensorType::Q3K => tile::<BlockQ3K>(rows, activations, tokens, out),
        TensorType::Q4K => tile::<BlockQ4K>(rows, activations, tokens, out),
        TensorType::Q5K => tile::<BlockQ5K>(rows, activations, tokens, out),
        TensorType::Q6K => tile::<BlockQ6K>(rows, activations, tokens, out),
        _ => return false,
    }
    true
}

fn tile<B: GgmlType>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let columns = activations.columns;
    let row_blocks = columns / B::BLCK_SIZE;
    let blocks = blocks_of::<B>(rows);
    let mut quantized = vec![B::VecDotType::zeros(); columns / B::VecDotType::BLCK_SIZE];
    for (t, &token) in tokens.iter().enumerate() {
        B::VecDotType::from_float(activations.row_values(token as usize), &mut quantized);
        for (row, out) in blocks.chunks_exact(row_blocks).zip(out.row(t)) {
            *out = B::vec_dot(columns, row, &quantized);
        }
    }
}

/// Views bytes as blocks of candle's type.
fn blocks_of<B: GgmlType>(bytes: &[u8]) -> &[B] {
    // SAFETY: candle's blocks are `repr(C)` structs of integers and f16, for which every bit
    // pattern is valid; the view is used only if it covers all bytes (below).
    let (head, blocks, tail) = unsafe { bytes.align_to::<B>() };
    assert!(
        head.is_empty() && tail.is_empty(),
        "tensor data is aligned to 32 bytes and holds whole blocks"
    );
    blocks
}
