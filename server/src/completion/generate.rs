//! Generates as a plan says: several lines of which the best is taken, or one answer as it comes.

use std::ops::ControlFlow;

use carat_engine::{
    CancelToken, Candidate, ContinuationSource, GenerateError, GenerationRequest,
    GenerationSummary, Piece, SearchSummary, Session, StopReason,
};

use super::{Generated, Mode, Plan, rank};
use crate::echo::LineEcho;

/// Generates as the plan says: the best of several lines once it is known, or one answer as it comes.
///
/// `ranking` reads the text with each of the lines, to see which makes the next line most probable;
/// `echoes` are lines of the user's own that take part in the choice.
pub fn generate(
    plan: &Plan,
    session: &mut Session,
    ranking: Option<&mut Session>,
    echoes: &[LineEcho],
    mut source: Option<&mut dyn ContinuationSource>,
    cancel: &CancelToken,
    on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    if plan.beam > 1 {
        let found = carat_engine::search(
            session,
            &plan.prompt.tokens,
            &plan.request,
            plan.beam,
            plan.mixing(source.as_deref_mut()),
            cancel,
        )?;
        // A line that is too long for all of them is one for a single answer.
        if !found.candidates.is_empty() || !echoes.is_empty() {
            let candidates = found.candidates.clone();
            let best = rank::best(plan, candidates, echoes, ranking, cancel)?;
            let mut summary = summary_of(&found, best);
            if tell(&summary, on_piece).is_break() {
                summary.stop = StopReason::Callback;
            }
            return Ok(Generated {
                summary,
                others: found.candidates,
            });
        }
    }
    let mixing = plan.mixing(source.as_deref_mut());
    let summary =
        session.generate_mixed(&plan.prompt.tokens, &plan.request, mixing, cancel, on_piece)?;
    if plan.alternatives < 2 || cancel.is_cancelled() {
        return Ok(summary.into());
    }
    // A block was asked for; lines that may begin it instead are looked for behind it.
    let line = GenerationRequest {
        single_line: true,
        max_tokens: Mode::SingleLine.tokens_max(),
        ..plan.request.clone()
    };
    let mixing = plan.mixing(source);
    let tokens = &plan.prompt.tokens;
    let found = carat_engine::search(session, tokens, &line, plan.alternatives, mixing, cancel);
    Ok(Generated {
        summary,
        // What was interrupted has its answer all the same.
        others: found.map_or_else(|_| Vec::new(), |found| found.candidates),
    })
}

/// Gives the caller a whole answer, token by token.
fn tell(
    summary: &GenerationSummary,
    on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (mut told, mut shown) = (0, 0);
    for (index, &end) in summary.ends.iter().enumerate() {
        if end > shown {
            on_piece(Piece {
                text: &summary.text[shown..end],
                scores: &summary.scores[told..=index],
            })?;
            (told, shown) = (index + 1, end);
        }
    }
    ControlFlow::Continue(())
}

/// A search as a generation that wrote the chosen line, or nothing.
fn summary_of(found: &SearchSummary, best: Option<Candidate>) -> GenerationSummary {
    let (tokens, scores, ends, text) = match best {
        Some(best) => (best.tokens, best.scores, best.ends, best.text),
        None => Default::default(),
    };
    GenerationSummary {
        tokens,
        scores,
        ends,
        text,
        prompt_tokens: found.prompt_tokens,
        reused_tokens: found.reused_tokens,
        prefill: found.prefill,
        decode: found.decode,
        stop: StopReason::StopToken,
    }
}
