//! Runs a plan: the one way from a model's pieces to text at the caret, whoever asks.

use std::ops::ControlFlow;

use carat_engine::{GenerateError, GenerationSummary, Piece, StopReason, TokenScore};

use super::{Plan, StopWhileDecoding, Suggestion};

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What to show; nothing if the answer held nothing useful.
    pub suggestion: Option<Suggestion>,
    /// How probable what is shown was to the model.
    pub confidence: Option<Confidence>,
    /// What the engine did.
    pub summary: GenerationSummary,
}

/// How probable a text was to the model that wrote it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Mean of the natural logarithms of its tokens' probabilities.
    pub mean: f32,
    /// The least of them.
    pub min: f32,
}

/// The scores of an answer's tokens, with the ends of their text in the raw answer.
#[derive(Clone, Debug, Default)]
struct Scores(Vec<(usize, TokenScore)>);

impl Scores {
    /// Of the part of the raw answer that is shown; of all of it where the rules changed the text.
    fn of(&self, raw: &str, suggestion: &Suggestion) -> Option<Confidence> {
        let start = raw.find(&suggestion.text);
        let (start, end) = start.map_or((0, raw.len()), |at| (at, at + suggestion.text.len()));
        let mut before = 0;
        let (mut sum, mut min, mut count) = (0.0, f32::INFINITY, 0);
        for (token_end, score) in &self.0 {
            if *token_end > start && before < end {
                sum += score.mixed_log_prob;
                min = min.min(score.mixed_log_prob);
                count += 1;
            }
            before = *token_end;
        }
        (count > 0).then(|| Confidence {
            mean: sum / count as f32,
            min,
        })
    }
}

/// A plan under way.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    watch: StopWhileDecoding<'a>,
    scores: Scores,
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            watch: plan.stop_while_decoding(),
            scores: Scores::default(),
        }
    }

    /// What can be shown while the model goes on: up to a place that makes sense, read like an answer
    /// that a limit cut off.
    pub fn so_far(&self) -> Option<(Suggestion, Option<Confidence>)> {
        let raw = self.watch.raw();
        let suggestion = self.watch.finish(&raw[..safe_end(raw)], false)?;
        let confidence = self.scores.of(raw, &suggestion);
        Some((suggestion, confidence))
    }
}

/// Generates, stopping as soon as the rest would not be shown, and finishes the answer.
///
/// `generate` runs the plan's tokens on an engine; `heard` gets each piece of raw text.
pub fn run<G>(
    plan: &Plan,
    heard: &mut dyn FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    generate: G,
) -> Result<Completion, GenerateError>
where
    G: FnOnce(
        &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError>,
{
    let mut progress = Progress::new(plan);
    let summary = generate(&mut |piece| {
        let go_on = progress.watch.push(piece.text);
        let end = progress.watch.raw().len();
        let scores = piece.scores.iter().map(|score| (end, *score));
        progress.scores.0.extend(scores);
        heard(piece.text, &progress)?;
        go_on
    })?;
    tracing::trace!(
        raw = summary.text,
        stop = summary.stop.as_str(),
        "the model answered"
    );
    // What a limit cut off in the middle of a line is no line that the model meant.
    let ended = matches!(
        summary.stop,
        StopReason::StopToken | StopReason::StopString | StopReason::Callback
    );
    let raw = progress.watch.raw();
    let suggestion = progress.watch.finish(raw, ended);
    let confidence = suggestion
        .as_ref()
        .and_then(|suggestion| progress.scores.of(raw, suggestion));
    Ok(Completion {
        suggestion,
        confidence,
        summary,
    })
}

/// The last place at which a text that goes on can be shown: after a line, or between two tokens where
/// every bracket that it opened is closed again.
fn safe_end(text: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut safe, mut depth, mut previous) = (0, 0i32, ' ');
    for (at, c) in text.char_indices() {
        if depth <= 0 && !(is_word(previous) && is_word(c)) {
            safe = at;
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        previous = c;
        if c == '\n' || (depth <= 0 && !is_word(c)) {
            safe = at + c.len_utf8();
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_text_is_cut_between_tokens_and_outside_of_brackets() {
        for (text, safe) in [
            ("", ""),
            ("retu", ""),
            ("return val", "return "),
            ("foo(a, b", "foo"),
            ("foo(a, b)", "foo(a, b)"),
            ("foo(a, b).len", "foo(a, b)."),
            ("if x {\n    y", "if x {\n"),
            ("é漢字 x", "é漢字 "),
        ] {
            assert_eq!(&text[..safe_end(text)], safe, "{text:?}");
        }
    }

    #[test]
    fn confidence_is_of_the_tokens_that_are_shown() {
        let score = TokenScore::of_model;
        let scores = Scores(vec![
            (2, score(-1.0)),
            (5, score(-2.0)),
            (5, score(-4.0)),
            (9, score(-8.0)),
        ]);
        let of = |text: &str| {
            let suggestion = Suggestion {
                text: text.to_owned(),
                replace_suffix_bytes: 0,
            };
            scores
                .of("ab cd\nefg", &suggestion)
                .map(|confidence| (confidence.mean, confidence.min))
        };
        assert_eq!(of("ab"), Some((-1.0, -1.0)));
        assert_eq!(of("cd"), Some((-2.0, -2.0)));
        assert_eq!(of("ab cd\nefg"), Some((-3.75, -8.0)));
        assert_eq!(of("changed"), Some((-3.75, -8.0)));
    }
}
