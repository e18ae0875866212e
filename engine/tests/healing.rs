//! Answers begin with the bytes that stand before the caret; a source of continuations is heard.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use carat_engine::{
    CancelToken, ContinuationSource, Continuations, GenerationRequest, GenerationSummary,
    LoadOptions, Mixing, Model, Session, SessionOptions, StopReason, TokenId,
};
use proptest::prelude::*;

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/carat-default.gguf");
        Model::load(&path, &LoadOptions { threads: Some(1) }).expect("the embedded model loads")
    })
}

fn session() -> Session {
    let options = SessionOptions {
        context_tokens: 512,
        ..SessionOptions::default()
    };
    model().new_session(&options).expect("a session")
}

fn prompt(text: &str) -> Vec<TokenId> {
    let mut prompt = Vec::from_iter(model().tokenizer().bos());
    prompt.extend(model().tokenizer().encode(text));
    prompt
}

fn request(begins_with: &str) -> GenerationRequest {
    GenerationRequest {
        max_tokens: 12,
        begins_with: begins_with.to_owned(),
        ..GenerationRequest::default()
    }
}

/// Generates, and checks that the tokens spell what the answer begins with and then the text.
fn generate(
    session: &mut Session,
    before: &str,
    request: &GenerationRequest,
    mixing: Option<Mixing<'_>>,
) -> GenerationSummary {
    let mut streamed = String::new();
    let summary = session
        .generate_mixed(
            &prompt(before),
            request,
            mixing,
            &CancelToken::new(),
            &mut |piece| {
                streamed.push_str(piece.text);
                ControlFlow::Continue(())
            },
        )
        .expect("an answer");
    assert_eq!(streamed, summary.text);
    let spelled = model().tokenizer().decode(&summary.tokens);
    if summary.stop == StopReason::Unspellable {
        assert_eq!(summary.text, "");
    } else {
        assert_eq!(
            spelled,
            format!("{}{}", request.begins_with, summary.text),
            "{:?}",
            summary.stop
        );
    }
    summary
}

const CODE: &str =
    "fn read(path: &Path) -> Result<String, Error> {\n    let mut text = String::new();\n    ";

#[test]
fn every_answer_begins_with_what_was_typed() {
    let typed = prop_oneof![
        "[a-zA-Z_]{1,12}",
        " [a-z_]{0,8}",
        "[.:=(&]{1,3} ?",
        "[ a-zé漢字🦀ß\u{301}\u{7f}]{1,8}",
        "\\PC{1,4}",
    ];
    proptest!(ProptestConfig::with_cases(120), |(typed in typed)| {
        let summary = generate(&mut session(), CODE, &request(&typed), None);
        prop_assert!(summary.scores.iter().all(|score| score.log_prob.is_finite()));
        prop_assert!(summary.stop != StopReason::Unspellable);
    });
}

#[test]
fn typing_what_was_proposed_changes_nothing() {
    let mut session = session();
    let free = generate(&mut session, CODE, &request(""), None);
    assert!(free.text.len() > 8, "{}", free.text);
    for (at, _) in free.text.char_indices().skip(1).take(24) {
        let (typed, rest) = free.text.split_at(at);
        let mut request = request(typed);
        request.max_tokens = 12;
        let healed = generate(&mut session, CODE, &request, None);
        assert!(healed.text.starts_with(rest), "after {typed:?}");
        // The prompt is the same, so nothing of it is evaluated again.
        assert_eq!(healed.reused_tokens + 1, healed.prompt_tokens);
    }
}

#[test]
fn a_broken_word_is_completed_as_if_whole() {
    // Without healing, the tokens of `Stri` and `ng` are not those that the model knows.
    let mut session = session();
    let before =
        "fn name() -> String {\n    let first: String = \"a\".to_owned();\n    let second:";
    let healed = generate(&mut session, before, &request(" Str"), None);
    assert!(healed.text.starts_with("ing"), "{}", healed.text);
}

/// Says that a text goes on as this one does behind the same last bytes.
struct Text(&'static [u8], f32);

impl ContinuationSource for Text {
    fn continuations(&mut self, text: &[u8], into: &mut Continuations) -> f32 {
        let Some(end) = text.last_chunk::<6>() else {
            return 0.0;
        };
        let found = self.0.windows(6).position(|window| window == end);
        if let Some(at) = found {
            into.push(&self.0[at + 6..], 1.0);
        }
        self.1
    }
}

#[test]
fn a_source_is_followed_from_within_a_word() {
    let mut session = session();
    let line = "text = frobnicate_wobbly(größe, 漢字);";
    let mut source = Text(
        "    let text = frobnicate_wobbly(größe, 漢字);\n".as_bytes(),
        0.99,
    );
    for (at, _) in line.char_indices().filter(|(at, _)| *at >= 6) {
        let (typed, rest) = line.split_at(at);
        let before = format!("{CODE}let {typed}");
        let mut request = request(typed);
        request.max_tokens = 40;
        request.single_line = true;
        let mixing = Mixing {
            source: &mut source,
            before: before.as_bytes(),
        };
        let context = format!("{CODE}let ");
        let summary = generate(&mut session, &context, &request, Some(mixing));
        assert_eq!(summary.text.trim_end(), rest, "after {typed:?}");
        assert_eq!(
            summary.text.trim_end_matches('\n').len(),
            rest.len(),
            "the line ends where the source's does"
        );
        let score = summary.scores.last().expect("a token");
        assert!((score.source_weight - 0.99).abs() < 1e-6);
        assert!(score.mixed_log_prob > score.log_prob);
    }
}

#[test]
fn a_source_that_knows_nothing_changes_nothing() {
    let mut session = session();
    // The second answer begins as those below do: with one token behind what the cache holds.
    generate(&mut session, CODE, &request(""), None);
    let free = generate(&mut session, CODE, &request(""), None);
    for (text, weight) in [
        (b"nothing like it".as_slice(), 0.9),
        (b"", 0.0),
        (CODE.as_bytes(), 0.0),
        (CODE.as_bytes(), f32::NAN),
    ] {
        let mut source = Text(text, weight);
        let mixing = Mixing {
            source: &mut source,
            before: CODE.as_bytes(),
        };
        let same = generate(&mut session, CODE, &request(""), Some(mixing));
        assert_eq!(
            (&same.tokens, &same.scores),
            (&free.tokens, &free.scores),
            "weight {weight}"
        );
    }
}
