//! Code actions on an engine session: how large it is, and how an answer goes on after an interruption.

use std::ops::ControlFlow;

use carat_engine::{
    CancelToken, GenerateError, GenerationSummary, Session, SessionOptions, StopReason, Tokenizer,
};

use crate::actions::Turn;

/// The session of code actions.
///
/// Completions interrupt an action within one layer, and a piece of the prompt that is interrupted is
/// evaluated again. So the pieces are small: a user who types all the time still lets it get ahead.
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
    let mut summary = session.generate(&tokens, turn.request, cancel, on_text)?;
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
    summary.log_probs.truncate(whole);
    summary.text = text;
}
