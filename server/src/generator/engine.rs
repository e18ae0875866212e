//! The engine as a generator: one model, and a cache for each of the last documents.

use std::ops::ControlFlow;

use carat_engine::{
    CancelToken, ContinuationSource, GenerateError, GenerationSummary, KvType, LoadOptions, Model,
    Piece, Session, SessionOptions, Slots, TokenId,
};

use super::model::CodeModel;
use super::{Generator, ModelFacts, code_action};
use crate::actions::{Instruct, Turn};
use crate::completion::{self, Generated, Parts, Plan, Query};
use crate::echo::Known;
use crate::models::ModelError;

/// Memory for the caches of documents. Users edit one file and look at others; with as many caches as
/// this holds, at least one, they come back to what was read.
const CACHES_BYTES: usize = 1200 << 20;

/// With room for fewer documents than this, their caches are kept in 8 bits.
const CACHES_MIN: usize = 4;

/// How the caches of documents are kept. A large model reads in short chunks anyway.
fn session_options(model: &Model) -> SessionOptions {
    let usual = SessionOptions::default();
    if CACHES_BYTES / Session::cache_bytes(model, &usual).max(1) >= CACHES_MIN {
        return usual;
    }
    SessionOptions {
        kv: KvType::Q8_0,
        chunk_tokens: 128,
        ..usual
    }
}

/// A model that runs in this process.
pub struct EngineGenerator {
    model: CodeModel,
    /// Of documents, by their names.
    sessions: Slots,
    /// For the choice between several lines; made when there is one.
    ranking: Option<Session>,
    /// Of code actions; the last one's prompt stays for the next, until they have rested for a while.
    actions: Option<Session>,
    /// Whether the speed of the machine is to change nothing.
    is_steady: bool,
}

impl EngineGenerator {
    /// Loads the model of that name or path; `None` is the embedded one, and as many threads as there are cores.
    pub fn load(model: Option<&str>, threads: Option<usize>) -> Result<Self, ModelError> {
        let model = CodeModel::load(model, &LoadOptions { threads })?;
        let options = session_options(&model.model);
        let sessions = Slots::new(model.model.clone(), options, CACHES_BYTES);
        Ok(Self {
            model,
            sessions,
            ranking: None,
            actions: None,
            is_steady: false,
        })
    }

    /// Lets these parts of completion take part.
    pub fn set_parts(&mut self, parts: Parts) {
        self.model.parts = parts;
    }

    /// Answers the same on a busy machine as on an idle one, to the last bit.
    pub fn be_steady(&mut self) {
        let options = SessionOptions {
            layer_time: None,
            ..session_options(&self.model.model)
        };
        self.sessions = Slots::new(self.model.model.clone(), options, CACHES_BYTES);
        self.is_steady = true;
    }
}

impl Generator for EngineGenerator {
    fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.model.name.clone(),
            tier: self.model.tier.as_str(),
            takes_instructions: self.model.instruct().is_some(),
        }
    }

    fn plan(&self, query: &Query<'_>) -> Plan {
        self.model.plan(query)
    }

    fn generate(
        &mut self,
        document: &str,
        plan: &Plan,
        known: Known<'_>,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let mut echo = self.model.echo(known, plan);
        let source = echo
            .as_mut()
            .map(|echo| echo as &mut dyn ContinuationSource);
        let mut ranking = match self.ranking.take() {
            None => self.model.ranking_session(plan)?,
            ranking => ranking,
        };
        let echoes = self.model.line_echoes(known, plan);
        let session = self.sessions.session(document, &plan.prompt.tokens)?;
        let before = session.prompt_tokens_evaluated();
        let result = completion::generate(
            plan,
            session,
            ranking.as_mut(),
            &echoes,
            source,
            cancel,
            on_piece,
        );
        tracing::debug!(
            tokens = session.prompt_tokens_evaluated() - before,
            of = plan.prompt.tokens.len(),
            model = self.model.name,
            "read for an answer"
        );
        self.ranking = ranking;
        result
    }

    fn read(
        &mut self,
        document: &str,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<bool, GenerateError> {
        let session = self.sessions.session(document, prompt)?;
        let before = session.prompt_tokens_evaluated();
        let read = session.prefill(prompt, cancel)?;
        tracing::debug!(
            tokens = session.prompt_tokens_evaluated() - before,
            of = prompt.len(),
            model = self.model.name,
            "read ahead"
        );
        // A prompt of another size is read anew: not while somebody waits for an answer.
        if let Some(speed) = session.prefill_speed().filter(|_| !self.is_steady) {
            self.model.adapt_budget(speed);
        }
        Ok(read.is_whole())
    }

    fn instruct(&self) -> Option<Instruct<'_>> {
        self.model.instruct()
    }

    fn act(
        &mut self,
        turn: &Turn<'_>,
        cancel: &CancelToken,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GenerationSummary, GenerateError> {
        let session = match &mut self.actions {
            Some(session) => session,
            none => none.insert(
                self.model
                    .model
                    .new_session(&code_action::session_options())?,
            ),
        };
        code_action::go_on(session, turn, cancel, on_text)
    }

    fn release_actions(&mut self) {
        self.actions = None;
    }

    fn discard_sessions(&mut self) {
        self.sessions.clear();
        self.ranking = None;
        self.actions = None;
    }
}

#[cfg(test)]
mod tests {
    use carat_engine::GenerationRequest;

    use super::*;

    #[test]
    fn the_session_of_actions_is_released_and_made_again() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let mut generator = EngineGenerator::load(Some(file), Some(1)).expect("a model");
        let request = GenerationRequest {
            max_tokens: 4,
            ignore_stop_tokens: true,
            ..GenerationRequest::default()
        };
        let turn = Turn {
            prompt: &[2, 300, 301],
            written: &[],
            request: &request,
            attempt: 0,
        };
        let act = |generator: &mut EngineGenerator| {
            let mut on_text = |_: &str| ControlFlow::Continue(());
            let summary = generator.act(&turn, &CancelToken::new(), &mut on_text);
            summary.expect("an answer").tokens
        };
        let first = act(&mut generator);
        assert!(generator.actions.is_some(), "kept for the next action");
        generator.release_actions();
        assert!(generator.actions.is_none());
        assert_eq!(act(&mut generator), first);
    }
}
