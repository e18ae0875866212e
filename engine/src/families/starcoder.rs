//! `StarCoder` 2: layer norms, biases everywhere, and no gate.

use super::Family;
use super::llama::like_llama;
use super::reader::Reader;
use crate::LoadError;
use crate::decoder::{Config, GateRows, RopePairs, TensorNames};

pub(super) const FAMILIES: &[Family] = &[Family {
    architecture: "starcoder2",
    config,
    tensors: TensorNames {
        biases: Some(["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
        output_bias: Some("attn_output.bias"),
        layer_norms: true,
        gate: GateRows::Absent,
        ..TensorNames::PLAIN
    },
}];

fn config(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = like_llama(reader, RopePairs::Halves)?;
    config.norm_epsilon = reader.layer_norm_epsilon();
    Ok(config)
}
