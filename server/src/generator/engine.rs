//! The engine as a generator: one model, and a cache for each of the last documents.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::{
    CancelToken, ContinuationSource, GenerateError, GenerationSummary, KvType, LoadOptions, Model,
    Piece, Session, SessionOptions, Slots, TokenId,
};

use super::model::CodeModel;
use super::{Generator, ModelFacts, code_action};
use crate::actions::{Instruct, Turn};
use crate::completion::{self, Generated, Parts, Plan, Query};
use crate::context::{Chosen, Outline};
use crate::echo::Known;
use crate::models::ModelError;
use crate::prompt::Excerpt;

/// Memory for the caches of documents. Users edit one file and look at others; with as many caches as
/// this holds, at least one, they come back to what was read.
const CACHES_BYTES: usize = 1200 << 20;

/// With room for fewer documents than this, their caches are kept in 8 bits.
const CACHES_MIN: usize = 4;

/// Documents for which it is known what the model is told of other files; the one used last stays longest.
const CONTEXTS_MAX: usize = 16;

/// How long other files are read at a time; the rest of them the next time.
const LEARNING: Duration = Duration::from_secs(2);

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
    /// What other files define.
    outline: Outline,
    /// What the model is told of them, by document.
    contexts: Vec<Context>,
    /// Whether the speed of the machine is to change nothing.
    is_steady: bool,
}

/// What the model is told of other files in one document.
struct Context {
    document: String,
    chosen: Chosen,
    /// As prompts take it.
    excerpts: Arc<[Excerpt]>,
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
            outline: Outline::default(),
            contexts: Vec::new(),
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

    fn look_around(
        &mut self,
        document: &str,
        query: &Query<'_>,
        known: Option<Known<'_>>,
        cancel: &CancelToken,
    ) -> bool {
        let at = self
            .contexts
            .iter()
            .position(|one| one.document == document);
        let known_before = at.map(|at| self.contexts.remove(at));
        let Some(known) = known.filter(|_| self.model.is_told_of_others()) else {
            return true;
        };
        let begin = Instant::now();
        let mut is_cancelled = false;
        self.outline.learn(known.index, known.path, &mut || {
            is_cancelled = cancel.is_cancelled();
            if is_cancelled || begin.elapsed() > LEARNING {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let mut context = known_before.unwrap_or_else(|| Context {
            document: document.to_owned(),
            chosen: Chosen::default(),
            excerpts: Arc::default(),
        });
        if !is_cancelled {
            let chosen = self.model.choose_context(query, known, &self.outline);
            if context.chosen.renew(chosen) {
                context.excerpts = context.chosen.excerpts.clone().into();
            }
        }
        self.contexts.truncate(CONTEXTS_MAX - 1);
        self.contexts.insert(0, context);
        !is_cancelled
    }

    fn context(&self, document: &str) -> Arc<[Excerpt]> {
        let mut contexts = self.contexts.iter();
        let found = contexts.find(|one| one.document == document);
        found.map_or_else(Arc::default, |one| Arc::clone(&one.excerpts))
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
    use crate::completion::Part;
    use crate::echo::Index;

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

    #[test]
    fn large_models_are_told_of_other_files_until_the_user_wants_the_file_alone() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let mut index = Index::default();
        index.set(
            "src/store.rs",
            "pub struct Store;\npub fn keep_all(store: &Store) {}\n",
        );
        let known = Known {
            index: &index,
            path: "src/own.rs",
        };
        let query = Query {
            path: "src/own.rs",
            prefix: "fn own(store: &Store) {\n    keep_all(store);\n    ",
            suffix: "\n}\n",
            ..Query::default()
        };
        let told = |generator: &mut EngineGenerator, known, cancel: &CancelToken| {
            let whole = generator.look_around("a", &query, known, cancel);
            let context = generator.context("a");
            let query = Query {
                context: &context,
                ..query
            };
            (whole, generator.plan(&query).prompt.told_of)
        };
        let go_on = CancelToken::new();
        let mut generator = EngineGenerator::load(Some(file), Some(1)).expect("a model");
        generator.model.budget.context_tokens = 200;
        let cancelled = CancelToken::new();
        cancelled.cancel();
        let nothing = Vec::<String>::new();
        let found = told(&mut generator, Some(known), &cancelled);
        assert_eq!(found, (false, nothing.clone()));
        let store = vec!["src/store.rs".to_owned()];
        let found = told(&mut generator, Some(known), &go_on);
        assert_eq!(found, (true, store.clone()));
        let found = told(&mut generator, Some(known), &cancelled);
        assert_eq!(found, (true, store), "nothing is new");
        assert_eq!(told(&mut generator, None, &go_on), (true, nothing.clone()));
        generator.set_parts(Parts::without(&[Part::Context]));
        assert_eq!(told(&mut generator, Some(known), &go_on), (true, nothing));

        let embedded = EngineGenerator::load(None, Some(1)).expect("the embedded model");
        assert!(!embedded.model.is_told_of_others());
    }
}
