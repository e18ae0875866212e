//! The pieces of an answer are the answer, and every token is accounted for.

use std::ops::ControlFlow;
use std::path::Path;

use carat_engine::{
    CancelToken, GenerationRequest, GenerationSummary, LoadOptions, Model, SessionOptions,
    StopReason,
};

/// The embedded model's answer, and its pieces joined: their text and their scores.
fn generate(
    prompt: &str,
    request: &GenerationRequest,
    pieces_max: usize,
) -> (GenerationSummary, String, Vec<f32>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/carat-default.gguf");
    let model = Model::load(&path, &LoadOptions { threads: Some(1) }).expect("the model loads");
    let mut session = model
        .new_session(&SessionOptions::default())
        .expect("a session");
    let mut tokens = Vec::from_iter(model.tokenizer().bos());
    tokens.extend(model.tokenizer().encode(prompt));
    let (mut text, mut log_probs, mut pieces) = (String::new(), Vec::new(), 0);
    let summary = session
        .generate(&tokens, request, &CancelToken::new(), &mut |piece| {
            assert!(!piece.text.is_empty());
            text.push_str(piece.text);
            log_probs.extend(piece.scores.iter().map(|score| score.log_prob));
            pieces += 1;
            if pieces == pieces_max {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .expect("an answer");
    let tokenizer = model.tokenizer();
    assert_eq!(summary.scores.len(), summary.tokens.len());
    assert_eq!(summary.ends.len(), summary.tokens.len());
    for (at, &end) in summary.ends.iter().enumerate() {
        let whole = tokenizer.decode(&summary.tokens[..=at]);
        let whole = whole.trim_end_matches('\u{FFFD}');
        assert!(whole.starts_with(&summary.text[..end]), "token {at}");
        assert!(
            end == whole.len() || end == summary.text.len(),
            "token {at} ends at {end}"
        );
    }
    (summary, text, log_probs)
}

fn scores(summary: &GenerationSummary) -> Vec<f32> {
    summary.scores.iter().map(|score| score.log_prob).collect()
}

#[test]
fn pieces_join_to_the_answer_with_all_scores() {
    let request = GenerationRequest {
        max_tokens: 48,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let prompt = "fn main() {\n    let name = \"Grüße, 漢字";
    let (summary, text, log_probs) = generate(prompt, &request, usize::MAX);
    assert_eq!(summary.tokens.len(), 48);
    assert_eq!(text, summary.text);
    assert_eq!(log_probs, scores(&summary));
    assert!(log_probs.iter().all(|p| p.is_finite() && *p <= 0.0));
}

#[test]
fn a_stop_string_cuts_text_and_ends() {
    let request = GenerationRequest {
        max_tokens: 48,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let prompt = "fn main() {\n    let mut total = 0;\n    for";
    let (free, ..) = generate(prompt, &request, usize::MAX);
    // From the middle of one token into the middle of another, so that some text is held back.
    let at = free.ends[5] - 1;
    let stop = free.text[at..free.ends[8] - 1].to_owned();
    let request = GenerationRequest {
        stop_strings: vec![stop.clone()],
        ..request
    };
    let (summary, text, log_probs) = generate(prompt, &request, usize::MAX);
    assert_eq!(summary.stop, StopReason::StopString);
    assert_eq!(summary.text, free.text.split(&stop).next().unwrap_or(""));
    assert_eq!(text, summary.text);
    assert_eq!(log_probs, scores(&summary)[..log_probs.len()]);
}

#[test]
fn a_caller_that_stops_has_all_scores_so_far() {
    let request = GenerationRequest {
        max_tokens: 48,
        ..GenerationRequest::default()
    };
    let (summary, text, log_probs) = generate("fn main() {\n    let", &request, 3);
    assert_eq!(summary.stop, StopReason::Callback);
    assert_eq!(text, summary.text);
    assert_eq!(log_probs, scores(&summary));
}
