//! Code actions: explain, refactor, document, write tests, fix a diagnostic, and what users define.
//!
//! Pure functions from a text and a selection to a prompt, and from an answer to a checked change; no
//! protocol, no files, no clock. [`offer`] says what there is to choose from, [`Run`] goes from a
//! [`Request`] to its [`Outcome`]; who owns a model lends it [`Run::step`].

pub mod change;
mod check;
mod context;
pub mod custom;
mod fence;
mod indentation;
pub mod offer;
mod repetition;
mod run;
mod task;
mod test_location;
mod unit;
mod veil;

use std::ops::Range;

use carat_engine::{GenerationRequest, TokenId};
use carat_grammars::Language;
use ropey::Rope;

pub use check::Fault;
pub use custom::{CustomAction, CustomKind};
pub use run::{Run, Step, Write};
pub use unit::Unit;

use crate::prompt::{PromptForm, Vocabulary};

#[cfg(test)]
mod tests;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say what the code does, in prose.
    Explain,
    /// Rewrite the code as told; without words, make it simpler.
    Refactor {
        /// The user's words.
        instruction: Option<String>,
    },
    /// Write the documentation of the item, or write it anew.
    Document,
    /// Write tests of the item.
    WriteTests,
    /// Repair what a compiler or a linter complains about.
    Fix {
        /// The complaint.
        message: String,
        /// What it is about.
        at: Range<usize>,
    },
    /// What the user has defined.
    Custom(CustomAction),
}

impl Action {
    /// Whether it answers in prose and changes nothing.
    pub fn is_prose(&self) -> bool {
        match self {
            Self::Explain => true,
            Self::Custom(custom) => custom.kind == CustomKind::Explain,
            _ => false,
        }
    }

    /// What is going on, for a progress bar.
    pub fn title(&self) -> &str {
        match self {
            Self::Explain => "Explaining",
            Self::Refactor { .. } => "Refactoring",
            Self::Document => "Documenting",
            Self::WriteTests => "Writing tests",
            Self::Fix { .. } => "Fixing",
            Self::Custom(custom) => &custom.title,
        }
    }
}

/// An action on a place in a text.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be done.
    pub action: Action,
    /// The file's path as the model may see it.
    pub path: String,
    /// The text's language, where it is known.
    pub language: Option<&'static Language>,
    /// The text.
    pub text: Rope,
    /// What is selected, in bytes; empty at the caret.
    pub selection: Range<usize>,
}

/// A model that takes instructions.
#[derive(Clone, Copy)]
pub struct Instruct<'a> {
    /// How it is told.
    pub form: PromptForm,
    /// Its tokens.
    pub vocabulary: &'a dyn Vocabulary,
    /// Tokens that fit into a session for actions, answer included.
    pub context_tokens: usize,
}

/// One call of the model: a prompt, what it has written so far, and how it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The prompt.
    pub prompt: &'a [TokenId],
    /// What was written before an interruption; it stands in the cache, so going on costs little.
    pub written: &'a [TokenId],
    /// Limits and sampling.
    pub request: &'a GenerationRequest,
    /// 0, or 1 after an answer that could not be used.
    pub attempt: usize,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Markdown for the user.
    Prose(String),
    /// New text in place of old.
    Change(Change),
    /// Text for a file of its own, beside the one that was asked about.
    NewFile {
        /// Its name, without a folder.
        name: String,
        /// Its text.
        text: String,
    },
    /// The model left everything as it is.
    Unchanged,
}

/// A replacement in the text of the [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is replaced.
    pub range: Range<usize>,
    /// With what; line ends and indentation are those of the text.
    pub text: String,
}

/// Why an action cannot even begin; the text says what would work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The model only completes.
    #[error(
        // Short: some editors cut it at the end of a line.
        "this needs a model that takes instructions: run `carat model pull 26b` and set `model` to `26b`"
    )]
    NoInstructions,
    /// Nothing at the selection that could be the unit of the action.
    #[error(
        "there is no function, type or other item here; select the code, or put the caret into it"
    )]
    NoItem,
    /// Too much to be rewritten at once.
    #[error(
        "{what} has {lines} lines, and at most {max} can be rewritten at once: select the lines that are to change, and ask again"
    )]
    TooLong {
        /// The item's name, or another word for it.
        what: String,
        /// Lines of the smallest unit.
        lines: usize,
        /// What is possible.
        max: usize,
    },
    /// The prompt does not fit.
    #[error("the code takes {tokens} tokens and at most {max} fit; select a smaller part")]
    TooManyTokens {
        /// Tokens of prompt and answer.
        tokens: usize,
        /// What is possible.
        max: usize,
    },
    /// The language has no documentation comments that Carat knows.
    #[error(
        "documentation can be written for items of known languages only; use Refactor with an instruction"
    )]
    NoDocumentation,
}
