//! A choice by measurement changes no number of a model.

use std::path::Path;

use carat_engine::gguf::TensorType;
use carat_engine::{
    CancelToken, Choice, LoadOptions, Model, ModelSize, Order, Reading, SessionOptions, Subject,
    TokenId, Tuning,
};

const THREADS: usize = 2;

/// Everything is read in this way.
fn tuning(reading: Reading, order: Order) -> Tuning {
    let types = (0..64).filter_map(TensorType::from_raw);
    let choices = types.map(|tensor_type| Choice {
        subject: Subject {
            size: ModelSize::Small,
            order,
            tensor_type,
            threads: THREADS,
        },
        reading,
        gain: 1.0,
    });
    Tuning {
        choices: choices.collect(),
        ..Tuning::default()
    }
}

/// Logits behind each of some tokens, evaluated one by one as they are decoded.
fn logits(model: &Model, tokens: &[TokenId]) -> Vec<u32> {
    let options = SessionOptions {
        context_tokens: 64,
        ..SessionOptions::default()
    };
    let mut session = model.new_session(&options).expect("a session");
    let mut all = Vec::new();
    for end in 1..=tokens.len() {
        let logits = session
            .evaluate(&tokens[..end], &CancelToken::new())
            .expect("logits");
        all.extend(logits.iter().map(|logit| logit.to_bits()));
    }
    all
}

#[test]
fn logits_are_the_same_to_the_last_bit() {
    for file in [
        "../tests/fixtures/parity/moe-wide.q4_0_q6k.gguf",
        "../tests/fixtures/parity/dense-thin.q4_0.gguf",
        "../models/default/carat-default.gguf",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let options = LoadOptions {
            threads: Some(THREADS),
        };
        let model = Model::load(&path, &options).expect("the model loads");
        let tokens = [2, 5, 11, 23, 7];
        let usual = logits(&model, &tokens);
        for (order, all_rows) in [(Order::Rows, &[1, 2, 4][..]), (Order::Panels, &[16])] {
            for &rows in all_rows {
                for ahead in [0, 512, 16384] {
                    let reading = Reading { rows, ahead };
                    model.tune(&tuning(reading, order));
                    assert_eq!(
                        logits(&model, &tokens),
                        usual,
                        "{file}, {order:?} {reading:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_of_other_models_and_threads_is_left_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/parity/moe-wide.q4_0_q6k.gguf");
    let model = Model::load(&path, &LoadOptions { threads: Some(1) }).expect("the model loads");
    let reading = Reading {
        rows: 1,
        ahead: 1024,
    };
    // Of two threads, and this model has one: it is measured, where its kernels have a choice.
    let before = model.tuner(None).is_done();
    model.tune(&tuning(reading, Order::Rows));
    assert_eq!(
        model.tuner(Some(&tuning(reading, Order::Rows))).is_done(),
        before
    );
}
