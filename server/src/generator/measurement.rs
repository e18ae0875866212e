//! What is not measured yet of this processor, for one model.

use std::time::Instant;

use carat_engine::{Step, Tuner};

use super::model::CodeModel;
use crate::tuning::Kept;

/// The measurement of a processor with a model.
pub(super) struct Measurement {
    /// Where what was measured is kept, until nothing is left to measure.
    kept: Option<Kept>,
    /// What measures, from its first step on.
    tuner: Option<Tuner>,
}

impl Measurement {
    /// As the user's environment says.
    pub(super) fn of_user() -> Self {
        Self {
            kept: Some(Kept::of_user()),
            tuner: None,
        }
    }

    /// Measures for some milliseconds, and keeps what came of it at the end.
    pub(super) fn step(&mut self, model: &CodeModel) -> Step {
        // Whatever happens in it, it does not happen twice.
        let Some(kept) = self.kept.take() else {
            return Step::Done;
        };
        let begun = self.tuner.take();
        let Some(mut tuner) = begun.or_else(|| kept.tuner(&model.model)) else {
            return Step::Done;
        };
        let begin = Instant::now();
        let step = tuner.step(&mut || begin.elapsed());
        if step != Step::Done {
            (self.kept, self.tuner) = (Some(kept), Some(tuner));
        } else if !tuner.choices().is_empty() {
            tracing::info!(
                choices = tuner.choices().len(),
                spent_ms = tuner.spent().as_millis() as u64,
                model = model.name,
                "the processor was measured"
            );
            if let Err(error) = kept.store(tuner.choices()) {
                tracing::debug!(%error, "choices of kernels are not kept");
            }
        }
        step
    }
}
