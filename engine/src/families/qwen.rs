//! Qwen 2 and 3, of which the Coder models are variants, and the experts of both.

use super::Family;
use super::llama::like_llama;
use super::reader::{MAX_WIDTH, Reader};
use crate::LoadError;
use crate::decoder::{Config, ExpertNames, RopePairs, TensorNames};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        architecture: "qwen2",
        config: dense,
        tensors: QWEN2,
    },
    Family {
        architecture: "qwen2moe",
        config: with_shared_expert,
        tensors: TensorNames {
            experts: Some(ExpertNames::PLAIN),
            ..QWEN2
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

const QWEN2: TensorNames = TensorNames {
    biases: Some(["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
    ..TensorNames::PLAIN
};

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

/// One expert that all tokens use, through a gate of its own, and others whose weights are their share
/// among all experts.
fn with_shared_expert(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = with_experts(reader)?;
    if let Some(experts) = &mut config.experts {
        let width = reader.count("expert_shared_feed_forward_length", 1, MAX_WIDTH)?;
        experts.shared_width = Some(width);
        experts.renormalised = false;
    }
    Ok(config)
}
