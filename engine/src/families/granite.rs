//! Granite: Llama with factors on embeddings, on what every block adds, on attention scores and on logits,
//! with one dense block or with experts in its place.

use super::Family;
use super::llama::like_llama;
use super::reader::Reader;
use crate::LoadError;
use crate::decoder::{Config, ExpertNames, RopePairs, TensorNames};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        architecture: "granite",
        config,
        tensors: TensorNames::PLAIN,
    },
    Family {
        architecture: "granitemoe",
        config: |reader| {
            let mut config = config(reader)?;
            config.experts = reader.experts(Some("feed_forward_length"))?;
            Ok(config)
        },
        tensors: TensorNames {
            experts: Some(ExpertNames::PLAIN),
            ..TensorNames::PLAIN
        },
    },
];

fn config(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = like_llama(reader, RopePairs::Neighbours)?;
    let factor = |key: &str| reader.positive(key, reader.float(key).unwrap_or(1.0));
    // Only norms read the residual stream, and they do not see its length. So the stream is held divided by
    // the factor on what blocks add, which then add it as it is; what is added under the root shrinks with it.
    let residual = factor("residual_scale")?;
    config.embedding_scale = factor("embedding_scale")? / residual;
    config.norm_epsilon /= residual * residual;
    config.logit_scale = 1.0 / factor("logit_scale")?;
    let key = "attention.scale";
    if let Some(scale) = reader.float(key) {
        let scale = reader.positive(key, scale)?;
        for layer in &mut config.layers {
            layer.attention_scale = scale;
        }
    }
    Ok(config)
}
