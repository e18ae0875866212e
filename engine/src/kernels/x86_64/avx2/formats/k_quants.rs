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

/// Scales and offsets of a block of `Q4_K` or `Q5_K`.
#[inline(always)]
unsafe fn k_scales<F: BlockFormat>(row: *const u8, strip: usize) -> (__m256, __m256) {
    // SAFETY: the caller promises that the strip, which is a block, is in the row.
    unsafe {
        let block = row.add(strip * F::BYTES);
        let (scales, minima) = f::k_bytes(words(block.add(4)));
        (
            bytes_times(scales, half_at(block)),
            bytes_times(minima, -half_at(block.add(2))),
        )
    }
}

impl Wide for f::Q4K {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Offset { levels: 16 };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load(block.add(16 + 32 * j));
            [bits(packed, 0, 15), bits(packed, 4, 15)]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip) }
    }
}

impl Wide for f::Q5K {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Offset { levels: 32 };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load(block.add(48 + 32 * j));
            let high = load(block.add(16));
            let fifth = [bits(high, 2 * j, 1), bits(high, 2 * j + 1, 1)];
            [
                _mm256_or_si256(bits(packed, 0, 15), _mm256_slli_epi16::<4>(fifth[0])),
                _mm256_or_si256(bits(packed, 4, 15), _mm256_slli_epi16::<4>(fifth[1])),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip) }
    }
}

impl Wide for f::Q6K {
    const GROUP: usize = 16;
    const NUMBERS: Numbers = Numbers::Around {
        zero: 32.0,
        levels: 64,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let low = block.add(64 * (j / 2));
            let high = load(block.add(128 + 32 * (j / 2)));
            let shift = 4 * (j % 2);
            let two = [bits(high, shift, 3), bits(high, shift + 2, 3)];
            [
                _mm256_or_si256(bits(load(low), shift, 15), _mm256_slli_epi16::<4>(two[0])),
                _mm256_or_si256(
                    bits(load(low.add(32)), shift, 15),
                    _mm256_slli_epi16::<4>(two[1]),
                ),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = half::<Self>(row, strip);
            let scales = _mm_loadl_epi64(block.add(192 + 8 * half).cast());
            let scales = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(scales));
            let d = _mm256_set1_ps(half_at(block.add(208)));
            around(_mm256_mul_ps(scales, d), 32.0)
        }
    }
}

impl Wide for f::Q2K {
    const GROUP: usize = 16;
    const NUMBERS: Numbers = Numbers::Offset { levels: 4 };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load(block.add(16 + 32 * (j / 2)));
            let shift = 4 * (j % 2);
            [bits(packed, shift, 3), bits(packed, shift + 2, 3)]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = half::<Self>(row, strip);
            let packed = block.add(8 * half).cast::<u64>().read_unaligned();
            let nibbles = 0x0f0f_0f0f_0f0f_0f0f;
            (
                bytes_times(packed & nibbles, half_at(block.add(80))),
                bytes_times((packed >> 4) & nibbles, -half_at(block.add(82))),
            )
        }
    }
}

impl Wide for f::Q3K {
    const GROUP: usize = 16;
    const NUMBERS: Numbers = Numbers::Around {
        zero: 4.0,
        levels: 8,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load(block.add(32 + 32 * (j / 2)));
            let high = load(block);
            let shift = 4 * (j % 2);
            let third = [bits(high, 2 * j, 1), bits(high, 2 * j + 1, 1)];
            [
                _mm256_or_si256(bits(packed, shift, 3), _mm256_slli_epi16::<2>(third[0])),
                _mm256_or_si256(bits(packed, shift + 2, 3), _mm256_slli_epi16::<2>(third[1])),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = half::<Self>(row, strip);
            let bytes = f::q3_bytes(words(block.add(96)), half);
            let d = half_at(block.add(108));
            let minus_32 = _mm256_set1_ps(-32.0 * d);
            around(_mm256_add_ps(bytes_times(bytes, d), minus_32), 4.0)
        }
    }
}
