//! The turns of a chat as models were trained on them: one row for every template.

use carat_engine::TokenId;

use super::writer::Writer;
use super::{PromptForm, Vocabulary};

/// A fixed piece of a template.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// A control token by its text.
    Control(&'static str),
    Text(&'static str),
}

use Piece::{Control, Text};

/// What stands around a text that somebody says.
#[derive(Debug)]
struct Turn {
    before: &'static [Piece],
    after: &'static [Piece],
}

/// A chat template, thinking off. What is said is trimmed, as templates do.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    /// The turn of the rules; without one they open the user's turn.
    system: Option<Turn>,
    user: Turn,
    /// What stands before the answer.
    model: &'static [Piece],
    /// Control tokens that end the answer.
    pub(super) stops: &'static [&'static str],
    /// Control tokens that have no place in an answer.
    pub(super) banned: &'static [&'static str],
    /// Control tokens that models write although the prompt has already: they are banned in answers
    /// that are no code.
    pub(super) repeated: &'static [&'static str],
}

/// Gemma 4; `$model` is what opens the answer.
macro_rules! gemma4 {
    ($model:expr) => {
        ChatTemplate {
            system: Some(Turn {
                before: &[Control("<|turn>"), Text("system\n")],
                after: &[Control("<turn|>"), Text("\n")],
            }),
            user: Turn {
                before: &[Control("<|turn>"), Text("user\n")],
                after: &[Control("<turn|>"), Text("\n")],
            },
            model: $model,
            stops: &["<turn|>"],
            banned: &[
                "<|tool>",
                "<tool|>",
                "<|tool_call>",
                "<tool_call|>",
                "<|tool_response>",
                "<tool_response|>",
                "<|\"|>",
                "<|think|>",
                "<|channel>",
                "<|turn>",
            ],
            // The prompt has closed the thought block; some models close it once more.
            repeated: &["<channel|>"],
        }
    };
}

const GEMMA4: ChatTemplate = gemma4!(&[
    Control("<|turn>"),
    Text("model\n"),
    Control("<|channel>"),
    Text("thought\n"),
    Control("<channel|>"),
]);

const GEMMA4_SMALL: ChatTemplate = gemma4!(&[Control("<|turn>"), Text("model\n")]);

const GEMMA3: ChatTemplate = ChatTemplate {
    system: None,
    user: Turn {
        before: &[Control("<start_of_turn>"), Text("user\n")],
        after: &[Control("<end_of_turn>"), Text("\n")],
    },
    model: &[Control("<start_of_turn>"), Text("model\n")],
    stops: &["<end_of_turn>"],
    banned: &["<start_of_turn>"],
    repeated: &[],
};

/// `ChatML`; `$model` is what opens the answer.
macro_rules! chat_ml {
    ($model:expr) => {
        ChatTemplate {
            system: Some(Turn {
                before: &[Control("<|im_start|>"), Text("system\n")],
                after: &[Control("<|im_end|>"), Text("\n")],
            }),
            user: Turn {
                before: &[Control("<|im_start|>"), Text("user\n")],
                after: &[Control("<|im_end|>"), Text("\n")],
            },
            model: $model,
            stops: &["<|im_end|>", "<|endoftext|>"],
            banned: &["<|im_start|>", "<tool_call>", "<think>"],
            repeated: &["</think>"],
        }
    };
}

const CHAT_ML: ChatTemplate = chat_ml!(&[Control("<|im_start|>"), Text("assistant\n")]);

const CHAT_ML_THINKING: ChatTemplate = chat_ml!(&[
    Control("<|im_start|>"),
    Text("assistant\n"),
    Control("<think>"),
    Text("\n\n"),
    Control("</think>"),
    Text("\n\n"),
]);

/// A role of Llama 3.
macro_rules! llama3 {
    ($role:literal) => {
        &[
            Control("<|start_header_id|>"),
            Text($role),
            Control("<|end_header_id|>"),
            Text("\n\n"),
        ]
    };
}

const LLAMA3: ChatTemplate = ChatTemplate {
    system: Some(Turn {
        before: llama3!("system"),
        after: &[Control("<|eot_id|>")],
    }),
    user: Turn {
        before: llama3!("user"),
        after: &[Control("<|eot_id|>")],
    },
    model: llama3!("assistant"),
    stops: &["<|eot_id|>", "<|end_of_text|>"],
    banned: &["<|start_header_id|>", "<|python_tag|>"],
    repeated: &[],
};

const MISTRAL: ChatTemplate = ChatTemplate {
    system: None,
    user: Turn {
        before: &[Control("[INST]"), Text(" ")],
        after: &[Control("[/INST]")],
    },
    model: &[],
    stops: &["</s>"],
    banned: &["[INST]", "[TOOL_CALLS]"],
    repeated: &["[/INST]"],
};

const PHI3: ChatTemplate = ChatTemplate {
    system: Some(Turn {
        before: &[Control("<|system|>"), Text("\n")],
        after: &[Control("<|end|>"), Text("\n")],
    }),
    user: Turn {
        before: &[Control("<|user|>"), Text("\n")],
        after: &[Control("<|end|>"), Text("\n")],
    },
    model: &[Control("<|assistant|>"), Text("\n")],
    stops: &["<|end|>", "<|endoftext|>"],
    banned: &["<|user|>", "<|system|>", "<|assistant|>"],
    repeated: &[],
};

/// A role of Granite.
macro_rules! granite {
    ($role:literal) => {
        &[
            Control("<|start_of_role|>"),
            Text($role),
            Control("<|end_of_role|>"),
        ]
    };
}

const GRANITE: ChatTemplate = ChatTemplate {
    system: Some(Turn {
        before: granite!("system"),
        after: &[Control("<|end_of_text|>"), Text("\n")],
    }),
    user: Turn {
        before: granite!("user"),
        after: &[Control("<|end_of_text|>"), Text("\n")],
    },
    model: granite!("assistant"),
    stops: &["<|end_of_text|>"],
    banned: &["<|start_of_role|>", "<|tool_call|>", "<tool_call>"],
    repeated: &["<|end_of_role|>"],
};

/// The template of a form that has turns.
pub(super) fn of(form: PromptForm) -> Option<&'static ChatTemplate> {
    match form {
        PromptForm::InstructGemma4 {
            thought_block: true,
        } => Some(&GEMMA4),
        PromptForm::InstructGemma4 {
            thought_block: false,
        } => Some(&GEMMA4_SMALL),
        PromptForm::InstructGemma3 => Some(&GEMMA3),
        PromptForm::InstructChatMl {
            thought_block: true,
        } => Some(&CHAT_ML_THINKING),
        PromptForm::InstructChatMl {
            thought_block: false,
        } => Some(&CHAT_ML),
        PromptForm::InstructLlama3 => Some(&LLAMA3),
        PromptForm::InstructMistral => Some(&MISTRAL),
        PromptForm::InstructPhi3 => Some(&PHI3),
        PromptForm::InstructGranite => Some(&GRANITE),
        PromptForm::FimSuffixFirst
        | PromptForm::FimPrefixFirst
        | PromptForm::FimSuffixThenPrefix
        | PromptForm::FimCodestral
        | PromptForm::Plain => None,
    }
}

impl ChatTemplate {
    /// From the beginning of the text to where the user speaks. A template writes no turn in which
    /// there is nothing to say.
    pub(super) fn open(&self, writer: &mut Writer<'_>, system: &str) {
        let system = system.trim();
        writer.bos();
        if let Some(turn) = self.system.as_ref().filter(|_| !system.is_empty()) {
            write(writer, turn.before);
            writer.push(system);
            write(writer, turn.after);
        }
        write(writer, self.user.before);
        if self.system.is_none() && !system.is_empty() {
            writer.push(system);
            writer.push("\n\n");
        }
    }

    /// From the end of what the user says to where the answer begins.
    pub(super) fn answer(&self, writer: &mut Writer<'_>) {
        write(writer, self.user.after);
        write(writer, self.model);
    }
}

fn write(writer: &mut Writer<'_>, pieces: &[Piece]) {
    for piece in pieces {
        match piece {
            Control(spelling) => writer.control(spelling),
            Text(text) => writer.push(text),
        }
    }
}

/// Those of the control tokens that the vocabulary has.
pub(super) fn tokens(vocabulary: &dyn Vocabulary, names: &[&str]) -> Vec<TokenId> {
    let tokens = names.iter().filter_map(|name| vocabulary.control(name));
    tokens.collect()
}
