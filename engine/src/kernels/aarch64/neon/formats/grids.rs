//! The formats whose numbers come from a grid.

use std::arch::aarch64::{vbslq_u8, vcreate_u8, vsubq_u8};

#[allow(clippy::wildcard_imports, reason = "the other half of one table")]
use super::*;
use crate::kernels::formats::Grid;

/// Two points, of which bytes are mirrored at `middle` where a bit of `signs` is set.
#[inline(always)]
fn mirrored(points: [u64; 2], signs: u16, middle: u8) -> uint8x16_t {
    // SAFETY: NEON belongs to the target.
    unsafe {
        let points = vcombine_u8(vcreate_u8(points[0]), vcreate_u8(points[1]));
        let mirror = vsubq_u8(vdupq_n_u8(2 * middle), points);
        vbslq_u8(set_bits(signs.to_le_bytes()), mirror, points)
    }
}

impl<F: Grid> Narrow for F {
    const GROUP: usize = F::SHARING;
    const OFFSETS: bool = false;
    const ZERO: i8 = F::MIDDLE as i8;
    #[inline(always)]
    unsafe fn weights(row: *const u8, i: usize, _whole: bool) -> [int8x16_t; 4] {
        // SAFETY: passed on.
        let (block, j) = unsafe {
            let (block, j) = quarter::<Self>(row, i);
            (std::slice::from_raw_parts(block, F::BLOCK_BYTES), j)
        };
        let (points, signs) = (F::numbers(block, j), F::signs(block, j));
        let two = |k: usize| {
            let signs = (signs >> (16 * k)) as u16;
            mirrored([points[2 * k], points[2 * k + 1]], signs, F::MIDDLE)
        };
        signed([two(0), two(1)], [two(2), two(3)])
    }
    #[inline(always)]
    unsafe fn scales(row: *const u8, strip: usize, _groups: usize) -> (OfGroups, OfGroups) {
        // SAFETY: passed on.
        let (block, half) = unsafe {
            let (block, half) = if F::SHARING == 16 {
                half::<Self>(row, strip)
            } else {
                (row.add(strip * F::BLOCK_BYTES), 0)
            };
            (std::slice::from_raw_parts(block, F::BLOCK_BYTES), half)
        };
        let unit = F::UNIT * f::half_to_f32(F::half(block));
        around::<Self>(bytes_times(F::multiples(block, half), unit))
    }
}
