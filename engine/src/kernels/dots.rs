//! Dot products of quantized weight rows with 8-bit activations, generic over format and lanes.
//!
//! One source for all instruction sets: [`BlockFormat`] unpacks, [`Lanes`] multiplies. The
//! functions here are always inlined into entry points that enable the instructions of one level.

use super::OutTile;
use super::activations::Activations;
use super::formats::{BlockFormat, SUBGROUP};

/// Weights that are unpacked at a time, the longest block of any format.
pub(crate) const STRIP: usize = 256;
/// Weight rows that are multiplied together with one load of the activations.
const ROWS: usize = 4;

/// Multiply-accumulate of one instruction set.
pub(crate) trait Lanes {
    /// Partial sums in f32.
    type Sum: Copy;
    /// No sum yet.
    fn zero() -> Self::Sum;
    /// Adds `weight_scale * activation_scale * sum(u * q)` over a multiple of 32 weights.
    ///
    /// `weight_scale` has an entry for 16 weights, `activation_scale` one for 32. `SMALL` promises
    /// that every `u` is below 128.
    ///
    /// # Safety
    /// The processor has the instructions of the level; the lengths fit: `u` and `q` are equally
    /// long, a multiple of 32.
    unsafe fn add<const SMALL: bool>(
        sum: Self::Sum,
        u: &[u8],
        weight_scale: &[f32],
        q: &[i8],
        activation_scale: &[f32],
    ) -> Self::Sum;
    /// The total.
    ///
    /// # Safety
    /// The processor has the instructions of the level.
    unsafe fn total(sum: Self::Sum) -> f32;
}

/// Weights of one strip, unpacked.
struct Strip {
    u: [u8; STRIP],
    scale: [f32; STRIP / SUBGROUP],
    offset: [f32; STRIP / SUBGROUP],
}

impl Strip {
    #[inline(always)]
    fn new() -> Self {
        Self {
            u: [0; STRIP],
            scale: [0.0; STRIP / SUBGROUP],
            offset: [0.0; STRIP / SUBGROUP],
        }
    }

    /// Unpacks `weights` weights of `row` from weight `start` on; both are multiples of the block.
    #[inline(always)]
    fn unpack<F: BlockFormat>(&mut self, row: &[u8], start: usize, weights: usize) {
        let blocks = &row[start / F::LEN * F::BYTES..(start + weights) / F::LEN * F::BYTES];
        let groups = F::LEN / SUBGROUP;
        for (i, block) in blocks.chunks_exact(F::BYTES).enumerate() {
            F::unpack(
                block,
                &mut self.u[i * F::LEN..(i + 1) * F::LEN],
                &mut self.scale[i * groups..(i + 1) * groups],
                &mut self.offset[i * groups..(i + 1) * groups],
            );
        }
    }
}

/// What [`ROWS`] rows times a token are so far: products, and the lanes of their offsets.
type RowSums<S> = ([S; ROWS], [[f32; 4]; ROWS]);

/// `out[token, row]` for the rows in `rows` and the activation rows `tokens`.
///
/// `rows` holds whole rows of `F` blocks; `out` is `[tokens, rows]`.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn tile<F: BlockFormat, L: Lanes>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    if let [token] = *tokens {
        for (row, out) in rows.chunks_exact(row_bytes).zip(out.row(0)) {
            // SAFETY: passed on from the caller.
            *out = unsafe { row_times_one::<F, L>(row, activations, token as usize) };
        }
        return;
    }
    let mut sums = vec![([L::zero(); ROWS], [[0.0f32; 4]; ROWS]); tokens.len()];
    for (i, rows) in rows.chunks(row_bytes * ROWS).enumerate() {
        // SAFETY: passed on from the caller.
        unsafe { rows_times_many::<F, L>(rows, activations, tokens, &mut sums, i * ROWS, out) };
    }
}

/// One row times one token: weights are unpacked into registers and the first cache, and used once.
#[inline(always)]
unsafe fn row_times_one<F: BlockFormat, L: Lanes>(
    row: &[u8],
    activations: &Activations<'_>,
    token: usize,
) -> f32 {
    let mut strip = Strip::new();
    let (quants, scales, token_sums) = (
        activations.row_quants(token),
        activations.row_scales(token),
        activations.row_sums(token),
    );
    let mut sum = L::zero();
    let mut offset = [0.0f32; 4];
    let mut start = 0;
    while start < activations.columns {
        let n = STRIP.min(activations.columns - start);
        strip.unpack::<F>(row, start, n);
        // SAFETY: the slices are cut to `n` weights; the level is passed on from the caller.
        sum = unsafe {
            if F::SMALL {
                L::add::<true>(
                    sum,
                    &strip.u[..n],
                    &strip.scale,
                    &quants[start..start + n],
                    &scales[start / 32..],
                )
            } else {
                L::add::<false>(
                    sum,
                    &strip.u[..n],
                    &strip.scale,
                    &quants[start..start + n],
                    &scales[start / 32..],
                )
            }
        };
        let n_groups = n / SUBGROUP;
        let token_sums = &token_sums[start / SUBGROUP..][..n_groups];
        add_dot(&mut offset, &strip.offset[..n_groups], token_sums);
        start += n;
    }
    // SAFETY: passed on from the caller.
    unsafe { L::total(sum) + total(offset) }
}

/// Up to [`ROWS`] rows times all tokens: a strip is unpacked once for all of them.
#[inline(always)]
unsafe fn rows_times_many<F: BlockFormat, L: Lanes>(
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    sums: &mut [RowSums<L::Sum>],
    first_row: usize,
    out: &mut OutTile<'_>,
) {
    let row_bytes = activations.columns / F::LEN * F::BYTES;
    let n_rows = rows.len() / row_bytes;
    sums.fill(([L::zero(); ROWS], [[0.0; 4]; ROWS]));
    let mut strips = [const {
        Strip {
            u: [0; STRIP],
            scale: [0.0; STRIP / SUBGROUP],
            offset: [0.0; STRIP / SUBGROUP],
        }
    }; ROWS];
    let mut start = 0;
    while start < activations.columns {
        let n = STRIP.min(activations.columns - start);
        let n_groups = n / SUBGROUP;
        for (strip, row) in strips.iter_mut().zip(rows.chunks_exact(row_bytes)) {
            strip.unpack::<F>(row, start, n);
        }
        for (&token, (sum, offset)) in tokens.iter().zip(sums.iter_mut()) {
            let token = token as usize;
            let q = &activations.row_quants(token)[start..start + n];
            let scales = &activations.row_scales(token)[start / 32..][..n / 32];
            let token_sums = &activations.row_sums(token)[start / SUBGROUP..][..n_groups];
            for r in 0..n_rows {
                let strip = &strips[r];
                // SAFETY: the slices are cut to `n` weights; the level is passed on from the caller.
                sum[r] = unsafe {
                    if F::SMALL {
                        L::add::<true>(sum[r], &strip.u[..n], &strip.scale, q, scales)
                    } else {
                        L::add::<false>(sum[r], &strip.u[..n], &strip.scale, q, scales)
                    }
                };
                add_dot(&mut offset[r], &strip.offset[..n_groups], token_sums);
            }
        }
        start += n;
    }
    for (t, (sum, offset)) in sums.iter().enumerate() {
        for (r, out) in out.row(t)[first_row..first_row + n_rows]
            .iter_mut()
            .enumerate()
        {
            // SAFETY: passed on from the caller.
            *out = unsafe { L::total(sum[r]) } + total(offset[r]);
        }
    }
}

/// Adds the dot product of at most 16 pairs to lanes that the compiler can keep in one register. One
/// token and many add in the same order, so that their numbers are the same.
#[inline(always)]
fn add_dot(lanes: &mut [f32; 4], a: &[f32], b: &[f32]) {
    for (a, b) in a.chunks(4).zip(b.chunks(4)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
}

#[inline(always)]
fn total(lanes: [f32; 4]) -> f32 {
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}
