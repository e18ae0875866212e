//! The formats in blocks of 256 weights with scales of 6 or 4 bits.

#[allow(
    clippy::wildcard_imports,
    reason = "names of intrinsics, and the other half of one table"
)]
use super::*;

/// Three words of 32 bits.
#[inline(always)]
unsafe fn words(p: *const u8) -> [u32; 3] {
    // SAFETY: the caller promises 12 readable bytes.
    unsafe { p.cast::<[u32; 3]>().read_unaligned() }
}

/// Scales and offsets of two blocks of `Q4_K` or `Q5_K`.
#[inline(always)]
unsafe fn k_scales<F: BlockFormat>(
    row: *const u8,
    strip: usize,
    groups: usize,
) -> (__m512, __m512) {
    // SAFETY: the caller promises one block, or two if there are more than 8 groups.
    unsafe {
        let first = row.add(2 * strip * F::BYTES);
        let (s0, m0) = f::k_bytes(words(first.add(4)));
        let (d0, n0) = (half_at(first), half_at(first.add(2)));
        let (s1, m1, d1, n1) = if groups > 8 {
            let second = first.add(F::BYTES);
            let (s1, m1) = f::k_bytes(words(second.add(4)));
            (s1, m1, half_at(second), half_at(second.add(2)))
        } else {
            (0, 0, 0.0, 0.0)
        };
        (
            _mm512_mul_ps(bytes_to_floats(s0, s1), eight_each(d0, d1)),
            _mm512_mul_ps(bytes_to_floats(m0, m1), eight_each(-n0, -n1)),
        )
    }
}

impl Wide for f::Q4K {
    const GROUP: usize = 32;
    const LEVELS: usize = 16;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let both = shift_halves(twice(block.add(16 + 32 * j)), 0, 4);
            _mm512_and_si512(both, _mm512_set1_epi8(15))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip, groups) }
    }
}

/// Bits of the low 32 and of the high 32 bytes that are set.
#[inline(always)]
unsafe fn test_halves(v: __m512i, low: u8, high: u8) -> __mmask64 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let bits = _mm512_mask_mov_epi32(
            _mm512_set1_epi8(low as i8),
            0xff00,
            _mm512_set1_epi8(high as i8),
        );
        _mm512_test_epi8_mask(v, bits)
    }
}

impl Wide for f::Q5K {
    const GROUP: usize = 32;
    const LEVELS: usize = 32;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let both = shift_halves(twice(block.add(48 + 32 * j)), 0, 4);
            let low = _mm512_and_si512(both, _mm512_set1_epi8(15));
            let fifth = test_halves(twice(block.add(16)), 1 << (2 * j), 2 << (2 * j));
            _mm512_mask_add_epi8(low, fifth, low, _mm512_set1_epi8(16))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip, groups) }
    }
}

impl Wide for f::Q6K {
    const GROUP: usize = 16;
    const ZERO: Option<f32> = Some(32.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let low = _mm512_loadu_si512(block.add(64 * (j / 2)).cast());
            let high = twice(block.add(128 + 32 * (j / 2)));
            let (nibble, two) = if j % 2 == 0 {
                let shift = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4);
                (low, _mm512_sllv_epi64(high, shift))
            } else {
                (_mm512_srli_epi64::<4>(low), shift_halves(high, 0, 2))
            };
            _mm512_or_si512(
                _mm512_and_si512(nibble, _mm512_set1_epi8(15)),
                _mm512_and_si512(two, _mm512_set1_epi8(0x30)),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on; a strip is one block.
        unsafe {
            let block = row.add(strip * Self::BYTES);
            let scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(block.add(192).cast()));
            let d = _mm512_set1_ps(half_at(block.add(208)));
            around(_mm512_mul_ps(_mm512_cvtepi32_ps(scales), d), 32.0)
        }
    }
}

impl Wide for f::Q2K {
    const GROUP: usize = 16;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let low = 4 * (j % 2) as i64;
            let both = shift_halves(twice(block.add(16 + 32 * (j / 2))), low, low + 2);
            _mm512_and_si512(both, _mm512_set1_epi8(3))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on; a strip is one block.
        unsafe {
            let block = row.add(strip * Self::BYTES);
            let packed = _mm512_cvtepu8_epi32(_mm_loadu_si128(block.cast()));
            let scale = _mm512_and_si512(packed, _mm512_set1_epi32(15));
            let min = _mm512_srli_epi32::<4>(packed);
            let (d, dmin) = (half_at(block.add(80)), half_at(block.add(82)));
            (
                _mm512_mul_ps(_mm512_cvtepi32_ps(scale), _mm512_set1_ps(d)),
                _mm512_mul_ps(_mm512_cvtepi32_ps(min), _mm512_set1_ps(-dmin)),
            )
        }
    }
}

impl Wide for f::Q3K {
    const GROUP: usize = 16;
    const ZERO: Option<f32> = Some(4.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let low = 4 * (j % 2) as i64;
            let both = shift_halves(twice(block.add(32 + 32 * (j / 2))), low, low + 2);
            let two = _mm512_and_si512(both, _mm512_set1_epi8(3));
            let third = test_halves(twice(block), 1 << (2 * j), 2 << (2 * j));
            _mm512_mask_add_epi8(two, third, two, _mm512_set1_epi8(4))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on; a strip is one block.
        unsafe {
            let block = row.add(strip * Self::BYTES);
            let packed = words(block.add(96));
            let scales = _mm512_sub_ps(
                bytes_to_floats(f::q3_bytes(packed, 0), f::q3_bytes(packed, 1)),
                _mm512_set1_ps(32.0),
            );
            let d = _mm512_set1_ps(half_at(block.add(108)));
            around(_mm512_mul_ps(scales, d), 4.0)
        }
    }
}
