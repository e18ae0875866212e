//! Panels of 16 rows times one token: a lane is a row.

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use crate::gguf::TensorType;
use crate::kernels::activations::Activations;
use crate::kernels::repacked::{Panels, ROWS};

/// `out[row]` for all rows of `panels`. Memory is asked for `ahead` bytes before its use: the processor's
/// own prefetcher stops at pages.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) fn panels_times_one(
    panels: Panels<'_>,
    activations: &Activations<'_>,
    token: usize,
    ahead: usize,
    out: &mut [f32],
) {
    // SAFETY: this function enables what the kernels use.
    unsafe {
        match panels.tensor_type {
            TensorType::Q4_0 => panels_of::<4, false>(panels, activations, token, ahead, out),
            TensorType::Q4_1 => panels_of::<4, true>(panels, activations, token, ahead, out),
            _ => panels_of::<8, false>(panels, activations, token, ahead, out),
        }
    }
}

/// `CHUNKS` is 4 for nibbles around 8, 8 for bytes around 128; with `OFFSET` the nibbles are above an
/// offset of each group.
#[inline(always)]
unsafe fn panels_of<const CHUNKS: usize, const OFFSET: bool>(
    panels: Panels<'_>,
    activations: &Activations<'_>,
    token: usize,
    ahead: usize,
    out: &mut [f32],
) {
    let zero = if CHUNKS == 4 { 8.0 } else { 128.0 };
    let groups = panels.groups;
    let quants = &activations.row_quants(token)[..groups * 32];
    let token_scales = &activations.row_scales(token)[..groups];
    let sums = &activations.row_group_sums(token)[..groups];
    let chunks = panels.chunks.chunks_exact(groups * CHUNKS);
    let scales = panels.scales.chunks_exact(groups);
    let panels_out = out.chunks_exact_mut(ROWS);
    for (i, ((chunks, scales), out)) in chunks.zip(scales).zip(panels_out).enumerate() {
        let offsets = if OFFSET {
            &panels.offsets[i * groups..][..groups]
        } else {
            &[]
        };
        // SAFETY: chunks are 64 bytes, scales 16 halves, quants four bytes for each column of a
        // chunk; `out` has 16 rows. The caller has the instructions.
        unsafe {
            let mut total = _mm512_setzero_ps();
            let parts = chunks
                .chunks_exact(CHUNKS)
                .zip(scales)
                .zip(quants.chunks_exact(32));
            let groups = parts.zip(token_scales.iter().zip(sums)).enumerate();
            for (g, (((chunks, scale), q), (a, sum))) in groups {
                let four = |i: usize| {
                    _mm512_set1_epi32(q.as_ptr().add(4 * i).cast::<i32>().read_unaligned())
                };
                let mut dot = _mm512_setzero_si512();
                for (i, chunk) in chunks.iter().enumerate() {
                    let at = chunk.0.as_ptr().cast::<u8>();
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast());
                    let bytes = _mm512_load_si512(at.cast());
                    if CHUNKS == 4 {
                        let low = _mm512_and_si512(bytes, _mm512_set1_epi8(15));
                        let high =
                            _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15));
                        dot = _mm512_dpbusd_epi32(dot, low, four(i));
                        dot = _mm512_dpbusd_epi32(dot, high, four(4 + i));
                    } else {
                        dot = _mm512_dpbusd_epi32(dot, bytes, four(i));
                    }
                }
                let (dot, a) = (_mm512_cvtepi32_ps(dot), _mm512_set1_ps(*a));
                let dot = if OFFSET {
                    // scale * a * dot + offset * a * sum of quants
                    let offset = offsets.get_unchecked(g).as_ptr().cast();
                    let offset = _mm512_cvtph_ps(_mm256_loadu_si256(offset));
                    total = _mm512_fmadd_ps(offset, _mm512_set1_ps(*sum), total);
                    _mm512_mul_ps(dot, a)
                } else {
                    // scale * (a * dot - zero * a * sum of quants)
                    _mm512_fmadd_ps(dot, a, _mm512_set1_ps(-zero * sum))
                };
                let scale = _mm512_cvtph_ps(_mm256_loadu_si256(scale.as_ptr().cast()));
                total = _mm512_fmadd_ps(scale, dot, total);
            }
            _mm512_storeu_ps(out.as_mut_ptr(), total);
        }
    }
}
