//! How four products of bytes become one sum of 32 bits: in what the levels with 256-bit registers differ.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use super::formats::Wide;
use crate::kernels::activations::Activations;

/// Rows that are read side by side for a few tokens.
pub(in crate::kernels::x86_64) const FEW_ROWS: usize = 2;

/// Integer products of a level. Activations are above -128.
///
/// All functions are unsafe: the processor has the level's instructions.
pub(in crate::kernels::x86_64) trait Dot {
    /// Whether one instruction adds four products. Otherwise it pays to add sums of two in 16 bits first.
    const FOUR: bool;

    /// `sum` plus the products of four neighbouring weights with activations, in each lane of 32 bits.
    unsafe fn add<F: Wide>(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i;

    /// `gemv::side_by_side`, compiled for the level: a function of its own, which the many kernels of
    /// a level share no code with, is compiled in a fraction of the time.
    ///
    /// # Safety
    /// As there.
    unsafe fn rows_times_one<F: Wide, const R: usize>(
        rows: &[u8],
        activations: &Activations<'_>,
        token: usize,
        ahead: usize,
        out: &mut [f32],
    );

    /// `gemm_few::rows_times`, in the same way.
    ///
    /// # Safety
    /// As there.
    unsafe fn rows_times_two<F: Wide>(
        rows: [*const u8; FEW_ROWS],
        activations: &Activations<'_>,
        tokens: [usize; 2],
    ) -> [[f32; FEW_ROWS]; 2];
}

/// Weights and activations such that one side is unsigned, as the instructions want it: where weights are
/// signed, their signs move over to the activations.
#[inline(always)]
pub(in crate::kernels::x86_64) unsafe fn unsigned_and_signed<F: Wide>(
    weights: __m256i,
    activations: __m256i,
) -> (__m256i, __m256i) {
    // SAFETY: the caller has the instructions.
    unsafe {
        if F::NUMBERS.signed() {
            let signed = _mm256_sign_epi8(activations, weights);
            (_mm256_abs_epi8(weights), signed)
        } else {
            (weights, activations)
        }
    }
}

/// Sums of two neighbouring products of weights with activations, in 16 bits.
///
/// Activations are above -128, so that two products fit, also of a weight of -128.
#[inline(always)]
pub(super) unsafe fn pair_sums<F: Wide>(weights: __m256i, activations: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (unsigned, signed) = unsigned_and_signed::<F>(weights, activations);
        _mm256_maddubs_epi16(unsigned, signed)
    }
}
