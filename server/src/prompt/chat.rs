//! One turn of a chat with an instruct model, thinking off: the rules, a question, how the answer begins.

use carat_engine::TokenId;

use super::layout::{GEMMA4_BANNED, Writer};
use super::{Prompt, PromptForm, Vocabulary};

/// What is said in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chat<'a> {
    /// What the model is and how it answers; the same for many turns, so that it stays in the cache.
    pub system: &'a str,
    /// The question.
    pub user: &'a str,
    /// The beginning of the answer, which the model goes on from; may be empty.
    pub answer: &'a str,
}

/// The prompt of a turn as the chat template of `form` writes it; `None` if the form has no turns.
///
/// Templates trim what is said, so white space around system and user text is left out.
pub fn chat(form: PromptForm, chat: &Chat<'_>, vocabulary: &dyn Vocabulary) -> Option<Prompt> {
    let mut writer = Writer::new(vocabulary);
    let control = |writer: &mut Writer<'_>, name: &str| {
        writer.control(name, vocabulary.control(name));
    };
    let (system, user) = (chat.system.trim(), chat.user.trim());
    writer.control("<bos>", Some(vocabulary.bos()));
    let (stops, banned): (&[&str], &[&str]) = match form {
        PromptForm::InstructGemma4 { thought_block } => {
            for (role, text) in [("system\n", system), ("user\n", user)] {
                // The template writes no system turn where there is nothing to say in it.
                if text.is_empty() && role == "system\n" {
                    continue;
                }
                control(&mut writer, "<|turn>");
                writer.push(role);
                writer.push(text);
                control(&mut writer, "<turn|>");
                writer.push("\n");
            }
            control(&mut writer, "<|turn>");
            writer.push("model\n");
            if thought_block {
                control(&mut writer, "<|channel>");
                writer.push("thought\n");
                control(&mut writer, "<channel|>");
            }
            (&["<turn|>"], GEMMA4_BANNED)
        }
        PromptForm::InstructGemma3 => {
            control(&mut writer, "<start_of_turn>");
            writer.push("user\n");
            writer.push(format!("{system}\n\n{user}").trim());
            control(&mut writer, "<end_of_turn>");
            writer.push("\n");
            control(&mut writer, "<start_of_turn>");
            writer.push("model\n");
            (&["<end_of_turn>"], &["<start_of_turn>"])
        }
        PromptForm::FimSuffixFirst | PromptForm::FimPrefixFirst | PromptForm::Plain => {
            return None;
        }
    };
    writer.push(chat.answer);
    writer.flush();
    let tokens = |names: &[&str]| -> Vec<TokenId> {
        let tokens = names.iter().filter_map(|name| vocabulary.control(name));
        tokens.collect()
    };
    let mut banned_tokens = tokens(banned);
    // The prompt has closed the thought block; some models close it once more.
    banned_tokens.extend(vocabulary.control("<channel|>"));
    Some(Prompt {
        stop_tokens: tokens(stops),
        banned_tokens,
        tokens: writer.tokens,
        text: writer.text,
        ..Prompt::default()
    })
}
