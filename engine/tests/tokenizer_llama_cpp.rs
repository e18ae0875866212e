//! Tokens as llama.cpp has them: its own texts and ids for the vocabularies that it tests with, and its
//! ids for every way to cut words that Carat knows.
//!
//! `cargo xtask vocabularies` fetches them into `target/vocabularies`; `CARAT_VOCABULARIES` names another
//! folder. Without it these tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};

use carat_engine::{LoadError, ModelFile, TokenId, Tokenizer};

/// The vocabularies of models that Carat runs, or whose words are cut like theirs: every kind of
/// vocabulary and every way to cut words.
const NAMES: [&str; 11] = [
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "gemma-4",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "phi-3",
    "qwen2",
    "refact",
    "starcoder",
];

/// Vocabularies of models that Carat does not run, and what it says of them.
const REFUSED: [(&str, &str); 5] = [
    ("bert-bge", "vocabulary of the kind `bert` is not supported"),
    (
        "falcon",
        "`tokenizer.ggml.pre` is `falcon`, which is not supported",
    ),
    (
        "mpt",
        "`tokenizer.ggml.pre` is `mpt`, which is not supported",
    ),
    (
        "nomic-bert-moe",
        "vocabulary of the kind `t5` is not supported",
    ),
    (
        "qwen35",
        "`tokenizer.ggml.pre` is `qwen35`, which is not supported",
    ),
];

/// Between two texts of a file `.inp`, and behind the last.
const END: &str = "\n__ggml_vocab_test__\n";

/// Where the files of vocabularies are.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.expect("the repository");
    let folder = std::env::var_os("CARAT_VOCABULARIES")
        .map_or_else(|| root.join("target/vocabularies"), PathBuf::from);
    if !folder.exists() {
        eprintln!(
            "SKIPPED: {} is not there; `cargo xtask vocabularies` fetches it (77 MB)",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

fn load(path: &Path) -> Result<Tokenizer, LoadError> {
    Tokenizer::from_model_file(&ModelFile::open(path)?)
}

fn parse<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<TokenId> {
    ids.map(|id| id.parse().expect("an id")).collect()
}

#[test]
fn tokens_are_those_of_llama_cpp() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for name in NAMES {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let beside = |end: &str| fs::read_to_string(format!("{}.{end}", path.display()));
        let (texts, ids) = (beside("inp").unwrap(), beside("out").unwrap());
        let tokenizer = load(&path).unwrap();
        let texts: Vec<&str> = texts.split(END).collect();
        let ids: Vec<&str> = ids.lines().collect();
        assert!(texts.len() >= ids.len() && !ids.is_empty(), "{name}");
        for (text, ids) in texts.iter().zip(&ids) {
            let expected = parse(ids.split_whitespace());
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

#[test]
fn other_vocabularies_are_refused_by_name() {
    let Some(folder) = folder() else { return };
    for (name, what) in REFUSED {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let error = load(&path).err().map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.contains(what)),
            "{name}: {error:?}"
        );
    }
}

/// The vocabulary of Llama 3, whose words are cut as `name` says.
fn cut_as(file: &[u8], name: &str) -> Result<Tokenizer, LoadError> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let entry = |name: &str| {
        let kind = 8u32.to_le_bytes();
        [string("tokenizer.ggml.pre"), kind.to_vec(), string(name)].concat()
    };
    let old = entry("llama-bpe");
    let at = file
        .windows(old.len())
        .position(|bytes| bytes == old)
        .expect("how words are cut");
    // No tensors follow, so nothing has to stand at the place where it stood.
    let changed = [&file[..at], &entry(name), &file[at + old.len()..]].concat();
    Tokenizer::from_model_file(&ModelFile::from_bytes("words.gguf", &changed)?)
}

#[test]
fn words_are_cut_as_llama_cpp_cuts_them() {
    let Some(folder) = folder() else { return };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vocabularies");
    let texts = fs::read_to_string(fixtures.join("words.inp")).unwrap();
    let texts: Vec<&str> = texts.split_terminator(END).collect();
    let ids = fs::read_to_string(fixtures.join("words.out")).unwrap();
    let ids: Vec<&str> = ids.lines().collect();
    let file = fs::read(folder.join("ggml-vocab-llama-bpe.gguf")).unwrap();

    let error = cut_as(&file, "unheard-of").err().unwrap().to_string();
    let (_, known) = error.split_once("known are ").expect("names");
    let (known, _) = known.split_once(';').expect("an end");
    for name in known.split(", ") {
        assert!(
            ids.iter().any(|ids| ids.split(' ').next() == Some(name)),
            "{name}: tests/fixtures/vocabularies/words.out lacks it"
        );
    }
    let mut wrong = Vec::new();
    for ids in ids.chunks(texts.len()) {
        assert_eq!(ids.len(), texts.len());
        let (name, _) = ids[0].split_once(' ').unwrap();
        let tokenizer = cut_as(&file, name).unwrap();
        for (text, ids) in texts.iter().zip(ids) {
            let mut ids = ids.split(' ');
            assert_eq!(ids.next(), Some(name));
            let expected = parse(ids);
            let found = tokenizer.encode(text);
            if found != expected {
                wrong.push(format!(
                    "{name}: {text:?}: {found:?}, llama.cpp {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
