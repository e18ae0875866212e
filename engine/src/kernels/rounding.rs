//! Rounding of activations to 8 bits, on all threads where there are many.

#[cfg(target_arch = "aarch64")]
use super::aarch64;
use super::activations::{Activations, GROUP};
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{Buffer, CpuLevel, List, Pool, vector};

impl<'a> Activations<'a> {
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
