//! The families of models that the decoder runs: one file each, from metadata to facts, and the names
//! of tensors. Nothing outside asks for the name of an architecture.

mod gemma;
mod granite;
mod llama;
mod phi;
mod qwen;
mod reader;
mod starcoder;

use crate::LoadError;
use crate::decoder::{Config, TensorNames};
use crate::gguf::ModelFile;
use reader::Reader;

/// One architecture, as `general.architecture` names it.
struct Family {
    architecture: &'static str,
    config: fn(&Reader<'_>) -> Result<Config, LoadError>,
    tensors: TensorNames,
}

/// All architectures.
fn all() -> impl Iterator<Item = &'static Family> {
    [
        gemma::FAMILIES,
        llama::FAMILIES,
        granite::FAMILIES,
        qwen::FAMILIES,
        phi::FAMILIES,
        starcoder::FAMILIES,
    ]
    .into_iter()
    .flatten()
}

/// The configuration of a model, and what its tensors are called; `vocabulary` is the number of rows
/// of the embedding.
pub(crate) fn read(
    file: &ModelFile,
    vocabulary: usize,
) -> Result<(Config, &'static TensorNames), LoadError> {
    let found = file.metadata().architecture();
    let Some(family) = all().find(|family| family.architecture == found) else {
        let supported: Vec<_> = all().map(|family| family.architecture).collect();
        return Err(LoadError::Architecture {
            path: file.path().into(),
            found: found.to_owned(),
            supported: supported.join(", "),
        });
    };
    let reader = Reader {
        file,
        architecture: family.architecture,
        vocabulary,
    };
    Ok(((family.config)(&reader)?, &family.tensors))
}
