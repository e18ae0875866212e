//! Qwen 2 and 3, of which the Coder models are variants, and the experts of Qwen 3.

use super::Family;
use super::llama::like_llama;
use super::reader::Reader;
use crate::LoadError;
use crate::decoder::{Config, ExpertNames, RopePairs, TensorNames};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        architecture: "qwen2",
        config: dense,
        tensors: TensorNames {
            biases: Some(["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
            ..TensorNames::PLAIN
        },
    },
    Family {
        architecture: "qwen3",
        config: dense,
        tensors: QWEN3,
    },
    Family {
        architecture: "qwen3moe",
        config: with_experts,
        tensors: TensorNames {
            experts: Some(ExpertNames::PLAIN),
            ..QWEN3
        },
    },
];

const QWEN3: TensorNames = TensorNames {
    head_norms: Some(["attn_q_norm.weight", "attn_k_norm.weight"]),
    ..TensorNames::PLAIN
};

fn dense(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = like_llama(reader, RopePairs::Halves)?;
    config.norm_epsilon = reader.norm_epsilon(1e-6);
    Ok(config)
}

fn with_experts(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = dense(reader)?;
    config.experts = reader.experts(None)?;
    Ok(config)
}
