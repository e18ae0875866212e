//! Whether an answer is worth showing, and why not: pure rules and one number.
//!
//! Some places get nothing before a model runs ([`gate`]); what a model wrote is judged by how sure it
//! was and by what the text says ([`judge`]). Whoever asks for a completion with a key sees what there is, but
//! never a secret.

mod flow;
mod names;
mod place;
mod secrets;
mod silence;
mod thresholds;

pub(super) use place::gate;
pub(super) use secrets::MASK;
use secrets::around;
pub use secrets::{find as secrets, is_secret_file, mask, mask_part};
pub use silence::Silence;
pub use thresholds::{Eagerness, Thresholds};

use carat_grammars::{Language, Place};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Query;
use super::finish::Suggestion;
use crate::echo::Index;

/// What is completed inside comments or strings, from less to more.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TextPolicy {
    /// Nothing.
    Off,
    /// What reads like prose.
    Prose,
    /// Whatever would be shown in code.
    On,
}

/// What the user wants to see unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    /// How sure an answer must be.
    pub eagerness: Eagerness,
    /// Inside comments and documentation.
    pub comments: TextPolicy,
    /// Inside string literals.
    pub strings: TextPolicy,
    /// Proposals with fewer characters, white space aside, are not worth the look.
    pub shortest: usize,
    /// Show what there is, as where the user asks for it; no setting, for evaluation alone.
    pub everything: bool,
}

impl Manners {
    /// What holds where nothing is set.
    pub const DEFAULT: Self = Self {
        eagerness: Eagerness::Balanced,
        comments: TextPolicy::Prose,
        strings: TextPolicy::On,
        shortest: 1,
        everything: false,
    };
}

impl Default for Manners {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for &Manners {
    fn default() -> Self {
        &Manners::DEFAULT
    }
}

/// What is known of a model before it is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knowledge {
    /// What to call the model in messages.
    pub model: String,
    /// The languages that it was trained on, by their LSP identifiers; `None` if that is not known
    /// and it is taken to know them all.
    pub languages: Option<Vec<String>>,
    /// How sure it must be; nothing for a model whose figures say nothing.
    pub thresholds: Option<Thresholds>,
}

impl Knowledge {
    /// What holds for the user's own lines, whatever the language.
    pub fn of_echo() -> Self {
        let model = "echo".to_owned();
        Self {
            thresholds: Some(Thresholds::of_model(&model)),
            languages: None,
            model,
        }
    }
}

/// Everything that answers for one caret are judged by.
#[derive(Clone, Debug, Default)]
pub struct ShowFilter {
    /// Least probability of what is shown.
    pub threshold: f64,
    /// Where the caret stands.
    pub place: Place,
    /// What the user wants.
    pub manners: Manners,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// The texts of the workspace: names in them exist.
    pub texts: Index,
    /// Passwords and keys around the caret.
    pub secrets: Vec<String>,
}

/// What answers at a place are judged by.
pub(super) fn filter(query: &Query<'_>, knowledge: &Knowledge, place: Place) -> ShowFilter {
    let language = query
        .language
        .map_or(query.language_id, |language| language.id);
    let eagerness = query.manners.eagerness;
    let thresholds = knowledge.thresholds.as_ref();
    ShowFilter {
        threshold: thresholds.map_or(0.0, |thresholds| thresholds.find(language, eagerness)),
        place,
        manners: query.manners.clone(),
        language: query.language,
        texts: query.texts.cloned().unwrap_or_default(),
        secrets: around(query.prefix, query.suffix),
    }
}

/// What of an answer is shown. `typed` is what has been typed of it already.
///
/// Of several lines, those are shown that are sure enough together. As more of an answer is typed, its
/// rest only becomes surer: what is shown once is not taken back while what is typed agrees with it.
///
/// # Errors
///
/// The rule or the number that decides against it.
pub(super) fn judge(
    suggestion: Suggestion,
    (prefix, suffix): (&str, &str),
    filter: &ShowFilter,
    typed: &str,
    explicit: bool,
) -> Result<Suggestion, Silence> {
    let line = prefix.rsplit('\n').next().unwrap_or("");
    if secrets::shows_secret(
        line,
        typed,
        &suggestion.text,
        prefix,
        suffix,
        &filter.secrets,
    ) {
        return Err(Silence::SecretText);
    }
    if explicit || filter.manners.everything {
        return Ok(suggestion);
    }
    let whole = format!("{typed}{}", suggestion.text);
    let signs = whole.chars().filter(|c| !c.is_whitespace()).count();
    let shortest = filter.manners.shortest;
    if signs < shortest {
        return Err(Silence::Short { shortest });
    }
    let prose = match filter.place {
        Place::Comment => filter.manners.comments == TextPolicy::Prose,
        Place::String => filter.manners.strings == TextPolicy::Prose,
        Place::Code => false,
    };
    let product = suggestion.scores.confidence().product;
    let is_sure = |product| filter.manners.eagerness == Eagerness::All || product >= names::SURE;
    if prose && !is_sure(product) && !reads_like_prose(&whole) {
        return Err(Silence::NotProse);
    }
    let probable = sure_lines(&suggestion, filter.threshold).ok_or(Silence::Improbable {
        probability: product,
        threshold: filter.threshold,
    })?;
    if let (Place::Code, Some(language)) = (filter.place, filter.language)
        && !is_sure(probable.scores.confidence().product)
        && let Some(name) = names::unknown(
            line,
            typed,
            &probable.text,
            (prefix, suffix, &filter.texts),
            language,
        )
    {
        return Err(Silence::UnknownName { name });
    }
    Ok(probable)
}

/// What of an answer that may be shown is sure enough where the user has typed against so many others.
///
/// # Errors
///
/// How sure it would have to be.
pub(super) fn again(
    suggestion: Suggestion,
    filter: &ShowFilter,
    contradicted: u32,
) -> Result<Suggestion, Silence> {
    if contradicted == 0 || filter.manners.everything {
        return Ok(suggestion);
    }
    let threshold = flow::raised(filter.threshold, contradicted);
    sure_lines(&suggestion, threshold).ok_or(Silence::Contradicted {
        times: contradicted,
        probability: suggestion.scores.confidence().product,
        threshold,
    })
}

/// The rule that is against an answer, however probable it is.
pub(super) fn rule_against(
    suggestion: &Suggestion,
    around: (&str, &str),
    filter: &ShowFilter,
    typed: &str,
) -> Option<Silence> {
    let filter = ShowFilter {
        threshold: 0.0,
        manners: Manners {
            everything: false,
            ..filter.manners.clone()
        },
        ..filter.clone()
    };
    judge(suggestion.clone(), around, &filter, typed, false).err()
}

/// As many lines from the first on as are sure enough together.
fn sure_lines(suggestion: &Suggestion, threshold: f64) -> Option<Suggestion> {
    if suggestion.scores.confidence().product >= threshold {
        return Some(suggestion.clone());
    }
    let text = suggestion.text.as_str();
    let ends = text.match_indices('\n').map(|(at, _)| at);
    ends.map(|at| at - usize::from(text[..at].ends_with('\r')))
        .filter(|at| !text[..*at].trim().is_empty() && !leaves_closers(suggestion, *at))
        .map(|at| suggestion.first(at))
        .take_while(|first| first.scores.confidence().product >= threshold)
        .last()
}

/// Whether the first `bytes` bytes close what is closed behind the caret, while only a later line has
/// written all of that anew.
fn leaves_closers(suggestion: &Suggestion, bytes: usize) -> bool {
    let mut depth = 0;
    let closes = |c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        depth < 0
    };
    suggestion.replace_suffix_bytes > 0
        && suggestion.rewritten_until > bytes
        && suggestion.text[..bytes].chars().any(closes)
}

/// Whether a text has words, and more letters than anything else.
fn reads_like_prose(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let others = text
        .chars()
        .filter(|c| !c.is_alphabetic() && !c.is_whitespace())
        .count();
    let longest = text.split(|c: char| !c.is_alphabetic()).map(str::len).max();
    letters > 2 * others && longest >= Some(3)
}

#[cfg(test)]
mod tests;
