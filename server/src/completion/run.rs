//! Runs a plan: the one way from a model's pieces to text at the caret, whoever asks.

use std::ops::ControlFlow;
use std::time::Duration;

use carat_engine::{Candidate, GenerateError, GenerationSummary, Piece, StopReason};

use super::{Plan, Scores, StopWhileDecoding, Suggestion};

/// Who asks for more than one answer looks at three.
const OTHERS_MAX: usize = 2;

/// What a model gives less than this is no other answer: of the embedded model's, on the cases of
/// `tests/quality` with their projects, 2 of 494 were right, and 110 of the 1,545 above.
const OTHER_PROBABILITY_MIN: f64 = 0.01;

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What could be shown, before it is judged; nothing if the answer held nothing useful.
    pub suggestion: Option<Suggestion>,
    /// What else could be shown to a user who asked, the better first; all differ.
    pub others: Vec<Suggestion>,
    /// How probable all that the model wrote was to it.
    pub scores: Scores,
    /// What the engine did.
    pub summary: GenerationSummary,
}

/// What an engine made of a plan: one answer, and lines that may stand in its place.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The answer.
    pub summary: GenerationSummary,
    /// Other lines, the more probable first.
    pub others: Vec<Candidate>,
}

impl From<GenerationSummary> for Generated {
    fn from(summary: GenerationSummary) -> Self {
        Self {
            summary,
            others: Vec::new(),
        }
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

    /// What could be shown while the model goes on: up to a place that makes sense, read like an answer
    /// that a limit cut off.
    pub fn so_far(&self) -> Option<Suggestion> {
        let raw = self.watch.raw();
        self.watch
            .finish(&raw[..safe_end(raw)], &self.scores, false)
    }
}

/// Generates, stopping as soon as the rest would not be shown, and finishes the answer.
///
/// `generate` runs the plan's tokens on an engine; `heard` gets each piece of raw text.
pub fn run<G, R>(
    plan: &Plan,
    heard: &mut dyn FnMut(&str, &Progress<'_>) -> ControlFlow<()>,
    generate: G,
) -> Result<Completion, GenerateError>
where
    G: FnOnce(&mut dyn FnMut(Piece<'_>) -> ControlFlow<()>) -> Result<R, GenerateError>,
    R: Into<Generated>,
{
    if plan.silence.is_some() {
        return Ok(Completion {
            suggestion: None,
            others: Vec::new(),
            scores: Scores::default(),
            summary: nothing_generated(),
        });
    }
    let mut progress = Progress::new(plan);
    let generated = generate(&mut |piece| {
        let go_on = progress.watch.push(piece.text);
        let end = progress.watch.raw().len();
        progress.scores.push(end, piece.scores);
        heard(piece.text, &progress)?;
        go_on
    })?;
    let Generated { summary, others } = generated.into();
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
    let suggestion = progress.watch.finish(raw, &progress.scores, ended);
    Ok(Completion {
        others: distinct(&progress.watch, suggestion.as_ref(), &others),
        suggestion,
        scores: progress.scores,
        summary,
    })
}

/// What can be shown of other lines, where it differs from what was shown already.
fn distinct(
    rules: &StopWhileDecoding<'_>,
    first: Option<&Suggestion>,
    others: &[Candidate],
) -> Vec<Suggestion> {
    let Some(first) = first else {
        return Vec::new();
    };
    let mut texts = vec![first_line(&first.text).to_owned()];
    let mut distinct = Vec::new();
    for other in others {
        let mut scores = Scores::default();
        for (&end, &score) in other.ends.iter().zip(&other.scores) {
            scores.push(end, &[score]);
        }
        let Some(suggestion) = rules.finish(&other.text, &scores, true) else {
            continue;
        };
        let line = first_line(&suggestion.text);
        let is_probable = suggestion.scores.confidence().product >= OTHER_PROBABILITY_MIN;
        if is_probable && distinct.len() < OTHERS_MAX && texts.iter().all(|text| text != line) {
            texts.push(line.to_owned());
            distinct.push(suggestion);
        }
    }
    distinct
}

/// The first line that says something, however it is indented.
fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or("").trim_end()
}

/// What an engine does that is not asked.
fn nothing_generated() -> GenerationSummary {
    GenerationSummary {
        tokens: Vec::new(),
        scores: Vec::new(),
        ends: Vec::new(),
        text: String::new(),
        prompt_tokens: 0,
        reused_tokens: 0,
        prefill: Duration::ZERO,
        decode: Duration::ZERO,
        stop: StopReason::StopToken,
    }
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
    fn other_answers_differ_and_are_not_next_to_impossible() {
        use carat_engine::TokenScore;

        let options = super::super::FinishOptions::default();
        let rules = StopWhileDecoding::new("let a = ", ";\n", &options);
        let candidate = |text: &str, log_prob: f32| Candidate {
            text: text.to_owned(),
            tokens: vec![0],
            scores: vec![TokenScore::of_model(log_prob)],
            ends: vec![text.len()],
            end: TokenScore::of_model(0.0),
        };
        let first = rules.finish("foo(1)", &Scores::default(), true);
        let others = [
            candidate("foo(1)", -0.1),
            candidate("bar(2)", -4.5),
            candidate("baz(3)", -4.7),
            candidate("qux(4)", -3.0),
            candidate("quux(5)", -1.0),
        ];
        let distinct = distinct(&rules, first.as_ref(), &others);
        let texts: Vec<_> = distinct.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["bar(2)", "qux(4)"]);
    }
}
