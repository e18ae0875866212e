//! Which of several lines is offered: the one that is probable itself and makes what follows probable.

use carat_engine::{CancelToken, Candidate, GenerateError, Session, TokenId};

use super::of_echo::of_user;
use super::{Plan, Scores, Suggestion};
use crate::echo::LineEcho;

/// What the next existing line weighs, against the line itself.
const NEXT_LINE_WEIGHT: f32 = 0.3;

/// A line that is so much less probable than the best one is not read with what follows, in natural
/// logarithms: the next line hardly ever makes up for it.
const MARGIN: f32 = 3.0;

/// Tokens of the next existing line that count.
const NEXT_LINE_TOKENS_MAX: usize = 16;

/// Bytes before the caret's line that are read, from a line start on. More change no choice in a hundred.
const BEFORE_BYTES: usize = 512;

/// Where the text that is read begins moves in such steps, so that typing leaves it alone.
const STEP_BYTES: usize = 256;

/// Positions that a session for [`best`] needs: there is no token of less than a byte.
pub(crate) const RANKING_TOKENS: usize = 2048;

/// The best of `candidates` and of the user's own lines. Lines of which nothing can be shown take no part.
///
/// `session` reads the text from top to bottom, as plain text; without one, the line itself decides.
pub(super) fn best(
    plan: &Plan,
    candidates: Vec<Candidate>,
    echoes: &[LineEcho],
    session: Option<&mut Session>,
    cancel: &CancelToken,
) -> Result<Option<Candidate>, GenerateError> {
    let rules = plan.stop_while_decoding();
    let mut shown: Vec<(Candidate, Suggestion)> = Vec::new();
    let of_echo = echoes.iter().map(candidate_of);
    for candidate in candidates.into_iter().chain(of_echo) {
        let Some(suggestion) = rules.finish(&candidate.text, &Scores::default(), true) else {
            continue;
        };
        match shown.iter_mut().find(|(_, other)| *other == suggestion) {
            // Of those that end up the same, the surer one tells how sure it is.
            Some((known, _)) if known.mixed_log_prob() < candidate.mixed_log_prob() => {
                *known = candidate;
            }
            Some(_) => {}
            None => shown.push((candidate, suggestion)),
        }
    }
    let mut scores: Vec<f32> = shown
        .iter()
        .map(|(line, _)| line.mixed_log_prob())
        .collect();
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let rivals = scores.iter().filter(|score| **score >= most - MARGIN);
    let may_be_shown = shown
        .iter()
        .any(|(line, _)| f64::from(line.tokens_log_prob()).exp() >= plan.least_shown());
    if let Some(session) = session
        && rivals.count() > 1
        && may_be_shown
        && let Some(mut next_line) = NextLine::new(plan, session)
    {
        for (score, (_, suggestion)) in scores.iter_mut().zip(&shown) {
            if *score >= most - MARGIN {
                *score += NEXT_LINE_WEIGHT * next_line.log_prob(suggestion, cancel)?;
            } else {
                *score = f32::NEG_INFINITY;
            }
        }
    }
    let best = scores
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    let best = best.map(|(index, _)| index);
    Ok(best.map(|index| shown.swap_remove(index).0))
}

/// A line of the user's own in the form of an answer. What speaks for it is spread evenly over its
/// words: the more of it is typed, the surer is the rest.
fn candidate_of(echo: &LineEcho) -> Candidate {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut ends = Vec::new();
    let mut previous = None;
    for (at, c) in echo.text.char_indices() {
        if previous.is_some_and(|previous| is_word(previous) != is_word(c)) {
            ends.push(at);
        }
        previous = Some(c);
    }
    ends.push(echo.text.len());
    let each = echo.probability.ln() / ends.len() as f32;
    Candidate {
        text: echo.text.clone(),
        tokens: Vec::new(),
        scores: vec![of_user(each); ends.len()],
        ends,
        end: of_user(0.0),
    }
}

/// Tells how probable the next existing line is behind a line.
struct NextLine<'a> {
    plan: &'a Plan,
    session: &'a mut Session,
    /// The caret's line as far as it stands before the caret.
    typed: &'a str,
    /// The text before the caret's line.
    before: Vec<TokenId>,
    /// The line, with the line ends around it.
    tail: Vec<TokenId>,
}

impl<'a> NextLine<'a> {
    /// `None` if there is no line behind the caret's.
    fn new(plan: &'a Plan, session: &'a mut Session) -> Option<Self> {
        let lines = plan.suffix.lines().skip(1);
        let next = lines.into_iter().find(|line| !line.trim().is_empty())?;
        let line_start = plan.prefix.rfind('\n').map_or(0, |newline| newline + 1);
        let (before, typed) = plan.prefix.split_at(line_start);
        let from = before.len().saturating_sub(BEFORE_BYTES);
        let from = before.floor_char_boundary(from.next_multiple_of(STEP_BYTES).min(line_start));
        let from = match from {
            0 => 0,
            from => before[from..].find('\n').map_or(from, |at| from + at + 1),
        };
        let model = session.model().clone();
        let tokenizer = model.tokenizer();
        let mut tokens = Vec::from_iter(tokenizer.bos());
        tokens.extend(tokenizer.encode(&before[from..]));
        let mut tail = tokenizer.encode(&format!("\n{next}\n"));
        tail.truncate(NEXT_LINE_TOKENS_MAX);
        Some(Self {
            plan,
            session,
            typed,
            before: tokens,
            tail,
        })
    }

    /// Natural logarithm of the probability of the next line, in a text with the suggestion.
    fn log_prob(
        &mut self,
        suggestion: &Suggestion,
        cancel: &CancelToken,
    ) -> Result<f32, GenerateError> {
        let Self {
            plan,
            session,
            typed,
            before,
            tail,
        } = self;
        let rest = &plan.suffix[suggestion.replace_suffix_bytes..];
        let rest = rest.lines().next().unwrap_or("");
        let line = format!("{typed}{}{rest}", suggestion.text);
        let mut tokens = before.clone();
        tokens.extend(session.model().tokenizer().encode(&line));
        tokens.extend_from_slice(tail);
        if tokens.len() > session.context_tokens() {
            return Ok(0.0);
        }
        let scored = tail.len() + 1;
        let kept = session.shared_prefix(&tokens).min(tokens.len() - scored);
        let kept = session.truncate(kept);
        let log_probs = session.log_probs(&tokens[kept..], tail.len(), cancel)?;
        Ok(log_probs.iter().sum())
    }
}
