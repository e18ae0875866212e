//! One action from its request to its outcome: a prompt, an answer, one more try if it cannot be used.

use std::ops::ControlFlow;

use carat_engine::{
    GenerateError, GenerationRequest, GenerationSummary, Sampling, StopReason, TokenId,
};
use carat_grammars::SyntaxTree;

use super::check::{self, Fault};
use super::task::{self, Shape, Task};
use super::veil::Veil;
use super::{
    Change, Instruct, Outcome, Refusal, Request, Turn, context, fence, indentation, repetition,
};
use crate::markdown;
use crate::prompt::{self, Chat, Prompt};

/// What the model is. The same for every action, so that it stays in the cache.
const ROLE: &str = "You work inside a code editor on code that the user shows you. You do what the task says and \
    nothing else, keep the style of the code, and never leave code out.";

/// Answers in prose end here: a quarter of a minute at ten tokens a second, half a page.
const PROSE_TOKENS_MAX: usize = 400;

/// Documentation is shorter than what it documents.
const DOCUMENTATION_TOKENS_MAX: usize = 300;

/// Tests of one item.
const TEST_TOKENS_MAX: usize = 1000;

/// A rewritten unit may have this many tokens more than twice the old one.
const REWRITE_TOKENS_SPARE: usize = 200;

/// Attempts: the second is sampled, without a word about the first. Telling a model what was wrong
/// with its answer gives worse answers than asking again.
const ATTEMPTS: usize = 2;

/// The second attempt.
const AGAIN: Sampling = Sampling {
    temperature: 0.6,
    top_k: 64,
    top_p: 0.95,
    min_p: 0.0,
    seed: 1,
};

/// An action under way.
pub struct Run {
    text: String,
    tree: Option<SyntaxTree>,
    task: Task,
    veil: Veil,
    fence: String,
    prompt: Prompt,
    request: GenerationRequest,
    attempt: usize,
    written: Vec<TokenId>,
    answer: String,
    /// Bytes of the answer that were heard.
    heard: usize,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was interrupted; another step goes on where it stands.
    Paused,
    /// It is over: an outcome, or what was wrong with the last answer.
    Done(Result<Outcome, Fault>),
}

/// Calls the model: the turn, then who hears the text.
pub type Write<'a> = dyn FnMut(
        &Turn<'_>,
        &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError>
    + 'a;

impl Run {
    /// Finds the unit and builds the prompt.
    pub fn new(request: &Request, model: &Instruct<'_>) -> Result<Self, Refusal> {
        let text = request.text.to_string();
        let tree = request
            .language
            .map(|language| SyntaxTree::parse(language, &request.text));
        let mut task = task::task(
            &request.action,
            &text,
            request.language,
            tree.as_ref(),
            &request.path,
            &request.selection,
        )?;
        let around = tree
            .as_ref()
            .map(|tree| context::around(&text, tree, &task.unit))
            .unwrap_or_default();
        let fence = markdown::fence_for(&[&task.shown.text, &around]);
        let tag = request.language.map_or("", |language| language.name);
        // The code stands before the task: another action on it finds it in the cache.
        let mut user = format!("File: {}\n\n", request.path);
        if !around.is_empty() {
            user +=
                &format!("Around the code, for reference:\n{fence}{tag}\n{around}\n{fence}\n\n");
        }
        user += &format!(
            "The code:\n{fence}{tag}\n{}\n{fence}\n\n{}",
            task.shown.text, task.words
        );
        let veil = Veil::of(&[&text, &user]);
        let user = veil.hide(&user);
        task.opening = veil.hide(&task.opening);
        let begin = match task.shape {
            Shape::Prose => String::new(),
            _ => format!("{fence}{tag}\n{}", task.opening),
        };
        let chat = Chat {
            system: ROLE,
            user: &user,
            answer: &begin,
        };
        let prompt =
            prompt::chat(model.form, &chat, model.vocabulary).ok_or(Refusal::NoInstructions)?;
        let unit_tokens = model.vocabulary.encode(&task.shown.text).len();
        let max_tokens = match task.shape {
            Shape::Prose => PROSE_TOKENS_MAX,
            Shape::Comment | Shape::Docstring { .. } => DOCUMENTATION_TOKENS_MAX,
            Shape::Tests(_) => TEST_TOKENS_MAX,
            Shape::Rewrite(_) => 2 * unit_tokens + REWRITE_TOKENS_SPARE,
        };
        // An answer as long as the unit must fit, or there is no point in beginning.
        let least = match task.shape {
            Shape::Rewrite(_) => unit_tokens + REWRITE_TOKENS_SPARE,
            _ => max_tokens / 2,
        };
        let room = model.context_tokens.saturating_sub(prompt.tokens.len());
        if room < least {
            return Err(Refusal::TooManyTokens {
                tokens: prompt.tokens.len() + least,
                max: model.context_tokens,
            });
        }
        let request = GenerationRequest {
            max_tokens: max_tokens.min(room),
            stop_tokens: prompt.stop_tokens.clone(),
            banned_tokens: prompt.banned_tokens.clone(),
            ..GenerationRequest::default()
        };
        Ok(Self {
            text,
            tree,
            task,
            veil,
            fence,
            prompt,
            request,
            attempt: 0,
            written: Vec::new(),
            answer: String::new(),
            heard: 0,
        })
    }

    /// What the model is shown.
    pub fn prompt(&self) -> &str {
        &self.prompt.text
    }

    /// Works until the end or an interruption. `heard` gets prose as it is written.
    pub fn step(
        &mut self,
        write: &mut Write<'_>,
        heard: &mut dyn FnMut(&str),
    ) -> Result<Step, GenerateError> {
        loop {
            let stop = match self.write(write, heard) {
                Err(GenerateError::Cancelled) | Ok(StopReason::Cancelled) => {
                    return Ok(Step::Paused);
                }
                stop => stop?,
            };
            let fault = match self.outcome(stop) {
                Ok(outcome) => {
                    if self.task.shape == Shape::Prose {
                        let end = repetition::settled(&self.answer, true).end;
                        heard(self.answer.get(self.heard..end).unwrap_or_default());
                    }
                    return Ok(Step::Done(Ok(outcome)));
                }
                Err(fault) => fault,
            };
            tracing::debug!(%fault, attempt = self.attempt, "an answer cannot be used");
            tracing::trace!(answer = self.answer, "the answer");
            self.attempt += 1;
            if self.attempt == ATTEMPTS {
                return Ok(Step::Done(Err(fault)));
            }
            self.written.clear();
            self.answer.clear();
            self.heard = 0;
            self.request.sampling = AGAIN;
        }
    }

    /// Goes on with the answer.
    fn write(
        &mut self,
        write: &mut Write<'_>,
        heard: &mut dyn FnMut(&str),
    ) -> Result<StopReason, GenerateError> {
        let Self {
            task,
            fence,
            answer,
            written,
            heard: heard_bytes,
            ..
        } = self;
        let mut request = self.request.clone();
        request.max_tokens = request.max_tokens.saturating_sub(written.len());
        // The same seed would repeat the draws that were made before an interruption.
        request.sampling.seed += written.len() as u64;
        let turn = Turn {
            prompt: &self.prompt.tokens,
            written,
            request: &request,
            attempt: self.attempt,
        };
        let mut whole = task.opening.clone() + answer;
        let mut on_text = |piece: &str| {
            whole.push_str(piece);
            let complete = if task.shape == Shape::Prose {
                let settled = repetition::settled(&whole, false);
                if settled.end > *heard_bytes {
                    heard(&whole[*heard_bytes..settled.end]);
                    *heard_bytes = settled.end;
                }
                settled.repeats
            } else {
                is_complete(&task.shape, &whole, fence)
            };
            if complete {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let summary = write(&turn, &mut on_text)?;
        tracing::debug!(
            prompt_tokens = summary.prompt_tokens,
            reused_tokens = summary.reused_tokens,
            tokens = summary.tokens.len(),
            stop = summary.stop.as_str(),
            "wrote"
        );
        written.extend(summary.tokens);
        answer.push_str(&summary.text);
        Ok(summary.stop)
    }

    /// Reads and checks the answer.
    fn outcome(&self, stop: StopReason) -> Result<Outcome, Fault> {
        let Task {
            unit,
            shown,
            shape,
            opening,
            ..
        } = &self.task;
        let text = self.text.as_str();
        if *shape == Shape::Prose {
            return prose(&self.answer, stop);
        }
        let whole = self.veil.reveal(&format!("{opening}{}", self.answer));
        let language = self.tree.as_ref().map(SyntaxTree::language);
        let change = match shape {
            Shape::Prose => unreachable!("read above"),
            Shape::Rewrite(rules) => {
                let code = fence::code(&whole, &self.fence)?;
                let new = shown.restore(&code, text);
                check::rewritten(text, self.tree.as_ref(), unit, &new, *rules)?;
                Change {
                    range: unit.range.clone(),
                    text: new,
                }
            }
            Shape::Comment => {
                let comment = comment(&whole, &self.fence, self.tree.as_ref())?;
                let item = unit
                    .item
                    .as_ref()
                    .map_or(unit.range.start, |item| item.range.start);
                let place = indentation::show(text, &(item..item.max(unit.range.end)));
                let mut new = place.restore(&comment, text);
                if unit.range.is_empty() {
                    new += indentation::line_end(text);
                    new += indentation(text, item);
                } else if text[..unit.range.end].ends_with('\n') {
                    // Line comments of some grammars end with their line.
                    new += indentation::line_end(text);
                }
                Change {
                    range: unit.range.clone(),
                    text: new,
                }
            }
            Shape::Docstring { replaces, pushes } => {
                let new = docstring(&whole, text, replaces.start, *pushes)?;
                Change {
                    range: replaces.clone(),
                    text: new,
                }
            }
            Shape::Tests(place) => {
                let code = fence::code(&whole, &self.fence)?;
                check::placeholder("", &code, language)?;
                let Some((range, new)) = place.inserted(&code, text) else {
                    let super::test_location::Place::Beside { name } = place else {
                        return Err(Fault::NoTest);
                    };
                    return Ok(Outcome::NewFile {
                        name: name.clone(),
                        text: code + "\n",
                    });
                };
                if !code.contains("#[test]") {
                    return Err(Fault::NoTest);
                }
                Change { range, text: new }
            }
        };
        if change.text == text[change.range.clone()] {
            return Ok(Outcome::Unchanged);
        }
        if let Some(tree) = &self.tree {
            check::parsed(text, tree, &change.range, &change.text)?;
        }
        Ok(Outcome::Change(change))
    }
}

/// Whether what has been written is all that will be read.
fn is_complete(shape: &Shape, whole: &str, fence: &str) -> bool {
    match shape {
        Shape::Prose => false,
        Shape::Docstring { .. } => whole[3..].contains("\"\"\""),
        _ => fence::is_closed(whole, fence),
    }
}

/// Prose that a limit cut off ends with its last whole paragraph or sentence, and that which turns in
/// circles before it begins to.
fn prose(answer: &str, stop: StopReason) -> Result<Outcome, Fault> {
    let mut text = answer[..repetition::settled(answer, true).end].trim();
    if matches!(stop, StopReason::MaxTokens | StopReason::ContextFull) {
        let end = text
            .rmatch_indices(['\n', '.', '!', '?'])
            .find(|(at, mark)| text[at + mark.len()..].starts_with([' ', '\n']) || *mark == "\n");
        text = end
            .map_or(text, |(at, mark)| &text[..at + mark.len()])
            .trim_end();
    }
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    Ok(Outcome::Prose(text.to_owned()))
}

/// The comment that an answer begins with; some models write the code after it once more.
fn comment(whole: &str, fence: &str, tree: Option<&SyntaxTree>) -> Result<String, Fault> {
    let code = fence::code(whole, fence)?;
    let language = tree.ok_or(Fault::NoComment)?.language();
    let parsed = SyntaxTree::parse(language, &ropey::Rope::from_str(&code));
    let comment = code[..parsed.leading_comments_end()].trim_end();
    let says_something = comment.contains(char::is_alphabetic);
    if says_something {
        Ok(comment.to_owned())
    } else {
        Err(Fault::NoComment)
    }
}

/// A docstring as it stands in the body that begins at `at`.
fn docstring(whole: &str, text: &str, at: usize, pushes: bool) -> Result<String, Fault> {
    let quotes = "\"\"\"";
    let inner = whole.strip_prefix(quotes).ok_or(Fault::NoComment)?;
    let inner = &inner[..inner.find(quotes).ok_or(Fault::NoFence)?];
    if !inner.contains(char::is_alphabetic) {
        return Err(Fault::Empty);
    }
    let (end, indent) = (indentation::line_end(text), indentation(text, at));
    let lines: Vec<&str> = inner.trim().lines().collect();
    let shared = lines[1..]
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut new = format!("{quotes}{}", lines[0].trim_end());
    for line in &lines[1..] {
        new += end;
        if !line.trim().is_empty() {
            new += indent;
            new += line[shared..].trim_end();
        }
    }
    if lines.len() > 1 {
        new += end;
        new += indent;
    }
    new += quotes;
    if pushes {
        new += end;
        new += indent;
    }
    Ok(new)
}

/// The white space between the start of a line and `at`, if there is nothing else.
fn indentation(text: &str, at: usize) -> &str {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line_start..at];
    if before.trim().is_empty() { before } else { "" }
}
