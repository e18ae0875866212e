//! Files that say the same in another form, and files that say more than the architecture has.

use std::path::Path;

use carat_engine::{
    CancelToken, KvType, LoadError, LoadOptions, Model, ModelFile, SessionOptions, TokenId,
};

/// A small model of Gemma 4 with experts.
fn plain() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity/moe-thin.f32.gguf");
    std::fs::read(path).expect("the fixture is there")
}

/// A text as GGUF has it.
fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Replaces every `from` by `to`; it is there at least once.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut found) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
            found += 1;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    assert!(found > 0, "{}", String::from_utf8_lossy(from));
    out
}

/// Adds a text to the metadata, which changes the length of the header.
fn with_text(mut bytes: Vec<u8>, key: &str, value: &str) -> Vec<u8> {
    const COUNT: std::ops::Range<usize> = 16..24;
    let count = u64::from_le_bytes(bytes[COUNT].try_into().expect("eight bytes"));
    bytes[COUNT].copy_from_slice(&(count + 1).to_le_bytes());
    let entry = [string(key), 8u32.to_le_bytes().to_vec(), string(value)].concat();
    bytes.splice(24..24, entry);
    bytes
}

/// Makes the header longer by a multiple of the alignment, so that the data lies as it did.
fn aligned(bytes: Vec<u8>, before: usize) -> Vec<u8> {
    let key = "filler";
    let with_none = with_text(bytes.clone(), key, "").len();
    let fill = (32 - (with_none as isize - before as isize).rem_euclid(32)) % 32;
    with_text(bytes, key, &" ".repeat(fill as usize))
}

fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    Model::from_file(&ModelFile::open(&path)?, &LoadOptions { threads: Some(1) })
}

fn logits(model: &Model) -> Vec<f32> {
    let options = SessionOptions {
        context_tokens: 64,
        kv: KvType::F32,
        ..SessionOptions::default()
    };
    let mut session = model.new_session(&options).expect("a session");
    let tokens: Vec<TokenId> = (0..12).map(|i| 2 + 83 * i).collect();
    session
        .evaluate_rows(&tokens, 1, &CancelToken::new())
        .expect("logits")
}

#[test]
fn the_form_of_ollama_is_the_same_model() {
    let plain = plain();
    let mut other = plain.clone();
    for layer in 0..4 {
        other = replace(
            &other,
            &string(&format!("blk.{layer}.ffn_down_exps.scale")),
            &string(&format!("blk.{layer}.ffn_gate_inp.per_expert_scale")),
        );
    }
    let model_key = string("tokenizer.ggml.model");
    let kind = |kind: &str| [model_key.clone(), 8u32.to_le_bytes().to_vec(), string(kind)].concat();
    other = replace(&other, &kind("gemma4"), &kind("llama"));
    if !other
        .windows(18)
        .any(|window| window == b"tokenizer.ggml.pre")
    {
        other = with_text(other, "tokenizer.ggml.pre", "gemma4");
    }
    let before = plain.len();
    let (plain, other) = (
        load(&plain).expect("a model"),
        load(&aligned(other, before)).expect("the same model"),
    );
    assert_eq!(logits(&plain), logits(&other));
    let text = "fn main() {\n    return x;\n}\n";
    assert_eq!(
        plain.tokenizer().encode(text),
        other.tokenizer().encode(text)
    );
}

#[test]
fn tensors_that_nobody_asks_for_are_named() {
    let plain = plain();
    let before = plain.len();
    let renamed = replace(
        &plain,
        &string("blk.1.ffn_down_exps.scale"),
        &string("blk.1.ffn_down_exps.input_scale"),
    );
    let error = load(&aligned(renamed, before)).err().expect("refused");
    assert!(
        error
            .to_string()
            .contains("blk.1.ffn_down_exps.input_scale"),
        "{error}"
    );
}

#[test]
fn an_unknown_scaling_of_positions_is_an_error() {
    let plain = plain();
    let before = plain.len();
    let scaled = with_text(plain, "gemma4.rope.scaling.type", "yarn");
    let error = load(&aligned(scaled, before)).err().expect("refused");
    assert!(error.to_string().contains("`yarn`"), "{error}");
}
