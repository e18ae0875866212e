//! Rounding of activations to 8 bits, four groups at a time: each has a quarter of a register, so that
//! what is added up across a register is added up for all four at once.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use crate::kernels::vector;

/// [`vector::quantize`], four groups at a time, with the same bits.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn quantize(
    x: &[f32],
    q: &mut [i8],
    scales: &mut [f32],
    sums: &mut [f32],
    group_sums: &mut [f32],
) {
    let (x, x_rest) = x.as_chunks();
    let (q, q_rest) = q.as_chunks_mut();
    let (scales, scales_rest) = scales.as_chunks_mut();
    let (sums, sums_rest) = sums.as_chunks_mut();
    let (group_sums, group_sums_rest) = group_sums.as_chunks_mut();
    let fours = x.iter().zip(q).zip(scales).zip(sums).zip(group_sums);
    for ((((x, q), scales), sums), group_sums) in fours {
        // SAFETY: this function enables the instructions.
        unsafe { quantize_four(x, q, scales, sums, group_sums) }
    }
    vector::quantize::<true>(x_rest, q_rest, scales_rest, sums_rest, group_sums_rest);
}

/// Four groups of 32.
///
/// # Safety
/// The processor has the instructions of the level.
#[inline(always)]
unsafe fn quantize_four(
    x: &[f32; 128],
    q: &mut [i8; 128],
    scales: &mut [f32; 4],
    sums: &mut [f32; 8],
    group_sums: &mut [f32; 4],
) {
    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // SAFETY: every load and store is inside of an array; the caller has the instructions.
    unsafe {
        let mut values = [_mm512_setzero_ps(); 8];
        for (i, values) in values.iter_mut().enumerate() {
            *values = _mm512_loadu_ps(x.as_ptr().add(16 * i));
        }
        let mut most = [_mm512_setzero_ps(); 4];
        for (most, values) in most.iter_mut().zip(values.chunks_exact(2)) {
            // In this order NaN counts as nothing.
            *most = _mm512_max_ps(_mm512_abs_ps(values[0]), *most);
            *most = _mm512_max_ps(_mm512_abs_ps(values[1]), *most);
        }
        let mut pairs = [_mm512_setzero_ps(); 2];
        for (pair, most) in pairs.iter_mut().zip(most.chunks_exact(2)) {
            *pair = _mm512_max_ps(
                _mm512_shuffle_f32x4::<0x44>(most[0], most[1]),
                _mm512_shuffle_f32x4::<0xee>(most[0], most[1]),
            );
        }
        let [a, b] = pairs;
        let most = _mm512_max_ps(
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(a, b),
        );
        let most = _mm512_max_ps(most, _mm512_permute_ps::<0x4e>(most));
        let most = _mm512_max_ps(most, _mm512_permute_ps::<0xb1>(most));
        // In every lane of a quarter: the scale of its group.
        let scale = _mm512_div_ps(most, _mm512_set1_ps(127.0));
        let some = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(scale, _mm512_setzero_ps());
        let inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0), scale);
        let inverses = [
            _mm512_shuffle_f32x4::<0x00>(inverse, inverse),
            _mm512_shuffle_f32x4::<0x55>(inverse, inverse),
            _mm512_shuffle_f32x4::<0xaa>(inverse, inverse),
            _mm512_shuffle_f32x4::<0xff>(inverse, inverse),
        ];
        let round = _mm512_set1_ps(ROUND);
        for (i, values) in values.iter().enumerate() {
            let rounded = _mm512_fmadd_ps(*values, inverses[i / 2], round);
            let bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(rounded));
            _mm_storeu_si128(q.as_mut_ptr().add(16 * i).cast(), bytes);
        }
        // Sums of 16 in the quarters: of the groups 0 and 1, and of 2 and 3.
        let ones = _mm512_set1_epi8(1);
        let mut totals = [_mm512_setzero_si512(); 2];
        for (i, totals) in totals.iter_mut().enumerate() {
            let bytes = _mm512_loadu_si512(q.as_ptr().add(64 * i).cast());
            let fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, bytes);
            let twos = _mm512_add_epi32(fours, _mm512_shuffle_epi32::<0x4e>(fours));
            *totals = _mm512_add_epi32(twos, _mm512_shuffle_epi32::<0xb1>(twos));
        }
        let scale_of = [
            _mm512_shuffle_f32x4::<0x50>(scale, scale),
            _mm512_shuffle_f32x4::<0xfa>(scale, scale),
        ];
        for (i, totals) in totals.iter().enumerate() {
            let scaled = _mm512_mul_ps(scale_of[i], _mm512_cvtepi32_ps(*totals));
            let both = _mm512_add_ps(scaled, _mm512_shuffle_f32x4::<0xb1>(scaled, scaled));
            // Not stored as they are compressed: Zen 4 takes a hundred cycles for that.
            let scaled = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, scaled));
            _mm_storeu_ps(sums.as_mut_ptr().add(4 * i), scaled);
            let both = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x0101, both));
            _mm_storel_pd(
                group_sums.as_mut_ptr().add(2 * i).cast(),
                _mm_castps_pd(both),
            );
        }
        let scale = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, scale));
        _mm_storeu_ps(scales.as_mut_ptr(), scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Random, floats};

    #[test]
    fn four_groups_are_rounded_as_one_by_one() {
        if !super::super::is_available() {
            return;
        }
        let random = &mut Random(83);
        for round in 0..200 {
            let mut x = floats(random, 128);
            match round % 4 {
                0 => x[32..64].fill(0.0),
                1 => x[127] = 1e30,
                2 => x.iter_mut().for_each(|x| *x *= 1e-41),
                _ => {}
            }
            let x: &[f32; 128] = x.first_chunk().expect("128 values");
            let mut expected = ([0; 128], [0.0; 4], [0.0; 8], [0.0; 4]);
            let (q, scales, sums, group_sums) = &mut expected;
            vector::quantize::<true>(x, q, scales, sums, group_sums);
            let mut found = ([1; 128], [1.0; 4], [1.0; 8], [1.0; 4]);
            let (q, scales, sums, group_sums) = &mut found;
            // SAFETY: the level is available.
            unsafe { quantize_four(x, q, scales, sums, group_sums) };
            assert_eq!(found, expected, "round {round}");
        }
    }
}
