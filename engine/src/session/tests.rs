//! Sessions whose user types, cancels and goes back: every answer is that of a session which only
//! ever saw the text at hand.

use std::path::Path;

use super::*;
use crate::kernels::FEW_TOKENS;
use crate::kernels::random::Random;
use crate::{Drafts, LoadOptions, Piece, PromptLookup, Slots};

fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity");
    let options = LoadOptions { threads: Some(2) };
    Model::load(&folder.join(name), &options).expect("a fixture of this repository")
}

/// Fixtures with experts, without, and with inputs for each layer; exact and rounded.
const OF_EACH_KIND: [&str; 5] = [
    "moe-thin.f32.gguf",
    "moe-thin.q8_0.gguf",
    "dense-thin.q4_0.gguf",
    "ple-thin.q8_0.gguf",
    "moe-wide.q4_k_m.gguf",
];

/// Rings that wrap around within a text of some hundred tokens: the fixtures' window is 16.
fn options(kv: KvType) -> SessionOptions {
    SessionOptions {
        context_tokens: 512,
        kv,
        chunk_tokens: 16,
        layer_time: None,
        rollback_tokens: 24,
    }
}

/// Ordinary tokens of the fixtures' vocabularies.
fn tokens(random: &mut Random, n: usize) -> impl Iterator<Item = TokenId> {
    (0..n).map(|_| 300 + (random.next() % 600) as TokenId)
}

/// As a request does: what the prompt shares with the cache is kept.
fn logits(
    session: &mut Session,
    prompt: &[TokenId],
    cancel: &CancelToken,
) -> Result<(usize, Vec<f32>), GenerateError> {
    let shared = session.shared_prefix(prompt).min(prompt.len() - 1);
    let kept = session.truncate(shared);
    Ok((kept, session.evaluate(&prompt[kept..], cancel)?))
}

/// L2 norm of the difference over that of the reference.
pub(super) fn distance(found: &[f32], reference: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
    };
    let mut differences = found.iter().zip(reference).map(|(a, b)| a - b);
    norm(&mut differences) / norm(&mut reference.iter().copied())
}

/// What typing, cancelling and going back came to.
#[derive(Debug, Default)]
struct Walk {
    cancelled: usize,
    /// Answers after a cancellation that were built on a part of the cache.
    reused: usize,
    /// The largest distance from a session that only saw this text.
    worst: f64,
}

fn walk(name: &str, kv: KvType, seed: u64) -> Walk {
    let model = model(name);
    let layers = model.info().layers;
    let session = || model.new_session(&options(kv)).expect("a session");
    let (mut walked, mut random) = (session(), Random(seed));
    let pick = |range: std::ops::Range<usize>, random: &mut Random| {
        range.start + random.next() as usize % range.len()
    };
    let mut text: Vec<TokenId> = tokens(&mut random, 200).collect();
    let mut result = Walk::default();
    for _ in 0..60 {
        // Back by some tokens, then on by some; most requests are cancelled in some layer.
        let back = pick(0..70, &mut random);
        text.truncate(text.len().saturating_sub(back).max(60));
        let on = pick(1..60, &mut random);
        text.extend(tokens(&mut random, on));
        if text.len() > 400 {
            text.truncate(120);
        }
        let reads = pick(0..4 * layers, &mut random);
        if logits(&mut walked, &text, &CancelToken::after(reads)).is_err() {
            result.cancelled += 1;
        }
        let prompt = &text[..text.len() - pick(0..50, &mut random)];
        let (kept, found) = logits(&mut walked, prompt, &CancelToken::new()).expect("no error");
        let (_, expected) = logits(&mut session(), prompt, &CancelToken::new()).expect("no error");
        result.reused += usize::from(kept > 0);
        result.worst = result.worst.max(distance(&found, &expected));
    }
    result
}

/// Weights of 32 bits and a cache of 32 bits: only the order of sums differs. A cache of 8 bits and
/// quantized weights round what chunks of other lengths compute with other last bits, which moved the
/// logits by 4e-2 at most; a window with wrong positions moves them by 0.1 to 1.
#[test]
fn answers_after_cancellations_are_those_of_a_fresh_session() {
    for (name, kv, limit) in [
        ("moe-thin.f32.gguf", KvType::F32, 1e-4),
        ("moe-thin.f32.gguf", KvType::Q8_0, 8e-2),
        ("ple-thin.q8_0.gguf", KvType::F32, 8e-2),
        ("ple-thin.q8_0.gguf", KvType::Q8_0, 8e-2),
        ("gemma3-thin.q4_0.gguf", KvType::F16, 8e-2),
    ] {
        let walk = walk(name, kv, 7);
        assert!(walk.worst < limit, "{name}, {kv:?}: {walk:?}");
        assert!(
            walk.cancelled > 20 && walk.reused > 20,
            "{name}: much was cancelled and much was kept: {walk:?}"
        );
    }
}

/// Reads `prompt` with a cancellation after every `reads` layers; returns how often it was called.
fn read_in_pieces(session: &mut Session, prompt: &[TokenId], reads: usize) -> usize {
    for calls in 1..10_000 {
        let read = session.prefill(prompt, &CancelToken::after(reads));
        let read = read.expect("a cancellation is no error");
        assert_eq!(read.ready_tokens, session.tokens().len());
        assert_eq!(read.ready_tokens, session.progress().ready_tokens());
        assert!(session.tokens().iter().eq(&prompt[..read.ready_tokens]));
        if read.is_whole() {
            return calls;
        }
    }
    panic!("reading gets on, even if by one layer a call");
}

#[test]
fn a_cancellation_loses_no_layer() {
    for name in ["moe-thin.f32.gguf", "ple-thin.q8_0.gguf"] {
        let model = model(name);
        let session = || model.new_session(&options(KvType::F32)).expect("a session");
        let prompt: Vec<TokenId> = tokens(&mut Random(3), 100).collect();
        let mut whole = session();
        read_in_pieces(&mut whole, &prompt, usize::MAX);
        let (kept, expected) = logits(&mut whole, &prompt, &CancelToken::new()).expect("no error");
        assert_eq!(kept, 99);
        for reads in [1, 2, 3, 7] {
            let mut pieces = session();
            let calls = read_in_pieces(&mut pieces, &prompt, reads);
            let layers = whole.work() / 100;
            assert!(
                calls as u64 >= layers * 7 / reads as u64 / 2,
                "it was cancelled {calls} times"
            );
            let (_, found) = logits(&mut pieces, &prompt, &CancelToken::new()).expect("no error");
            assert_eq!(
                pieces.work(),
                whole.work(),
                "{name}: no row was computed twice"
            );
            assert_eq!(found, expected, "{name}: to the last bit");
        }
    }
}

#[test]
fn what_was_read_of_a_chunk_serves_a_prompt_that_goes_on_otherwise() {
    for name in ["moe-thin.f32.gguf", "ple-thin.q8_0.gguf"] {
        let model = model(name);
        let layers = model.info().layers;
        for reads in 1..=layers {
            let mut session = model.new_session(&options(KvType::F32)).expect("a session");
            let mut prompt: Vec<TokenId> = tokens(&mut Random(4), 16).collect();
            let cancelled = session.evaluate(&prompt, &CancelToken::after(reads));
            let before = session.work();
            if reads < layers {
                assert!(matches!(cancelled, Err(GenerateError::Cancelled)));
                assert_eq!(session.tokens().len(), 0);
            }
            // Ten tokens stay, then other ones follow.
            prompt.truncate(10);
            prompt.extend(tokens(&mut Random(5), 8));
            let (_, found) = logits(&mut session, &prompt, &CancelToken::new()).expect("no error");
            let saved = 10 * before.div_euclid(16);
            let all = (layers * prompt.len()) as u64;
            assert!(
                session.work() - before <= all - saved.min(all),
                "{name}: {reads} layers of 10 tokens were computed again"
            );
            let mut fresh = model.new_session(&options(KvType::F32)).expect("a session");
            let expected = fresh
                .evaluate(&prompt, &CancelToken::new())
                .expect("no error");
            assert!(distance(&found, &expected) < 3e-2, "{name}, {reads} layers");
        }
    }
}

#[test]
fn two_documents_in_turns_are_read_once() {
    let model = model("moe-thin.f32.gguf");
    let options = SessionOptions {
        rollback_tokens: 160,
        ..options(KvType::F32)
    };
    let each = Session::cache_bytes(&model, &options);
    let mut slots = Slots::new(model, options.clone(), 2 * each + each / 2);
    assert_eq!(slots.most(), 2);
    // The rules are the same for both, the documents are not.
    let rules: Vec<TokenId> = tokens(&mut Random(1), 64).collect();
    let mut documents = [11, 12, 13].map(|seed| {
        let mut prompt = rules.clone();
        prompt.extend(tokens(&mut Random(seed), 100));
        prompt
    });
    let mut random = Random(6);
    let mut evaluated = [0; 2];
    for turn in 0..20 {
        let prompt = &mut documents[turn % 2];
        prompt.extend(tokens(&mut random, 1));
        let session = slots
            .session(["a", "b"][turn % 2], prompt)
            .expect("a session");
        let read = session
            .prefill(prompt, &CancelToken::new())
            .expect("no error");
        evaluated[turn % 2] += read.prompt_tokens - read.reused_tokens;
    }
    assert_eq!(
        evaluated,
        [164 + 10, 100 + 10],
        "the second has a copy of the rules"
    );
    assert!(slots.bytes() <= 2 * each + each / 2);
    // A third one takes the place of the one that was not used for longer, and its rules.
    let session = slots.session("c", &documents[2]).expect("a session");
    assert_eq!(session.shared_prefix(&documents[2]), rules.len());
    let (_, found) = logits(session, &documents[2], &CancelToken::new()).expect("no error");
    let mut fresh = session.model().new_session(&options).expect("a session");
    let (_, expected) = logits(&mut fresh, &documents[2], &CancelToken::new()).expect("no error");
    assert!(distance(&found, &expected) < 1e-4);
    let session = slots.session("b", &documents[1]).expect("a session");
    assert_eq!(
        session.shared_prefix(&documents[1]),
        documents[1].len(),
        "it was used after `a`"
    );
}

#[test]
fn copies_of_rounded_caches_are_whole() {
    for kv in [KvType::F16, KvType::Q8_0] {
        let model = model("ple-thin.q8_0.gguf");
        let session = || model.new_session(&options(kv)).expect("a session");
        let prompt: Vec<TokenId> = tokens(&mut Random(8), 300).collect();
        let (mut one, mut other) = (session(), session());
        let _ = logits(&mut other, &prompt[..60], &CancelToken::after(9));
        logits(&mut one, &prompt, &CancelToken::new()).expect("no error");
        assert_eq!(other.copy_prefix(&one, 100), 0, "the window there is gone");
        assert_eq!(other.copy_prefix(&one, 290), 290);
        let (kept, found) = logits(&mut other, &prompt, &CancelToken::new()).expect("no error");
        assert_eq!(kept, 290);
        let (_, expected) =
            logits(&mut one, &prompt[..299], &CancelToken::new()).expect("no error");
        assert_eq!(expected.len(), found.len());
        one.truncate(290);
        let expected = one
            .evaluate(&prompt[290..], &CancelToken::new())
            .expect("no error");
        assert_eq!(found, expected, "to the last bit");
    }
}

#[test]
fn a_few_tokens_together_have_the_numbers_of_each_alone() {
    for name in OF_EACH_KIND {
        let model = model(name);
        let cancel = CancelToken::new();
        // Before the window is full, at its edge, and where the rings have wrapped around.
        for before in [7, 13, 30, 61] {
            let prompt: Vec<TokenId> = tokens(&mut Random(8), before + FEW_TOKENS).collect();
            let (start, end) = prompt.split_at(before);
            let session = || {
                let mut session = model.new_session(&options(KvType::F32)).expect("a session");
                session.prefill(start, &cancel).expect("no error");
                session
            };
            let mut alone = session();
            let expected: Vec<Vec<f32>> = end
                .iter()
                .map(|&token| {
                    alone.append(&[token], 1, &cancel).expect("no error");
                    alone.row_mut().to_vec()
                })
                .collect();
            for n in 2..=FEW_TOKENS {
                let mut together = session();
                together.append(&end[..n], n, &cancel).expect("no error");
                for (row, expected) in expected[..n].iter().enumerate() {
                    together.look_at_row(row);
                    let same = together.row_mut() == &expected[..];
                    assert!(same, "{name}, {n} tokens behind {before}, row {row}");
                }
            }
        }
    }
}

/// Tokens of a known continuation, some of them wrong.
struct Scripted {
    text: Vec<TokenId>,
    /// Every so many tokens one is wrong.
    wrong: usize,
}

impl Drafts for Scripted {
    fn draft(&mut self, text: &[TokenId], most: usize, out: &mut Vec<TokenId>) {
        for at in (text.len()..self.text.len()).take(most) {
            let wrong = TokenId::from(at.is_multiple_of(self.wrong));
            out.push(self.text[at] + wrong);
        }
    }
}

#[test]
fn drafts_change_nothing_but_the_time() {
    let request = GenerationRequest {
        max_tokens: 24,
        ignore_stop_tokens: true,
        ..GenerationRequest::default()
    };
    let mut compared = 0;
    for name in OF_EACH_KIND {
        let model = model(name);
        for seed in 0..100 {
            // Texts that repeat themselves, so that looking up finds something.
            let mut random = Random(100 + seed);
            let mut prompt: Vec<TokenId> = tokens(&mut random, 20).collect();
            prompt.extend_from_within(3..17);
            prompt.extend_from_within(5..12);
            let mut text = prompt.clone();
            for wrong in [0, 1, 3, 100] {
                let mut session = model.new_session(&options(KvType::F32)).expect("a session");
                let mut scripted = Scripted {
                    text: text.clone(),
                    wrong: wrong.max(1),
                };
                let drafts: Option<&mut dyn Drafts> = match wrong {
                    0 => None,
                    1 => Some(&mut PromptLookup),
                    _ => Some(&mut scripted),
                };
                let on_piece = &mut |_: Piece<'_>| ControlFlow::Continue(());
                let cancel = CancelToken::new();
                let summary = session
                    .generate_aided(&prompt, &request, (None, drafts), &cancel, on_piece)
                    .expect("an answer");
                // All but the last token were evaluated, and nothing that was not chosen is left.
                let held = prompt.len() + summary.tokens.len() - 1;
                assert_eq!(session.tokens().len(), held, "{name} {seed} {wrong}");
                if wrong == 0 {
                    text.extend(&summary.tokens);
                }
                assert_eq!(
                    summary.tokens,
                    text[prompt.len()..],
                    "{name} {seed} {wrong}"
                );
                assert_eq!(session.tokens(), &text[..held]);
                compared += usize::from(wrong > 0);
            }
        }
    }
    assert_eq!(compared, 1500);
}
