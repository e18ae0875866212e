//! Activations as the matrix kernels read them: 8-bit integers with a scale for every 32 of them.

#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{Buffer, CpuLevel, List, Pool, vector};

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

    /// Views `values` and rounds them to 8 bits; `columns` is a multiple of 32.
    pub(crate) fn quantized(
        level: CpuLevel,
        pool: &Pool,
        values: &'a [f32],
        columns: usize,
    ) -> Self {
        let mut this = Self::plain(values, columns);
        assert!(columns.is_multiple_of(GROUP), "whole groups");
        this.quants = Buffer::new(values.len());
        this.scales = Buffer::new(values.len() / GROUP);
        this.sums = Buffer::new(values.len() / (GROUP / 2));
        this.group_sums = Buffer::new(values.len() / GROUP);
        if this.rows <= TASK_ROWS {
            let (q, scales) = (&mut this.quants, &mut this.scales);
            at_level!(
                level,
                quantize(values, q, scales, &mut this.sums, &mut this.group_sums)
            );
            return this;
        }
        // Groups know nothing of rows: a task takes some rows as one long row.
        let n = TASK_ROWS * columns;
        let x = values.chunks(n);
        let (quants, scales) = (&mut this.quants, &mut this.scales);
        let parts = x
            .zip(quants.chunks_mut(n))
            .zip(scales.chunks_mut(n / GROUP))
            .zip(this.sums.chunks_mut(n / (GROUP / 2)))
            .zip(this.group_sums.chunks_mut(n / GROUP));
        let mut tasks: List<_> = parts.collect();
        pool.for_each_chunk(&mut tasks, 1, |_, tasks| {
            for ((((x, q), scales), sums), group_sums) in tasks {
                at_level!(level, quantize(x, q, scales, sums, group_sums));
            }
        });
        drop(tasks);
        this
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

/// Rows that one task rounds.
const TASK_ROWS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn quantized(values: &[f32], columns: usize) -> Activations<'_> {
        let pool = Pool::new(2).expect("threads start");
        Activations::quantized(CpuLevel::current(), &pool, values, columns)
    }

    #[test]
    fn rounding_error_is_half_a_step() {
        let values: Vec<f32> = (0..96).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
        let a = quantized(&values, 96);
        for (i, &v) in values.iter().enumerate() {
            let scale = a.row_scales(0)[i / GROUP];
            assert!(
                (v - scale * f32::from(a.quants[i])).abs() <= scale * 0.501,
                "value {i}"
            );
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let a = quantized(&[0.0; 64], 32);
        assert_eq!(a.rows, 2);
        assert!(a.quants.iter().all(|&q| q == 0) && a.sums.iter().all(|&s| s == 0.0));
    }
}
