//! Changes bytes of small model files; a file that still loads is run for a token.
//!
//! Other bytes than a model's own hardly ever pass the reader. What is fuzzed here begins behind it:
//! configurations, tensors and vocabularies that contradict one another, and weights of any value.
#![no_main]

use carat_engine::{CancelToken, LoadOptions, Model, ModelFile, SessionOptions};
use libfuzzer_sys::fuzz_target;

macro_rules! models {
    ($($name:literal),*) => {
        [$(include_bytes!(concat!("../../fixtures/parity/", $name, ".gguf"))),*]
    };
}

/// One of each kind: dense, with a window, with biases, with experts, with embeddings for each layer.
const MODELS: [&[u8]; 7] = models!(
    "starcoder2-thin.q4_0",
    "llama-thin.q4_1",
    "qwen3-thin.q4_0",
    "phi3-thin.q8_0",
    "gemma3-thin.q4_0",
    "moe-thin.q8_0",
    "ple-thin.q8_0"
);

/// Bytes of a change: where, in four bytes, and what.
const CHANGE: usize = 5;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, changes)) = bytes.split_first() else {
        return;
    };
    let mut model = MODELS[usize::from(*which) % MODELS.len()].to_vec();
    let head = head_len(&model);
    for change in changes.chunks_exact(CHANGE) {
        let place = u32::from_le_bytes(change[..4].try_into().expect("four bytes")) as usize;
        // One change in eight is in the weights.
        let end = if place % 8 == 0 { model.len() } else { head };
        model[place / 8 % end] = change[4];
    }
    run(&model);
});

/// About where the tensors begin: behind the name of the last.
fn head_len(model: &[u8]) -> usize {
    let name = b"output_norm.weight";
    let found = model.windows(name.len()).rposition(|part| part == name);
    found.map_or(model.len(), |at| at + 64)
}

fn run(model: &[u8]) {
    let Ok(file) = ModelFile::from_bytes("fuzz.gguf", model) else {
        return;
    };
    let one_thread = LoadOptions { threads: Some(1) };
    let Ok(model) = Model::from_file(&file, &one_thread) else {
        return;
    };
    let sizes = SessionOptions {
        context_tokens: 8,
        chunk_tokens: 4,
        layer_time: None,
        ..SessionOptions::default()
    };
    let Ok(mut session) = model.new_session(&sizes) else {
        return;
    };
    let last = model.info().vocabulary as u32 - 1;
    for tokens in [&[0, last, 1, 0, last][..], &[1]] {
        if let Ok(logits) = session.evaluate(tokens, &CancelToken::new()) {
            assert_eq!(logits.len(), model.info().vocabulary);
        }
    }
}
