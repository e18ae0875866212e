//! The formats in blocks of 256 weights with scales of 6 or 4 bits.

#[allow(clippy::wildcard_imports, reason = "the other half of one table")]
use super::*;

/// Three words of 32 bits.
#[inline(always)]
unsafe fn words(p: *const u8) -> [u32; 3] {
    // SAFETY: the caller promises 12 readable bytes.
    unsafe { p.cast::<[u32; 3]>().read_unaligned() }
}

/// Scales and offsets of a block of `Q4_K` or `Q5_K`.
#[inline(always)]
unsafe fn k_scales<F: BlockFormat>(row: *const u8, strip: usize) -> (OfGroups, OfGroups) {
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

impl Narrow for f::Q4K {
    const GROUP: usize = 32;
    const OFFSETS: bool = true;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load_two(block.add(16 + 32 * j));
            signed(bits_of(packed, 0, 15), bits_of(packed, 4, 15))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip) }
    }
}

impl Narrow for f::Q5K {
    const GROUP: usize = 32;
    const OFFSETS: bool = true;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load_two(block.add(48 + 32 * j));
            let high = load_two(block.add(16));
            signed(
                joined::<4>(bits_of(packed, 0, 15), bits_of(high, 2 * j, 1)),
                joined::<4>(bits_of(packed, 4, 15), bits_of(high, 2 * j + 1, 1)),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe { k_scales::<Self>(row, strip) }
    }
}

impl Narrow for f::Q6K {
    const GROUP: usize = 16;
    const OFFSETS: bool = false;
    const ZERO: i8 = 32;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let low = block.add(64 * (j / 2));
            let high = load_two(block.add(128 + 32 * (j / 2)));
            let shift = 4 * (j % 2);
            signed(
                joined::<4>(bits_of(load_two(low), shift, 15), bits_of(high, shift, 3)),
                joined::<4>(
                    bits_of(load_two(low.add(32)), shift, 15),
                    bits_of(high, shift + 2, 3),
                ),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = half::<Self>(row, strip);
            let wide = vmovl_s8(vld1_s8(block.add(192 + 8 * half).cast()));
            let (low, high) = (
                vmovl_s16(vget_low_s16(wide)),
                vmovl_s16(vget_high_s16(wide)),
            );
            let scales = [vcvtq_f32_s32(low), vcvtq_f32_s32(high)];
            around::<Self>(times(scales, half_at(block.add(208))))
        }
    }
}

impl Narrow for f::Q2K {
    const GROUP: usize = 16;
    const OFFSETS: bool = true;
    const ZERO: i8 = 0;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load_two(block.add(16 + 32 * (j / 2)));
            let shift = 4 * (j % 2);
            signed(bits_of(packed, shift, 3), bits_of(packed, shift + 2, 3))
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
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

impl Narrow for f::Q3K {
    const GROUP: usize = 16;
    const OFFSETS: bool = false;
    const ZERO: i8 = 4;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        unsafe {
            let (block, j) = quarter::<Self>(row, i);
            let packed = load_two(block.add(32 + 32 * (j / 2)));
            let high = load_two(block);
            let shift = 4 * (j % 2);
            signed(
                joined::<2>(bits_of(packed, shift, 3), bits_of(high, 2 * j, 1)),
                joined::<2>(bits_of(packed, shift + 2, 3), bits_of(high, 2 * j + 1, 1)),
            )
        }
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        unsafe {
            let (block, half) = half::<Self>(row, strip);
            let bytes = f::q3_bytes(words(block.add(96)), half);
            let d = half_at(block.add(108));
            let minus_32 = vdupq_n_f32(-32.0 * d);
            let [low, high] = bytes_times(bytes, d);
            around::<Self>([vaddq_f32(low, minus_32), vaddq_f32(high, minus_32)])
        }
    }
}
