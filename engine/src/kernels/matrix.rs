//! Weight matrices of any type: products with rows of activations on one thread, and their values.

#[cfg(target_arch = "x86_64")]
use super::FEW_TOKENS;
#[cfg(target_arch = "aarch64")]
use super::aarch64::{self, neon};
use super::activations::Activations;
use super::formats::{BlockFormat, SUBGROUP, Unpacked, with_format};
use super::reading::Reading;
use super::repacked::Panels;
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{CpuLevel, InstructionSet, OutTile, candle, scalar, vector};
use crate::gguf::TensorType;

/// A weight matrix `[rows, columns]` in the bytes of the model file.
#[derive(Clone, Copy)]
pub(crate) struct MatrixRef<'a> {
    /// How the weights are stored.
    pub(crate) tensor_type: TensorType,
    /// Number of rows (outputs).
    pub(crate) rows: usize,
    /// Length of a row (inputs), a multiple of the type's block.
    pub(crate) columns: usize,
    /// `rows` rows, one after the other.
    pub(crate) bytes: &'a [u8],
    /// The same weights with rows side by side, where they are kept.
    pub(crate) panels: Option<Panels<'a>>,
    /// How the kernels of one token read them.
    pub(crate) reading: Reading,
}

impl MatrixRef<'_> {
    /// The rows `start..start + count`.
    pub(crate) fn slice(self, start: usize, count: usize) -> Self {
        let row_bytes = self.tensor_type.row_bytes(self.columns);
        let panels = self.panels.and_then(|panels| panels.slice(start, count));
        let reading = if panels.is_some() == self.panels.is_some() {
            self.reading
        } else {
            Reading::ROWS
        };
        Self {
            rows: count,
            bytes: &self.bytes[start * row_bytes..(start + count) * row_bytes],
            panels,
            reading,
            ..self
        }
    }

    /// Whether the weights are floats, which multiply activations that are not quantized.
    pub(crate) fn is_float(&self) -> bool {
        matches!(
            self.tensor_type,
            TensorType::F32 | TensorType::F16 | TensorType::BF16
        )
    }
}

/// `out[token, row]` for all rows of `weights` and the activation rows named by `tokens`.
pub(super) fn tile(
    level: CpuLevel,
    weights: MatrixRef<'_>,
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    assert_eq!(weights.columns, activations.columns, "inner lengths");
    assert_eq!(
        weights.bytes.len(),
        weights.rows * weights.tensor_type.row_bytes(weights.columns),
        "whole rows"
    );
    assert_eq!(
        (out.rows(), out.columns()),
        (tokens.len(), weights.rows),
        "an output for every row and token"
    );
    assert!(
        tokens.iter().all(|&t| (t as usize) < activations.rows),
        "tokens name rows of the activations"
    );
    if tokens.is_empty() || weights.rows == 0 {
        return;
    }
    let (tensor_type, bytes) = (weights.tensor_type, weights.bytes);
    if weights.is_float() {
        at_level!(
            level,
            float_tile(tensor_type, bytes, activations, tokens, out)
        );
        return;
    }
    assert_eq!(
        activations.quants.len(),
        activations.values.len(),
        "quantized activations"
    );
    #[cfg(target_arch = "x86_64")]
    if let Some(panels) = weights.panels
        && tokens.len() <= FEW_TOKENS
    {
        assert_eq!(panels.rows(), weights.rows, "whole panels");
        let ahead = usize::from(weights.reading.ahead);
        for (i, &token) in tokens.iter().enumerate() {
            let (token, out) = (token as usize, out.row(i));
            // SAFETY: panels are made only for levels with these instructions.
            unsafe { x86_64::avx512::panels_times_one(panels, activations, token, ahead, out) };
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    let reading = weights.reading;
    let done = match level.instructions() {
        // SAFETY: the level is available (header of `kernels`).
        #[cfg(target_arch = "x86_64")]
        InstructionSet::AmxBf16 | InstructionSet::Avx512Vnni => unsafe {
            x86_64::avx512::quantized_tile(tensor_type, bytes, activations, tokens, reading, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::AvxVnni => unsafe {
            x86_64::avx_vnni::quantized_tile(tensor_type, bytes, activations, tokens, reading, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe {
            x86_64::avx2::quantized_tile(tensor_type, bytes, activations, tokens, reading, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::NeonI8mm => unsafe {
            neon::i8mm::quantized_tile(tensor_type, bytes, activations, tokens, out)
        },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::NeonDotprod => unsafe {
            neon::dotprod::quantized_tile(tensor_type, bytes, activations, tokens, out)
        },
        InstructionSet::Candle => {
            candle::quantized_tile(tensor_type, bytes, activations, tokens, out)
        }
        _ => false,
    };
    if !done {
        scalar::quantized_tile(tensor_type, bytes, activations, tokens, out);
    }
}

/// The weights of whole rows as f32.
pub(crate) fn dequantize(weights: MatrixRef<'_>, out: &mut [f32]) {
    assert_eq!(
        out.len(),
        weights.rows * weights.columns,
        "an output for every weight"
    );
    with_format!(weights.tensor_type, Format => dequantize_blocks::<Format>(weights.bytes, out), float => {
        vector::read_floats(weights.tensor_type, weights.bytes, out);
    });
}

fn dequantize_blocks<F: BlockFormat>(bytes: &[u8], out: &mut [f32]) {
    let mut weights = Unpacked::default();
    let blocks = bytes.chunks_exact(F::BYTES);
    for (block, out) in blocks.zip(out.chunks_exact_mut(F::LEN)) {
        weights.read::<F>(block);
        for (i, out) in out.iter_mut().enumerate() {
            *out = weights.scale[i / SUBGROUP] * f32::from(weights.u[i])
                + weights.offset[i / SUBGROUP];
        }
    }
}
