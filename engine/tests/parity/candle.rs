//! The second oracle: the same tensors through the models of candle-transformers, which others wrote.
//!
//! Its model of Llama ignores `rope_freqs.weight`, that of Phi 3 `rope.freq_base`, so both sides get a
//! copy of the file without them; the reference beside the file checks them. Three of its models are no oracle: that of Gemma 3 gates with
//! SiLU instead of GELU, that of Llama looks for the tensors of each expert alone, which nobody writes
//! any more, and the experts of Qwen 3 run on GPUs only.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, write};
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::{
    quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3,
};
use carat_engine::{LoadOptions, Model, TokenId};

use crate::reference::Reference;

/// Two models of the same tensors.
pub(crate) struct Pair {
    pub(crate) ours: Model,
    file: tempfile::NamedTempFile,
}

impl Pair {
    /// `None` where candle-transformers cannot run the file.
    pub(crate) fn of(reference: &Reference) -> Option<Self> {
        let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        let is_runnable = copy_plain(&reference.model_path(), file.as_file());
        is_runnable.then(|| Self {
            ours: Model::load(file.path(), &LoadOptions::default()).unwrap(),
            file,
        })
    }

    /// Candle's logits behind the last of the tokens.
    pub(crate) fn expected(&self, tokens: &[TokenId]) -> Vec<f32> {
        let mut file = self.file.reopen().unwrap();
        let input = Tensor::new(tokens, &Device::Cpu).unwrap();
        let output = forward(&mut file, &input.unsqueeze(0).unwrap());
        output.unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }
}

/// Writes the file without what candle's models ignore; false if they cannot run the rest.
fn copy_plain(from: &Path, mut to: &File) -> bool {
    let mut file = File::open(from).unwrap();
    let content = Content::read(&mut file).unwrap();
    let has = |part: &str| content.metadata.keys().any(|key| key.contains(part));
    // Its product of Q4_1 takes two blocks at a time, and panics at an odd number of them.
    let is_odd = content.tensor_infos.values().any(|info| {
        info.ggml_dtype == GgmlDType::Q4_1 && info.shape.dims().last().unwrap() / 32 % 2 == 1
    });
    let runs = ["llama", "qwen2", "qwen3", "phi3"];
    // It rotates all of a head, at one speed.
    if has(".expert_count")
        || has(".rope.scaling.")
        || is_odd
        || !runs.contains(&architecture(&content))
    {
        return false;
    }
    let metadata = content.metadata.iter();
    let metadata = metadata.filter(|(key, _)| *key != "phi3.rope.freq_base");
    let metadata: Vec<_> = metadata.map(|(key, value)| (key.as_str(), value)).collect();
    let mut names: Vec<_> = content.tensor_infos.keys().collect();
    names.sort();
    names.retain(|name| *name != "rope_freqs.weight");
    let tensors: Vec<_> = names
        .into_iter()
        .map(|name| {
            (
                name.as_str(),
                content.tensor(&mut file, name, &Device::Cpu).unwrap(),
            )
        })
        .collect();
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor))
        .collect();
    write(&mut to, &metadata, &tensors).unwrap();
    true
}

fn architecture(content: &Content) -> &str {
    content.metadata["general.architecture"]
        .to_string()
        .unwrap()
}

fn forward(file: &mut File, input: &Tensor) -> Result<Tensor> {
    let device = &Device::Cpu;
    let content = Content::read(file)?;
    match architecture(&content) {
        "llama" => {
            quantized_llama::ModelWeights::from_gguf(content, file, device)?.forward(input, 0)
        }
        "qwen2" => {
            quantized_qwen2::ModelWeights::from_gguf(content, file, device)?.forward(input, 0)
        }
        "qwen3" => {
            quantized_qwen3::ModelWeights::from_gguf(content, file, device)?.forward(input, 0)
        }
        _ => {
            quantized_phi3::ModelWeights::from_gguf(false, content, file, device)?.forward(input, 0)
        }
    }
}
