//! Activations as the matrix kernels read them: 8-bit integers with a scale for every 32 of them.

use super::Buffer;

/// Activations that share a scale.
pub(crate) const GROUP: usize = 32;

/// Rows of activations, in f32 and, for quantized weights, in 8 bits.
///
/// A value is `scale * quant`. Quantizing them once lets every weight row multiply integers.
pub(crate) struct Activations<'a> {
    /// Number of rows (tokens).
    pub(crate) rows: usize,
    /// Length of a row.
    pub(crate) columns: usize,
    /// `[rows, columns]`
    pub(crate) values: &'a [f32],
    /// `[rows, columns]`, empty unless quantized
    pub(crate) quants: Buffer<i8>,
    /// `[rows, columns / 32]`
    pub(crate) scales: Buffer,
    /// `[rows, columns / 16]`: scale times the sum of 16 quants, what a constant offset of the
    /// weights is multiplied with
    pub(crate) sums: Buffer,
    /// `[rows, columns / 32]`: the same for 32 quants
    pub(crate) group_sums: Buffer,
}

impl<'a> Activations<'a> {
    /// Views `values`, a whole number of rows, without quantizing them.
    pub(crate) fn plain(values: &'a [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && values.len().is_multiple_of(columns),
            "whole rows"
        );
        let rows = values.len() / columns;
        Self {
            rows,
            columns,
            values,
            quants: Buffer::empty(),
            scales: Buffer::empty(),
            sums: Buffer::empty(),
            group_sums: Buffer::empty(),
        }
    }

    /// The 8-bit activations of one row.
    #[inline(always)]
    pub(crate) fn row_quants(&self, row: usize) -> &[i8] {
        &self.quants[row * self.columns..(row + 1) * self.columns]
    }

    /// The scales of one row, one for every 32 activations.
    #[inline(always)]
    pub(crate) fn row_scales(&self, row: usize) -> &[f32] {
        let n = self.columns / GROUP;
        &self.scales[row * n..(row + 1) * n]
    }

    /// The scaled sums of one row, one for every 16 activations.
    #[inline(always)]
    pub(crate) fn row_sums(&self, row: usize) -> &[f32] {
        let n = self.columns / (GROUP / 2);
        &self.sums[row * n..(row + 1) * n]
    }

    /// The scaled sums of one row, one for every 32 activations.
    #[inline(always)]
    pub(crate) fn row_group_sums(&self, row: usize) -> &[f32] {
        let n = self.columns / GROUP;
        &self.group_sums[row * n..(row + 1) * n]
    }

    /// The f32 activations of one row.
    #[inline(always)]
    pub(crate) fn row_values(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}

/// Rows of activations that some products multiply.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) activations: &'a Activations<'a>,
    /// Indices of the rows.
    pub(crate) rows: &'a [u32],
}
