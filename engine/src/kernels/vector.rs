//! Vector arithmetic in f32, written once and compiled for every level.
//!
//! The loops carry explicit lanes, so that the compiler may keep them in vector registers without
//! reordering a floating-point sum on its own.

use super::OutTile;
use super::activations::Activations;
use super::formats::half_to_f32;
use crate::gguf::TensorType;

const LANES: usize = 16;

/// `a * b + c`, in one rounding where the level has the instruction.
#[inline(always)]
fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut lanes = lanes;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

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

/// `out += sum over rows of weights[row] * rows[row]`; `rows` is `[weights.len(), out.len()]`.
#[inline(always)]
pub(crate) fn add_weighted_rows<const FMA: bool>(out: &mut [f32], weights: &[f32], rows: &[f32]) {
    const WIDE: usize = 4 * LANES;
    let columns = out.len();
    let wide = columns / WIDE * WIDE;
    for start in (0..wide).step_by(WIDE) {
        let mut lanes = [0.0f32; WIDE];
        lanes.copy_from_slice(&out[start..start + WIDE]);
        for (weight, row) in weights.iter().zip(rows.chunks_exact(columns)) {
            let row = &row[start..start + WIDE];
            for i in 0..WIDE {
                lanes[i] = multiply_add::<FMA>(*weight, row[i], lanes[i]);
            }
        }
        out[start..start + WIDE].copy_from_slice(&lanes);
    }
    for (weight, row) in weights.iter().zip(rows.chunks_exact(columns)) {
        for (out, value) in out[wide..].iter_mut().zip(&row[wide..]) {
            *out = multiply_add::<FMA>(*weight, *value, *out);
        }
    }
}

/// e^x, within 2 units in the last place for -87 < x < 88, clamped beyond.
///
/// Range reduction and polynomial as in Cephes' `expf`; free of branches, so that it vectorizes.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let n = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
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
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
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
        let max = lanes
            .iter()
            .fold(0.0f32, |max, &x| if x > max { x } else { max });
        *scale = max / 127.0;
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
#[inline(always)]
pub(crate) fn float_tile<const FMA: bool>(
    tensor_type: TensorType,
    rows: &[u8],
    activations: &Activations<'_>,
    tokens: &[u32],
    out: &mut OutTile<'_>,
) {
    let columns = activations.columns;
    let mut floats = vec![0.0f32; columns];
    for (r, row) in rows
        .chunks_exact(tensor_type.row_bytes(columns))
        .enumerate()
    {
        read_floats(tensor_type, row, &mut floats);
        for (t, &token) in tokens.iter().enumerate() {
            out.row(t)[r] = dot::<FMA>(&floats, activations.row_values(token as usize));
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

/// Compiles the functions of this module for one list of target features.
macro_rules! instantiate {
    ($features:literal) => {
        #[target_feature(enable = $features)]
        pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
            vector::dot::<true>(a, b)
        }
        #[target_feature(enable = $features)]
        pub(crate) fn add_weighted_rows(out: &mut [f32], weights: &[f32], rows: &[f32]) {
            vector::add_weighted_rows::<true>(out, weights, rows);
        }
        #[target_feature(enable = $features)]
        pub(crate) fn gelu_times(gate: &mut [f32], up: &[f32]) {
            vector::gelu_times::<true>(gate, up);
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
            vector::quantize::<true>(x, q, scales, sums, group_sums);
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
