//! What the last completion was asked, shown and answered, for users who want to see it.

use std::time::{Duration, Instant};

use super::query::{Answer, Query};
use crate::completion::Silence;
use crate::documents::Snapshot;
use crate::generator::ModelFacts;

/// One completion request, its prompt and its outcome.
#[derive(Clone, Debug)]
pub struct Record {
    /// The document as it was when the request arrived.
    pub snapshot: Snapshot,
    /// Byte offset of the caret in it.
    pub caret: usize,
    /// What the model was shown; empty if it was shown nothing.
    pub prompt: String,
    /// The other files that it was told of.
    pub context: Vec<String>,
    /// Who proposed what the client was answered.
    pub source: Option<&'static str>,
    /// How much the user's own texts weighed in it, 0 to 1.
    pub echo: f64,
    /// What the client was answered; empty if nothing.
    pub completion: String,
    /// Why the client was answered nothing; nothing if it was answered text.
    pub silence: Option<Silence>,
    /// How probable what was shown is by the model's own account.
    pub probability: Option<f64>,
    /// From the request's arrival to its answer.
    pub took: Duration,
    /// The model, if there is one.
    pub model: Option<ModelFacts>,
    arrived: Instant,
}

impl Record {
    pub(super) fn new(query: &Query, now: Instant) -> Self {
        Self {
            snapshot: query.snapshot.clone(),
            caret: query.caret,
            prompt: String::new(),
            context: Vec::new(),
            source: None,
            echo: 0.0,
            completion: String::new(),
            silence: None,
            probability: None,
            took: Duration::ZERO,
            model: None,
            arrived: now,
        }
    }

    pub(super) fn close(&mut self, answer: &Answer, silence: Option<Silence>, now: Instant) {
        self.silence = silence;
        self.took = now.duration_since(self.arrived);
        if let Answer::Shown(shown) = answer {
            self.completion.clone_from(&shown.text);
        }
    }
}
