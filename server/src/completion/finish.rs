//! From the raw answer of a model to text that can stand at the caret.
//!
//! The rules run in a fixed order, each on what the one before left. [`Surroundings::limit`] holds
//! those that say where an answer ends; they also run while the model still writes.

use std::borrow::Cow;
use std::ops::Range;

use carat_grammars::Language;

use super::brackets::{Enclosing, Fit};
use super::mode::{Mode, indentation, may_indent, opens_empty_block};
use super::overlap;
use super::scores::Scores;

/// How an answer is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishOptions {
    /// How many lines are wanted.
    pub mode: Mode,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// Whether the answer stands in a Markdown fence.
    pub fenced: bool,
    /// Whether the model ended the answer, rather than a limit or a deadline.
    pub ended: bool,
}

/// Text to show at the caret.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// What to insert.
    pub text: String,
    /// This many bytes after the caret are replaced; `text` has all of their characters in order.
    pub replace_suffix_bytes: usize,
    /// Up to here, `text` has those characters.
    pub rewritten_until: usize,
    /// How probable its pieces were to the model.
    pub scores: Scores,
}

impl Suggestion {
    /// What is left of it once its first `typed` bytes have been typed.
    #[must_use]
    pub fn rest(&self, typed: usize) -> Self {
        Self {
            text: self.text[typed..].to_owned(),
            replace_suffix_bytes: self.replace_suffix_bytes,
            rewritten_until: self.rewritten_until.saturating_sub(typed),
            scores: self.scores.part(typed..self.text.len()),
        }
    }

    /// Its first `bytes` bytes; what it writes anew behind them stays as it is.
    #[must_use]
    pub fn first(&self, bytes: usize) -> Self {
        let replaces = self.rewritten_until <= bytes;
        Self {
            text: self.text[..bytes].to_owned(),
            replace_suffix_bytes: if replaces {
                self.replace_suffix_bytes
            } else {
                0
            },
            rewritten_until: if replaces { self.rewritten_until } else { 0 },
            scores: self.scores.part(0..bytes),
        }
    }
}

/// Brackets that close.
const CLOSERS: [char; 3] = [')', ']', '}'];

impl Suggestion {
    /// With a line for the bracket behind the caret, where all of the text stands below what opens it:
    /// what is shown of an answer may end before the break that was to lead to it. Once something of it
    /// has been typed, what is around it is no longer `is_here`.
    pub(super) fn closed_below(mut self, (prefix, suffix): (&str, &str), is_here: bool) -> Self {
        let rest = suffix.split(['\n', '\r']).next().unwrap_or("");
        let rest = rest.get(self.replace_suffix_bytes..).unwrap_or("");
        let begins = self.text.trim_start_matches([' ', '\t']);
        if begins.starts_with(['\n', '\r']) && is_here && rest.trim_start().starts_with(CLOSERS) {
            let line = prefix.rsplit('\n').next().unwrap_or("");
            let indentation = &line[..line.len() - line.trim_start().len()];
            let end = if begins.starts_with('\r') {
                "\r\n"
            } else {
                "\n"
            };
            self.text.truncate(self.text.trim_end().len());
            self.text.push_str(end);
            self.text.push_str(indentation);
            self.rewritten_until = self.rewritten_until.min(self.text.len());
        }
        self
    }
}

/// Where `text` has all characters of `part`, in order; nothing if it does not.
pub fn end_in_order(text: &str, part: &str) -> Option<usize> {
    let mut left = text.chars();
    let found = part.chars().all(|c| left.any(|other| other == c));
    found.then(|| text.len() - left.as_str().len())
}

/// Control tokens as text: nothing after one of them belongs to the answer.
const CONTROL_TEXTS: &[&str] = &[
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|file_separator|>",
    "<|fim_pad|>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<turn|>",
    "<|turn>",
    "<eos>",
    "<bos>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|file_sep|>",
    "<|repo_name|>",
    "<|eot_id|>",
    "<fim_prefix>",
    "<fim_suffix>",
    "<fim_middle>",
];

/// What all of them begin with.
const CONTROL_SIGN: char = '<';

/// Shorter paragraphs are shown together with what follows the blank line.
const PARAGRAPH_LINES_MIN: usize = 3;

/// Makes an answer presentable, or finds that nothing of it is worth showing.
///
/// `prefix` and `suffix` are the whole text before and after the caret.
pub fn finish(
    raw: &str,
    prefix: &str,
    suffix: &str,
    options: &FinishOptions,
) -> Option<Suggestion> {
    let surroundings = Surroundings::new(prefix, suffix, options);
    surroundings.finish(raw, &Scores::default(), options.ended)
}

/// The part before the fence closes; a fence opened once more is taken off.
fn inside_fence(text: &str) -> &str {
    let text = match text.strip_prefix("```") {
        Some(reopened) => reopened
            .split_once('\n')
            .map_or(&reopened[reopened.len()..], |(_, body)| body),
        None => text,
    };
    text.find("\n```").map_or(text, |end| &text[..end])
}

/// A limit cut the last line; what is left of it, the model did not mean to say.
fn drop_unfinished_line(text: &mut String) {
    if let Some(newline) = text.trim_start_matches('\n').rfind('\n') {
        let blank = text.len() - text.trim_start_matches('\n').len();
        text.truncate(blank + newline);
    }
}

/// The text with `\n` as the only line end.
pub(super) fn with_newlines(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

/// Gives the text the line ends of the document.
fn with_line_ends_of(text: &str, prefix: &str, suffix: &str) -> String {
    let before = prefix
        .rfind('\n')
        .map(|newline| prefix[..newline].ends_with('\r'));
    let crlf = before.or_else(|| {
        suffix
            .find('\n')
            .map(|newline| suffix[..newline].ends_with('\r'))
    });
    if crlf == Some(true) {
        text.replace('\n', "\r\n")
    } else {
        text.to_owned()
    }
}

/// What is around a caret, looked at once for all rules.
#[derive(Clone, Debug)]
pub(super) struct Surroundings<'a> {
    prefix: &'a str,
    /// The caret's line as far as it stands before the caret.
    typed: &'a str,
    suffix: &'a str,
    /// What follows on the caret's line.
    rest: &'a str,
    enclosing: Enclosing,
    options: &'a FinishOptions,
    /// Lines of a block are indented at least this much, closing brackets excepted.
    indentation_min: usize,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(prefix: &'a str, suffix: &'a str, options: &'a FinishOptions) -> Self {
        let typed = prefix.rsplit('\n').next().unwrap_or("");
        let indentation_min = if opens_empty_block(prefix, suffix, options.language) {
            let opener = prefix
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("");
            indentation(opener) + 1
        } else {
            indentation(typed)
        };
        let rest = suffix.split(['\n', '\r']).next().unwrap_or("");
        let enclosing = Enclosing::new(prefix, suffix, options.language);
        Self {
            prefix,
            typed,
            suffix,
            rest,
            enclosing,
            options,
            indentation_min,
        }
    }

    /// Makes an answer presentable; `ended` tells whether the model ended it, rather than a limit.
    pub(super) fn finish(&self, raw: &str, scores: &Scores, ended: bool) -> Option<Suggestion> {
        let raw = with_newlines(raw);
        let answer = self.answer_of(&raw);
        let mut text = raw[answer.clone()].to_owned();
        let (mut before, mut whole) = (text.len(), ended);
        let mut fit = self.cut(&mut text, whole)?;
        // What one rule cuts off may leave an end that is another's affair.
        while !whole || text.len() < before {
            (before, whole) = (text.len(), true);
            fit = self.cut(&mut text, whole)?;
        }
        let scores = scores.part(answer.start..answer.start + text.len());
        let shown = with_line_ends_of(&text, self.prefix, self.suffix);
        let scores = if shown.len() == text.len() {
            scores
        } else {
            let bytes = text.as_bytes();
            let newlines = |end: usize| bytes.iter().take(end).filter(|b| **b == b'\n').count();
            scores.moved(|end| end + newlines(end))
        };
        let replaced = &self.rest[..fit.replace];
        Some(Suggestion {
            rewritten_until: end_in_order(&shown, replaced).unwrap_or(shown.len()),
            text: shown,
            replace_suffix_bytes: fit.replace,
            scores,
        })
    }

    /// Applies every rule about where an answer ends once, in order; nothing if all of it goes.
    fn cut(&self, text: &mut String, ended: bool) -> Option<Fit> {
        if let Some(limit) = self.limit(text, ended) {
            text.truncate(limit);
        } else if !ended {
            let circles = overlap::circles_cut_off(text);
            drop_unfinished_line(text);
            // The one line that there is.
            if circles && overlap::circles_cut_off(text) {
                return None;
            }
        }
        let fit = self.enclosing.fit(text);
        text.truncate(fit.keep);
        if let Some(limit) = overlap::circles(text, ended) {
            text.truncate(limit);
        }
        if self.enclosing.in_text() && fit.replace == 0 {
            text.truncate(overlap::before_rest(text, self.rest));
        }
        if !self.enclosing.in_text() {
            text.truncate(overlap::before_signs(text, &self.rest[fit.replace..]));
        }
        let behind = &self.rest[fit.replace..];
        if overlap::copies_neighbor(text, behind, self.prefix, self.suffix)
            || !self.enclosing.in_text()
                && overlap::imports_again(text, behind, self.prefix, self.suffix)
        {
            return None;
        }
        // White space at the end of a line is dropped; before what follows on the line it may be meant.
        let kept = text.trim_end().len();
        let breaks = text[kept..].contains('\n') && !text.starts_with('\n');
        if behind.trim().is_empty() || breaks {
            text.truncate(kept);
        }
        if text.trim().is_empty() {
            return None;
        }
        Some(fit)
    }

    /// Where in `raw` the answer itself is: without control tokens, thoughts, fences and what stands
    /// before the caret already. Line ends are `\n`.
    pub(super) fn answer_of(&self, raw: &str) -> Range<usize> {
        let mut text = raw;
        if text.trim_start().starts_with("<|channel>") {
            // An empty thought comes first; until it has ended there is no answer.
            text = text
                .split_once("<channel|>")
                .map_or(&text[text.len()..], |(_, answer)| answer);
        }
        let mut signs = text.match_indices(CONTROL_SIGN).map(|(at, _)| at);
        let control = signs.find(|at| {
            CONTROL_TEXTS
                .iter()
                .any(|control| text[*at..].starts_with(control))
        });
        text = &text[..control.unwrap_or(text.len())];
        if self.options.fenced {
            text = inside_fence(text);
        }
        text = self.without_doubled_start(text);
        // All of the above are parts of `raw`.
        let start = text.as_ptr().addr() - raw.as_ptr().addr();
        start..start + text.len()
    }

    /// Takes off white space that the caret's line has already.
    fn without_doubled_start<'t>(&self, text: &'t str) -> &'t str {
        if self.typed.trim().is_empty() {
            // The caret stands in an empty line: the answer begins here, not some lines further down.
            let blank = text.len() - text.trim_start().len();
            let line = text[..blank].rfind('\n').map_or(text, |newline| {
                let line = &text[newline + 1..];
                line.strip_prefix(self.typed).unwrap_or(line)
            });
            return if may_indent(self.prefix, self.options.language) {
                line
            } else {
                // The user has indented the line.
                line.trim_start()
            };
        }
        match text.strip_prefix(' ') {
            Some(rest) if self.typed.ends_with(' ') && !rest.starts_with(' ') => rest,
            _ => text,
        }
    }

    /// Where the answer ends although the model goes on; `None` while more of it may be wanted.
    ///
    /// `ended` tells whether `text` is all that the model wrote, so that its last line is a line.
    pub(super) fn limit(&self, text: &str, ended: bool) -> Option<usize> {
        let rules = [
            self.line_limit(text),
            self.scope_limit(text),
            overlap::repeats_rest(text, self.rest),
            overlap::repeats_next_lines(text, self.typed, self.suffix, ended),
            overlap::circles(text, ended),
        ];
        let limit = rules.into_iter().flatten().min();
        let fit = self.enclosing.fit(&text[..limit.unwrap_or(text.len())]);
        if fit.finished { Some(fit.keep) } else { limit }
    }

    /// The end of the last line that is wanted.
    fn line_limit(&self, text: &str) -> Option<usize> {
        let blank = text.len() - text.trim_start_matches(['\n', ' ', '\t']).len();
        let mut ends = text[blank..].match_indices('\n').map(|(at, _)| blank + at);
        if self.options.mode == Mode::SingleLine {
            return ends.next();
        }
        let end = ends.nth(self.options.mode.lines_max() - 1);
        // A blank line ends a block that has said something.
        let paragraph = text[blank..].find("\n\n").map(|at| blank + at);
        let paragraph =
            paragraph.filter(|at| text[blank..*at].lines().count() >= PARAGRAPH_LINES_MIN);
        [end, paragraph].into_iter().flatten().min()
    }

    /// Where the text leaves the block that the caret is in, told by indentation.
    fn scope_limit(&self, text: &str) -> Option<usize> {
        if self.options.mode == Mode::SingleLine || self.enclosing.in_text() {
            return None;
        }
        // `#` lines have no indentation in C; in Python they are comments.
        let comment = self.options.language.map(|language| language.line_comment);
        let may_be_left = |line: &str| line.starts_with('#') && comment != Some("#");
        let mut at = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let content = line.trim();
            let leaves = index > 0
                && !content.is_empty()
                && indentation(line) < self.indentation_min
                // Closing brackets are judged by what they close.
                && !content.starts_with([')', ']', '}'])
                && !may_be_left(content);
            if leaves {
                return Some(at);
            }
            at += line.len();
        }
        None
    }
}
