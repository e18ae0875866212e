//! Broken and hostile GGUF files: an error that says what to do, no panic, no large allocation.

mod gguf_allocations;
mod gguf_writer;

use std::path::Path;

use carat_engine::{LoadError, ModelFile, Tokenizer};
use gguf_allocations::peak_of;
use gguf_writer::{Writer, value, with_gemma4_vocabulary};

/// Room for paths, messages and the like, in bytes, on top of what a file justifies.
const ALLOWANCE_BYTES: usize = 16 << 10;

/// Opens the bytes as a file on disk, as users do, and checks what every fault must satisfy.
#[track_caller]
fn fault(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("the directory is writable");
    let (result, peak) = peak_of(|| ModelFile::open(&path));
    let message = result.expect_err("the file is broken").to_string();
    assert!(
        peak <= bytes.len() + ALLOWANCE_BYTES,
        "{peak} bytes were allocated for a file of {}: {message}",
        bytes.len()
    );
    assert!(message.contains("model.gguf"), "names the file: {message}");
    assert!(
        message.contains("download it again"),
        "says what to do: {message}"
    );
    assert!(message.len() < 1000, "fits on a screen: {message}");
    message
}

fn model() -> Vec<u8> {
    let mut writer = with_gemma4_vocabulary(Writer::new().string("general.architecture", "gemma4"));
    for index in 0..50 {
        writer = writer.tensor(&format!("blk.{index}.weight"), &[64, 4], 2, &[index; 144]);
    }
    writer.finish()
}

#[test]
fn truncation_at_every_fiftieth_is_reported() {
    let model = model();
    let (file, peak) = peak_of(|| ModelFile::from_bytes("model.gguf", &model));
    assert_eq!(file.expect("the file is whole").tensors().len(), 50);
    assert!(
        peak <= model.len(),
        "{peak} bytes for the header of a file of {}",
        model.len()
    );
    for part in 0..50 {
        let message = fault(&model[..model.len() * part / 50]);
        let expected = if part == 0 {
            "it is empty"
        } else {
            "incomplete"
        };
        assert!(message.contains(expected), "{part}/50: {message}");
    }
    assert!(fault(&model[..model.len() - 1]).contains("`blk.49.weight`"));
}

#[test]
fn other_kinds_of_files_are_named() {
    assert!(fault(b"").contains("it is empty"));
    assert!(fault(b"GG").contains("expected \"GGUF\""));
    assert!(fault(b"<!DOCTYPE html><html>").contains("web page"));
    assert!(fault(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS"));
    assert!(fault(b"PK\x03\x04").contains("archive"));
    assert!(fault(&Writer::new().version(1).finish()).contains("version 1"));
    assert!(fault(&Writer::new().version(4).finish()).contains("version 4"));
    assert!(fault(&Writer::new().version(3 << 24).finish()).contains("big-endian"));
}

#[test]
fn a_missing_file_and_a_directory_are_reported() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for path in [
        directory.path().join("absent.gguf"),
        directory.path().to_owned(),
    ] {
        let error = ModelFile::open(&path).expect_err("there is no such file");
        assert!(matches!(error, LoadError::Io { .. }), "{error}");
        assert!(error.to_string().contains("cannot be opened"), "{error}");
    }
}

#[test]
fn a_part_of_a_split_model_is_named() {
    let message = fault(&Writer::new().u32("split.count", 3).finish());
    assert!(
        message.contains("part 1 of a model in 3 files"),
        "{message}"
    );
    assert!(message.contains("`-00001-of-00003.gguf`"), "{message}");
    fault(&Writer::new().u32("split.count", u32::MAX).finish());
    fault(
        &Writer::new()
            .u32("split.count", 2)
            .u32("split.no", 7)
            .finish(),
    );
}

#[test]
fn hostile_counts_do_not_allocate() {
    for count in [u64::MAX, 1 << 63, 1 << 32, 1000] {
        fault(&Writer::new().u32("key", 1).n_entries(count).finish());
        fault(&Writer::new().u32("key", 1).n_tensors(count).finish());
        fault(&Writer::new().n_entries(count).n_tensors(count).finish());
        for element in [value::U8, value::U64, value::STRING, value::ARRAY] {
            fault(
                &Writer::new()
                    .array("key", element, count, &[0; 64])
                    .finish(),
            );
        }
        fault(
            &Writer::new()
                .raw(b"key", value::STRING, &count.to_le_bytes())
                .finish(),
        );
    }
    let mut name = Writer::new().finish()[..8].to_vec();
    name.extend(0_u64.to_le_bytes());
    name.extend(1_u64.to_le_bytes());
    name.extend(u64::MAX.to_le_bytes());
    assert!(fault(&name).contains("metadata key 1 of 1"));
}

#[test]
fn deep_nesting_ends() {
    let mut nested = Vec::new();
    for _ in 0..100_000 {
        nested.extend(value::ARRAY.to_le_bytes());
        nested.extend(1_u64.to_le_bytes());
    }
    assert!(fault(&Writer::new().raw(b"key", value::ARRAY, &nested).finish()).contains("nested"));
}

#[test]
fn unknown_value_types_and_bad_names_are_reported() {
    assert!(fault(&Writer::new().raw(b"key", 13, &[0; 8]).finish()).contains("`key`"));
    assert!(fault(&Writer::new().array("key", 99, 1, &[0; 8]).finish()).contains("`key`"));
    assert!(fault(&Writer::new().raw(b"\xFF\xFE", value::U8, &[0]).finish()).contains("UTF-8"));
    assert!(
        fault(
            &Writer::new()
                .raw("k".repeat(70_000).as_bytes(), value::U8, &[0])
                .finish()
        )
        .contains("70000")
    );
}

#[test]
fn duplicates_are_reported() {
    assert!(
        fault(&Writer::new().u32("key", 1).u32("key", 2).finish()).contains("`key` occurs twice")
    );
    let twice = Writer::new()
        .tensor("t", &[4], 24, &[0; 4])
        .tensor("t", &[4], 24, &[0; 4]);
    assert!(fault(&twice.finish()).contains("`t` occurs twice"));
}

#[test]
fn tensors_that_cannot_be_are_reported_by_name() {
    let cases: [(&[u64], u32, u64, &str); 12] = [
        (&[], 0, 0, "0 axes"),
        (&[1, 1, 1, 1, 1], 0, 0, "5 axes"),
        (&[0], 0, 0, "an axis has 0 elements"),
        (&[4, 0, 4], 0, 0, "an axis has 0 elements"),
        (&[u64::MAX], 0, 0, "too large"),
        (&[1 << 40, 1 << 40], 0, 0, "too large"),
        (&[1 << 32, 1 << 31], 28, 0, "too large"),
        (&[33], 2, 0, "not a multiple of the 32 of a Q4_0 block"),
        (&[8], 0, 8, "not a multiple of the alignment"),
        (&[8], 0, u64::MAX - 31, "incomplete"),
        (&[8], 0, 1 << 40, "incomplete"),
        (&[8], 4711, 1 << 40, "incomplete"),
    ];
    for (axes, raw_type, offset, expected) in cases {
        let message = fault(
            &Writer::new()
                .tensor_at("blk.7.bad", axes, raw_type, offset)
                .finish(),
        );
        assert!(message.contains("`blk.7.bad`"), "{message}");
        assert!(
            message.contains(expected),
            "expected \"{expected}\": {message}"
        );
    }
    for alignment in [0, 4, 33] {
        let writer = Writer::new()
            .u32("general.alignment", alignment)
            .tensor_at("t", &[8], 24, 0);
        assert!(fault(&writer.finish()).contains("general.alignment"));
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let model = model();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..3000 {
        let mut broken = model.clone();
        for _ in 0..3 {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state as usize % broken.len().min(9000);
            broken[at] = (state >> 32) as u8;
        }
        if let Ok(file) = ModelFile::from_bytes("model.gguf", &broken) {
            let _ = Tokenizer::from_model_file(&file);
            for tensor in file.tensors() {
                assert_eq!(file.data(tensor).len(), tensor.len_bytes());
            }
        }
    }
}

#[test]
fn a_type_that_does_not_run_says_which_file_would() {
    let file = ModelFile::from_bytes(
        "model.gguf",
        &Writer::new()
            .tensor("blk.0.weight", &[256], 35, &[0; 66])
            .finish(),
    )
    .expect("the file is correct");
    let tensor = file.tensor("blk.0.weight").expect("the tensor is there");
    assert_eq!(tensor.tensor_type(), None);
    let error = LoadError::TensorType {
        path: file.path().to_owned(),
        name: tensor.name.clone(),
        found: tensor.type_name(),
    };
    let message = error.to_string();
    for part in ["model.gguf", "blk.0.weight", "TQ2_0", "Q4_K_M"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn broken_vocabularies_are_reported() {
    let tokens = ["<bos>", "a", "b", "ab"];
    let with = |model: &str| {
        Writer::new()
            .string("tokenizer.ggml.model", model)
            .strings("tokenizer.ggml.tokens", &tokens)
    };
    let cases = [
        (Writer::new(), "`tokenizer.ggml.tokens` is missing"),
        (
            Writer::new().strings("tokenizer.ggml.tokens", &[""; 0]),
            "has 0 tokens",
        ),
        (with("bert"), "`bert` is not supported"),
        (with("gpt2"), "`tokenizer.ggml.merges` is missing"),
        (with("gemma4"), "`tokenizer.ggml.merges` is missing"),
        (
            with("llama"),
            "`tokenizer.ggml.scores` does not have one number",
        ),
        (
            with("llama").f32s("tokenizer.ggml.scores", &[0.0]),
            "one number for each token",
        ),
        (
            with("gemma4").i32s("tokenizer.ggml.token_type", &[1]),
            "one number for each token",
        ),
        (
            Writer::new()
                .string("tokenizer.ggml.model", "gemma4")
                .strings("tokenizer.ggml.tokens", &["a"])
                .strings("tokenizer.ggml.merges", &[""; 0]),
            "`<bos>`",
        ),
    ];
    for (writer, expected) in cases {
        let file = ModelFile::from_bytes("model.gguf", &writer.finish()).expect("a correct file");
        let message = Tokenizer::from_model_file(&file)
            .expect_err("no vocabulary")
            .to_string();
        assert!(
            message.contains(expected),
            "expected \"{expected}\": {message}"
        );
        assert!(
            message.contains("convert the model again"),
            "says what to do: {message}"
        );
        assert!(
            message.contains(&Path::new("model.gguf").display().to_string()),
            "{message}"
        );
    }
}
