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
use crate::prompt::{Excerpt, PromptBudget};

/// Memory for the caches of documents. Users edit one file and look at others; with as many caches as
/// this holds, at least one, they come back to what was read.
const CACHES_BYTES: usize = 1200 << 20;

/// With room for fewer documents than this, their caches are kept in 8 bits.
const CACHES_MIN: usize = 4;

/// Documents whose prompts are known; the one used last stays longest.
const DOCUMENTS_MAX: usize = 16;

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
    /// What their prompts are like, the one used last first.
    documents: Vec<Document>,
    /// Whether the speed of the machine is to change nothing.
    is_steady: bool,
}

/// What the prompts of one document are like: as long as it stays the same, they share what was read.
struct Document {
    name: String,
    budget: PromptBudget,
    /// Whether the budget is one for another speed than that at which the document was read.
    is_to_resize: bool,
    /// What the model is told of other files.
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
            documents: Vec::new(),
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

    /// What the prompts of a document are like, from now on at the latest.
    fn document(&mut self, name: &str) -> &mut Document {
        let known = self.documents.iter().position(|one| one.name == name);
        let document = match known {
            Some(at) => self.documents.remove(at),
            None => Document {
                name: name.to_owned(),
                budget: self.model.budget,
                is_to_resize: false,
                chosen: Chosen::default(),
                excerpts: Arc::default(),
            },
        };
        self.documents.truncate(DOCUMENTS_MAX - 1);
        self.documents.insert(0, document);
        &mut self.documents[0]
    }

    fn known(&self, document: &str) -> Option<&Document> {
        self.documents.iter().find(|one| one.name == document)
    }

    /// So many tokens were `read` of a prompt of so many, at this speed, which says how long prompts may
    /// be. One of another size is read anew: so a document keeps its size, unless most of it was just
    /// read. Whether it is to get another one.
    fn measured(&mut self, document: &str, read: f64, of: usize, speed: Option<f64>) -> bool {
        let Some(speed) = speed.filter(|_| !self.is_steady && 2.0 * read >= of as f64) else {
            return self.known(document).is_some_and(|one| one.is_to_resize);
        };
        let before = self.document(document).budget;
        self.model.adapt_budget(speed);
        let is_to_resize = before != self.model.budget;
        self.document(document).is_to_resize = is_to_resize;
        is_to_resize
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

    fn plan(&self, document: &str, query: &Query<'_>) -> Plan {
        let known = self.known(document);
        let budget = known.map_or(self.model.budget, |known| known.budget);
        self.model.plan_within(query, &budget)
    }

    fn look_around(
        &mut self,
        document: &str,
        query: &Query<'_>,
        known: Option<Known<'_>>,
        cancel: &CancelToken,
    ) -> bool {
        let tells = self.model.is_told_of_others();
        let Some(known) = known.filter(|_| tells) else {
            let document = self.document(document);
            document.chosen = Chosen::default();
            document.excerpts = Arc::default();
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
        if is_cancelled {
            return false;
        }
        let budget = self.document(document).budget;
        let chosen = self
            .model
            .choose_context(query, known, &self.outline, &budget);
        let document = self.document(document);
        if document.chosen.renew(chosen) {
            document.excerpts = document.chosen.excerpts.clone().into();
        }
        true
    }

    fn context(&self, document: &str) -> Arc<[Excerpt]> {
        let known = self.known(document);
        known.map_or_else(Arc::default, |one| Arc::clone(&one.excerpts))
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
        let (read, speed) = (
            session.prompt_tokens_evaluated() - before,
            session.prefill_speed(),
        );
        let of = plan.prompt.tokens.len();
        tracing::debug!(
            tokens = read,
            of,
            model = self.model.name,
            "read for an answer"
        );
        self.ranking = ranking;
        self.measured(document, read, of, speed);
        result
    }

    fn is_to_read(&self, document: &str) -> bool {
        self.known(document).is_some_and(|one| one.is_to_resize)
    }

    fn read(
        &mut self,
        document: &str,
        prompt: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<bool, GenerateError> {
        let session = self.sessions.session(document, prompt)?;
        let before = session.prompt_tokens_evaluated();
        let whole = session.prefill(prompt, cancel)?.is_whole();
        let (read, speed) = (
            session.prompt_tokens_evaluated() - before,
            session.prefill_speed(),
        );
        let of = prompt.len();
        tracing::debug!(tokens = read, of, model = self.model.name, "read ahead");
        if self.measured(document, read, of, speed) {
            // Nobody waits for an answer now.
            let budget = self.model.budget;
            let document = self.document(document);
            (document.budget, document.is_to_resize) = (budget, false);
        }
        Ok(whole)
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
            (whole, generator.plan("a", &query).prompt.told_of)
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

    #[test]
    fn a_document_keeps_the_size_of_its_prompts_unless_most_of_one_was_just_read() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let mut generator = EngineGenerator::load(Some(file), Some(1)).expect("a model");
        let first = generator.document("a").budget;
        let fast = Some(1e6);
        assert!(!generator.measured("a", 40.0, 100, fast), "a key");
        assert!(!generator.measured("a", 100.0, 100, None), "no speed yet");
        assert_eq!(generator.model.budget, first);
        assert!(generator.measured("a", 100.0, 100, fast));
        assert!(generator.is_to_read("a"));
        assert_eq!(generator.document("a").budget, first, "somebody waits");
        assert!(generator.measured("a", 1.0, 100, fast), "it is still to be");
        let go_on = CancelToken::new();
        let whole = generator.read("a", &[2, 300, 301], &go_on);
        assert!(whole.expect("room"));
        let large = generator.document("a").budget;
        assert!(large != first && large == generator.model.budget);
        assert!(!generator.is_to_read("a"));
        // Another document is read while the machine is busy.
        assert!(generator.measured("b", 100.0, 100, Some(1.0)));
        assert!(generator.model.budget != large);
        assert_eq!(generator.document("a").budget, large);
        assert!(!generator.is_to_read("a"));
        generator.be_steady();
        assert!(!generator.measured("c", 100.0, 100, fast));
    }
}
