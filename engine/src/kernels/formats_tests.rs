//! The definition of formats that candle does not know, against the reference package's.

use super::{MatrixRef, Reading, dequantize};
use crate::gguf::TensorType;

#[test]
fn formats_unknown_to_candle_are_read_as_the_reference_package_reads_them() {
    macro_rules! case {
        ($tensor_type:ident, $file:literal) => {{
            let blocks: &[u8] = include_bytes!(concat!("../../testdata/", $file, ".blocks"));
            let values: &[u8] = include_bytes!(concat!("../../testdata/", $file, ".f32"));
            (TensorType::$tensor_type, blocks, values)
        }};
    }
    for (tensor_type, bytes, expected) in [
        case!(Mxfp4, "mxfp4"),
        case!(Iq4Nl, "iq4_nl"),
        case!(Iq4Xs, "iq4_xs"),
        case!(Iq2Xxs, "iq2_xxs"),
        case!(Iq2Xs, "iq2_xs"),
        case!(Iq2S, "iq2_s"),
        case!(Iq3Xxs, "iq3_xxs"),
        case!(Iq3S, "iq3_s"),
        case!(Iq1S, "iq1_s"),
        case!(Iq1M, "iq1_m"),
    ] {
        let expected: Vec<f32> = expected
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let mut found = vec![0.0; expected.len()];
        dequantize(
            MatrixRef {
                tensor_type,
                rows: 1,
                columns: expected.len(),
                bytes,
                panels: None,
                reading: Reading::ROWS,
            },
            &mut found,
        );
        // Of numbers from grids no product is rounded.
        let from_grid = !matches!(
            tensor_type,
            TensorType::Mxfp4 | TensorType::Iq4Nl | TensorType::Iq4Xs
        );
        let room = if from_grid { 0.0 } else { 1e-5 };
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (f - e).abs() <= room * e.abs().max(1.0),
                "{}: weight {i} is {f}, expected {e}",
                tensor_type.name()
            );
        }
    }
}
