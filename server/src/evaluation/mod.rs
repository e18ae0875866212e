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
pub use report::{Group, Report, Shares};
pub use score::{Score, is_trivial};

use std::time::{Duration, Instant};

use carat_engine::GenerateError;

use crate::generator::CodeModel;

/// What was proposed for a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The ghost text; empty where nothing would be shown.
    pub text: String,
    /// From the query to the text, with an empty cache.
    pub latency: Duration,
}

/// Asks the model to fill the hole of a case, as if the user's caret stood in it.
pub fn answer(model: &CodeModel, case: &Case) -> Result<Answer, GenerateError> {
    let begin = Instant::now();
    let caret = case.caret();
    let around = caret.around();
    let completion = model.complete(&model.plan(&caret.query(&around)), None)?;
    Ok(Answer {
        text: completion
            .suggestion
            .map_or_else(String::new, |suggestion| suggestion.text),
        latency: begin.elapsed(),
    })
}

#[cfg(test)]
mod tests;
