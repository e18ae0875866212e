//! The path from a caret to ghost text: plan the generation, run it, make its answer presentable.
//!
//! [`plan`] and [`finish`] are pure; [`run`] puts an engine between them. The language server, the
//! command line and evaluations go this way from a [`Caret`], so that what the one shows is what the
//! other shows.

mod brackets;
mod caret;
mod finish;
mod generate;
mod mode;
mod overlap;
mod parts;
mod rank;
mod run;
mod stop;

pub use caret::{Around, Caret};
pub use finish::{FinishOptions, Suggestion, finish};
pub use generate::generate;
pub use mode::{Mode, mode};
pub use parts::{Part, Parts};
pub(crate) use rank::RANKING_TOKENS;
pub use run::{Completion, Confidence, Progress, run};
pub use stop::StopWhileDecoding;

use carat_engine::{ContinuationSource, GenerationRequest, Mixing};
use carat_grammars::Language;

use crate::prompt::{self, Prompt, PromptBudget, PromptForm, PromptInput, Vocabulary};

/// A caret at which something is to be proposed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// The file's path as the model may see it: relative to the workspace, or the name alone.
    pub path: &'a str,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// All text before the caret.
    pub prefix: &'a str,
    /// All text after the caret.
    pub suffix: &'a str,
    /// Whether the user asked for it; what comes unasked is kept shorter.
    pub explicit: bool,
    /// Upper bound of generated tokens; `None` leaves it to the mode.
    pub max_tokens: Option<usize>,
}

/// Everything that is decided before the engine runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the engine evaluates.
    pub prompt: Prompt,
    /// How it generates.
    pub request: GenerationRequest,
    /// Lines that are looked for at once; 1 writes one answer, token by token.
    pub beam: usize,
    /// How its answer is read.
    pub finish: FinishOptions,
    /// The text before the caret that the answer is compared with.
    pub prefix: String,
    /// The text after the caret that the answer is compared with.
    pub suffix: String,
}

/// Decides prompt, limits and the reading of the answer for one caret.
pub fn plan(
    query: &Query<'_>,
    form: PromptForm,
    budget: &PromptBudget,
    parts: &Parts,
    vocabulary: &dyn Vocabulary,
) -> Plan {
    let healed = if parts.has(Part::Healing) {
        prompt::healed_bytes(query.prefix)
    } else {
        0
    };
    let (shown, healed) = query.prefix.split_at(query.prefix.len() - healed);
    let input = PromptInput {
        path: query.path,
        language: query.language,
        prefix: shown,
        suffix: query.suffix,
    };
    let mut prompt = prompt::build(&input, form, budget, vocabulary);
    prompt.forced_text += healed;
    let mode = mode(query.prefix, query.suffix, query.explicit);
    let request = GenerationRequest {
        max_tokens: query.max_tokens.unwrap_or(mode.tokens_max()),
        stop_tokens: prompt.stop_tokens.clone(),
        stop_strings: prompt.stop_strings.clone(),
        banned_tokens: prompt.banned_tokens.clone(),
        begins_with: prompt.forced_text.clone(),
        single_line: mode == Mode::SingleLine,
        ..GenerationRequest::default()
    };
    let finish = FinishOptions {
        mode,
        language: query.language,
        fenced: prompt.fenced,
        ended: true,
    };
    Plan {
        prompt,
        request,
        beam: 1,
        finish,
        prefix: query.prefix.to_owned(),
        suffix: query.suffix.to_owned(),
    }
}

impl Plan {
    /// Lets a source take part in the answer.
    pub fn mixing<'a, 's: 'a>(
        &'a self,
        source: Option<&'a mut (dyn ContinuationSource + 's)>,
    ) -> Option<Mixing<'a>> {
        let before = self.prefix.as_bytes();
        source.map(|source| Mixing { source, before })
    }

    /// Says while the answer streams when nothing that can be shown will follow.
    pub fn stop_while_decoding(&self) -> StopWhileDecoding<'_> {
        StopWhileDecoding::new(&self.prefix, &self.suffix, &self.finish)
    }
}

#[cfg(test)]
mod tests;
