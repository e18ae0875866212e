//! The one seam between the server and what writes text: the engine, or a script in tests.

use std::ops::ControlFlow;
use std::sync::Arc;

use carat_engine::{CancelToken, GenerateError, GenerationSummary, Piece, Step, TokenId};

use crate::actions::{Instruct, Turn};
use crate::completion::{Generated, Plan, Query};
use crate::echo::Known;
use crate::prompt::Excerpt;
use crate::settings::KvCache;

mod caches;
pub(crate) mod code_action;
mod engine;
mod measurement;
mod model;
mod pages;
#[cfg(feature = "testing")]
pub mod scripted;

pub use engine::EngineGenerator;
pub use model::{CodeModel, Tier};

/// The generator for a model by name or path; `None` is the embedded one, and as many threads as there are cores.
pub fn load(
    model: Option<&str>,
    threads: Option<usize>,
    kv_cache: KvCache,
) -> anyhow::Result<Box<dyn Generator>> {
    #[cfg(feature = "testing")]
    if let Some(scripted) = scripted::Scripted::from_environment(model) {
        return Ok(Box::new(scripted?));
    }
    Ok(Box::new(EngineGenerator::load(model, threads, kv_cache)?))
}

/// Which model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// Its name in the catalogue, or its file.
    pub name: String,
    /// The tier that it serves.
    pub tier: &'static str,
    /// Whether it takes instructions, or only completes.
    pub takes_instructions: bool,
}

/// Something that continues a text. Lives on the engine thread.
pub trait Generator: Send {
    /// Which model this is.
    fn facts(&self) -> ModelFacts;

    /// Whether the file of the model was written to, or cut off, since it was loaded.
    fn file_has_changed(&self) -> bool {
        false
    }

    /// Prompt and limits for a caret of `document`.
    fn plan(&self, document: &str, query: &Query<'_>) -> Plan;

    /// The user is in `document`, with a caret behind that text.
    fn arrive(&mut self, _document: &str, _prefix: &str) {}

    /// Looks at the user's other texts for what the model is to be told at a caret of `document`; false if
    /// it was cancelled before the end. Without texts it is told nothing. It stays what it is until
    /// then: [`Self::context`] gives it.
    fn look_around(
        &mut self,
        _document: &str,
        _query: &Query<'_>,
        _known: Option<Known<'_>>,
        _cancel: &CancelToken,
    ) -> bool {
        true
    }

    /// What the model is told of other files in `document`.
    fn context(&self, _document: &str) -> Arc<[Excerpt]> {
        Arc::default()
    }

    /// Runs a plan; `document` names the text, so that documents do not evict each other's caches.
    /// What is `known` of the user's texts is mixed in.
    fn generate(
        &mut self,
        document: &str,
        plan: &Plan,
        known: Known<'_>,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError>;

    /// Reads the tokens of a prompt, so that a plan for it can be run at once; false if it was cancelled
    /// before the end. What was read is kept.
    fn read(
        &mut self,
        document: &str,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<bool, GenerateError>;

    /// Whether the prompts of `document` may be longer than they are, by the speed that was measured.
    fn is_to_read(&self, _document: &str) -> bool {
        false
    }

    /// The name under which a longer prompt of `document` is read, while the one that was read goes on
    /// answering; nothing where there is to be none.
    fn begin_longer(&mut self, _document: &str) -> Option<String> {
        None
    }

    /// That one is read, and is the document's from now on; or it is given up, as it is hardly longer.
    fn end_longer(&mut self, _document: &str, _is_read: bool) {}

    /// How the model is told what to do; `None` if it only completes.
    fn instruct(&self) -> Option<Instruct<'_>>;

    /// Goes on with a code action, in a session that completions leave alone. Of an answer that is
    /// cut off by `cancel`, the summary has the tokens whose text is whole, so that it can go on.
    fn act(
        &mut self,
        turn: &Turn<'_>,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError>;

    /// Gives back the memory of code actions; the next one takes it again.
    fn release_actions(&mut self);

    /// Measures for some milliseconds how the model computes fastest on this machine, which changes nothing
    /// that it writes.
    fn tune(&mut self) -> Step {
        Step::Done
    }

    /// Forgets all caches: after a panic nobody knows what they hold.
    fn discard_sessions(&mut self);
}
