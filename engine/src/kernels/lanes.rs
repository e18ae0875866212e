//! Sixteen values side by side: what the compiler keeps in vector registers at every level, and the
//! registers themselves where the compiler does not see what is meant.

use half::f16;

/// Values that are computed side by side.
pub(super) const LANES: usize = 16;

/// `a * b + c`, in one rounding where the level has the instruction.
#[inline(always)]
pub(super) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of all lanes, in pairs.
#[inline(always)]
pub(super) fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut lanes = lanes;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest lane; NaN counts as nothing.
#[inline(always)]
pub(super) fn max_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let other = lanes[i + width];
            lanes[i] = if other > lanes[i] { other } else { lanes[i] };
        }
        width /= 2;
    }
    lanes[0]
}

/// Sixteen values in the registers of a level, and its instructions for them.
pub(super) trait Registers {
    /// Whether products are added in one rounding.
    const FMA: bool;
    /// How many of these the registers hold.
    const SIXTEENS: usize;
    type Sixteen: Copy;

    /// Sixteen neighbours.
    ///
    /// # Safety
    /// This and all below: the processor has the instructions of the level.
    unsafe fn load(values: &[f32; LANES]) -> Self::Sixteen;
    unsafe fn store(values: Self::Sixteen, out: &mut [f32; LANES]);
    /// `sum + weight * x`
    unsafe fn add_scaled(sum: Self::Sixteen, weight: f32, x: Self::Sixteen) -> Self::Sixteen;
    unsafe fn add(a: Self::Sixteen, b: Self::Sixteen) -> Self::Sixteen;
    /// Converts numbers of half precision, exactly.
    unsafe fn halves(values: &[f16; LANES]) -> [f32; LANES];

    /// Rows become columns.
    #[inline(always)]
    unsafe fn turn(rows: &[[f32; LANES]; LANES]) -> [[f32; LANES]; LANES] {
        let mut turned = [[0.0; LANES]; LANES];
        for (j, row) in rows.iter().enumerate() {
            for (turned, value) in turned.iter_mut().zip(row) {
                turned[j] = *value;
            }
        }
        turned
    }
}

/// What runs everywhere.
pub(super) struct Portable;

impl Registers for Portable {
    const FMA: bool = false;
    const SIXTEENS: usize = 8;
    type Sixteen = [f32; LANES];

    #[inline(always)]
    unsafe fn load(values: &[f32; LANES]) -> [f32; LANES] {
        *values
    }

    #[inline(always)]
    unsafe fn store(values: [f32; LANES], out: &mut [f32; LANES]) {
        *out = values;
    }

    #[inline(always)]
    unsafe fn add_scaled(mut sum: [f32; LANES], weight: f32, x: [f32; LANES]) -> [f32; LANES] {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += weight * x;
        }
        sum
    }

    #[inline(always)]
    unsafe fn add(mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    unsafe fn halves(values: &[f16; LANES]) -> [f32; LANES] {
        values.map(f16::to_f32)
    }
}
