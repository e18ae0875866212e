//! Which layout of a prompt a model was trained for.

use super::Vocabulary;

/// The layouts of prompts that Carat writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// Fill-in-the-middle, suffix first: while the user types, only the typed tokens are new.
    FimSuffixFirst,
    /// Fill-in-the-middle, prefix first: `CodeGemma`, Qwen, `StarCoder2`, `DeepSeek`, Code Llama.
    FimPrefixFirst,
    /// A turn of Gemma 4's chat template, thinking off. The larger models expect an empty thought
    /// block before the answer; E2B and E4B would start to think aloud after one.
    InstructGemma4 {
        /// Whether the empty thought block is there.
        thought_block: bool,
    },
    /// A turn of the chat template of Gemma 1 to 3.
    InstructGemma3,
    /// Fill-in-the-middle, suffix, then prefix, then what fills the gap: Seed-Coder, Mellum.
    FimSuffixThenPrefix,
    /// Fill-in-the-middle as Codestral has it: suffix first, and no mark before what fills the gap.
    FimCodestral,
    /// A turn of `ChatML`: Qwen, `SmolLM` and many others.
    InstructChatMl {
        /// Whether the empty thought block is there, as models that think expect it.
        thought_block: bool,
    },
    /// A turn of Llama 3.
    InstructLlama3,
    /// A turn of Mistral and Codestral.
    InstructMistral,
    /// A turn of Phi 3.
    InstructPhi3,
    /// A turn of Granite 3 and 4.
    InstructGranite,
    /// The text before the caret alone.
    Plain,
}

/// What of a model's metadata tells its form.
#[derive(Clone, Copy, Debug)]
pub struct ModelTraits<'a> {
    /// `general.name` of the file.
    pub name: &'a str,
    /// Whether it was not trained on the fill-in-the-middle tokens of its vocabulary.
    pub has_untrained_fim: bool,
    /// The file's chat template.
    pub chat_template: Option<&'a str>,
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
        if vocabulary.fill_in_the_middle().is_some() && !traits.has_untrained_fim {
            return if name.starts_with(EMBEDDED_NAME) {
                Self::FimSuffixFirst
            } else if vocabulary.control("[SUFFIX]").is_some() {
                Self::FimCodestral
            } else if vocabulary.control("<[fim-suffix]>").is_some() || name.starts_with("mellum") {
                Self::FimSuffixThenPrefix
            } else {
                Self::FimPrefixFirst
            };
        }
        Self::instruct(traits, vocabulary).unwrap_or(Self::Plain)
    }

    /// The form in which a model takes instructions, if it was tuned for them: completions may use
    /// another one, as `CodeGemma` has both.
    pub fn instruct(traits: &ModelTraits<'_>, vocabulary: &dyn Vocabulary) -> Option<Self> {
        // Files of Ollama have no template; there the name is all that tells.
        let template = match traits.chat_template {
            Some(template) => template,
            None if says_instruct(traits.name) => "",
            None => return None,
        };
        let has = |name: &str| vocabulary.control(name).is_some();
        Some(if has("<|turn>") {
            Self::InstructGemma4 {
                thought_block: !traits.has_per_layer_embeddings,
            }
        } else if has("<start_of_turn>") {
            Self::InstructGemma3
        } else if has("<|im_start|>") {
            Self::InstructChatMl {
                thought_block: has("<think>") && template.contains("enable_thinking"),
            }
        } else if has("<|start_header_id|>") {
            Self::InstructLlama3
        } else if has("[INST]") {
            Self::InstructMistral
        } else if has("<|user|>") && has("<|end|>") {
            Self::InstructPhi3
        } else if has("<|start_of_role|>") {
            Self::InstructGranite
        } else {
            return None;
        })
    }

    /// Every form, in no particular order.
    pub const ALL: &[Self] = &[
        Self::FimSuffixFirst,
        Self::FimPrefixFirst,
        Self::FimSuffixThenPrefix,
        Self::FimCodestral,
        Self::InstructGemma4 {
            thought_block: true,
        },
        Self::InstructGemma4 {
            thought_block: false,
        },
        Self::InstructGemma3,
        Self::InstructChatMl {
            thought_block: true,
        },
        Self::InstructChatMl {
            thought_block: false,
        },
        Self::InstructLlama3,
        Self::InstructMistral,
        Self::InstructPhi3,
        Self::InstructGranite,
        Self::Plain,
    ];

    /// Whether the model is shown the text after the caret by marks of its own.
    pub fn is_fill_in_the_middle(self) -> bool {
        matches!(
            self,
            Self::FimSuffixFirst
                | Self::FimPrefixFirst
                | Self::FimSuffixThenPrefix
                | Self::FimCodestral
        )
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
            Self::FimSuffixThenPrefix => "fim-suffix-then-prefix",
            Self::FimCodestral => "fim-codestral",
            Self::InstructChatMl {
                thought_block: true,
            } => "instruct-chatml-thinking",
            Self::InstructChatMl {
                thought_block: false,
            } => "instruct-chatml",
            Self::InstructLlama3 => "instruct-llama3",
            Self::InstructMistral => "instruct-mistral",
            Self::InstructPhi3 => "instruct-phi3",
            Self::InstructGranite => "instruct-granite",
            Self::Plain => "plain",
        }
    }
}

/// Whether a model's name has the word with which tuned models are told from their base.
fn says_instruct(name: &str) -> bool {
    name.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| matches!(word, "it" | "instruct" | "chat"))
}
