//! Weights of small models in a second order: 16 rows side by side.
//!
//! A model that fits the caches decodes as fast as its products are computed, not as its weights are
//! read. In the order of the file every row needs its own unpacking, scales and final sum. Here one
//! register holds the same four columns of 16 rows, whose sums and scales fill registers of their
//! own: a fifth of the instructions. The bytes are those of the file, so that results differ only by
//! the order of sums.

use half::f16;

use super::{CpuLevel, InstructionSet, MatrixRef};
use crate::gguf::TensorType;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Weights of a row that share a scale.
pub(crate) const GROUP: usize = 32;

/// Four bytes of each row of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Chunk(pub(crate) [[u8; 4]; ROWS]);

/// A matrix in panels of 16 rows.
pub(crate) struct Repacked {
    tensor_type: TensorType,
    /// Groups of a row.
    groups: usize,
    /// `[panels, groups, chunks of a group]`
    chunks: Vec<Chunk>,
    /// `[panels, groups]`
    scales: Vec<[f16; ROWS]>,
    /// `[panels, groups]`: what a weight of zero is, for types that have it in the file.
    offsets: Vec<[f16; ROWS]>,
}

/// Some panels of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "for kernels of x86-64")
    )]
    pub(crate) tensor_type: TensorType,
    pub(crate) groups: usize,
    pub(crate) chunks: &'a [Chunk],
    pub(crate) scales: &'a [[f16; ROWS]],
    pub(crate) offsets: &'a [[f16; ROWS]],
}

/// Chunks of a group, for types that have a kernel.
fn chunks_of_group(tensor_type: TensorType) -> Option<usize> {
    match tensor_type {
        TensorType::Q4_0 | TensorType::Q4_1 => Some(4),
        TensorType::Q8_0 => Some(8),
        _ => None,
    }
}

impl Repacked {
    /// A copy of `weights`, if the level has a kernel for such a matrix.
    pub(crate) fn new(level: CpuLevel, weights: MatrixRef<'_>) -> Option<Self> {
        let has_kernel = matches!(
            level.instructions(),
            InstructionSet::Avx512Vnni | InstructionSet::AmxBf16
        );
        let per_group = chunks_of_group(weights.tensor_type)?;
        if !has_kernel
            || !weights.rows.is_multiple_of(ROWS)
            || !weights.columns.is_multiple_of(GROUP)
        {
            return None;
        }
        let groups = weights.columns / GROUP;
        let has_offset = weights.tensor_type == TensorType::Q4_1;
        // A scale, and an offset if it has one.
        let head_bytes = if has_offset { 4 } else { 2 };
        let block_bytes = head_bytes + 4 * per_group;
        // Signed bytes become unsigned ones around 128, which is what the instruction multiplies.
        let flip = if weights.tensor_type == TensorType::Q8_0 {
            u32::from_ne_bytes([0x80; 4])
        } else {
            0
        };
        let panels = weights.rows / ROWS * groups;
        let mut chunks = Vec::with_capacity(panels * per_group);
        let mut scales = Vec::with_capacity(panels);
        let mut offsets = Vec::with_capacity(if has_offset { panels } else { 0 });
        for panel in weights.bytes.chunks_exact(ROWS * groups * block_bytes) {
            let block = |row: usize, group: usize| &panel[(row * groups + group) * block_bytes..];
            for group in 0..groups {
                let halves = |at: usize| {
                    std::array::from_fn(|row| {
                        let block = block(row, group);
                        f16::from_le_bytes([block[at], block[at + 1]])
                    })
                };
                scales.push(halves(0));
                if has_offset {
                    offsets.push(halves(2));
                }
                chunks.extend((0..per_group).map(|chunk| {
                    Chunk(std::array::from_fn(|row| {
                        let bytes = &block(row, group)[head_bytes + 4 * chunk..][..4];
                        let four = u32::from_ne_bytes(bytes.try_into().expect("four of them"));
                        (four ^ flip).to_ne_bytes()
                    }))
                }));
            }
        }
        Some(Self {
            tensor_type: weights.tensor_type,
            groups,
            chunks,
            scales,
            offsets,
        })
    }

    /// All panels.
    pub(crate) fn panels(&self) -> Panels<'_> {
        Panels {
            tensor_type: self.tensor_type,
            groups: self.groups,
            chunks: &self.chunks,
            scales: &self.scales,
            offsets: &self.offsets,
        }
    }
}

impl Panels<'_> {
    /// The rows `start..start + count`, if they are whole panels.
    pub(crate) fn slice(self, start: usize, count: usize) -> Option<Self> {
        if !start.is_multiple_of(ROWS) || !count.is_multiple_of(ROWS) {
            return None;
        }
        let groups = start / ROWS * self.groups..(start + count) / ROWS * self.groups;
        let per_group = self.chunks.len() / self.scales.len().max(1);
        Some(Self {
            chunks: &self.chunks[groups.start * per_group..groups.end * per_group],
            scales: &self.scales[groups.clone()],
            offsets: if self.offsets.is_empty() {
                &[]
            } else {
                &self.offsets[groups]
            },
            ..self
        })
    }

    /// Number of rows.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn rows(&self) -> usize {
        self.scales.len() / self.groups * ROWS
    }
}
