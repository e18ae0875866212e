//! One turn of a chat with an instruct model, thinking off: the rules, a question, how the answer begins.

use super::template;
use super::writer::Writer;
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
    let turns = template::of(form)?;
    let mut writer = Writer::new(vocabulary);
    turns.open(&mut writer, chat.system);
    writer.push(chat.user.trim());
    turns.answer(&mut writer);
    writer.push(chat.answer);
    writer.flush();
    let mut banned_tokens = template::tokens(vocabulary, turns.banned);
    banned_tokens.extend(template::tokens(vocabulary, turns.repeated));
    Some(Prompt {
        stop_tokens: template::tokens(vocabulary, turns.stops),
        banned_tokens,
        tokens: writer.tokens,
        text: writer.text,
        ..Prompt::default()
    })
}
