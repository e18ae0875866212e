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
mod of_echo;
mod overlap;
mod parts;
mod rank;
mod run;
mod scores;
mod show;
mod stop;

pub use brackets::place;
pub use caret::{Around, Caret};
pub use finish::{FinishOptions, Suggestion, end_in_order, finish};
pub use generate::generate;
pub use mode::{Mode, mode};
pub(crate) use of_echo::lines;
pub use of_echo::{OfEcho, of_echo};
pub use parts::{Part, Parts};
pub(crate) use rank::RANKING_TOKENS;
pub use run::{Completion, Generated, Progress, run};
pub use scores::{Confidence, Scores};
pub use show::{
    Eagerness, Knowledge, Manners, ShowFilter, Silence, TextPolicy, Thresholds, is_secret_file,
    mask, mask_part, secrets,
};
pub use stop::StopWhileDecoding;

use carat_engine::{ContinuationSource, GenerationRequest, Mixing};
use carat_grammars::{Language, Place};

use crate::echo::Index;
use crate::prompt::{self, Excerpt, Prompt, PromptBudget, PromptForm, PromptInput, Vocabulary};

/// A caret at which something is to be proposed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// The file's path as the model may see it: relative to the workspace, or the name alone.
    pub path: &'a str,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// The identifier of the language as the client sends it; may be one that Carat does not know.
    pub language_id: &'a str,
    /// All text before the caret.
    pub prefix: &'a str,
    /// All text after the caret.
    pub suffix: &'a str,
    /// Bytes of the document, where `prefix` and `suffix` are windows of it.
    pub document_bytes: usize,
    /// Whether the user asked for it; what comes unasked is kept shorter.
    pub explicit: bool,
    /// Upper bound of generated tokens; `None` leaves it to the mode.
    pub max_tokens: Option<usize>,
    /// What the user wants to see.
    pub manners: &'a Manners,
    /// The texts of the workspace, where they are known.
    pub texts: Option<&'a Index>,
    /// What the model is told of other files.
    pub context: &'a [Excerpt],
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
    /// Lines that are looked for beside a block, for a user who asked; fewer than 2 are none.
    pub alternatives: usize,
    /// How its answer is read.
    pub finish: FinishOptions,
    /// The text before the caret that the answer is compared with.
    pub prefix: String,
    /// The text after the caret that the answer is compared with.
    pub suffix: String,
    /// What decides whether the answer is shown.
    pub filter: ShowFilter,
    /// Whether the user asked for it.
    pub explicit: bool,
    /// Why the model is not asked at all; the prompt is empty then.
    pub silence: Option<Silence>,
}

/// Decides prompt, limits and the reading of the answer for one caret, or that the model is not asked.
pub fn plan(
    query: &Query<'_>,
    form: PromptForm,
    budget: &PromptBudget,
    parts: &Parts,
    vocabulary: &dyn Vocabulary,
    knowledge: &Knowledge,
) -> Plan {
    let (place, silence) = match show::gate(query, knowledge) {
        Ok(place) => (place, None),
        Err(silence) => (Place::default(), Some(silence)),
    };
    let mut filter = show::filter(query, knowledge, place);
    if !parts.has(Part::Filter) {
        filter.threshold = 0.0;
    }
    if silence.is_some() {
        return Plan {
            prompt: Prompt::default(),
            request: GenerationRequest::default(),
            finish: FinishOptions::default(),
            prefix: String::new(),
            suffix: String::new(),
            beam: 1,
            alternatives: 0,
            filter,
            explicit: query.explicit,
            silence,
        };
    }
    let healed = if parts.has(Part::Healing) {
        prompt::healed_bytes(query.prefix, vocabulary.words_take_spaces())
    } else {
        0
    };
    let (shown, healed) = query.prefix.split_at(query.prefix.len() - healed);
    let input = PromptInput {
        path: query.path,
        language: query.language,
        prefix: shown,
        suffix: query.suffix,
        context: if parts.has(Part::Context) {
            query.context
        } else {
            &[]
        },
    };
    let mut prompt = prompt::build(&input, form, budget, vocabulary);
    prompt.forced_text += healed;
    let mode = mode(query.prefix, query.suffix, query.explicit, query.language);
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
        alternatives: 0,
        finish,
        prefix: query.prefix.to_owned(),
        suffix: query.suffix.to_owned(),
        filter,
        explicit: query.explicit,
        silence: None,
    }
}

impl Plan {
    /// What to show of an answer: the only way from an answer to a screen. `suggestion` is what is
    /// left of it behind the caret, `typed` what has been typed of it since; `explicit` says whether
    /// the user asked.
    ///
    /// # Errors
    ///
    /// Why nothing is shown.
    pub fn show(
        &self,
        suggestion: Option<Suggestion>,
        typed: &str,
        explicit: bool,
    ) -> Result<Suggestion, Silence> {
        if let Some(silence) = &self.silence {
            return Err(silence.clone());
        }
        let suggestion = suggestion.ok_or(Silence::Nothing)?;
        let around = (self.prefix.as_str(), self.suffix.as_str());
        let shown = show::judge(suggestion, around, &self.filter, typed, explicit)?;
        Ok(shown.closed_below(around, typed.is_empty()))
    }

    /// What of a suggestion that may be shown is sure enough in a line in which the user has typed
    /// against so many others; `typed` tells whether anything of it has been typed.
    ///
    /// # Errors
    ///
    /// Why nothing is shown.
    pub fn show_again(
        &self,
        suggestion: Suggestion,
        typed: bool,
        contradicted: u32,
    ) -> Result<Suggestion, Silence> {
        let around = (self.prefix.as_str(), self.suffix.as_str());
        let shown = show::again(suggestion, &self.filter, contradicted)?;
        Ok(shown.closed_below(around, !typed))
    }

    /// The rule that is against a suggestion, however probable it is.
    pub fn rule_against(&self, suggestion: &Suggestion, typed: &str) -> Option<Silence> {
        let around = (self.prefix.as_str(), self.suffix.as_str());
        show::rule_against(suggestion, around, &self.filter, typed)
    }

    /// No answer that is less probable will be shown to anybody.
    fn least_shown(&self) -> f64 {
        if self.explicit || self.filter.manners.everything {
            0.0
        } else {
            self.filter.threshold
        }
    }

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
