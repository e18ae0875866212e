//! The weight formats in 512-bit registers: 64 weights at a time, and the scales of 16 groups.
//!
//! The layouts are those of `kernels::formats`, which is the definition; tests compare the two.

mod grids;
mod k_quants;

#[allow(
    clippy::wildcard_imports,
    reason = "the names of intrinsics are unmistakable"
)]
use std::arch::x86_64::*;
use std::marker::PhantomData;

use crate::kernels::formats::{self as f, BlockFormat};
pub(in crate::kernels::x86_64) use grids::Ahead;

/// Groups of weights whose scales fill a register.
pub(in crate::kernels::x86_64) const GROUPS: usize = 16;

/// Bytes of blocks whose strips are turned for few tokens: a scale in f16, 32 nibbles.
pub(super) const TURNED_BLOCK: usize = 18;

/// A format whose rows are read in strips of [`GROUPS`] groups.
///
/// All functions are unsafe: the processor has the level's instructions, and the addressed blocks
/// lie inside of the row.
pub(in crate::kernels::x86_64) trait Wide: BlockFormat {
    /// Weights that share a scale and an offset: 16 or 32.
    const GROUP: usize;

    /// The number that stands for a weight of 0, the same in all groups; `None` where groups have
    /// offsets of their own.
    const ZERO: Option<f32> = None;

    /// Every number that stands for a weight is below this.
    const LEVELS: usize = 256;

    /// The weights `64 * i..` of a row as unsigned bytes. Where only 32 are left, `whole` is false
    /// and the upper half holds anything.
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i;

    /// Whether a block is 32 nibbles, the low ones before the high ones: [`Wide::four_blocks`] and
    /// [`Wide::split`] exist.
    const IN_HALVES: bool = false;

    /// Whether few tokens are multiplied with strips that are turned: blocks of 18 bytes in halves.
    const TURNS: bool = Self::IN_HALVES && Self::BYTES == TURNED_BLOCK;

    /// The nibbles of the four blocks of 32 weights from weight `128 * i` on. Where only `blocks` are
    /// left, the last stands in.
    unsafe fn four_blocks(_row: *const u8, _i: usize, _blocks: usize) -> __m512i {
        unreachable!("a format without nibbles")
    }

    /// The weights in the low and in the high nibbles, as unsigned bytes.
    ///
    /// A lane of both belongs to the same block: their products are added before they are scaled.
    unsafe fn split(_nibbles: __m512i) -> [__m512i; 2] {
        unreachable!("a format without nibbles")
    }

    /// What [`Wide::weights_of`] needs of the `groups` groups of a strip; nothing in most formats.
    #[inline(always)]
    unsafe fn ahead(_row: *const u8, _strip: usize, _groups: usize) -> Ahead {
        // SAFETY: passed on.
        unsafe { Ahead::none() }
    }

    /// As [`Wide::weights`], for weights of a strip that was looked up ahead.
    #[inline(always)]
    unsafe fn weights_of(_ahead: &Ahead, row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe { Self::weights(row, i, whole) }
    }

    /// Scales and offsets of `groups` groups from group `16 * strip` on; zero beyond.
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512);
}

/// Byte `i` of a shift count for the low and the high 256 bits.
#[inline(always)]
unsafe fn shift_halves(v: __m512i, low: i64, high: i64) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe {
        _mm512_srlv_epi64(
            v,
            _mm512_set_epi64(high, high, high, high, low, low, low, low),
        )
    }
}

/// 32 bytes in both halves.
#[inline(always)]
unsafe fn twice(p: *const u8) -> __m512i {
    // SAFETY: the caller promises 32 readable bytes.
    unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(p.cast())) }
}

/// Two times 16 bytes of nibbles as 64 bytes: low and high nibbles of the first, of the second.
#[inline(always)]
unsafe fn nibbles(first: *const u8, second: *const u8) -> __m512i {
    // SAFETY: the caller promises 16 readable bytes at both.
    unsafe {
        let a = _mm512_broadcast_i32x4(_mm_loadu_si128(first.cast()));
        let both = _mm512_mask_broadcast_i32x4(a, 0xff00, _mm_loadu_si128(second.cast()));
        let shifted = _mm512_srlv_epi64(both, _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0));
        _mm512_and_si512(shifted, _mm512_set1_epi8(15))
    }
}

/// The 16 bytes that lie `at` bytes into each of four blocks, of which `blocks` exist.
#[inline(always)]
unsafe fn four_times_16<F: BlockFormat>(
    row: *const u8,
    i: usize,
    blocks: usize,
    at: usize,
) -> __m512i {
    // SAFETY: the caller promises `blocks` blocks, each of which has 16 bytes from `at` on.
    unsafe {
        let first = row.add(4 * i * F::BYTES + at);
        let block = |b: usize| first.add(b.min(blocks - 1) * F::BYTES);
        let x = _mm512_castsi128_si512(_mm_loadu_si128(block(0).cast()));
        let x = _mm512_mask_broadcast_i32x4(x, 0x00f0, _mm_loadu_si128(block(1).cast()));
        let x = _mm512_mask_broadcast_i32x4(x, 0x0f00, _mm_loadu_si128(block(2).cast()));
        _mm512_mask_broadcast_i32x4(x, 0xf000, _mm_loadu_si128(block(3).cast()))
    }
}

/// The low and the high nibbles of all bytes.
#[inline(always)]
unsafe fn low_and_high(bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let low = _mm512_set1_epi8(15);
        [
            _mm512_and_si512(bytes, low),
            _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low),
        ]
    }
}

/// The blocks of 32 weights that hold the weights `64 * i..`.
#[inline(always)]
unsafe fn two_blocks<F: BlockFormat>(
    row: *const u8,
    i: usize,
    whole: bool,
) -> (*const u8, *const u8) {
    // SAFETY: the caller promises that both blocks, or the first if not `whole`, are in the row.
    unsafe {
        let first = row.add(2 * i * F::BYTES);
        (first, if whole { first.add(F::BYTES) } else { first })
    }
}

/// Where the f16 numbers `AT` bytes into the blocks of a strip lie in the strip's registers.
struct Halves<F, const AT: usize>(PhantomData<F>);

/// Registers of a strip whose blocks are the longest: 34 bytes for 32 weights.
const STRIP_REGISTERS: usize = (GROUPS * 34).div_ceil(64);

impl<F: BlockFormat, const AT: usize> Halves<F, AT> {
    /// Registers that 16 blocks fill.
    const REGISTERS: usize = (GROUPS * F::BYTES).div_ceil(64);

    /// The word of register `z` that belongs to block `lane`: `WORD[z][lane]`, where bit `lane` of
    /// `HERE[z]` is set.
    const WORD: [[u16; GROUPS]; STRIP_REGISTERS] = {
        let mut words = [[0; GROUPS]; STRIP_REGISTERS];
        let mut lane = 0;
        while lane < GROUPS {
            let byte = F::BYTES * lane + AT;
            words[byte / 64][lane] = (byte % 64 / 2) as u16;
            lane += 1;
        }
        words
    };

    const HERE: [__mmask32; STRIP_REGISTERS] = {
        let mut masks = [0; STRIP_REGISTERS];
        let mut lane = 0;
        while lane < GROUPS {
            let byte = F::BYTES * lane + AT;
            masks[byte / 64] |= 1 << lane;
            lane += 1;
        }
        masks
    };
}

/// 16 f16 numbers, one for each block of 32 weights, `AT` bytes into the block; zero beyond
/// `groups`.
///
/// The strip is read whole and the words are picked from its registers. A gather takes Zen 4 so
/// long that decoding waited for it and not for memory; and collected by stores, they would be
/// loaded before the stores have arrived.
#[inline(always)]
unsafe fn halves<F: BlockFormat, const AT: usize>(
    row: *const u8,
    strip: usize,
    groups: usize,
) -> __m512 {
    // SAFETY: the caller promises `groups` blocks from the strip's first on; others are masked.
    unsafe {
        let first = row.add(strip * GROUPS * F::BYTES);
        let bytes = groups * F::BYTES;
        let mut words = _mm512_setzero_si512();
        for z in 0..STRIP_REGISTERS {
            if z >= Halves::<F, AT>::REGISTERS {
                break;
            }
            let exist = bytes.saturating_sub(64 * z) / 2;
            let from = first.wrapping_add(64 * z);
            let register = if exist >= 32 {
                _mm512_loadu_si512(from.cast())
            } else {
                _mm512_maskz_loadu_epi16(((1u64 << exist) - 1) as __mmask32, from.cast())
            };
            let word = _mm256_loadu_si256(Halves::<F, AT>::WORD[z].as_ptr().cast());
            words = _mm512_mask_permutexvar_epi16(
                words,
                Halves::<F, AT>::HERE[z],
                _mm512_castsi256_si512(word),
                register,
            );
        }
        _mm512_cvtph_ps(_mm512_castsi512_si256(words))
    }
}

/// The four bytes at the begin of 16 blocks of 32 weights; zero beyond `groups`.
///
/// Gathered: the bytes of a block of odd length are in no word of their own.
#[inline(always)]
unsafe fn first_bytes<F: BlockFormat>(row: *const u8, strip: usize, groups: usize) -> __m512i {
    // SAFETY: the caller promises `groups` blocks from the strip's first on; others are masked.
    unsafe {
        let first = row.add(strip * GROUPS * F::BYTES).cast();
        let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let offsets = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(F::BYTES as i32));
        let exist = ((1u32 << groups) - 1) as __mmask16;
        _mm512_mask_i32gather_epi32::<1>(_mm512_setzero_si512(), exist, offsets, first)
    }
}

/// Fifth bits of two blocks as a mask of 64.
#[inline(always)]
unsafe fn fifth_bits(first: *const u8, second: *const u8) -> __mmask64 {
    // SAFETY: the caller promises 4 readable bytes at both.
    unsafe {
        u64::from(first.cast::<u32>().read_unaligned())
            | u64::from(second.cast::<u32>().read_unaligned()) << 32
    }
}

/// Scale `d` and offset `-zero * d`.
#[inline(always)]
unsafe fn around(d: __m512, zero: f32) -> (__m512, __m512) {
    // SAFETY: the caller has the instructions.
    (d, unsafe { _mm512_mul_ps(d, _mm512_set1_ps(-zero)) })
}

impl Wide for f::Q4_0 {
    const GROUP: usize = 32;
    const LEVELS: usize = 16;
    const ZERO: Option<f32> = Some(8.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on (as in all that follow).
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            nibbles(a.add(2), b.add(2))
        }
    }
    const IN_HALVES: bool = true;
    #[inline(always)]
    unsafe fn four_blocks(row: *const u8, i: usize, blocks: usize) -> __m512i {
        // SAFETY: passed on.
        unsafe { four_times_16::<Self>(row, i, blocks, 2) }
    }
    #[inline(always)]
    unsafe fn split(nibbles: __m512i) -> [__m512i; 2] {
        // SAFETY: passed on.
        unsafe { low_and_high(nibbles) }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self, 0>(row, strip, groups), 8.0) }
    }
}

impl Wide for f::Q4_1 {
    const GROUP: usize = 32;
    const LEVELS: usize = 16;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            nibbles(a.add(4), b.add(4))
        }
    }
    const IN_HALVES: bool = true;
    #[inline(always)]
    unsafe fn four_blocks(row: *const u8, i: usize, blocks: usize) -> __m512i {
        // SAFETY: passed on.
        unsafe { four_times_16::<Self>(row, i, blocks, 4) }
    }
    #[inline(always)]
    unsafe fn split(nibbles: __m512i) -> [__m512i; 2] {
        // SAFETY: passed on.
        unsafe { low_and_high(nibbles) }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self, 0>(row, strip, groups),
                halves::<Self, 2>(row, strip, groups),
            )
        }
    }
}

impl Wide for f::Q5_0 {
    const GROUP: usize = 32;
    const LEVELS: usize = 32;
    const ZERO: Option<f32> = Some(16.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            let low = nibbles(a.add(6), b.add(6));
            _mm512_mask_add_epi8(
                low,
                fifth_bits(a.add(2), b.add(2)),
                low,
                _mm512_set1_epi8(16),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self, 0>(row, strip, groups), 16.0) }
    }
}

impl Wide for f::Q5_1 {
    const GROUP: usize = 32;
    const LEVELS: usize = 32;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            let low = nibbles(a.add(8), b.add(8));
            _mm512_mask_add_epi8(
                low,
                fifth_bits(a.add(4), b.add(4)),
                low,
                _mm512_set1_epi8(16),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self, 0>(row, strip, groups),
                halves::<Self, 2>(row, strip, groups),
            )
        }
    }
}

impl Wide for f::Q8_0 {
    const GROUP: usize = 32;
    const ZERO: Option<f32> = Some(128.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            let low = _mm512_castsi256_si512(_mm256_loadu_si256(a.add(2).cast()));
            let both = _mm512_inserti64x4::<1>(low, _mm256_loadu_si256(b.add(2).cast()));
            _mm512_xor_si512(both, _mm512_set1_epi8(-128))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self, 0>(row, strip, groups), 128.0) }
    }
}

/// The values of the nonlinear formats for nibbles in every byte.
#[inline(always)]
unsafe fn nonlinear(nibbles: __m512i) -> __m512i {
    // SAFETY: the table has 16 bytes.
    unsafe {
        let table = _mm_loadu_si128(f::NONLINEAR.as_ptr().cast());
        _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles)
    }
}

impl Wide for f::Iq4Nl {
    const GROUP: usize = 32;
    const ZERO: Option<f32> = Some(128.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            nonlinear(nibbles(a.add(2), b.add(2)))
        }
    }
    const IN_HALVES: bool = true;
    #[inline(always)]
    unsafe fn four_blocks(row: *const u8, i: usize, blocks: usize) -> __m512i {
        // SAFETY: passed on.
        unsafe { four_times_16::<Self>(row, i, blocks, 2) }
    }
    #[inline(always)]
    unsafe fn split(nibbles: __m512i) -> [__m512i; 2] {
        // SAFETY: passed on.
        unsafe {
            let [low, high] = low_and_high(nibbles);
            [nonlinear(low), nonlinear(high)]
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe { around(halves::<Self, 0>(row, strip, groups), 128.0) }
    }
}

impl Wide for f::Mxfp4 {
    const GROUP: usize = 32;
    const LEVELS: usize = 25;
    const ZERO: Option<f32> = Some(12.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on; the table has 16 bytes.
        unsafe {
            let (a, b) = two_blocks::<Self>(row, i, whole);
            let table = _mm_loadu_si128(f::HALVES.as_ptr().cast());
            let nibbles = nibbles(a.add(1), b.add(1));
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles)
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on.
        unsafe {
            let exist = ((1u32 << groups) - 1) as __mmask16;
            let exponent = _mm512_and_si512(
                first_bytes::<Self>(row, strip, groups),
                _mm512_set1_epi32(255),
            );
            let above = _mm512_sub_epi32(
                _mm512_max_epi32(exponent, _mm512_set1_epi32(1)),
                _mm512_set1_epi32(1),
            );
            let d = _mm512_maskz_slli_epi32::<23>(exist, above);
            around(_mm512_castsi512_ps(d), 12.0)
        }
    }
}

/// The block of 256 weights, and the quarter of it, that hold the weights `64 * i..`.
#[inline(always)]
unsafe fn quarter<F: BlockFormat>(row: *const u8, i: usize) -> (*const u8, usize) {
    // SAFETY: the caller promises that the block is in the row.
    (unsafe { row.add(i / 4 * F::BYTES) }, i % 4)
}

#[inline(always)]
unsafe fn half_at(p: *const u8) -> f32 {
    // SAFETY: the caller promises 2 readable bytes.
    unsafe {
        let bits = p.cast::<u16>().read_unaligned();
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
    }
}

/// Two numbers, each in eight lanes.
#[inline(always)]
unsafe fn eight_each(low: f32, high: f32) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_mask_mov_ps(_mm512_set1_ps(low), 0xff00, _mm512_set1_ps(high)) }
}

/// Sixteen unsigned bytes as f32.
#[inline(always)]
unsafe fn bytes_to_floats(low: u64, high: u64) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_set_epi64x(
            high as i64,
            low as i64,
        )))
    }
}

impl Wide for f::Iq4Xs {
    const GROUP: usize = 32;
    const ZERO: Option<f32> = Some(128.0);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = block.add(8 + 32 * j);
            nonlinear(nibbles(packed, packed.add(16)))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        let mut scale = [0.0f32; GROUPS];
        // SAFETY: passed on; eight groups are a block.
        unsafe {
            for (b, scale) in scale[..groups].chunks_exact_mut(8).enumerate() {
                let block = row.add((2 * strip + b) * Self::BYTES);
                let d = half_at(block);
                let high = block.add(2).cast::<u16>().read_unaligned();
                let low = block.add(4).cast::<u32>().read_unaligned();
                for (group, scale) in scale.iter_mut().enumerate() {
                    let bits =
                        (low >> (4 * group)) & 15 | ((u32::from(high) >> (2 * group)) & 3) << 4;
                    *scale = d * (bits as f32 - 32.0);
                }
            }
            around(_mm512_loadu_ps(scale.as_ptr()), 128.0)
        }
    }
}
