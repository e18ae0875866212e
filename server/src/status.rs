//! What the server is doing, for status bars.

use std::time::Duration;

use crate::completion::Silence;
use crate::generator::ModelFacts;
use crate::settings::Pause;

/// Fewer tokens tell more about the clock than about the engine.
const TOKENS_MIN: usize = 4;

/// What the engine can do at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The model is being loaded.
    #[default]
    Loading,
    /// It waits for work.
    Ready,
    /// It computes.
    Busy,
    /// It cannot work.
    Error,
}

/// What one of the models is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// What it is for: `typing`, `rest`, `actions`, languages.
    pub roles: Vec<String>,
    /// What it is doing.
    pub state: ModelState,
}

/// What a model can be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is being loaded.
    Loading,
    /// It waits for work.
    Ready,
    /// It computes.
    Busy,
    /// It has given back its memory until it is wanted.
    Unloaded,
    /// It is asked only by hand: the machine runs on its battery.
    OnBattery,
    /// It cannot be used.
    Error,
}

impl ModelState {
    /// Its name for clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Unloaded => "unloaded",
            Self::OnBattery => "onBattery",
            Self::Error => "error",
        }
    }
}

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What the engine can do.
    pub state: State,
    /// Whether the user has paused completion, and until when.
    pub pause: Pause,
    /// The model's name, once it is loaded.
    pub model: Option<String>,
    /// All models, the one that answers at every key first.
    pub models: Vec<ModelStatus>,
    /// Whether that model takes instructions, or only completes.
    pub takes_instructions: Option<bool>,
    /// Tokens written in a second, in the last completion of some length.
    pub tokens_per_second: Option<f64>,
    /// What is wrong, and what to do.
    pub message: Option<String>,
    /// What is remembered of the workspace.
    pub remembered: Option<Remembered>,
    /// Why there is nothing anywhere in the document that was asked about last.
    pub quiet: Option<Silence>,
}

/// What is remembered of a workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Files.
    pub files: usize,
    /// Memory that they take.
    pub bytes: usize,
    /// Files that have no room.
    pub no_room: usize,
    /// Whether it is still being read.
    pub is_reading: bool,
}

impl Status {
    /// The state's name for clients.
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Error => "error",
            State::Loading => "loading",
            _ if self.pause != Pause::No => "paused",
            State::Ready => "ready",
            State::Busy => "busy",
        }
    }

    /// The model is loaded.
    pub fn ready(&mut self, model: &ModelFacts) {
        self.state = State::Ready;
        self.model = Some(model.name.clone());
        self.message = None;
    }

    /// The model cannot be used.
    pub fn failed(&mut self, message: String) {
        self.state = State::Error;
        self.message = Some(message);
    }

    /// A model begins to compute, or all wait again. One for rests does so as well while the one that
    /// answers at every key is not there, which remains to be said.
    pub fn busy(&mut self, is_busy: bool) {
        if matches!(self.state, State::Ready | State::Busy) {
            self.state = if is_busy { State::Busy } else { State::Ready };
        }
    }

    /// So many tokens were written in this time.
    pub fn wrote(&mut self, tokens: usize, time: Duration) {
        if tokens >= TOKENS_MIN && !time.is_zero() {
            let rate = tokens as f64 / time.as_secs_f64();
            self.tokens_per_second = Some((rate * 10.0).round() / 10.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_what_happens() {
        let mut status = Status::default();
        assert_eq!(status.name(), "loading");
        let model = ModelFacts {
            name: "m".to_owned(),
            tier: "small",
            takes_instructions: false,
        };
        status.ready(&model);
        assert_eq!(status.name(), "ready");
        status.busy(true);
        assert_eq!(status.name(), "busy");
        status.pause = Pause::UntilResumed;
        assert_eq!(status.name(), "paused");
        status.wrote(1, Duration::from_millis(1));
        assert_eq!(status.tokens_per_second, None, "too few to tell");
        status.wrote(10, Duration::from_millis(100));
        assert_eq!(status.tokens_per_second, Some(100.0));
        status.failed("no file".to_owned());
        assert_eq!(status.name(), "error");
        status.busy(true);
        status.busy(false);
        assert_eq!(status.name(), "error", "another model computes");
    }
}
