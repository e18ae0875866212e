//! Lines that are looked for side by side are what each of them is alone.

mod unrounded;

use std::ops::ControlFlow;
use std::path::Path;

use carat_engine::{
    CancelToken, Candidate, GenerationRequest, KvType, LoadOptions, Model, Session, SessionOptions,
    TokenId, search,
};

use unrounded::unrounded;

fn model(path: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Model::load(&path, &LoadOptions { threads: Some(1) }).expect("the model loads")
}

fn session(model: &Model, kv: KvType) -> Session {
    let options = SessionOptions {
        context_tokens: 1024,
        kv,
        ..SessionOptions::default()
    };
    model.new_session(&options).expect("a session")
}

/// Natural logarithms of the probabilities of `tokens` behind `prompt`, evaluated as one text. Only
/// tokens that `allowed` says may follow take part.
fn log_probs(session: &mut Session, prompt: &[TokenId], tokens: &[TokenId]) -> Vec<f32> {
    session.clear();
    let whole = [prompt, tokens].concat();
    let rows = tokens.len() + 1;
    let logits = session
        .evaluate_rows(&whole, rows, &CancelToken::new())
        .expect("logits");
    let vocabulary = logits.len() / rows;
    let banned = session.model().tokenizer().banned();
    let of = |(logits, &token): (&[f32], &TokenId)| {
        let allowed = (0..).zip(logits).filter(|(id, _)| !banned.contains(id));
        let sum: f64 = allowed.map(|(_, logit)| f64::from(*logit).exp()).sum();
        (f64::from(logits[token as usize]) - sum.ln()) as f32
    };
    logits
        .chunks_exact(vocabulary)
        .zip(tokens)
        .map(of)
        .collect()
}

const CODE: &str =
    "use std::path::Path;\n\nfn read(path: &Path) -> String {\n    let text = String::new();\n    ";

fn code_prompt(model: &Model, text: &str) -> Vec<TokenId> {
    let mut prompt = Vec::from_iter(model.tokenizer().bos());
    prompt.extend(model.tokenizer().encode(text));
    prompt
}

#[test]
fn each_line_is_as_probable_as_it_is_alone() {
    // The f32 caches of models that round nothing show every wrong key; the embedded model writes real
    // lines, and more of them than fit its sliding window.
    const EMBEDDED: &str = "../models/default/carat-default.gguf";
    let embedded = model(EMBEDDED);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EMBEDDED);
    let path = unrounded(&path, "carat-default.F32.gguf");
    let unrounded = model(&path.display().to_string());
    let long = CODE.repeat(6);
    let random = model("../tests/fixtures/parity/moe-thin.f32.gguf");
    let long = code_prompt(&embedded, &long);
    // Where activations are rounded to 8 bits, the order of a sum can tip one of them, which moves single
    // tokens, not all.
    let cases = [
        (&embedded, KvType::F16, code_prompt(&embedded, CODE), 0.05),
        (&unrounded, KvType::F32, long.clone(), 1e-3),
        (&random, KvType::F32, (300..360).collect(), 1e-3),
        (&embedded, KvType::F32, long, 0.05),
    ];
    for (model, kv, prompt, tolerance) in cases {
        let mut session = session(model, kv);
        let request = GenerationRequest {
            max_tokens: 16,
            single_line: true,
            ..GenerationRequest::default()
        };
        let cancel = CancelToken::new();
        let found = search(&mut session, &prompt, &request, 5, None, &cancel).expect("lines");
        assert_eq!(session.tokens(), prompt);
        let lines = found.candidates;
        let mut differences = Vec::new();
        for line in &lines {
            assert!(!line.text.contains('\n'));
            assert_eq!(line.text, model.tokenizer().decode(&line.tokens));
            assert_eq!(line.ends.last(), Some(&line.text.len()));
            let alone = log_probs(&mut session, &prompt, &line.tokens);
            for (score, alone) in line.scores.iter().zip(&alone) {
                let difference = (score.log_prob - alone).abs();
                assert!(difference < tolerance, "{:?}: {difference}", line.text);
                differences.push(difference);
            }
        }
        let mean = differences.iter().sum::<f32>() / differences.len() as f32;
        assert!(mean < tolerance / 10.0, "{kv:?}: {mean} on average");
        let order: Vec<f32> = lines.iter().map(Candidate::mixed_log_prob).collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
        if kv == KvType::F16 {
            assert_eq!(lines.len(), 5, "the embedded model has something to say");
        }
    }
}

#[test]
fn a_search_leaves_the_session_as_it_was() {
    let model = model("../models/default/carat-default.gguf");
    let prompt = code_prompt(&model, CODE);
    let mut session = session(&model, KvType::F16);
    let request = GenerationRequest {
        max_tokens: 16,
        ..GenerationRequest::default()
    };
    let cancel = CancelToken::new();
    let generate = |session: &mut Session| {
        let mut on_piece = |_: carat_engine::Piece<'_>| ControlFlow::Continue(());
        let summary = session.generate(&prompt, &request, &cancel, &mut on_piece);
        let summary = summary.expect("an answer");
        (summary.tokens, summary.scores, summary.reused_tokens)
    };
    generate(&mut session);
    let before = generate(&mut session);
    search(&mut session, &prompt, &request, 5, None, &cancel).expect("lines");
    assert_eq!(generate(&mut session), before);
}

#[test]
fn all_lines_begin_with_what_was_typed() {
    let model = model("../models/default/carat-default.gguf");
    let prompt = code_prompt(&model, CODE);
    let mut session = session(&model, KvType::F16);
    for typed in ["r", "let res", "Ok(te", "größe"] {
        let request = GenerationRequest {
            max_tokens: 16,
            begins_with: typed.to_owned(),
            single_line: true,
            ..GenerationRequest::default()
        };
        let cancel = CancelToken::new();
        let found = search(&mut session, &prompt, &request, 5, None, &cancel).expect("lines");
        assert!(!found.candidates.is_empty(), "{typed}");
        for line in found.candidates {
            let whole = model.tokenizer().decode(&line.tokens);
            assert_eq!(whole, format!("{typed}{}", line.text));
        }
    }
}

#[test]
fn a_cancelled_search_ends_with_the_prompt() {
    let model = model("../models/default/carat-default.gguf");
    let prompt = code_prompt(&model, CODE);
    let mut session = session(&model, KvType::F16);
    let cancel = CancelToken::new();
    let request = GenerationRequest::default();
    search(&mut session, &prompt, &request, 3, None, &cancel).expect("lines");
    cancel.cancel();
    let cancelled = search(&mut session, &prompt, &request, 3, None, &cancel);
    assert!(cancelled.is_err());
    assert!(prompt.starts_with(session.tokens()));
}
