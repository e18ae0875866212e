//! Tokens as llama.cpp has them: its own texts and ids for the vocabularies that it tests with.
//!
//! `cargo xtask vocabularies` fetches them into `target/vocabularies`; `CARAT_VOCABULARIES` names another
//! folder. Without it this test says so and passes.

use std::path::{Path, PathBuf};

use carat_engine::{ModelFile, TokenId, Tokenizer};

/// The vocabularies of models that Carat runs, or whose words are cut like theirs: every kind of
/// vocabulary and every way to cut words.
const NAMES: [&str; 10] = [
    "command-r",
    "deepseek-coder",
    "gemma-4",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "phi-3",
    "qwen2",
    "refact",
    "starcoder",
];

#[test]
fn tokens_are_those_of_llama_cpp() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = std::env::var_os("CARAT_VOCABULARIES")
        .map_or_else(|| root.join("target/vocabularies"), PathBuf::from);
    if !folder.exists() {
        eprintln!(
            "SKIPPED: {} is not there; `cargo xtask vocabularies` fetches it (77 MB)",
            folder.display()
        );
        return;
    }
    let mut wrong = Vec::new();
    for name in NAMES {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let beside = |end: &str| std::fs::read_to_string(format!("{}.{end}", path.display()));
        let (texts, ids) = (beside("inp").unwrap(), beside("out").unwrap());
        let file = ModelFile::open(&path).unwrap();
        let tokenizer = Tokenizer::from_model_file(&file).unwrap();
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let ids: Vec<&str> = ids.lines().collect();
        assert!(texts.len() >= ids.len() && !ids.is_empty(), "{name}");
        for (text, ids) in texts.iter().zip(&ids) {
            let expected: Vec<TokenId> = ids
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            let found = tokenizer.encode(text);
            if found != expected {
                wrong.push(format!(
                    "{name}: {text:?}: {found:?}, expected {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
