//! The tokenizer against ids of other engines: fixtures of this repository, and data outside of it.
//!
//! Larger data lies in the folder that `CARAT_SHARED` names, or in `shared` beside the repository.
//! Where it is absent, tests that need it say so and end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carat_engine::{ModelFile, TokenId, Tokenizer};

/// Room for a busy machine: source code takes a tenth of a second where nothing else runs. Work that
/// grows with the square of the length would take minutes.
const MEGABYTE_TIME_MAX: Duration = Duration::from_secs(15);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shared(part: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CARAT_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from)
        .join(part);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: {} is not there", folder.display());
    None
}

fn load(path: &Path) -> Tokenizer {
    let file = ModelFile::open(path).unwrap_or_else(|error| panic!("{error}"));
    Tokenizer::from_model_file(&file).unwrap_or_else(|error| panic!("{error}"))
}

fn real_vocabulary() -> Option<(PathBuf, Tokenizer)> {
    let path = shared("vocab")?.join("ggml-vocab-gemma-4.gguf");
    let tokenizer = load(&path);
    Some((path, tokenizer))
}

/// Which of the references in a parity folder belongs to a model.
fn reference_name(tokenizer: &Tokenizer, file: &ModelFile) -> String {
    let kind = file.metadata().str("tokenizer.ggml.model");
    if kind == Some("gpt2") {
        let words = file.metadata().str("tokenizer.ggml.pre");
        return format!("tokenizer-{}.json", words.expect("how words are cut"));
    }
    let name = match (kind == Some("gemma4"), tokenizer.fim().is_some()) {
        (true, false) => "tokenizer-gemma4.json",
        (true, true) => "tokenizer-gemma4-fim.json",
        (false, false) => "tokenizer-spm.json",
        (false, true) => "tokenizer-spm-fim.json",
    };
    name.to_owned()
}

fn check_parity_folder(folder: &Path) {
    let mut n_models = 0;
    for entry in folder.read_dir().expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let file = ModelFile::open(&path).unwrap_or_else(|error| panic!("{error}"));
        let tokenizer = load(&path);
        let reference = folder.join(reference_name(&tokenizer, &file));
        let text = std::fs::read_to_string(&reference).expect("a readable reference");
        let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for case in reference["cases"].as_array().expect("cases") {
            let text = case["text"].as_str().expect("a text");
            let expected: Vec<TokenId> =
                serde_json::from_value(case["ids"].clone()).expect("numbers");
            let is_special = case["parse_special"].as_bool().expect("a truth value");
            let tokens = if is_special {
                tokenizer.encode_special(text)
            } else {
                tokenizer.encode(text)
            };
            assert_eq!(
                tokens,
                expected,
                "{}: {text:?}, special: {is_special}",
                path.display()
            );
            if !is_special {
                // The mark for a space cannot be told from a space.
                let decoded = tokenizer.decode(&tokens);
                assert_eq!(decoded, text.replace('\u{2581}', " "), "{}", path.display());
            }
        }
        n_models += 1;
    }
    assert!(n_models > 0, "{} has models", folder.display());
}

#[test]
fn fixtures_of_the_repository_agree() {
    check_parity_folder(&repository().join("tests/fixtures/parity"));
}

#[test]
fn parity_fixtures_agree() {
    if let Some(folder) = shared("parity/open") {
        check_parity_folder(&folder);
    }
}

#[test]
fn the_real_vocabulary_gives_the_ids_of_its_reference() {
    let Some((path, tokenizer)) = real_vocabulary() else {
        return;
    };
    let read = |suffix: &str| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        std::fs::read_to_string(name).expect("a readable reference")
    };
    let (input, output) = (read(".inp"), read(".out"));
    let texts: Vec<&str> = input.split("\n__ggml_vocab_test__\n").collect();
    let mut n_compared = 0;
    for (text, ids) in texts.iter().zip(output.lines()) {
        let expected: Vec<TokenId> = ids
            .split_whitespace()
            .map(|id| id.parse().expect("a number"))
            .collect();
        assert_eq!(tokenizer.encode(text), expected, "{text:?}");
        n_compared += 1;
    }
    assert!(n_compared >= 40, "only {n_compared} texts");
}

#[test]
fn published_vectors_agree() {
    let Some((_, tokenizer)) = real_vocabulary() else {
        return;
    };
    let plain = "Hello world! Café déjà vu — 123 😊";
    let ids = [
        9259, 1902, 236_888, 62367, 29234, 11042, 2192, 236_743, 236_770, 236_778, 236_800, 103_453,
    ];
    assert_eq!(tokenizer.encode(plain), ids);
    assert_eq!(
        tokenizer.encode("The capital of France is"),
        [818, 5279, 529, 7001, 563]
    );
    let special: [(&str, &[TokenId]); 4] = [
        (
            "<bos><|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n",
            &[
                2, 105, 2364, 107, 3689, 563, 236_743, 236_778, 236_862, 236_778, 236_881, 106,
                107, 105, 4368, 107,
            ],
        ),
        ("<|channel>thought\n<channel|>", &[100, 45518, 107, 101]),
        (
            "<|turn>system\n<|think|>\n<turn|>\n",
            &[105, 9731, 107, 98, 107, 106, 107],
        ),
        (
            "<|turn>model\n<|channel>thought\n<channel|>",
            &[105, 4368, 107, 100, 45518, 107, 101],
        ),
    ];
    for (text, ids) in special {
        assert_eq!(tokenizer.encode_special(text), ids, "{text:?}");
    }
    assert_eq!(tokenizer.end_of_generation(), [1, 50, 106]);
    assert_eq!(
        tokenizer.banned(),
        [
            255_999, 256_000, 258_880, 258_881, 258_882, 258_883, 258_884
        ]
    );
    assert_eq!(tokenizer.fim(), None);
    let markup = tokenizer.token_id("</s>").expect("in the vocabulary");
    assert_eq!(markup, 212);
    assert_eq!(tokenizer.token_bytes(markup), b"</s>");
}

#[test]
fn a_megabyte_is_encoded_in_well_under_a_second() {
    let start = Instant::now();
    let Some((path, tokenizer)) = real_vocabulary() else {
        return;
    };
    eprintln!("load of {}: {:?}", path.display(), start.elapsed());
    let mut source = String::new();
    for folder in ["gguf", "tokenizer"] {
        let folder = repository().join("engine/src").join(folder);
        for entry in folder.read_dir().expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            source.push_str(&std::fs::read_to_string(path).expect("source text"));
        }
    }
    let source = source.repeat((1 << 20) / source.len() + 1);
    let texts = [
        ("source code", source.clone()),
        ("one line", source.replace('\n', " ")),
        (
            "base64",
            source
                .bytes()
                .map(|byte| char::from(b'A' + byte % 57))
                .collect(),
        ),
        ("one letter", "a".repeat(1 << 20)),
        ("spaces", " ".repeat(1 << 20)),
        ("newlines", "\n".repeat(1 << 20)),
        ("Chinese", "我能吞下玻璃而不伤身体".repeat((1 << 20) / 33)),
        ("emoji", "🦀🦙".repeat((1 << 20) / 8)),
    ];
    for (name, text) in texts {
        let start = Instant::now();
        let tokens = tokenizer.encode(&text);
        let elapsed = start.elapsed();
        eprintln!(
            "{name}: {} bytes, {} tokens, {elapsed:?}",
            text.len(),
            tokens.len()
        );
        assert!(elapsed < MEGABYTE_TIME_MAX, "{name}: {elapsed:?}");
        assert!(
            tokenizer.decode(&tokens) == text,
            "{name} changed on the way"
        );
    }
}
