//! The weight formats in 256-bit registers: 64 weights at a time in two, and the scales of 8 groups.
//!
//! The layouts are those of `kernels::formats`, which is the definition; tests compare the two.

mod grids;
mod k_quants;

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;

use crate::kernels::formats::{self as f, BlockFormat};
pub(super) use grids::Ahead;

/// Groups of weights whose scales fill a register.
pub(super) const GROUPS: usize = 8;

/// A format whose rows are read in strips of [`GROUPS`] groups.
///
/// All functions are unsafe: the processor has the level's instructions, and the addressed blocks
/// lie inside of the row.
pub(in crate::kernels::x86_64) trait Wide: BlockFormat {
    /// Weights that share a scale and an offset: 16 or 32.
    const GROUP: usize;

    /// The numbers that stand for weights.
    const NUMBERS: Numbers;

    /// The weights `64 * i..` of a row as bytes, in the order of the row. Where only 32 are left,
    /// `whole` is false and the second register holds anything.
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2];

    /// What [`Wide::weights_of`] needs of a strip; nothing in most formats.
    #[inline(always)]
    unsafe fn ahead(_row: *const u8, _strip: usize) -> Ahead {
        Ahead::NONE
    }

    /// As [`Wide::weights`], for weights of a strip of which [`Wide::ahead`] was called.
    #[inline(always)]
    unsafe fn weights_of(_ahead: &Ahead, row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe { Self::weights(row, i, whole) }
    }

    /// Scales and offsets of `groups` groups from group `8 * strip` on; zero beyond.
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256);
}

/// What the bytes of weights are.
#[derive(Clone, Copy)]
pub(in crate::kernels::x86_64) enum Numbers {
    /// Signed bytes that need no offset.
    Signed,
    /// Unsigned bytes below `levels`, and `zero` stands for a weight of 0.
    Around { zero: f32, levels: usize },
    /// Unsigned bytes below `levels`, and the groups have offsets of their own.
    Offset { levels: usize },
}

impl Numbers {
    /// Whether the bytes are signed.
    pub(in crate::kernels::x86_64) const fn signed(self) -> bool {
        matches!(self, Self::Signed)
    }

    /// How many sums of two products with 8-bit activations fit in i16: `2 * 127` times the largest
    /// number each.
    pub(super) const fn sums(self) -> usize {
        match self {
            // Two products of up to 128 * 127 just fit.
            Self::Signed => 1,
            Self::Around { levels, .. } | Self::Offset { levels } => {
                i16::MAX as usize / (2 * 127 * (levels - 1))
            }
        }
    }
}

/// 16 bytes of nibbles as 32 bytes: the low ones, then the high ones.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> __m256i {
    // SAFETY: the caller promises 16 readable bytes.
    unsafe {
        let both = _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast()));
        let shifted = _mm256_srlv_epi64(both, _mm256_set_epi64x(4, 4, 0, 0));
        _mm256_and_si256(shifted, _mm256_set1_epi8(15))
    }
}

#[inline(always)]
unsafe fn load(p: *const u8) -> __m256i {
    // SAFETY: the caller promises 32 readable bytes.
    unsafe { _mm256_loadu_si256(p.cast()) }
}

/// The bits `shift..` of all bytes that are set in `mask`; no bit of `mask` is above `8 - shift`.
#[inline(always)]
unsafe fn bits(v: __m256i, shift: usize, mask: i8) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let shifted = _mm256_srl_epi16(v, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }
}

/// The blocks of 32 weights that hold the weights `64 * i..`.
#[inline(always)]
unsafe fn two_blocks<F: BlockFormat>(row: *const u8, i: usize, whole: bool) -> [*const u8; 2] {
    // SAFETY: the caller promises that both blocks, or the first if not `whole`, are in the row.
    unsafe {
        let first = row.add(2 * i * F::BYTES);
        [first, if whole { first.add(F::BYTES) } else { first }]
    }
}

/// Eight f16 numbers, one for each block of 32 weights, `at` bytes into the block; zero beyond
/// `groups`.
///
/// Loaded one by one into a register: collected by stores, they would be loaded before the stores
/// have arrived, and a gather is slow on many of the processors that have no more than AVX2.
#[inline(always)]
unsafe fn halves<F: BlockFormat>(row: *const u8, strip: usize, groups: usize, at: usize) -> __m256 {
    // SAFETY: the caller promises `groups` blocks from the strip's first on; no other is read.
    unsafe {
        let first = row.add(strip * GROUPS * F::BYTES + at);
        let mut low = _mm_setzero_si128();
        let mut high = _mm_setzero_si128();
        macro_rules! insert {
            ($register:ident, $lane:literal, $group:literal) => {
                if groups > $group {
                    let half = first.add($group * F::BYTES).cast::<u16>().read_unaligned();
                    $register = _mm_insert_epi16::<$lane>($register, i32::from(half));
                }
            };
        }
        insert!(low, 0, 0);
        insert!(low, 1, 1);
        insert!(low, 2, 2);
        insert!(low, 3, 3);
        insert!(high, 0, 4);
        insert!(high, 1, 5);
        insert!(high, 2, 6);
        insert!(high, 3, 7);
        _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high))
    }
}

/// All bits of byte `i` where bit `i` of the word, which all lanes hold, is set.
#[inline(always)]
unsafe fn set_bits(word: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        // Eight copies of each byte, then one bit of each.
        let bytes = _mm256_shuffle_epi8(
            word,
            _mm256_set_epi64x(
                0x0303_0303_0303_0303,
                0x0202_0202_0202_0202,
                0x0101_0101_0101_0101,
                0,
            ),
        );
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit)
    }
}

/// Bit `i` of a little-endian word as 16 in byte `i`.
#[inline(always)]
unsafe fn fifth_bits(word: *const u8) -> __m256i {
    // SAFETY: the caller promises 4 readable bytes.
    unsafe {
        let word = _mm256_set1_epi32(word.cast::<i32>().read_unaligned());
        _mm256_and_si256(set_bits(word), _mm256_set1_epi8(16))
    }
}

/// Scale `d` and offset `-zero * d`.
#[inline(always)]
unsafe fn around(d: __m256, zero: f32) -> (__m256, __m256) {
    // SAFETY: the caller has the instructions.
    (d, unsafe { _mm256_mul_ps(d, _mm256_set1_ps(-zero)) })
}

impl Wide for f::Q4_0 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Around {
        zero: 8.0,
        levels: 16,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on (as in all that follow).
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [nibbles(a.add(2)), nibbles(b.add(2))]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self>(row, strip, groups, 0), 8.0) }
    }
}

impl Wide for f::Q4_1 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Offset { levels: 16 };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [nibbles(a.add(4)), nibbles(b.add(4))]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self>(row, strip, groups, 0),
                halves::<Self>(row, strip, groups, 2),
            )
        }
    }
}

impl Wide for f::Q5_0 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Around {
        zero: 16.0,
        levels: 32,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [
                _mm256_or_si256(nibbles(a.add(6)), fifth_bits(a.add(2))),
                _mm256_or_si256(nibbles(b.add(6)), fifth_bits(b.add(2))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self>(row, strip, groups, 0), 16.0) }
    }
}

impl Wide for f::Q5_1 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Offset { levels: 32 };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [
                _mm256_or_si256(nibbles(a.add(8)), fifth_bits(a.add(4))),
                _mm256_or_si256(nibbles(b.add(8)), fifth_bits(b.add(4))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self>(row, strip, groups, 0),
                halves::<Self>(row, strip, groups, 2),
            )
        }
    }
}

impl Wide for f::Q8_0 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Signed;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [load(a.add(2)), load(b.add(2))]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self>(row, strip, groups, 0), 0.0) }
    }
}

/// The signed values of the nonlinear formats for nibbles in every byte.
#[inline(always)]
unsafe fn nonlinear(nibbles: __m256i) -> __m256i {
    // SAFETY: the table has 16 bytes.
    unsafe {
        let plus_128 = _mm_loadu_si128(f::NONLINEAR.as_ptr().cast());
        let table = _mm_xor_si128(plus_128, _mm_set1_epi8(-128));
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles)
    }
}

impl Wide for f::Iq4Nl {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Signed;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            [nonlinear(nibbles(a.add(2))), nonlinear(nibbles(b.add(2)))]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self>(row, strip, groups, 0), 0.0) }
    }
}

impl Wide for f::Mxfp4 {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Around {
        zero: 12.0,
        // 25, but sums are added up in twos, fours and eights.
        levels: 32,
    };
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on; the table has 16 bytes.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(f::HALVES.as_ptr().cast()));
            // No `map`: a closure has not the instructions, and calls them.
            [
                _mm256_shuffle_epi8(table, nibbles(a.add(1))),
                _mm256_shuffle_epi8(table, nibbles(b.add(1))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on; of other blocks than the `groups` nothing is read.
        unsafe {
            let first = row.add(strip * GROUPS * Self::BYTES);
            // An exponent of 1 and one of 0 are the same: a scale of zero.
            let mut low = _mm_set1_epi32(1);
            let mut high = low;
            macro_rules! insert {
                ($register:ident, $lane:literal, $group:literal) => {
                    if groups > $group {
                        let exponent = first.add($group * Self::BYTES).read();
                        $register = _mm_insert_epi32::<$lane>($register, i32::from(exponent));
                    }
                };
            }
            insert!(low, 0, 0);
            insert!(low, 1, 1);
            insert!(low, 2, 2);
            insert!(low, 3, 3);
            insert!(high, 0, 4);
            insert!(high, 1, 5);
            insert!(high, 2, 6);
            insert!(high, 3, 7);
            let one = _mm256_set1_epi32(1);
            let exponents = _mm256_max_epi32(_mm256_set_m128i(high, low), one);
            let halves = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponents, one));
            let d = _mm256_castsi256_ps(halves);
            around(d, 12.0)
        }
    }
}

/// The block of 256 weights, and the quarter of it, that hold the weights `64 * i..`.
#[inline(always)]
unsafe fn quarter<F: BlockFormat>(row: *const u8, i: usize) -> (*const u8, usize) {
    // SAFETY: the caller promises that the block is in the row.
    (unsafe { row.add(i / 4 * F::BYTES) }, i % 4)
}

/// The block of 16 groups, and the half of it, that hold a strip.
#[inline(always)]
unsafe fn half<F: BlockFormat>(row: *const u8, strip: usize) -> (*const u8, usize) {
    // SAFETY: the caller promises that the block is in the row.
    (unsafe { row.add(strip / 2 * F::BYTES) }, strip % 2)
}

#[inline(always)]
unsafe fn half_at(p: *const u8) -> f32 {
    // SAFETY: the caller promises 2 readable bytes.
    unsafe {
        let bits = p.cast::<u16>().read_unaligned();
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
    }
}

/// Eight unsigned bytes as f32, times a number.
#[inline(always)]
unsafe fn bytes_times(bytes: u64, d: f32) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let floats = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes as i64)));
        _mm256_mul_ps(floats, _mm256_set1_ps(d))
    }
}

impl Wide for f::Iq4Xs {
    const GROUP: usize = 32;
    const NUMBERS: Numbers = Numbers::Signed;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [__m256i; 2] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = block.add(8 + 32 * j);
            [
                nonlinear(nibbles(packed)),
                nonlinear(nibbles(packed.add(16))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (__m256, __m256) {
        // SAFETY: passed on; a strip is one block.
        unsafe {
            let block = row.add(strip * Self::BYTES);
            let high = i32::from(block.add(2).cast::<u16>().read_unaligned());
            let low = block.add(4).cast::<i32>().read_unaligned();
            let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
            let (twice, four_times) =
                (_mm256_slli_epi32::<1>(lanes), _mm256_slli_epi32::<2>(lanes));
            let low = _mm256_srlv_epi32(_mm256_set1_epi32(low), four_times);
            let high = _mm256_srlv_epi32(_mm256_set1_epi32(high), twice);
            let six = _mm256_or_si256(
                _mm256_and_si256(low, _mm256_set1_epi32(15)),
                _mm256_slli_epi32::<4>(_mm256_and_si256(high, _mm256_set1_epi32(3))),
            );
            let scales = _mm256_cvtepi32_ps(_mm256_sub_epi32(six, _mm256_set1_epi32(32)));
            let d = _mm256_set1_ps(half_at(block));
            around(_mm256_mul_ps(scales, d), 0.0)
        }
    }
}
