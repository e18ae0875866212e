//! Prompts: from the text around a caret to the tokens that a model continues.
//!
//! [`build`] is a pure function of data. Which layout a model was trained for is a [`PromptForm`]; how
//! much text goes in is a [`PromptBudget`]; what may go in is a [`PromptInput`].

mod budget;
#[cfg(any(test, feature = "testing"))]
mod bytes;
mod chat;
mod excerpt;
mod form;
mod healing;
mod layout;
mod pieces;
mod template;
mod writer;

pub use budget::PromptBudget;
#[cfg(any(test, feature = "testing"))]
pub(crate) use bytes::Bytes;
pub use chat::{Chat, chat};
pub use excerpt::Excerpt;
pub use form::{ModelTraits, PromptForm};
pub use healing::healed_bytes;

use carat_engine::{TokenId, Tokenizer};
use carat_grammars::Language;

use crate::completion::mask_part;

/// What prompts need of a model's tokenizer.
pub trait Vocabulary {
    /// The tokens of plain text; text that spells a control token is plain text as well.
    fn encode(&self, text: &str) -> Vec<TokenId>;
    /// The token that begins every text, if there is one.
    fn bos(&self) -> Option<TokenId>;
    /// The control token that is written `text`.
    fn control(&self, text: &str) -> Option<TokenId>;
    /// The tokens of the model's fill-in-the-middle layout, if the file names them.
    fn fill_in_the_middle(&self) -> Option<FimMarks>;
    /// Whether the blank before a word belongs to the word, also where a line begins with blanks.
    fn words_take_spaces(&self) -> bool {
        false
    }
}

impl Vocabulary for Tokenizer {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        Tokenizer::encode(self, text)
    }

    fn bos(&self) -> Option<TokenId> {
        Tokenizer::bos(self)
    }

    fn control(&self, text: &str) -> Option<TokenId> {
        self.token_id(text)
    }

    fn fill_in_the_middle(&self) -> Option<FimMarks> {
        let fim = self.fim()?;
        Some(FimMarks {
            prefix: fim.prefix,
            suffix: fim.suffix,
            middle: fim.middle,
            separator: fim.separator,
            names_file_inside: fim.separator.is_some()
                && fim.separator == self.token_id(NAMES_FILE_INSIDE),
        })
    }

    fn words_take_spaces(&self) -> bool {
        self.cuts_words()
    }
}

/// The control tokens of a fill-in-the-middle layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FimMarks {
    /// Stands before the text before the caret.
    pub prefix: TokenId,
    /// Stands before the text after the caret.
    pub suffix: TokenId,
    /// Asks for the text between them.
    pub middle: TokenId,
    /// Stands between files.
    pub separator: Option<TokenId>,
    /// Whether a file's name belongs to the text before the gap, behind the mark of that.
    pub names_file_inside: bool,
}

/// The separator of models that were trained so: `StarCoder2`.
const NAMES_FILE_INSIDE: &str = "<file_sep>";

/// A document and a caret in it, as plain data.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromptInput<'a> {
    /// The file's path as the model may see it: relative to the workspace, or the name alone.
    pub path: &'a str,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// All text before the caret.
    pub prefix: &'a str,
    /// All text after the caret.
    pub suffix: &'a str,
    /// What is told of other files.
    pub context: &'a [Excerpt],
}

/// What the engine is to evaluate, and how its answer is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The tokens to evaluate.
    pub tokens: Vec<TokenId>,
    /// The same as text, control tokens spelled out; for readers.
    pub text: String,
    /// Tokens that end the answer, besides the model's own.
    pub stop_tokens: Vec<TokenId>,
    /// Texts that end the answer.
    pub stop_strings: Vec<String>,
    /// Tokens that no answer may contain.
    pub banned_tokens: Vec<TokenId>,
    /// The end of the text before the caret where the prompt leaves it out: the engine holds the
    /// answer to it, and takes it off.
    pub forced_text: String,
    /// Whether the answer stands in a Markdown fence that the prompt has opened.
    pub fenced: bool,
    /// The other files that it tells of.
    pub told_of: Vec<String>,
}

/// The prompt for the caret of `input` in the layout `form`.
pub fn build(
    input: &PromptInput<'_>,
    form: PromptForm,
    budget: &PromptBudget,
    vocabulary: &dyn Vocabulary,
) -> Prompt {
    let input = &PromptInput {
        suffix: pieces::told_suffix(input.suffix),
        ..*input
    };
    let window = budget::window(input.prefix, input.suffix, budget, vocabulary);
    // No model sees a password or a key, so that none can repeat it.
    let start = input.prefix.len() - window.prefix.len();
    let prefix = mask_part(input.prefix, start..input.prefix.len());
    let suffix = mask_part(input.suffix, 0..window.suffix.len());
    let window = budget::Window {
        prefix: &prefix,
        suffix: &suffix,
    };
    layout::write(form, input, &window, vocabulary)
}

#[cfg(test)]
mod catalogue_tests;
#[cfg(test)]
mod context_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod typing_tests;
