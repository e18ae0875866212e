//! Vector arithmetic in f32, written once and compiled for every level.
//!
//! The loops carry explicit lanes, so that the compiler may keep them in vector registers without
//! reordering a floating-point sum on its own.

use super::activations::Activations;
use super::decode_attention::{self, StoredRows};
use super::formats::half_to_f32;
use super::lanes::{LANES, Portable, max_lanes, multiply_add, sum_lanes};
use super::prefill_attention;
use super::{Buffer, FEW_TOKENS, OutTile};
use crate::gguf::TensorType;

/// Dot product of equally long slices.
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [[0.0f32; LANES]; 4];
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let wide = n / (4 * LANES) * (4 * LANES);
    for (a, b) in a[..wide]
        .chunks_exact(4 * LANES)
        .zip(b[..wide].chunks_exact(4 * LANES))
    {
        for (j, lanes) in lanes.iter_mut().enumerate() {
            for i in 0..LANES {
                lanes[i] = multiply_add::<FMA>(a[j * LANES + i], b[j * LANES + i], lanes[i]);
            }
        }
    }
    let mut total = [0.0f32; LANES];
    for i in 0..LANES {
        total[i] = (lanes[0][i] + lanes[1][i]) + (lanes[2][i] + lanes[3][i]);
    }
    let mut rest = 0.0;
    for (a, b) in a[wide..].iter().zip(&b[wide..]) {
        rest = multiply_add::<FMA>(*a, *b, rest);
    }
    sum_lanes(total) + rest
}

/// Rows of either side of a product that are multiplied at a time: 4 x 4 sums fit the registers.
const TILE: usize = 4;

/// `out[i, j] = a[i] . b[j]`; `a` is `[m, d]`, `b` is `[n, d]`, the rows of `out` are `stride` apart.
#[inline(always)]
pub(crate) fn dots<const FMA: bool>(
    a: &[f32],
    b: &[f32],
    d: usize,
    out: &mut [f32],
    stride: usize,
) {
    let (m, n) = (a.len() / d, b.len() / d);
    let wide = d / LANES * LANES;
    for i in (0..m).step_by(TILE) {
        for j in (0..n).step_by(TILE) {
            if i + TILE > m || j + TILE > n {
                for i in i..m.min(i + TILE) {
                    for j in j..n.min(j + TILE) {
                        out[i * stride + j] = dot::<FMA>(&a[i * d..][..d], &b[j * d..][..d]);
                    }
                }
                continue;
            }
            let (a, b) = (&a[i * d..][..TILE * d], &b[j * d..][..TILE * d]);
            let mut sums = [[[0.0f32; LANES]; TILE]; TILE];
            for c in (0..wide).step_by(LANES) {
                let mut y = [[0.0f32; LANES]; TILE];
                for (j, y) in y.iter_mut().enumerate() {
                    y.copy_from_slice(&b[j * d + c..][..LANES]);
                }
                for i in 0..TILE {
                    let mut x = [0.0f32; LANES];
                    x.copy_from_slice(&a[i * d + c..][..LANES]);
                    for j in 0..TILE {
                        for l in 0..LANES {
                            sums[i][j][l] = multiply_add::<FMA>(x[l], y[j][l], sums[i][j][l]);
                        }
                    }
                }
            }
            for (x, sums) in sums.iter().enumerate() {
                for (y, sum) in sums.iter().enumerate() {
                    let rest =
                        dot::<FMA>(&a[x * d + wide..(x + 1) * d], &b[y * d + wide..(y + 1) * d]);
                    out[(i + x) * stride + j + y] = sum_lanes(*sum) + rest;
                }
            }
        }
    }
}

/// See [`prefill_attention::scores`].
pub(crate) fn scores<const FMA: bool>(queries: &[f32], keys: &[f32], d: usize, out: &mut [f32]) {
    // SAFETY: the portable instructions run everywhere.
    unsafe { prefill_attention::scores::<Portable>(queries, keys, d, out) }
}

/// See [`prefill_attention::add_weighted_rows`].
pub(crate) fn add_weighted_rows<const FMA: bool>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    d: usize,
) {
    // SAFETY: as above.
    unsafe { prefill_attention::add_weighted_rows::<Portable>(out, weights, stride, rows, d) }
}

/// See [`decode_attention::dots`].
pub(crate) fn stored_dots<const FMA: bool>(
    queries: &[f32],
    rows: StoredRows<'_>,
    d: usize,
    out: &mut [f32],
    stride: usize,
) {
    // SAFETY: as above.
    unsafe { decode_attention::dots::<Portable>(queries, rows, d, out, stride) }
}

/// See [`decode_attention::add_weighted`].
pub(crate) fn add_weighted_stored<const FMA: bool>(
    out: &mut [f32],
    weights: &[f32],
    stride: usize,
    rows: StoredRows<'_>,
    d: usize,
) {
    // SAFETY: as above.
    unsafe { decode_attention::add_weighted::<Portable>(out, weights, stride, rows, d) }
}

/// e^x, within 2 units in the last place for -87 < x < 88, clamped beyond.
///
/// Range reduction and polynomial as in Cephes' `expf`; free of branches, so that it vectorizes.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let rounded = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts, so that x - n ln 2 keeps its digits.
    let r = multiply_add::<FMA>(n, -0.693_359_4, x);
    let r = multiply_add::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        p = multiply_add::<FMA>(p, r, c);
    }
    let p = multiply_add::<FMA>(p * r, r, r + 1.0);
    // The integer is in the low bits; the shift drops all above it.
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// `gate = gelu(gate) * up` with the tanh form of GELU.
///
/// `0.5 x (1 + tanh(y))` equals `x / (1 + e^(-2y))`.
#[inline(always)]
pub(crate) fn gelu_times<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        let y = SQRT_2_OVER_PI * multiply_add::<FMA>(0.044_715 * x * x, x, x);
        *gate = x / (1.0 + exp::<FMA>(-2.0 * y)) * up;
    }
}

/// `gate = gate / (1 + e^-gate) * up`
#[inline(always)]
pub(crate) fn silu_times<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        *gate = x / (1.0 + exp::<FMA>(-x)) * up;
    }
}

/// `(mean(x^2) + epsilon)^(-1/2)`
#[inline(always)]
fn inverse_rms<const FMA: bool>(x: &[f32], epsilon: f32) -> f32 {
    ((dot::<FMA>(x, x) / x.len() as f32) + epsilon)
        .sqrt()
        .recip()
}

/// `x = x / rms(x) * weight`; no weight is a weight of ones.
#[inline(always)]
pub(crate) fn rms_norm<const FMA: bool>(x: &mut [f32], weight: Option<&[f32]>, epsilon: f32) {
    let scale = inverse_rms::<FMA>(x, epsilon);
    match weight {
        Some(weight) => x.iter_mut().zip(weight).for_each(|(x, w)| *x *= scale * w),
        None => x.iter_mut().for_each(|x| *x *= scale),
    }
}

/// `x = x / rms(x) * factor * weight`
#[inline(always)]
pub(crate) fn rms_norm_scaled<const FMA: bool>(
    x: &mut [f32],
    weight: &[f32],
    factor: f32,
    epsilon: f32,
) {
    let scale = inverse_rms::<FMA>(x, epsilon) * factor;
    x.iter_mut().zip(weight).for_each(|(x, w)| *x *= scale * w);
}

/// `x += weight * y`
#[inline(always)]
pub(crate) fn add_scaled<const FMA: bool>(x: &mut [f32], weight: f32, y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = multiply_add::<FMA>(weight, *y, *x);
    }
}

/// `x = (x + branch / rms(branch) * weight) * factor`; without a weight the branch is added as it is.
#[inline(always)]
pub(crate) fn add_normed<const FMA: bool>(
    x: &mut [f32],
    branch: &[f32],
    weight: Option<&[f32]>,
    epsilon: f32,
    factor: f32,
) {
    match weight {
        Some(weight) => {
            let scale = inverse_rms::<FMA>(branch, epsilon);
            for ((x, b), w) in x.iter_mut().zip(branch).zip(weight) {
                *x = (*x + b * (scale * w)) * factor;
            }
        }
        None => {
            for (x, b) in x.iter_mut().zip(branch) {
                *x = (*x + b) * factor;
            }
        }
    }
}

/// Sum of `e^(x - max)`.
#[inline(always)]
pub(crate) fn sum_exp_minus<const FMA: bool>(x: &[f32], max: f32) -> f64 {
    // Sums of a block in f32, of blocks in f64.
    x.chunks(4096)
        .map(|x| {
            let mut lanes = [0.0f32; LANES];
            let chunks = x.chunks_exact(LANES);
            let rest: f32 = chunks.remainder().iter().map(|x| exp::<FMA>(x - max)).sum();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += exp::<FMA>(*x - max);
                }
            }
            f64::from(sum_lanes(lanes) + rest)
        })
        .sum()
}

/// The largest value; NaN counts as nothing, and nothing has negative infinity.
#[inline(always)]
pub(crate) fn largest<const FMA: bool>(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in x.chunks(LANES) {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    max_lanes(lanes)
}

/// `x = cap * tanh(x / cap)`
#[inline(always)]
pub(crate) fn softcap<const FMA: bool>(x: &mut [f32], cap: f32) {
    let inverse = 2.0 / cap;
    for x in x {
        // tanh(y) = 1 - 2 / (e^(2y) + 1); near 0 the difference would lose digits.
        let y = *x * inverse;
        let far = 1.0 - 2.0 / (exp::<FMA>(y) + 1.0);
        let h = 0.5 * y;
        let near = h * multiply_add::<FMA>(
            h * h,
            multiply_add::<FMA>(h * h, 2.0 / 15.0, -1.0 / 3.0),
            1.0,
        );
        *x = cap * if h.abs() < 0.1 { near } else { far };
    }
}

/// `x = e^(x - max)`; returns the sum.
#[inline(always)]
pub(crate) fn exp_minus<const FMA: bool>(x: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut chunks = x.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            chunk[i] = exp::<FMA>(chunk[i] - max);
            lanes[i] += chunk[i];
        }
    }
    let mut rest = 0.0;
    for x in chunks.into_remainder() {
        *x = exp::<FMA>(*x - max);
        rest += *x;
    }
    sum_lanes(lanes) + rest
}

/// Rounds a row to 8 bits: for every 32 values a scale and the scaled sum of the integers, for every
/// 16 such a sum as well.
#[inline(always)]
pub(crate) fn quantize<const FMA: bool>(
    x: &[f32],
    q: &mut [i8],
    scales: &mut [f32],
    sums: &mut [f32],
    group_sums: &mut [f32],
) {
    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let groups = x
        .chunks_exact(32)
        .zip(q.chunks_exact_mut(32))
        .zip(scales)
        .zip(sums.chunks_exact_mut(2))
        .zip(group_sums);
    for ((((x, q), scale), sums), group_sum) in groups {
        let mut lanes = [0.0f32; LANES];
        for x in x.chunks_exact(LANES) {
            for (lane, x) in lanes.iter_mut().zip(x) {
                let x = x.abs();
                *lane = if x > *lane { x } else { *lane };
            }
        }
        *scale = max_lanes(lanes) / 127.0;
        let inverse = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
        for ((x, q), sum) in x
            .chunks_exact(16)
            .zip(q.chunks_exact_mut(16))
            .zip(&mut *sums)
        {
            let mut total = 0i32;
            for (x, q) in x.iter().zip(q) {
                *q = multiply_add::<FMA>(*x, inverse, ROUND).to_bits() as i8;
                total += i32::from(*q);
            }
            *sum = *scale * total as f32;
        }
        *group_sum = sums[0] + sums[1];
    }
}

/// `out[token, row]` for weight rows of F32, F16 or BF16; other types are not touched.
///
/// Few tokens have the sums of one alone, as those of quantized rows have: drafts are verified so.
#[inline(always)]
pub(crate) fn float_tile<const FMA: bool>(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    const ROWS: usize = 16;
    let columns = activations.columns;
    let row_bytes = tensor_type.row_bytes(columns);
    let mut floats = Buffer::<f32>::new(ROWS * columns);
    let mut products = [0.0f32; TILE * ROWS];
    let is_many = tokens.len() > FEW_TOKENS;
    for (r, rows) in rows.chunks(ROWS * row_bytes).enumerate() {
        let n = rows.len() / row_bytes;
        let floats = &mut floats[..n * columns];
        read_floats(tensor_type, rows, floats);
        for (t, tokens) in tokens.chunks(TILE).enumerate() {
            let first = tokens[0] as usize;
            let neighbours = tokens.iter().zip(first..).all(|(&t, i)| t as usize == i);
            if is_many && neighbours {
                let x = &activations.values[first * columns..(first + tokens.len()) * columns];
                dots::<FMA>(x, floats, columns, &mut products, ROWS);
            } else {
                for (products, &token) in products.chunks_exact_mut(ROWS).zip(tokens) {
                    let x = activations.row_values(token as usize);
                    dots::<FMA>(x, floats, columns, products, ROWS);
                }
            }
            for (i, products) in products.chunks_exact(ROWS).take(tokens.len()).enumerate() {
                out.row(t * TILE + i)[r * ROWS..r * ROWS + n].copy_from_slice(&products[..n]);
            }
        }
    }
}

/// Reads little-endian F32, F16 or BF16; other types leave `out` as it is.
#[inline(always)]
pub(crate) fn read_floats(tensor_type: TensorType, bytes: &[u8], out: &mut [f32]) {
    match tensor_type {
        TensorType::F32 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *out = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
        }
        TensorType::F16 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *out = half_to_f32(u16::from_le_bytes([b[0], b[1]]));
            }
        }
        TensorType::BF16 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *out = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
            }
        }
        _ => {}
    }
}

/// Compiles the functions of this module for one list of target features, with its registers
/// and its way to round activations.
macro_rules! instantiate {
    ($features:literal, $registers:ty, $quantize:path) => {
        #[target_feature(enable = $features)]
        pub(crate) fn stored_dots(
            queries: &[f32],
            rows: StoredRows<'_>,
            d: usize,
            out: &mut [f32],
            stride: usize,
        ) {
            // SAFETY: this function enables what the registers need.
            unsafe { decode_attention::dots::<$registers>(queries, rows, d, out, stride) }
        }
        #[target_feature(enable = $features)]
        pub(crate) fn add_weighted_stored(
            out: &mut [f32],
            weights: &[f32],
            stride: usize,
            rows: StoredRows<'_>,
            d: usize,
        ) {
            // SAFETY: this function enables what the registers need.
            unsafe { decode_attention::add_weighted::<$registers>(out, weights, stride, rows, d) }
        }
        #[target_feature(enable = $features)]
        pub(crate) fn scores(queries: &[f32], keys: &[f32], d: usize, out: &mut [f32]) {
            // SAFETY: this function enables what the registers need.
            unsafe { prefill_attention::scores::<$registers>(queries, keys, d, out) }
        }
        #[target_feature(enable = $features)]
        pub(crate) fn add_weighted_rows(
            out: &mut [f32],
            weights: &[f32],
            stride: usize,
            rows: &[f32],
            d: usize,
        ) {
            // SAFETY: as above.
            unsafe {
                prefill_attention::add_weighted_rows::<$registers>(out, weights, stride, rows, d)
            }
        }
        #[target_feature(enable = $features)]
        pub(crate) fn gelu_times(gate: &mut [f32], up: &[f32]) {
            vector::gelu_times::<true>(gate, up);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn silu_times(gate: &mut [f32], up: &[f32]) {
            vector::silu_times::<true>(gate, up);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn rms_norm_scaled(x: &mut [f32], weight: &[f32], factor: f32, epsilon: f32) {
            vector::rms_norm_scaled::<true>(x, weight, factor, epsilon);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn add_scaled(x: &mut [f32], weight: f32, y: &[f32]) {
            vector::add_scaled::<true>(x, weight, y);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn rms_norm(x: &mut [f32], weight: Option<&[f32]>, epsilon: f32) {
            vector::rms_norm::<true>(x, weight, epsilon);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn add_normed(
            x: &mut [f32],
            branch: &[f32],
            weight: Option<&[f32]>,
            epsilon: f32,
            factor: f32,
        ) {
            vector::add_normed::<true>(x, branch, weight, epsilon, factor);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn sum_exp_minus(x: &[f32], max: f32) -> f64 {
            vector::sum_exp_minus::<true>(x, max)
        }
        #[target_feature(enable = $features)]
        pub(crate) fn largest(x: &[f32]) -> f32 {
            vector::largest::<true>(x)
        }
        #[target_feature(enable = $features)]
        pub(crate) fn softcap(x: &mut [f32], cap: f32) {
            vector::softcap::<true>(x, cap);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn exp_minus(x: &mut [f32], max: f32) -> f32 {
            vector::exp_minus::<true>(x, max)
        }
        #[target_feature(enable = $features)]
        pub(crate) fn quantize(
            x: &[f32],
            q: &mut [i8],
            scales: &mut [f32],
            sums: &mut [f32],
            group_sums: &mut [f32],
        ) {
            $quantize(x, q, scales, sums, group_sums);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn float_tile(
            tensor_type: TensorType,
            rows: &[u8],
            activations: &Activations<'_>,
            tokens: &[u32],
            out: &mut OutTile<'_>,
        ) {
            vector::float_tile::<true>(tensor_type, rows, activations, tokens, out);
        }
    };
}
pub(crate) use instantiate;
