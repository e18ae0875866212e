//! What there is to do and what comes of it, in the words that the session and the engine threads share.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use carat_engine::{CancelToken, StopReason};

use crate::actions::{Fault, Outcome, Refusal, Request, Run};
use crate::completion::{Caret, Plan, Suggestion};
use crate::echo::Index;
use crate::generator::ModelFacts;

/// Names a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenerationKey(pub u64);

/// Names an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey(pub u64);

/// Who proposes text: a model, by what it is there for, or the user's own lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// For logs and records.
    pub name: &'static str,
    number: u8,
}

impl Source {
    /// The model that answers at every key.
    pub const MODEL: Self = Self {
        name: "model",
        number: 0,
    };

    /// Another model, which is asked when the caret rests.
    pub const REST: Self = Self {
        name: "rest",
        number: 1,
    };

    /// A model that runs code actions and nothing else.
    pub const ACTIONS: Self = Self {
        name: "actions",
        number: 2,
    };

    /// Whole lines of the user's own; answers at once, in every language.
    pub const ECHO: Self = Self {
        name: "echo",
        number: 3,
    };

    /// A model that answers at every key in some languages, by its number.
    pub fn of_languages(number: u8) -> Self {
        Self {
            name: "model",
            number: Self::ECHO.number.saturating_add(1).saturating_add(number),
        }
    }
}

/// A completion to generate.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub key: GenerationKey,
    /// Who is asked.
    pub source: Source,
    /// Asked because the caret rests: another source answers at every key.
    pub at_rest: bool,
    /// The document, whose caches are used.
    pub uri: Arc<str>,
    /// Where.
    pub caret: Caret,
    /// The user's other texts.
    pub texts: Index,
    /// What they call the document.
    pub remembered_as: Arc<str>,
    /// Set when nobody wants it any more.
    pub cancel: CancelToken,
}

/// A code action to run.
pub struct ActionJob {
    /// Its name.
    pub key: ActionKey,
    /// Whose model runs it.
    pub source: Source,
    /// What to do.
    pub request: Request,
    /// Set by the user; it does not tell an interruption from an end by itself.
    pub cancel: CancelToken,
    /// What it has so far, once it has begun.
    pub(crate) run: Option<Box<Run>>,
}

impl ActionJob {
    /// An action that has not begun.
    pub fn new(key: ActionKey, source: Source, request: Request, cancel: CancelToken) -> Self {
        Self {
            key,
            source,
            request,
            cancel,
            run: None,
        }
    }
}

impl std::fmt::Debug for ActionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionJob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A prompt to evaluate while nothing else is to be done, so that a completion there finds it in the cache.
#[derive(Clone, Debug)]
pub struct WarmJob {
    /// Whose model reads.
    pub source: Source,
    /// The document, whose cache it fills; a newer job for it replaces an older one.
    pub uri: Arc<str>,
    /// Where a completion is expected.
    pub caret: Caret,
    /// The caret is not known: only what is needed wherever it is is evaluated.
    pub is_guess: bool,
    /// Prompts there may be longer than they are, for which everything is read anew.
    pub is_longer: bool,
    /// The user's other texts, if the model may be told of them.
    pub texts: Option<Index>,
    /// What they call the document.
    pub remembered_as: Arc<str>,
}

/// How far an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The model reads.
    Reading,
    /// The model has written this many pieces.
    Writing(usize),
    /// A completion goes first.
    Paused,
}

/// How an action ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEnd {
    /// With an outcome; a change comes with the replacements that make it, in bytes of the text asked about.
    Outcome(Outcome, Vec<(Range<usize>, String)>),
    /// Before it began.
    Refused(Refusal),
    /// With an answer that cannot be used, twice.
    Unusable(Fault),
    /// The user took it back.
    Cancelled,
    /// The engine could not run it.
    Failed(String),
}

/// What an engine tells the session.
#[derive(Clone, Debug)]
pub enum Report {
    /// A source answers from now on; a model says which it is.
    Ready(Source, Option<ModelFacts>),
    /// A source cannot answer, for this reason.
    Failed(Source, String),
    /// The model of a source has given back its memory; it is loaded again when it is wanted.
    Unloaded(Source),
    /// The engine of a source computes, or rests again.
    Busy(Source, bool),
    /// A source has written so many tokens in this time.
    Wrote(Source, usize, Duration),
    /// A generation has begun.
    Planned(GenerationKey, Arc<Plan>),
    /// A generation has written more; with what could be shown of all that it wrote so far.
    Produced(GenerationKey, String, Option<Proposal>),
    /// A generation that the user asked for has other answers, the better first.
    Others(GenerationKey, Vec<Proposal>),
    /// A generation has ended, with what is to be shown of it; without a reason if it failed.
    Ended(GenerationKey, Option<StopReason>, Option<Proposal>),
    /// The prompts of a document may be longer, and are to be read anew when the user pauses; with the
    /// byte offset of the caret there.
    ToRead(Arc<str>, usize),
    /// An action gets ahead.
    Acting(ActionKey, Stage),
    /// An action has ended.
    Acted(ActionKey, ActionEnd),
}

/// Text that a source proposes at the caret of its job, before it is judged.
pub type Proposal = Suggestion;

/// Where reports go.
pub type Reporter = Arc<dyn Fn(Report) + Send + Sync>;
