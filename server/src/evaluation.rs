//! Completion quality on infill cases: known code is taken out of a file, and what Carat proposes in
//! its place is compared with it.
//!
//! The cases go the same way as a user's caret ([`crate::completion`]), so the figures are those of
//! the tool, filters included, and not of the bare model.

mod cases;
mod interval;
mod projects;
mod report;
mod score;

pub use cases::{Case, CaseError, Kind, read_folder};
pub use interval::Interval;
pub use projects::{Hidden, Placed, Projects, SourceFile};
pub use report::{Filtered, Group, Report, Several, Shares};
pub use score::{Score, is_trivial};

use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::GenerateError;

use crate::completion::{self, Confidence, Knowledge, Manners, Part, Query, Silence};
use crate::echo::{Index, Known, SegmentBuilder};
use crate::generator::CodeModel;

/// What was proposed for a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model proposes, before it is decided whether to show it; empty where it has nothing.
    pub text: String,
    /// What would be shown while typing: `text`, its first lines, or why nothing.
    pub shown: Result<String, Silence>,
    /// How sure the model was of `text`.
    pub confidence: Option<Confidence>,
    /// Natural logarithms of the probabilities of what it wrote, by piece.
    pub log_probs: Vec<f64>,
    /// What else there is for a user who asked.
    pub others: Vec<String>,
    /// From the query to the text, with an empty cache.
    pub latency: Duration,
    /// What the user's own lines alone would show while typing; empty where that is nothing, or no part.
    pub echo: String,
}

/// Asks the model to fill the hole of a case, as if the user's caret stood in it; `asked` as if they had
/// asked with a key.
pub fn answer(
    model: &CodeModel,
    placed: &Placed,
    manners: &Manners,
    asked: bool,
) -> Result<Answer, GenerateError> {
    let case = &placed.case;
    let index = index_of(&placed.others);
    let begin = Instant::now();
    let caret = case.caret();
    let around = caret.around();
    let query = Query {
        manners: &Manners {
            everything: true,
            ..manners.clone()
        },
        texts: Some(&index),
        explicit: asked,
        ..caret.query(&around)
    };
    let known = Known {
        index: &index,
        path: &placed.path,
    };
    let context = model.context_at(&query, known).excerpts;
    let query = Query {
        context: &context,
        ..query
    };
    let completion = model.complete(&model.plan(&query), known)?;
    let latency = begin.elapsed();
    let proposed = completion.suggestion;
    let others = completion.others.into_iter().map(|other| other.text);
    let unasked = Query {
        manners,
        explicit: false,
        ..query
    };
    let mut echo = String::new();
    if model.parts.has(Part::Echo) && model.parts.has(Part::Lines) {
        let of_echo = completion::of_echo(&unasked, known, &Knowledge::of_echo());
        let shown = of_echo.plan.show(of_echo.suggestion, "", false);
        echo = shown.map_or_else(|_| String::new(), |suggestion| suggestion.text);
    }
    let unasked = model.plan(&unasked);
    Ok(Answer {
        echo,
        text: proposed
            .as_ref()
            .map_or_else(String::new, |proposed| proposed.text.clone()),
        confidence: proposed
            .as_ref()
            .map(|proposed| proposed.scores.confidence()),
        shown: unasked
            .show(proposed, "", false)
            .map(|suggestion| suggestion.text),
        others: others.collect(),
        log_probs: completion.scores.log_probs().collect(),
        latency,
    })
}

/// Knows the other files of a project as if they had been read from disk.
pub fn index_of(files: &[Arc<SourceFile>]) -> Index {
    let mut index = Index::default();
    let mut builder = SegmentBuilder::default();
    for file in files {
        if !builder.push(&file.path, 0, &file.text) {
            index.adopt(std::mem::take(&mut builder).build());
            builder.push(&file.path, 0, &file.text);
        }
    }
    index.adopt(builder.build());
    index
}

#[cfg(test)]
mod tests;
