//! A model file that is cut off while the model runs: an error, and neither a signal nor a panic.
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use carat_engine::{
    CancelToken, GenerateError, GenerationRequest, LoadOptions, Model, SessionOptions, TokenId,
};

const PROMPT: [TokenId; 3] = [2, 700, 701];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity/moe-thin.q8_0.gguf")
}

fn load(path: &Path) -> Model {
    let options = LoadOptions { threads: Some(2) };
    Model::load(path, &options).expect("a fixture of this repository")
}

fn logits(model: &Model) -> Result<Vec<f32>, GenerateError> {
    let mut session = model.new_session(&SessionOptions::default())?;
    session.evaluate(&PROMPT, &CancelToken::new())
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.gguf");
    let whole = fs::metadata(fixture()).expect("a fixture").len();
    // Nothing is left, a part of the header, or a part of the weights.
    for len in [0, 20_000, whole / 2] {
        fs::copy(fixture(), &path).expect("the directory is writable");
        let model = load(&path);
        let expected = logits(&model).expect("the file is whole");
        assert!(!model.file_has_changed());
        let mut session = model
            .new_session(&SessionOptions::default())
            .expect("a session");
        let request = GenerationRequest {
            max_tokens: 200,
            ignore_stop_tokens: true,
            ..GenerationRequest::default()
        };
        let mut pieces = 0;
        let end = session.generate(&PROMPT, &request, &CancelToken::new(), &mut |_| {
            pieces += 1;
            if pieces == 2 {
                let file = OpenOptions::new().write(true).open(&path);
                file.expect("the file is there")
                    .set_len(len)
                    .expect("it can be cut off");
            }
            ControlFlow::Continue(())
        });
        assert!(
            matches!(end, Err(GenerateError::FileChanged { .. })),
            "cut off at {len}: {:?}",
            end.map(|summary| summary.text)
        );
        assert!(model.file_has_changed());
        // For good, also when the file is whole again, until it is loaded again.
        fs::copy(fixture(), &path).expect("the directory is writable");
        assert!(logits(&model).is_err() && model.file_has_changed());
        assert_eq!(logits(&load(&path)).expect("a whole file"), expected);
    }
}

#[test]
fn a_file_that_was_written_to_has_changed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("model.gguf");
    fs::copy(fixture(), &path).expect("the directory is writable");
    let model = load(&path);
    // Another file of that name is no matter of the one that is mapped.
    let newer = directory.path().join("newer.gguf");
    fs::copy(fixture(), &newer).expect("the directory is writable");
    fs::rename(&newer, &path).expect("one of them stays");
    assert!(!model.file_has_changed());
    let model = load(&path);
    fs::write(&path, fs::read(fixture()).expect("a fixture")).expect("the file is writable");
    assert!(model.file_has_changed());
}
