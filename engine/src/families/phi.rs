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
    like_llama(reader, RopePairs::Halves)
}
