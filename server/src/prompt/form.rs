//! Which layout of a prompt a model was trained for.

use super::Vocabulary;

/// The layouts of prompts that Carat writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// Fill-in-the-middle, suffix first: while the user types, only the typed tokens are new.
    FimSuffixFirst,
    /// Fill-in-the-middle, prefix first, as `CodeGemma` documents it.
    FimPrefixFirst,
    /// A turn of Gemma 4's chat template, thinking off. The larger models expect an empty thought
    /// block before the answer; E2B and E4B would start to think aloud after one.
    InstructGemma4 {
        /// Whether the empty thought block is there.
        thought_block: bool,
    },
    /// A turn of the chat template of Gemma 1 to 3.
    InstructGemma3,
    /// The text before the caret alone.
    Plain,
}

/// What of a model's metadata tells its form.
#[derive(Clone, Copy, Debug)]
pub struct ModelTraits<'a> {
    /// `general.name` of the file.
    pub name: &'a str,
    /// Whether it is of the first generation and not CodeGemma.
    pub is_plain_gemma1: bool,
    /// Whether the file has a chat template.
    pub has_chat_template: bool,
    /// Whether it is one of the small models with embeddings per layer (E2B, E4B).
    pub has_per_layer_embeddings: bool,
}

/// How the embedded model's `general.name` begins; it is trained for the suffix first.
const EMBEDDED_NAME: &str = "carat";

impl PromptForm {
    /// The form of a model that no catalogue entry describes.
    pub fn of(traits: &ModelTraits<'_>, vocabulary: &dyn Vocabulary) -> Self {
        let name = traits.name.to_lowercase();
        // Converters write the keys into every Gemma 1 file, but only CodeGemma was trained on them.
        if vocabulary.fill_in_the_middle().is_some() && !traits.is_plain_gemma1 {
            return if name.starts_with(EMBEDDED_NAME) {
                Self::FimSuffixFirst
            } else {
                Self::FimPrefixFirst
            };
        }
        Self::instruct(traits, vocabulary).unwrap_or(Self::Plain)
    }

    /// The form in which a model takes instructions, if it was tuned for them: completions may use
    /// another one, as `CodeGemma` has both.
    pub fn instruct(traits: &ModelTraits<'_>, vocabulary: &dyn Vocabulary) -> Option<Self> {
        if !traits.has_chat_template {
            return None;
        }
        if vocabulary.control("<|turn>").is_some() {
            return Some(Self::InstructGemma4 {
                thought_block: !traits.has_per_layer_embeddings,
            });
        }
        vocabulary
            .control("<start_of_turn>")
            .map(|_| Self::InstructGemma3)
    }

    /// Whether the model is shown the text after the caret by marks of its own.
    pub fn is_fill_in_the_middle(self) -> bool {
        matches!(self, Self::FimSuffixFirst | Self::FimPrefixFirst)
    }

    /// Its name in messages and test files.
    pub fn name(self) -> &'static str {
        match self {
            Self::FimSuffixFirst => "fim-suffix-first",
            Self::FimPrefixFirst => "fim-prefix-first",
            Self::InstructGemma4 {
                thought_block: true,
            } => "instruct-gemma4",
            Self::InstructGemma4 {
                thought_block: false,
            } => "instruct-gemma4-small",
            Self::InstructGemma3 => "instruct-gemma3",
            Self::Plain => "plain",
        }
    }
}
