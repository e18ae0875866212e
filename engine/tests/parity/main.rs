//! The engine against Hugging Face transformers: tiny random models with their logits, greedy runs and token ids.
//!
//! The references lie in `tests/fixtures/parity`, where a README tells how they were made and where
//! the limits come from. A larger set in `parity/open` of the folder `shared` beside the repository,
//! or of the folder in `CARAT_SHARED`, is checked as well if it is there.

#![expect(
    clippy::unwrap_used,
    reason = "a reference that cannot be read fails the test"
)]

mod candle;
mod reference;
mod report;

use std::ops::ControlFlow;

use carat_engine::{CancelToken, GenerationRequest, KvType, Session, SessionOptions, TokenId};

use crate::reference::{Case, Reference, ids, numbers, read_json, references};
use crate::report::{Report, best, log_sum_exp, margin, norm};

#[test]
fn logits_are_those_of_the_reference() {
    let mut report = Report::default();
    for reference in references() {
        for case in reference.cases() {
            let found = evaluate_whole(&mut reference.session(), &case.tokens);
            report.compare(
                &reference.name,
                case.name,
                case.logits,
                &found,
                reference.limits(),
            );
        }
    }
}

#[test]
fn a_second_oracle_gives_the_same_logits() {
    let mut report = Report::default();
    let mut compared = Vec::new();
    for reference in references() {
        let Some(pair) = candle::Pair::of(&reference) else {
            continue;
        };
        for case in reference.cases() {
            let mut session = pair.ours.new_session(&reference.options()).unwrap();
            let found = evaluate_whole(&mut session, &case.tokens);
            let place = format!("{} by candle-transformers", case.name);
            report.compare(
                &reference.name,
                &place,
                &pair.expected(&case.tokens),
                &found,
                reference.two_ways_limits(),
            );
        }
        compared.push(reference.name);
    }
    println!("compared with candle-transformers: {}", compared.join(", "));
    assert!(compared.len() >= 4, "only {compared:?} were compared");
}

#[test]
fn a_prompt_in_pieces_gives_the_same_logits() {
    let mut report = Report::default();
    for reference in references() {
        for case in reference
            .cases()
            .filter(|case| case.data["chunks"].is_array())
        {
            let chunks = ids(&case.data["chunks"])
                .into_iter()
                .map(|length| length as usize);
            let chunked = evaluate(&mut reference.session(), &case.tokens, chunks);
            report.compare(
                &reference.name,
                case.name,
                case.logits,
                &chunked,
                reference.limits(),
            );

            let whole = evaluate_whole(&mut reference.session(), &case.tokens);
            for chunk_tokens in [1, 7, 64] {
                // Rings without room to go back, so that chunks wrap around in them.
                let options = SessionOptions {
                    chunk_tokens,
                    rollback_tokens: 0,
                    ..reference.options()
                };
                let mut session = reference.session_with(&options);
                let found = evaluate_whole(&mut session, &case.tokens);
                let place = format!("in chunks of {chunk_tokens}");
                report.compare(
                    &reference.name,
                    &place,
                    case.logits,
                    &found,
                    reference.limits(),
                );
                report.compare(
                    &reference.name,
                    &place,
                    &whole,
                    &found,
                    reference.two_ways_limits(),
                );
            }
        }
    }
}

#[test]
fn every_position_of_a_prompt_longer_than_the_window_is_right() {
    let mut report = Report::default();
    for reference in references() {
        let case = reference.longest_case();
        let length = case.tokens.len();
        if let Some(window) = reference.data["sliding_window"].as_u64() {
            assert!(
                length as u64 > 3 * window,
                "{}: the longest case leaves the window behind",
                reference.name
            );
        }
        let at_once = reference
            .session()
            .evaluate_rows(&case.tokens, length, &CancelToken::new())
            .unwrap();
        let options = SessionOptions {
            chunk_tokens: 1,
            rollback_tokens: 0,
            ..reference.options()
        };
        let mut session = reference.session_with(&options);
        for (at, (&token, row)) in case
            .tokens
            .iter()
            .zip(at_once.chunks_exact(at_once.len() / length))
            .enumerate()
        {
            let alone = evaluate_whole(&mut session, &[token]);
            check_position(&mut report, &reference, &case, at, row);
            check_position(&mut report, &reference, &case, at, &alone);
        }
    }
}

/// The reference has three numbers of each position, with six digits.
fn check_position(
    report: &mut Report,
    reference: &Reference,
    case: &Case<'_>,
    at: usize,
    logits: &[f32],
) {
    let positions = &case.data["positions"];
    let place = || format!("{} position {at}", reference.name);
    // A near tie between experts moves a position of a quantized model by some percent.
    let room = if reference.is_f32() { 1e-5 } else { 5e-2 };
    for (what, found) in [("logsumexp", log_sum_exp(logits)), ("norm", norm(logits))] {
        let expected = positions[what][at].as_f64().unwrap();
        report.check((found - expected).abs() <= room * expected.abs(), || {
            format!("{}: {what} {found}, expected {expected}", place())
        });
    }
    let (found, expected) = (best(logits), ids(&positions["argmax"])[at] as usize);
    report.check(
        found == expected || margin(logits) <= reference.limits().margin,
        || format!("{}: best token {found}, expected {expected}", place()),
    );
}

#[test]
fn greedy_runs_are_those_of_the_reference_up_to_a_near_tie() {
    let mut report = Report::default();
    for reference in references() {
        for run in reference.data["greedy"].as_array().unwrap() {
            let (prompt, expected, margins) = (
                ids(&run["prompt"]),
                ids(&run["tokens"]),
                numbers(&run["margins"]),
            );
            let found = greedy(&mut reference.session(), &prompt, expected.len());
            let agreed = expected
                .iter()
                .zip(&found)
                .take_while(|(e, f)| e == f)
                .count();
            let place = format!("{} after {} tokens", reference.name, prompt.len());
            report.check(found.len() == expected.len(), || {
                format!(
                    "{place}: {} tokens, expected {}",
                    found.len(),
                    expected.len()
                )
            });
            report.check(
                margins
                    .get(agreed)
                    .is_none_or(|&margin| margin <= reference.limits().margin),
                || {
                    format!(
                        "{place}: differs at {agreed} (margin {:.3})",
                        margins[agreed]
                    )
                },
            );
        }
    }
}

fn greedy(session: &mut Session, prompt: &[TokenId], max_tokens: usize) -> Vec<TokenId> {
    let request = GenerationRequest {
        max_tokens,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    session
        .generate(prompt, &request, &CancelToken::new(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .tokens
}

#[test]
fn truncating_and_going_on_is_a_fresh_run() {
    let mut report = Report::default();
    for reference in references() {
        let case = reference.longest_case();
        let fresh = evaluate_whole(&mut reference.session(), &case.tokens);
        let length = case.tokens.len();
        for rollback_tokens in [8, 1024] {
            let options = SessionOptions {
                chunk_tokens: 16,
                rollback_tokens,
                ..reference.options()
            };
            let mut session = reference.session_with(&options);
            evaluate_whole(&mut session, &case.tokens);
            for keep in [length - 1, length - 5, length - 8, length / 2, 1, 0] {
                let kept = session.truncate(keep);
                // Farther back than the rings reach, a window would not be whole.
                let reachable = length - keep <= rollback_tokens;
                assert!(
                    kept == keep || (kept == 0 && !reachable),
                    "{}: kept {kept} of {keep}",
                    reference.name
                );
                let found = evaluate_whole(&mut session, &case.tokens[kept..]);
                report.compare(
                    &reference.name,
                    &format!("kept {keep}"),
                    &fresh,
                    &found,
                    reference.two_ways_limits(),
                );
            }
            // Other tokens in between leave no trace.
            let kept = session.truncate(length - 7);
            evaluate_whole(&mut session, &case.tokens[..5]);
            let kept = session.truncate(kept);
            let found = evaluate_whole(&mut session, &case.tokens[kept..]);
            report.compare(
                &reference.name,
                "after a detour",
                &fresh,
                &found,
                reference.two_ways_limits(),
            );
        }
    }
}

#[test]
fn a_reused_prefix_changes_no_token() {
    let mut report = Report::default();
    for reference in references() {
        let case = reference.longest_case();
        let margins_are_wide = |prompt: &[TokenId], tokens: &[TokenId]| {
            let mut session = reference.session();
            let mut logits = evaluate_whole(&mut session, prompt);
            tokens.iter().all(|&token| {
                let wide = margin(&logits) > reference.limits().margin;
                logits = evaluate_whole(&mut session, &[token]);
                wide
            })
        };
        let mut session = reference.session();
        for end in [20, 40, 33, case.tokens.len()] {
            let prompt = &case.tokens[..end];
            let (reused, fresh) = (
                greedy(&mut session, prompt, 8),
                greedy(&mut reference.session(), prompt, 8),
            );
            report.check(reused == fresh || !margins_are_wide(prompt, &fresh), || {
                format!(
                    "{} prompt of {end}: {reused:?}, fresh {fresh:?}",
                    reference.name
                )
            });
        }
    }
}

#[test]
fn a_q8_0_cache_stays_near_an_f32_cache() {
    let mut report = Report::default();
    for reference in references() {
        for case in reference.cases() {
            let exact = evaluate_whole(
                &mut reference.session_with(&SessionOptions {
                    kv: KvType::F32,
                    ..reference.options()
                }),
                &case.tokens,
            );
            let found = evaluate_whole(
                &mut reference.session_with(&SessionOptions {
                    kv: KvType::Q8_0,
                    ..reference.options()
                }),
                &case.tokens,
            );
            report.compare(
                &reference.name,
                case.name,
                &exact,
                &found,
                reference.q8_cache_limits(),
            );
        }
    }
}

#[test]
fn tokens_are_those_of_the_reference() {
    let mut report = Report::default();
    for reference in references() {
        let kind = reference.data["tokenizer"].as_str().unwrap();
        let vectors = read_json(&reference.folder.join(format!("tokenizer-{kind}.json")));
        let tokenizer = reference.model.tokenizer();
        for case in vectors["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let special = case["parse_special"].as_bool().unwrap();
            let found = if special {
                tokenizer.encode_special(text)
            } else {
                tokenizer.encode(text)
            };
            let expected = ids(&case["ids"]);
            report.check(found == expected, || {
                let at = expected
                    .iter()
                    .zip(&found)
                    .take_while(|(e, f)| e == f)
                    .count();
                let start: String = text.chars().take(40).collect();
                format!(
                    "{} {start:?} (special tokens: {special}): differs at {at}",
                    reference.name
                )
            });
        }
    }
}

/// Evaluates the tokens in pieces of these lengths; the logits of the last position.
fn evaluate(
    session: &mut Session,
    tokens: &[TokenId],
    pieces: impl IntoIterator<Item = usize>,
) -> Vec<f32> {
    let mut logits = Vec::new();
    let mut rest = tokens;
    for length in pieces {
        let (piece, later) = rest.split_at(length.min(rest.len()));
        if piece.is_empty() {
            break;
        }
        logits = session.evaluate(piece, &CancelToken::new()).unwrap();
        rest = later;
    }
    assert!(rest.is_empty(), "the pieces cover all tokens");
    logits
}

fn evaluate_whole(session: &mut Session, tokens: &[TokenId]) -> Vec<f32> {
    evaluate(session, tokens, [tokens.len()])
}
