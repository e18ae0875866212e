//! Phi 3: queries, keys and values in one tensor, gate and up in another.

use super::Family;
use super::llama::like_llama;
use super::reader::Reader;
use crate::LoadError;
use crate::decoder::{Config, GateRows, RopePairs, TensorNames};

pub(super) const FAMILIES: &[Family] = &[Family {
    architecture: "phi3",
    config,
    tensors: TensorNames {
        gate: GateRows::InUp,
        ..TensorNames::PLAIN
    },
}];

fn config(reader: &Reader<'_>) -> Result<Config, LoadError> {
    let mut config = like_llama(reader, RopePairs::Halves)?;
    // The models of 128k positions have factors for texts within the first context, and others for longer
    // ones, which would change what is in the cache already: here the first context is the limit.
    if let (Some(_), Some(n)) = (
        reader.file.tensor("rope_factors_short.weight"),
        reader.original_context()?,
    ) {
        config.context = config.context.min(n);
    }
    Ok(config)
}
