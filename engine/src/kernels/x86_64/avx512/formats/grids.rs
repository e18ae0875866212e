//! The formats whose numbers come from a grid.
//!
//! A point is a word of 16 bits, of which two registers hold 64 and one instruction fetches 32: the points
//! of a strip are looked up together ([`Ahead`]). The grid of IQ1 is too large for that, and so it is where
//! rows are interleaved, which is done once for many tokens: these fetch points with plain loads.

#[allow(
    clippy::wildcard_imports,
    reason = "names of intrinsics, and the other half of one table"
)]
use super::*;
use crate::kernels::formats::{Grid, spread};

/// A strip's points and signs.
#[derive(Clone, Copy)]
pub(in crate::kernels::x86_64) struct Ahead {
    /// Words of eight weights, of which two registers hold a strip of groups of 32; or of four.
    words: [__m512i; 4],
    /// A bit for each weight.
    signs: [[u64; 4]; 2],
}

impl Ahead {
    #[inline(always)]
    pub(in crate::kernels::x86_64) unsafe fn none() -> Self {
        Self {
            // SAFETY: the caller has the instructions.
            words: unsafe { [_mm512_setzero_si512(); 4] },
            signs: [[0; 4]; 2],
        }
    }
}

/// How a grid is looked up in registers.
pub(in crate::kernels::x86_64) trait Lookup: Grid {
    /// Weights of a point: 8 or 4; or 0 if it is not looked up.
    const WEIGHTS: usize = 0;
    /// What the numbers of a point stand for.
    const VALUES: [u8; 16] = [0; 16];
    /// The points of a block in words, and bits of sign: 32 points, or twice 32 of four weights.
    ///
    /// # Safety
    /// The processor has the level's instructions; the block is whole.
    unsafe fn block(_block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        unreachable!("a grid that is not looked up")
    }
}

/// The points at 32 indices.
#[inline(always)]
unsafe fn points<const N: usize>(grid: &'static [u16; N], index: __m512i) -> __m512i {
    // SAFETY: 32 words are read from below `N`; the caller has the instructions.
    unsafe {
        let register = |i: usize| grid.as_ptr().add(32 * i);
        let mut found = [_mm512_setzero_si512(); 16];
        for (i, found) in found.iter_mut().enumerate().take(N / 64) {
            let low = _mm512_loadu_si512(register(2 * i).cast());
            let high = _mm512_loadu_si512(register(2 * i + 1).cast());
            *found = _mm512_permutex2var_epi16(low, index, high);
        }
        // The next bit of the index tells which one of two it is.
        let (mut left, mut bit) = (N / 64, 64);
        while left > 1 {
            left /= 2;
            let second = _mm512_test_epi16_mask(index, _mm512_set1_epi16(bit));
            for i in 0..left {
                found[i] = _mm512_mask_mov_epi16(found[2 * i], second, found[2 * i + 1]);
            }
            bit *= 2;
        }
        found[0]
    }
}

/// 32 bytes as words.
#[inline(always)]
unsafe fn words_of_bytes(p: *const u8) -> __m512i {
    // SAFETY: the caller promises 32 readable bytes.
    unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(p.cast())) }
}

/// Bytes of seven signs with the eighth, by which the number of minuses is even.
#[inline(always)]
unsafe fn with_eighth(sevens: __m256i) -> [u64; 4] {
    // SAFETY: 32 bytes are as long as four numbers; the caller has the instructions.
    unsafe {
        let x = _mm256_xor_si256(sevens, _mm256_srli_epi16::<4>(sevens));
        let x = _mm256_xor_si256(x, _mm256_srli_epi16::<2>(x));
        let x = _mm256_xor_si256(x, _mm256_srli_epi16::<1>(x));
        let eighth = _mm256_slli_epi16::<7>(_mm256_and_si256(x, _mm256_set1_epi8(1)));
        std::mem::transmute(_mm256_or_si256(sevens, eighth))
    }
}

/// The signs of eight words: four times seven bits each.
#[inline(always)]
unsafe fn signs_of_words(words: __m256i) -> [u64; 4] {
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

#[inline(always)]
unsafe fn four_signs(p: *const u8) -> [u64; 4] {
    // SAFETY: the caller promises 32 readable bytes.
    unsafe { p.cast::<[u64; 4]>().read_unaligned() }
}

impl Lookup for f::Iq2Xxs {
    const WEIGHTS: usize = 8;
    const VALUES: [u8; 16] = spread::VALUES_IQ2;
    #[inline(always)]
    unsafe fn block(block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        // SAFETY: passed on (as in all that follow).
        unsafe {
            let pairs = _mm512_loadu_si512(block.add(2).cast());
            let index = _mm512_cvtepu8_epi16(_mm512_cvtepi64_epi32(pairs));
            let signs = _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(pairs));
            let points = points(&spread::IQ2_XXS, index);
            ([points, points], signs_of_words(signs))
        }
    }
}

impl Lookup for f::Iq2Xs {
    const WEIGHTS: usize = 8;
    const VALUES: [u8; 16] = spread::VALUES_IQ2;
    #[inline(always)]
    unsafe fn block(block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        // SAFETY: passed on.
        unsafe {
            let words = _mm512_loadu_si512(block.add(2).cast());
            let sevens = _mm512_cvtepi16_epi8(_mm512_srli_epi16::<9>(words));
            // Of the indices nine bits are looked at.
            let points = points(&spread::IQ2_XS, words);
            ([points, points], with_eighth(sevens))
        }
    }
}

impl Lookup for f::Iq2S {
    const WEIGHTS: usize = 8;
    const VALUES: [u8; 16] = spread::VALUES_IQ2;
    #[inline(always)]
    unsafe fn block(block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        // SAFETY: passed on.
        unsafe {
            let high = block.add(66).cast::<i64>().read_unaligned();
            // Each byte in four words, two bits of it in each at the places of the ninth and tenth.
            let copies = _mm512_cvtepu8_epi64(_mm_set_epi64x(0, high));
            let copies = _mm512_shuffle_epi8(
                copies,
                _mm512_set4_epi32(
                    0x8008_8008_u32 as i32,
                    0x8008_8008_u32 as i32,
                    0x8000_8000_u32 as i32,
                    0x8000_8000_u32 as i32,
                ),
            );
            let shifts = _mm512_set1_epi64(0x0002_0004_0006_0008);
            let high =
                _mm512_and_si512(_mm512_sllv_epi16(copies, shifts), _mm512_set1_epi16(0x0300));
            let index = _mm512_or_si512(words_of_bytes(block.add(2)), high);
            let points = points(&spread::IQ2_S, index);
            ([points, points], four_signs(block.add(34)))
        }
    }
}

impl Lookup for f::Iq3Xxs {
    const WEIGHTS: usize = 4;
    const VALUES: [u8; 16] = spread::VALUES_IQ3_XXS;
    #[inline(always)]
    unsafe fn block(block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        // SAFETY: passed on.
        unsafe {
            let first = points(&spread::IQ3_XXS, words_of_bytes(block.add(2)));
            let second = points(&spread::IQ3_XXS, words_of_bytes(block.add(34)));
            let signs = signs_of_words(_mm256_loadu_si256(block.add(66).cast()));
            ([first, second], signs)
        }
    }
}

impl Lookup for f::Iq3S {
    const WEIGHTS: usize = 4;
    const VALUES: [u8; 16] = spread::VALUES_IQ3_S;
    #[inline(always)]
    unsafe fn block(block: *const u8) -> ([__m512i; 2], [u64; 4]) {
        // SAFETY: passed on.
        unsafe {
            let mut halves = [_mm512_setzero_si512(); 2];
            for (i, half) in halves.iter_mut().enumerate() {
                let ninth: __mmask32 = block.add(66 + 4 * i).cast::<u32>().read_unaligned();
                let low = words_of_bytes(block.add(2 + 32 * i));
                let index = _mm512_mask_add_epi16(low, ninth, low, _mm512_set1_epi16(256));
                *half = points(&spread::IQ3_S, index);
            }
            (halves, four_signs(block.add(74)))
        }
    }
}

impl Lookup for f::Iq1S {}
impl Lookup for f::Iq1M {}

/// The words of a register that hold the points of 64 weights, and by how much lanes are shifted.
struct Lanes {
    words: [[u16; 32]; 4],
    shifts: [u16; 32],
}

const fn lanes(weights: usize) -> Lanes {
    // A lane has two weights.
    let of_point = weights / 2;
    let mut lanes = Lanes {
        words: [[0; 32]; 4],
        shifts: [0; 32],
    };
    let mut lane = 0;
    while lane < 32 {
        let mut part = 0;
        while part < 4 {
            lanes.words[part][lane] = (32 / of_point * part % 32 + lane / of_point) as u16;
            part += 1;
        }
        lanes.shifts[lane] = (16 / weights * (lane % of_point)) as u16;
        lane += 1;
    }
    lanes
}

static EIGHTS: Lanes = lanes(8);
static FOURS: Lanes = lanes(4);

#[inline(always)]
unsafe fn block<'a, F: Grid>(row: *const u8, n: usize) -> &'a [u8] {
    // SAFETY: the caller promises that the block is in the row, and uses it as long as that.
    unsafe { std::slice::from_raw_parts(row.add(n * F::BLOCK_BYTES), F::BLOCK_BYTES) }
}

/// Of a block's scale, what all its scales are multiples of.
#[inline(always)]
unsafe fn unit<F: Grid>(block: &[u8]) -> f32 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let half = _mm_cvtsi32_si128(i32::from(F::half(block)));
        _mm_cvtss_f32(_mm_cvtph_ps(half)) * F::UNIT
    }
}

/// The words of which the highest bits are scales.
#[inline(always)]
unsafe fn scale_words<F: Grid>(block: &[u8]) -> __m256i {
    // SAFETY: the words lie in the block; the caller has the instructions.
    unsafe {
        let (first, step) = F::SCALE_WORDS.unwrap_or((0, 4));
        let words = block.as_ptr().add(first);
        if step == 4 {
            _mm256_loadu_si256(words.cast())
        } else {
            // The high halves of eight pairs.
            let pairs = _mm512_loadu_si512(words.sub(4).cast());
            _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(pairs))
        }
    }
}

impl<F: Lookup> Wide for F {
    const GROUP: usize = F::SHARING;
    const LEVELS: usize = F::ABOVE;
    const ZERO: Option<f32> = Some(F::MIDDLE as f32);
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            let block = block::<F>(row, i / 4);
            // Inserted one by one: collected by stores, they would be loaded before the stores have arrived.
            let [a, b, c, d, e, f, g, h] = F::numbers(block, i % 4).map(|eight| eight as i64);
            let numbers = _mm512_set_epi64(h, g, f, e, d, c, b, a);
            if F::SIGNED {
                let mirror = _mm512_set1_epi8((2 * F::MIDDLE) as i8);
                _mm512_mask_sub_epi8(numbers, F::signs(block, i % 4), mirror, numbers)
            } else {
                numbers
            }
        }
    }
    #[inline(always)]
    unsafe fn ahead(row: *const u8, strip: usize, groups: usize) -> Ahead {
        // SAFETY: passed on; a strip is one block, or of groups of 32 two, of which the second may be
        // missing.
        unsafe {
            let mut ahead = Ahead::none();
            if F::WEIGHTS == 0 {
                return ahead;
            }
            let blocks = GROUPS * F::SHARING / 256;
            let registers = 8 / F::WEIGHTS;
            for b in 0..blocks {
                if b * 8 < groups {
                    let block = row.add((blocks * strip + b) * F::BLOCK_BYTES);
                    let (words, signs) = F::block(block);
                    ahead.words[registers * b] = words[0];
                    if registers == 2 {
                        ahead.words[registers * b + 1] = words[1];
                    }
                    ahead.signs[b] = signs;
                }
            }
            ahead
        }
    }
    #[inline(always)]
    unsafe fn weights_of(ahead: &Ahead, row: *const u8, i: usize, whole: bool) -> __m512i {
        // SAFETY: passed on.
        unsafe {
            if F::WEIGHTS == 0 {
                return Self::weights(row, i, whole);
            }
            let lanes = if F::WEIGHTS == 8 { &EIGHTS } else { &FOURS };
            let parts = F::WEIGHTS / 2;
            let in_strip = i % (GROUPS * F::SHARING / 64);
            let which = _mm512_loadu_si512(lanes.words[in_strip % parts].as_ptr().cast());
            let words = _mm512_permutexvar_epi16(which, ahead.words[in_strip / parts]);
            let shifts = _mm512_loadu_si512(lanes.shifts.as_ptr().cast());
            let number = _mm512_set1_epi8(if F::WEIGHTS == 8 { 3 } else { 7 });
            let numbers = _mm512_and_si512(_mm512_srlv_epi16(words, shifts), number);
            let values = _mm512_broadcast_i32x4(_mm_loadu_si128(F::VALUES.as_ptr().cast()));
            let values = _mm512_shuffle_epi8(values, numbers);
            let mirror = _mm512_set1_epi8((2 * F::MIDDLE) as i8);
            let signs = ahead.signs[in_strip / 4][in_strip % 4];
            _mm512_mask_sub_epi8(values, signs, mirror, values)
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (__m512, __m512) {
        // SAFETY: passed on; a strip is one block, or of groups of 32 two, of which the second may be
        // missing.
        unsafe {
            let d = if F::SHARING == 16 {
                let block = block::<F>(row, strip);
                let multiples = bytes_to_floats(F::multiples(block, 0), F::multiples(block, 1));
                _mm512_mul_ps(multiples, _mm512_set1_ps(unit::<F>(block)))
            } else {
                let whole = groups > 8;
                let first = block::<F>(row, 2 * strip);
                let second = block::<F>(row, 2 * strip + usize::from(whole));
                let unit_of_second = if whole { unit::<F>(second) } else { 0.0 };
                let multiples = if F::SCALE_WORDS.is_some() {
                    let words = _mm512_castsi256_si512(scale_words::<F>(first));
                    let words = _mm512_inserti64x4::<1>(words, scale_words::<F>(second));
                    let twice = _mm512_slli_epi32::<1>(_mm512_srli_epi32::<28>(words));
                    _mm512_cvtepi32_ps(_mm512_or_si512(twice, _mm512_set1_epi32(1)))
                } else {
                    bytes_to_floats(F::multiples(first, 0), F::multiples(second, 0))
                };
                _mm512_mul_ps(multiples, eight_each(unit::<F>(first), unit_of_second))
            };
            around(d, f32::from(F::MIDDLE))
        }
    }
}
