//! Llama and what is built like it: Code Llama, DeepSeek-Coder, SmolLM, Mistral, Codestral, and the
//! experts of Mixtral.

use super::Family;
use super::reader::{Layers, Reader};
use crate::LoadError;
use crate::decoder::{Config, ExpertNames, RopeConfig, RopePairs, TensorNames};
use crate::kernels::Gate;

pub(super) const FAMILIES: &[Family] = &[Family {
    architecture: "llama",
    config,
    tensors: TensorNames {
        experts: Some(ExpertNames::PLAIN),
        ..TensorNames::PLAIN
    },
}];

fn config(reader: &Reader<'_>) -> Result<Config, LoadError> {
    // Converters put the rows of queries and keys in the order in which neighbours are rotated.
    let mut config = like_llama(reader, RopePairs::Neighbours)?;
    config.experts = reader.experts(Some("feed_forward_length"))?;
    Ok(config)
}

/// The facts of a plain decoder: no windows, no factors, gates with SiLU.
pub(super) fn like_llama(reader: &Reader<'_>, pairs: RopePairs) -> Result<Config, LoadError> {
    let head_dim = reader.head_dim()?;
    let yarn = reader.yarn()?;
    let key = "rope.scaling.attn_factor";
    let magnitude = reader.positive(key, reader.float(key).unwrap_or(1.0))?;
    let rope = RopeConfig {
        theta: reader.rope_theta("rope.freq_base", 1e4)?,
        position_scale: match yarn {
            Some(_) => 1.0,
            None => reader.position_scale()?,
        },
        pairs,
        rotated: reader.rotated(head_dim)?,
        // YaRN makes attention sharper by a root of the factor.
        magnitude: yarn.map_or(magnitude, |yarn| magnitude * (1.0 + 0.1 * yarn.factor.ln())),
        yarn,
        proportional: false,
    };
    Ok(Config {
        hidden: reader.hidden()?,
        vocabulary: reader.vocabulary,
        context: reader.context()?,
        norm_epsilon: reader.norm_epsilon(1e-5),
        logit_scale: 1.0,
        final_softcap: None,
        per_layer_width: 0,
        experts: None,
        embedding_scale: 1.0,
        gate: Gate::Silu,
        norm_values: false,
        untrained_fim: false,
        rope_local: rope,
        rope_global: rope,
        layers: reader.layers(&Layers {
            is_local: vec![false; reader.n_layers()?],
            window: None,
            head_dims: (head_dim, head_dim),
            n_shared: 0,
            attention_scale: None,
        })?,
    })
}
