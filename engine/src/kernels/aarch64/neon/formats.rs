//! The weight formats in 128-bit registers: 64 weights at a time in four, and the scales of 8 groups in
//! two.
//!
//! The layouts are those of `kernels::formats`, which is the definition; tests compare the two.

mod grids;
mod k_quants;

use std::arch::aarch64::{
    float32x4_t, int8x16_t, uint8x16_t, vaddq_f32, vandq_u8, vcombine_u8, vcombine_u16,
    vcvt_f32_f16, vcvt_high_f32_f16, vcvtq_f32_s32, vcvtq_f32_u32, vdup_n_u8, vdup_n_u16,
    vdup_n_u64, vdupq_n_f32, vdupq_n_s8, vdupq_n_u8, veorq_u8, vget_high_s16, vget_high_u16,
    vget_low_f16, vget_low_s16, vget_low_u16, vld1_s8, vld1q_f32, vld1q_u8, vmovl_s8, vmovl_s16,
    vmovl_u8, vmovl_u16, vmulq_f32, vorrq_u8, vqtbl1q_u8, vreinterpret_u8_u64,
    vreinterpretq_f16_u16, vreinterpretq_s8_u8, vset_lane_u16, vshlq_n_u8, vshlq_u8, vtstq_u8,
};

use crate::kernels::formats::{self as f, BlockFormat};

/// Groups of weights whose scales are read together.
pub(super) const GROUPS: usize = 8;

/// A number for each of [`GROUPS`] groups.
pub(super) type OfGroups = [float32x4_t; 2];

/// A format whose rows are read in strips of [`GROUPS`] groups.
///
/// All functions that read are unsafe: the addressed blocks lie inside of the row.
pub(super) trait Narrow: BlockFormat {
    /// Weights that share a scale and an offset: 16 or 32.
    const GROUP: usize;
    /// Whether groups have offsets of their own, which the file holds.
    const OFFSETS: bool;
    /// What stands for a weight of 0, where groups have no offsets of their own.
    const ZERO: i8;

    /// The weights `64 * i..` of a row as signed bytes, in the order of the row. Where only 32 are
    /// left, `whole` is false and the last two registers hold anything.
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4];

    /// Scales and offsets of `groups` groups from group `8 * strip` on; zero beyond.
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups);
}

/// Up to eight numbers; zero beyond.
#[inline(always)]
pub(super) fn first_of(values: &[f32]) -> OfGroups {
    let mut padded = [0.0; GROUPS];
    let values = values.first_chunk().unwrap_or_else(|| {
        padded[..values.len()].copy_from_slice(values);
        &padded
    });
    // SAFETY: four numbers are read from either half.
    unsafe { [vld1q_f32(values.as_ptr()), vld1q_f32(values[4..].as_ptr())] }
}

#[inline(always)]
unsafe fn load(p: *const u8) -> uint8x16_t {
    // SAFETY: the caller promises 16 readable bytes.
    unsafe { vld1q_u8(p) }
}

#[inline(always)]
unsafe fn load_two(p: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller promises 32 readable bytes.
    unsafe { [load(p), load(p.add(16))] }
}

/// The bits `shift..` of all bytes that are set in `mask`.
#[inline(always)]
fn bits(v: uint8x16_t, shift: usize, mask: u8) -> uint8x16_t {
    // SAFETY: NEON belongs to the target.
    unsafe {
        let shifted = vshlq_u8(v, vdupq_n_s8(-(shift as i8)));
        vandq_u8(shifted, vdupq_n_u8(mask))
    }
}

/// [`bits`] of two registers.
#[inline(always)]
fn bits_of(v: [uint8x16_t; 2], shift: usize, mask: u8) -> [uint8x16_t; 2] {
    [bits(v[0], shift, mask), bits(v[1], shift, mask)]
}

/// `low | high << SHIFT`
#[inline(always)]
fn joined<const SHIFT: i32>(low: [uint8x16_t; 2], high: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    // SAFETY: NEON belongs to the target.
    unsafe {
        [
            vorrq_u8(low[0], vshlq_n_u8::<SHIFT>(high[0])),
            vorrq_u8(low[1], vshlq_n_u8::<SHIFT>(high[1])),
        ]
    }
}

/// Bytes that are below 128, or signed already.
#[inline(always)]
fn signed(first: [uint8x16_t; 2], second: [uint8x16_t; 2]) -> [int8x16_t; 4] {
    // SAFETY: NEON belongs to the target.
    unsafe { [first[0], first[1], second[0], second[1]].map(|v| vreinterpretq_s8_u8(v)) }
}

/// 16 bytes of nibbles: the low ones, and the high ones.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller promises 16 readable bytes.
    let both = unsafe { load(p) };
    [bits(both, 0, 15), bits(both, 4, 15)]
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
#[inline(always)]
unsafe fn halves<F: BlockFormat>(
    row: *const u8,
    strip: usize,
    groups: usize,
    at: usize,
) -> OfGroups {
    // SAFETY: the caller promises `groups` blocks from the strip's first on; no other is read.
    unsafe {
        let first = row.add(strip * GROUPS * F::BYTES + at);
        let mut low = vdup_n_u16(0);
        let mut high = vdup_n_u16(0);
        macro_rules! insert {
            ($register:ident, $lane:literal, $group:literal) => {
                if groups > $group {
                    let half = first.add($group * F::BYTES).cast::<u16>().read_unaligned();
                    $register = vset_lane_u16::<$lane>(half, $register);
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
        let bits = vreinterpretq_f16_u16(vcombine_u16(low, high));
        [vcvt_f32_f16(vget_low_f16(bits)), vcvt_high_f32_f16(bits)]
    }
}

/// All bits of byte `i` where bit `i` of two bytes is set.
#[inline(always)]
fn set_bits(bytes: [u8; 2]) -> uint8x16_t {
    // SAFETY: NEON belongs to the target.
    unsafe {
        // Eight copies of each byte, then one bit of each.
        let bit = vreinterpret_u8_u64(vdup_n_u64(0x8040_2010_0804_0201));
        let copies = vcombine_u8(vdup_n_u8(bytes[0]), vdup_n_u8(bytes[1]));
        vtstq_u8(copies, vcombine_u8(bit, bit))
    }
}

/// Bit `i` of a little-endian word as 1 in byte `i`.
#[inline(always)]
unsafe fn fifth_bits(word: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller promises 4 readable bytes.
    let [a, b, c, d] = unsafe { word.cast::<[u8; 4]>().read() };
    [[a, b], [c, d]].map(|two| {
        // SAFETY: NEON belongs to the target.
        unsafe { vandq_u8(set_bits(two), vdupq_n_u8(1)) }
    })
}

#[inline(always)]
fn times(v: OfGroups, x: f32) -> OfGroups {
    // SAFETY: NEON belongs to the target.
    unsafe {
        [
            vmulq_f32(v[0], vdupq_n_f32(x)),
            vmulq_f32(v[1], vdupq_n_f32(x)),
        ]
    }
}

/// Scale `d` and offset `-zero * d`.
#[inline(always)]
fn around<F: Narrow>(d: OfGroups) -> (OfGroups, OfGroups) {
    (d, times(d, -f32::from(F::ZERO)))
}

impl Narrow for f::Q4_0 {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 8;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on (as in all that follow).
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(nibbles(a.add(2)), nibbles(b.add(2)))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        around::<Self>(unsafe { halves::<Self>(row, strip, groups, 0) })
    }
}

impl Narrow for f::Q4_1 {
    const GROUP: usize = 32;
    const OFFSETS: bool = true;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(nibbles(a.add(4)), nibbles(b.add(4)))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self>(row, strip, groups, 0),
                halves::<Self>(row, strip, groups, 2),
            )
        }
    }
}

impl Narrow for f::Q5_0 {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 16;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(
                joined::<4>(nibbles(a.add(6)), fifth_bits(a.add(2))),
                joined::<4>(nibbles(b.add(6)), fifth_bits(b.add(2))),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        around::<Self>(unsafe { halves::<Self>(row, strip, groups, 0) })
    }
}

impl Narrow for f::Q5_1 {
    const GROUP: usize = 32;
    const OFFSETS: bool = true;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(
                joined::<4>(nibbles(a.add(8)), fifth_bits(a.add(4))),
                joined::<4>(nibbles(b.add(8)), fifth_bits(b.add(4))),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe {
            (
                halves::<Self>(row, strip, groups, 0),
                halves::<Self>(row, strip, groups, 2),
            )
        }
    }
}

impl Narrow for f::Q8_0 {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(load_two(a.add(2)), load_two(b.add(2)))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        around::<Self>(unsafe { halves::<Self>(row, strip, groups, 0) })
    }
}

/// The entries of a table for nibbles in every byte.
#[inline(always)]
fn looked_up(table: uint8x16_t, nibbles: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    // SAFETY: NEON belongs to the target.
    unsafe { [vqtbl1q_u8(table, nibbles[0]), vqtbl1q_u8(table, nibbles[1])] }
}

/// The signed values of the nonlinear formats.
#[inline(always)]
fn nonlinear() -> uint8x16_t {
    // SAFETY: the table has 16 bytes.
    unsafe {
        let plus_128 = load(f::NONLINEAR.as_ptr());
        veorq_u8(plus_128, vdupq_n_u8(0x80))
    }
}

impl Narrow for f::Iq4Nl {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            signed(
                looked_up(nonlinear(), nibbles(a.add(2))),
                looked_up(nonlinear(), nibbles(b.add(2))),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        around::<Self>(unsafe { halves::<Self>(row, strip, groups, 0) })
    }
}

impl Narrow for f::Mxfp4 {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 12;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on; the table has 16 bytes.
        unsafe {
            let [a, b] = two_blocks::<Self>(row, i, whole);
            let table = load(f::HALVES.as_ptr());
            signed(
                looked_up(table, nibbles(a.add(1))),
                looked_up(table, nibbles(b.add(1))),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, groups: usize) -> (OfGroups, OfGroups) {
        let mut d = [0.0; GROUPS];
        for (group, d) in d.iter_mut().enumerate().take(groups) {
            // SAFETY: the caller promises `groups` blocks from the strip's first on.
            let exponent = unsafe { row.add((strip * GROUPS + group) * Self::BYTES).read() };
            *d = f::half_of_power(exponent);
        }
        around::<Self>(first_of(&d))
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
    f::half_to_f32(unsafe { p.cast::<u16>().read_unaligned() })
}

/// Eight unsigned bytes as f32, times a number.
#[inline(always)]
fn bytes_times(bytes: u64, d: f32) -> OfGroups {
    // SAFETY: NEON belongs to the target.
    unsafe {
        let wide = vmovl_u8(vreinterpret_u8_u64(vdup_n_u64(bytes)));
        let (low, high) = (
            vmovl_u16(vget_low_u16(wide)),
            vmovl_u16(vget_high_u16(wide)),
        );
        times([vcvtq_f32_u32(low), vcvtq_f32_u32(high)], d)
    }
}

impl Narrow for f::Iq4Xs {
    const GROUP: usize = 32;
    const OFFSETS: bool = false;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = block.add(8 + 32 * j);
            signed(
                looked_up(nonlinear(), nibbles(packed)),
                looked_up(nonlinear(), nibbles(packed.add(16))),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on; a strip is one block.
        unsafe {
            let block = row.add(strip * Self::BYTES);
            let high = block.add(2).cast::<u16>().read_unaligned();
            let low = block.add(4).cast::<u32>().read_unaligned();
            let mut scales = [0.0; GROUPS];
            for (g, scale) in scales.iter_mut().enumerate() {
                let six = ((low >> (4 * g)) & 15) as i32 | i32::from((high >> (2 * g)) & 3) << 4;
                *scale = (six - 32) as f32;
            }
            around::<Self>(times(first_of(&scales), half_at(block)))
        }
    }
}
