//! The formats whose numbers come from a grid.
//!
//! Points are fetched with plain loads: a gather is slow on many of the processors that have no more than
//! AVX2. Signs are unpacked for a whole strip ([`Ahead`]).

#[allow(
    clippy::wildcard_imports,
    reason = "names of intrinsics, and the other half of one table"
)]
use super::*;
use crate::kernels::formats::Grid;

/// The signs of a strip, a bit for each weight.
#[derive(Clone, Copy)]
pub(in crate::kernels::x86_64) struct Ahead([u32; 8]);

impl Ahead {
    pub(in crate::kernels::x86_64) const NONE: Self = Self([0; 8]);
}

/// Where the signs of a format are.
pub(in crate::kernels::x86_64) trait Signs: Grid {
    /// The signs of a block, or of its `half` if the strip is not more.
    ///
    /// # Safety
    /// The processor has the level's instructions; the block is whole.
    unsafe fn of_strip(block: *const u8, half: usize) -> __m256i;
}

/// Bytes of seven signs with the eighth, by which the number of minuses is even.
#[inline(always)]
unsafe fn with_eighth(sevens: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let x = _mm256_xor_si256(sevens, _mm256_srli_epi16::<4>(sevens));
        let x = _mm256_xor_si256(x, _mm256_srli_epi16::<2>(x));
        let x = _mm256_xor_si256(x, _mm256_srli_epi16::<1>(x));
        let eighth = _mm256_slli_epi16::<7>(_mm256_and_si256(x, _mm256_set1_epi8(1)));
        _mm256_or_si256(sevens, eighth)
    }
}

/// The signs of eight words: four times seven bits each.
#[inline(always)]
unsafe fn signs_of_words(words: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        // Each seven bits move up to their byte.
        let sevens = [
            words,
            _mm256_slli_epi32::<1>(words),
            _mm256_slli_epi32::<2>(words),
            _mm256_slli_epi32::<3>(words),
        ];
        let mut all = _mm256_setzero_si256();
        for (byte, seven) in sevens.into_iter().enumerate() {
            let there = _mm256_set1_epi32(0x7f << (8 * byte));
            all = _mm256_or_si256(all, _mm256_and_si256(seven, there));
        }
        with_eighth(all)
    }
}

/// Eight words that lie `step` bytes apart: 4, or 8 with four bytes before the first.
#[inline(always)]
unsafe fn words_apart(first: *const u8, step: usize) -> __m256i {
    // SAFETY: the caller promises the words and has the instructions.
    unsafe {
        if step == 4 {
            return load(first);
        }
        // The high halves of eight pairs, two by two from either register.
        let (low, high) = (load(first.sub(4)), load(first.add(28)));
        let (low, high) = (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
        let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));
        _mm256_permute4x64_epi64::<0b11_01_10_00>(odd)
    }
}

macro_rules! signs {
    ($($format:ident: |$block:ident, $half:ident| $signs:expr;)*) => {
        $(impl Signs for f::$format {
            #[inline(always)]
            unsafe fn of_strip($block: *const u8, $half: usize) -> __m256i {
                // SAFETY: passed on.
                unsafe { $signs }
            }
        })*
    };
}

signs! {
    Iq2Xxs: |block, _half| signs_of_words(words_apart(block.add(2 + 4), 8));
    Iq2Xs: |block, half| {
        let words = _mm256_srli_epi16::<9>(load(block.add(2 + 32 * half)));
        let bytes = _mm256_packus_epi16(words, words);
        with_eighth(_mm256_permute4x64_epi64::<0b10_00_10_00>(bytes))
    };
    Iq2S: |block, half| {
        _mm256_castsi128_si256(_mm_loadu_si128(block.add(34 + 16 * half).cast()))
    };
    Iq3Xxs: |block, _half| signs_of_words(load(block.add(66)));
    Iq3S: |block, _half| load(block.add(74));
    Iq1S: |_block, _half| _mm256_setzero_si256();
    Iq1M: |_block, _half| _mm256_setzero_si256();
}

/// Four points, inserted one by one: collected by stores, they would be loaded before the stores have
/// arrived.
#[inline(always)]
unsafe fn four([a, b, c, d]: [u64; 4]) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_set_epi64x(d as i64, c as i64, b as i64, a as i64) }
}

/// Bytes mirrored at `middle` where a bit of `signs` is set.
#[inline(always)]
unsafe fn mirrored(points: __m256i, signs: u32, middle: u8) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let minus = set_bits(_mm256_set1_epi32(signs as i32));
        // `!x + 2 * middle + 1` is `2 * middle - x`.
        let add = _mm256_and_si256(minus, _mm256_set1_epi8((2 * middle + 1) as i8));
        _mm256_add_epi8(_mm256_xor_si256(points, minus), add)
    }
}

/// The weights of a quarter of a block with their signs.
#[inline(always)]
unsafe fn with_signs<F: Grid>(block: &[u8], quarter: usize, signs: [u32; 2]) -> [__m256i; 2] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let [a, b, c, d, e, f, g, h] = F::numbers(block, quarter);
        let [low, high] = [four([a, b, c, d]), four([e, f, g, h])];
        if !F::SIGNED {
            return [low, high];
        }
        [
            mirrored(low, signs[0], F::MIDDLE),
            mirrored(high, signs[1], F::MIDDLE),
        ]
    }
}

/// The block of a strip, and the half of it if that is all.
#[inline(always)]
unsafe fn of_strip<'a, F: Grid>(row: *const u8, strip: usize) -> (&'a [u8], usize) {
    // SAFETY: the caller promises that the strip is in the row, and uses it as long as that.
    unsafe {
        let (block, half) = if F::SHARING == 16 {
            half::<F>(row, strip)
        } else {
            (row.add(strip * F::BLOCK_BYTES), 0)
        };
        (std::slice::from_raw_parts(block, F::BLOCK_BYTES), half)
    }
}

impl<F: Signs> Wide for F {
    const GROUP: usize = F::SHARING;
    const NUMBERS: Numbers = Numbers::Around {
        zero: F::MIDDLE as f32,
        levels: F::ABOVE,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let block = std::slice::from_raw_parts(block, F::BLOCK_BYTES);
            let signs = F::signs(block, j);
            with_signs::<F>(block, j, [signs as u32, (signs >> 32) as u32])
        }
    }
    #[inline(always)]
    unsafe fn ahead(row: *const u8, strip: usize) -> Ahead {
        if !F::SIGNED {
            return Ahead::NONE;
        }
        // SAFETY: passed on; a register is as long as eight words.
        unsafe {
            let (block, half) = of_strip::<F>(row, strip);
            Ahead(std::mem::transmute::<__m256i, [u32; 8]>(F::of_strip(
                block.as_ptr(),
                half,
            )))
        }
    }
    #[inline(always)]
    unsafe fn weights_of(ahead: &Ahead, row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let block = std::slice::from_raw_parts(block, F::BLOCK_BYTES);
            let first = 2 * (i % (GROUPS * F::SHARING / 64));
            with_signs::<F>(block, j, [ahead.0[first], ahead.0[first + 1]])
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = of_strip::<F>(row, strip);
            let bits = _mm_cvtsi32_si128(i32::from(F::half(block)));
            let unit = _mm_cvtss_f32(_mm_cvtph_ps(bits)) * F::UNIT;
            let d = if let Some((first, step)) = F::SCALE_WORDS {
                let words = words_apart(block.as_ptr().add(first), step);
                let twice = _mm256_slli_epi32::<1>(_mm256_srli_epi32::<28>(words));
                let odd = _mm256_or_si256(twice, _mm256_set1_epi32(1));
                _mm256_mul_ps(_mm256_cvtepi32_ps(odd), _mm256_set1_ps(unit))
            } else {
                bytes_times(F::multiples(block, half), unit)
            };
            around(d, f32::from(F::MIDDLE))
        }
    }
}
