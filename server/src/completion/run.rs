//! Runs a plan on an engine session.

use carat_engine::{CancelToken, ContinuationSource, GenerateError, GenerationSummary, Session};

use super::{Plan, Suggestion};

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What to show; nothing if the answer held nothing useful.
    pub suggestion: Option<Suggestion>,
    /// What the engine did.
    pub summary: GenerationSummary,
}

/// Generates, stopping as soon as the rest would not be shown, and finishes the answer. `source`
/// says how the text may go on.
pub fn run(
    plan: &Plan,
    session: &mut Session,
    source: Option<&mut dyn ContinuationSource>,
    cancel: &CancelToken,
) -> Result<Completion, GenerateError> {
    let mut watch = plan.stop_while_decoding();
    let summary = session.generate_mixed(
        &plan.prompt.tokens,
        &plan.request,
        plan.mixing(source),
        cancel,
        &mut |piece| watch.push(piece.text),
    )?;
    tracing::trace!(
        raw = summary.text,
        stop = summary.stop.as_str(),
        "the model answered"
    );
    let suggestion = plan.finish(&summary.text, summary.stop);
    Ok(Completion {
        suggestion,
        summary,
    })
}
