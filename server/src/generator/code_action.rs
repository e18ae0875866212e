//! Code actions on an engine session: how large it is, and how an answer goes on after an interruption.

use std::ops::ControlFlow;

use carat_engine::{
    CancelToken, GenerateError, GenerationSummary, Piece, PromptLookup, Session, SessionOptions,
    StopReason, Tokenizer,
};

use crate::actions::Turn;

/// The session of code actions.
///
/// Completions interrupt an action within one layer, which is short with short chunks; the action goes
/// on at this layer.
pub(crate) fn session_options() -> SessionOptions {
    SessionOptions {
        context_tokens: 8192,
        chunk_tokens: 128,
        ..SessionOptions::default()
    }
}

/// Generates from where the turn stands. What was written before is in the cache.
pub(crate) fn go_on(
    session: &mut Session,
    turn: &Turn<'_>,
    cancel: &CancelToken,
    on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<GenerationSummary, GenerateError> {
    let mut tokens = turn.prompt.to_vec();
    tokens.extend_from_slice(turn.written);
    // Most of a rewritten function is the function.
    let drafts = &mut PromptLookup;
    let on_piece = &mut |piece: Piece<'_>| on_text(piece.text);
    let mut summary = session.generate_drafted(&tokens, turn.request, drafts, cancel, on_piece)?;
    if summary.stop == StopReason::Cancelled {
        keep_whole_characters(session.model().tokenizer(), &mut summary);
    }
    Ok(summary)
}

/// Takes off tokens at the end that are only a part of a character: going on, the engine would read
/// the rest of it as one of its own.
fn keep_whole_characters(tokenizer: &Tokenizer, summary: &mut GenerationSummary) {
    let mut stream = tokenizer.stream();
    let (mut text, mut whole) = (String::new(), 0);
    for (at, token) in summary.tokens.iter().enumerate() {
        let piece = stream.push(*token);
        if !piece.is_empty() {
            text.push_str(piece);
            whole = at + 1;
        }
    }
    summary.tokens.truncate(whole);
    summary.scores.truncate(whole);
    summary.ends.truncate(whole);
    summary.text = text;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use carat_engine::{GenerationRequest, LoadOptions, Model, TokenId};

    use super::*;

    /// Generates 24 tokens, with an interruption after every `every` pieces of text.
    fn generate(model: &Model, every: usize) -> (Vec<TokenId>, String, usize) {
        let mut session = model.new_session(&session_options()).expect("a session");
        let prompt: Vec<TokenId> = (300..600).collect();
        let (mut written, mut text, mut turns) = (Vec::new(), String::new(), 0);
        loop {
            let request = GenerationRequest {
                max_tokens: 24 - written.len(),
                ignore_stop_tokens: true,
                ..GenerationRequest::default()
            };
            let turn = Turn {
                prompt: &prompt,
                written: &written,
                request: &request,
                attempt: 0,
            };
            let cancel = CancelToken::new();
            let mut pieces = 0;
            let mut on_text = |_: &str| {
                pieces += 1;
                if pieces == every {
                    cancel.cancel();
                }
                ControlFlow::Continue(())
            };
            let summary = go_on(&mut session, &turn, &cancel, &mut on_text).expect("an answer");
            turns += 1;
            if turns > 1 {
                let known = prompt.len() + written.len();
                assert!(
                    summary.reused_tokens + 1 >= known,
                    "what was written is in the cache"
                );
            }
            written.extend(summary.tokens);
            text += &summary.text;
            if summary.stop != StopReason::Cancelled {
                return (written, text, turns);
            }
        }
    }

    #[test]
    fn an_interrupted_answer_goes_on_as_if_nothing_had_happened() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/parity/moe-thin.f32.gguf");
        let model = Model::load(&file, &LoadOptions::default()).expect("a model");
        let (tokens, text, _) = generate(&model, usize::MAX);
        assert_eq!(tokens.len(), 24);
        for every in [1, 2, 5] {
            let (again, same, turns) = generate(&model, every);
            assert_eq!((&again, &same), (&tokens, &text), "every {every}");
            assert!(turns > 2, "it was interrupted");
        }
    }
}
