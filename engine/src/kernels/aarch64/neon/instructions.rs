//! The integer products of the two levels, and how weights and activations lie for them.
//!
//! The standard library has no stable intrinsics for these instructions.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, vcombine_f32, vdupq_n_f32, vld1_f32, vreinterpretq_s8_s32,
    vreinterpretq_s8_s64, vreinterpretq_s32_s8, vreinterpretq_s32_s64, vreinterpretq_s64_s8,
    vreinterpretq_s64_s32, vtrn1q_s32, vtrn1q_s64, vtrn2q_s32, vtrn2q_s64, vuzp1q_f32, vuzp2q_f32,
    vzip1q_f32, vzip2q_f32,
};
use std::arch::asm;

/// `sums[i] += a[4 i..4 i + 4] . b[4 i..4 i + 4]`
///
/// # Safety
/// The processor has `sdot`, and this is inlined into a function that enables it.
#[inline(always)]
pub(super) unsafe fn dot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes the named registers alone.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `sums[i] += a[4 i..4 i + 4] . b[4 LANE..4 LANE + 4]`
///
/// # Safety
/// As [`dot`].
#[inline(always)]
unsafe fn dot_lane<const LANE: usize>(
    mut sums: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    // SAFETY: the instruction reads and writes the named registers alone.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `sums[2 i + j] += a[8 i..8 i + 8] . b[8 j..8 j + 8]`
///
/// # Safety
/// The processor has `smmla`, and this is inlined into a function that enables it.
#[inline(always)]
unsafe fn matrix_product(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes the named registers alone.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Transposes a 4 x 4 matrix of 32-bit lanes.
#[inline(always)]
pub(super) fn transpose(m: [int32x4_t; 4]) -> [int32x4_t; 4] {
    // SAFETY: NEON belongs to the target.
    unsafe {
        let even =
            [vtrn1q_s32(m[0], m[1]), vtrn1q_s32(m[2], m[3])].map(|v| vreinterpretq_s64_s32(v));
        let odd =
            [vtrn2q_s32(m[0], m[1]), vtrn2q_s32(m[2], m[3])].map(|v| vreinterpretq_s64_s32(v));
        [
            vtrn1q_s64(even[0], even[1]),
            vtrn1q_s64(odd[0], odd[1]),
            vtrn2q_s64(even[0], even[1]),
            vtrn2q_s64(odd[0], odd[1]),
        ]
        .map(|v| vreinterpretq_s32_s64(v))
    }
}

/// The low 8 bytes of both, and the high ones.
#[inline(always)]
fn halves(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    // SAFETY: NEON belongs to the target.
    unsafe {
        let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
        [vtrn1q_s64(a, b), vtrn2q_s64(a, b)].map(|v| vreinterpretq_s8_s64(v))
    }
}

/// Products of 4 rows of weights with 2 tokens, whose 8 sums fill two registers in an order that the
/// instructions decide.
pub(super) trait Instructions {
    /// 16 weights of 4 rows as the products read them.
    fn weights(rows: [int8x16_t; 4]) -> [int8x16_t; 4];

    /// 16 activations of 2 tokens as the products read them.
    fn activations(tokens: [int8x16_t; 2]) -> [int8x16_t; 2];

    /// Adds the products over 16 weights.
    ///
    /// # Safety
    /// The processor has the instructions, and this is inlined into a function that enables them.
    unsafe fn add(sums: [int32x4_t; 2], w: [int8x16_t; 4], a: [int8x16_t; 2]) -> [int32x4_t; 2];

    /// A number of each row, where its sums are.
    fn of_rows(rows: float32x4_t) -> [float32x4_t; 2];

    /// A number of each token, where its sums are.
    fn of_tokens(tokens: [f32; 2]) -> [float32x4_t; 2];

    /// `[token][row]`
    fn by_token(sums: [float32x4_t; 2]) -> [float32x4_t; 2];
}

/// `sdot`: the sums of a token's 4 rows side by side, four activations for each register of weights.
pub(super) struct DotProducts;

impl Instructions for DotProducts {
    #[inline(always)]
    fn weights(rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        // SAFETY: NEON belongs to the target.
        unsafe { transpose(rows.map(|v| vreinterpretq_s32_s8(v))).map(|v| vreinterpretq_s8_s32(v)) }
    }

    #[inline(always)]
    fn activations(tokens: [int8x16_t; 2]) -> [int8x16_t; 2] {
        tokens
    }

    #[inline(always)]
    unsafe fn add(sums: [int32x4_t; 2], w: [int8x16_t; 4], a: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let mut sums = sums;
        for (sum, a) in sums.iter_mut().zip(a) {
            // SAFETY: passed on.
            unsafe {
                *sum = dot_lane::<0>(*sum, w[0], a);
                *sum = dot_lane::<1>(*sum, w[1], a);
                *sum = dot_lane::<2>(*sum, w[2], a);
                *sum = dot_lane::<3>(*sum, w[3], a);
            }
        }
        sums
    }

    #[inline(always)]
    fn of_rows(rows: float32x4_t) -> [float32x4_t; 2] {
        [rows, rows]
    }

    #[inline(always)]
    fn of_tokens(tokens: [f32; 2]) -> [float32x4_t; 2] {
        // SAFETY: NEON belongs to the target.
        unsafe { tokens.map(|x| vdupq_n_f32(x)) }
    }

    #[inline(always)]
    fn by_token(sums: [float32x4_t; 2]) -> [float32x4_t; 2] {
        sums
    }
}

/// `smmla`: 2 x 2 sums of a pair of rows and a pair of tokens in a register.
pub(super) struct MatrixProducts;

impl Instructions for MatrixProducts {
    #[inline(always)]
    fn weights(rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        let (first, second) = (halves(rows[0], rows[1]), halves(rows[2], rows[3]));
        [first[0], first[1], second[0], second[1]]
    }

    #[inline(always)]
    fn activations(tokens: [int8x16_t; 2]) -> [int8x16_t; 2] {
        halves(tokens[0], tokens[1])
    }

    #[inline(always)]
    unsafe fn add(sums: [int32x4_t; 2], w: [int8x16_t; 4], a: [int8x16_t; 2]) -> [int32x4_t; 2] {
        // SAFETY: passed on.
        unsafe {
            [
                matrix_product(matrix_product(sums[0], w[0], a[0]), w[1], a[1]),
                matrix_product(matrix_product(sums[1], w[2], a[0]), w[3], a[1]),
            ]
        }
    }

    #[inline(always)]
    fn of_rows(rows: float32x4_t) -> [float32x4_t; 2] {
        // SAFETY: NEON belongs to the target.
        unsafe { [vzip1q_f32(rows, rows), vzip2q_f32(rows, rows)] }
    }

    #[inline(always)]
    fn of_tokens(tokens: [f32; 2]) -> [float32x4_t; 2] {
        // SAFETY: two numbers are read.
        unsafe {
            let two = vld1_f32(tokens.as_ptr());
            [vcombine_f32(two, two); 2]
        }
    }

    #[inline(always)]
    fn by_token(sums: [float32x4_t; 2]) -> [float32x4_t; 2] {
        // SAFETY: NEON belongs to the target.
        unsafe { [vuzp1q_f32(sums[0], sums[1]), vuzp2q_f32(sums[0], sums[1])] }
    }
}
