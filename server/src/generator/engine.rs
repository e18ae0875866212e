//! The engine as a generator: one model, and a cache for each of the last documents.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carat_engine::{
    CancelToken, ContinuationSource, GenerateError, GenerationSummary, LoadOptions, Piece, Session,
    Slots, Step, TokenId,
};

use super::caches::{Caches, Memory};
use super::measurement::Measurement;
use super::model::CodeModel;
use super::{Generator, ModelFacts, Tier, code_action, pages};
use crate::actions::{Instruct, Turn};
use crate::completion::{self, Generated, Parts, Plan, Query};
use crate::context::{Chosen, Outline};
use crate::echo::Known;
use crate::machine;
use crate::models::{ModelError, ModelSource};
use crate::prompt::{Excerpt, PromptBudget};
use crate::settings::KvCache;

/// Documents whose prompts are known; the one used last stays longest.
const DOCUMENTS_MAX: usize = 16;
/// Multiplications of a weight that a thread does in a second while it reads, before that was measured:
/// what processors of these years with AVX2 or more reach.
const USUAL_MULTIPLICATIONS: f64 = 8e10;

/// How long other files are read at a time; the rest of them the next time.
const LEARNING: Duration = Duration::from_secs(2);

/// A model that runs in this process.
pub struct EngineGenerator {
    model: CodeModel,
    caches: Caches,
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
    /// How fast it reads, in tokens per second, as measured last.
    speed: Option<f64>,
    /// Whether the speed of the machine is to change nothing.
    is_steady: bool,
    measurement: Measurement,
}

/// What the prompts of one document are like: as long as it stays the same, they share what was read.
struct Document {
    name: String,
    budget: PromptBudget,
    /// Whether prompts are short, and begin where it suits the caret once the user has come.
    begins_anywhere: bool,
    /// Whether the model reads fast enough for longer prompts.
    may_be_longer: bool,
    /// What the model is told of other files.
    chosen: Chosen,
    /// As prompts take it.
    excerpts: Arc<[Excerpt]>,
}

impl EngineGenerator {
    /// Loads the model of that name or path; `None` is the embedded one, and as many threads as there are cores.
    pub fn load(
        model: Option<&str>,
        threads: Option<usize>,
        kv_cache: KvCache,
    ) -> Result<Self, ModelError> {
        let source = ModelSource::find(model)?;
        let memory = Memory {
            available: machine::available_memory_bytes(),
            weights: source.size_bytes().unwrap_or(0),
        };
        if let Ok(path) = source.path() {
            pages::read_ahead(path, memory.weights, memory.available);
        }
        let mut model = CodeModel::load(model, &LoadOptions { threads })?;
        let caches = Caches::new(&model.model, model.tier, kv_cache, memory);
        model.prompts_within(caches.options.context_tokens);
        let sessions = caches.slots(&model.model);
        tracing::debug!(
            model = model.name,
            kv = caches.options.kv.name(),
            documents = sessions.most(),
            "caches"
        );
        Ok(Self {
            model,
            caches,
            sessions,
            ranking: None,
            actions: None,
            outline: Outline::default(),
            documents: Vec::new(),
            speed: None,
            is_steady: false,
            measurement: Measurement::of_user(),
        })
    }

    /// Lets these parts of completion take part.
    pub fn set_parts(&mut self, parts: Parts) {
        self.model.parts = parts;
    }

    /// Answers the same on a busy machine as on an idle one, to the last bit.
    pub fn be_steady(&mut self) {
        self.caches.options.layer_time = None;
        self.sessions = self.caches.slots(&self.model.model);
        self.is_steady = true;
    }

    /// What the prompts of a document are like, from now on at the latest.
    fn document(&mut self, name: &str) -> &mut Document {
        let known = self.documents.iter().position(|one| one.name == name);
        let document = if let Some(at) = known {
            self.documents.remove(at)
        } else {
            let budget = self.first_budget();
            Document {
                name: name.to_owned(),
                budget,
                begins_anywhere: budget != self.model.budget,
                may_be_longer: false,
                chosen: Chosen::default(),
                excerpts: Arc::default(),
            }
        };
        self.documents.truncate(DOCUMENTS_MAX - 1);
        self.documents.insert(0, document);
        &mut self.documents[0]
    }

    fn known(&self, document: &str) -> Option<&Document> {
        self.documents.iter().find(|one| one.name == document)
    }

    /// The size of a document's first prompt.
    fn first_budget(&self) -> PromptBudget {
        if self.is_steady || self.model.tier == Tier::Small {
            return self.model.budget;
        }
        let info = self.model.model.info();
        let weights = info.active_parameters.max(1) as f64;
        let usual = info.threads.max(1) as f64 * USUAL_MULTIPLICATIONS / weights;
        let fixed = self
            .model
            .plan_within(&Query::default(), &self.model.budget);
        let fixed = fixed.prompt.tokens.len();
        self.model.budget.first(self.speed.unwrap_or(usual), fixed)
    }

    /// So many tokens were `read` of a prompt of so many, at this speed, which says how long prompts may
    /// be. One of another size is read anew: so a document keeps its size until the user pauses. What is
    /// too long was read all the same.
    fn measured(&mut self, document: &str, read: f64, of: usize, speed: Option<f64>) {
        let Some(speed) = speed.filter(|_| !self.is_steady && 2.0 * read >= of as f64) else {
            return;
        };
        let before = self.document(document).budget;
        self.speed = Some(speed);
        self.model.adapt_budget(speed);
        let may_be_longer = self.model.budget.exceeds(&before);
        self.document(document).may_be_longer = may_be_longer;
    }
}

/// The name of a document's prompts that are longer and not read yet. No URI has such a character.
fn longer(document: &str) -> String {
    format!("{document}\0")
}

impl Generator for EngineGenerator {
    fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.model.name.clone(),
            tier: self.model.tier.as_str(),
            takes_instructions: self.model.instruct().is_some(),
        }
    }

    fn file_has_changed(&self) -> bool {
        self.model.model.file_has_changed()
    }

    fn plan(&self, document: &str, query: &Query<'_>) -> Plan {
        let known = self.known(document);
        let budget = known.map_or_else(|| self.first_budget(), |known| known.budget);
        self.model.plan_within(query, &budget)
    }

    fn arrive(&mut self, document: &str, prefix: &str) {
        let known = self.document(document);
        if !std::mem::take(&mut known.begins_anywhere) {
            return;
        }
        let budget = known.budget;
        let budget = budget.beginning_before(prefix, self.model.model.tokenizer());
        self.document(document).budget = budget;
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
        self.known(document).is_some_and(|one| one.may_be_longer)
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
        self.measured(document, read, of, speed);
        Ok(whole)
    }

    fn begin_longer(&mut self, document: &str) -> Option<String> {
        if !self.is_to_read(document) {
            return None;
        }
        let name = if self.sessions.most() > 1 {
            longer(document)
        } else {
            document.to_owned()
        };
        let budget = self.model.budget;
        let prompts = self.document(&name);
        prompts.budget = budget;
        prompts.begins_anywhere = false;
        Some(name)
    }

    fn end_longer(&mut self, document: &str, is_read: bool) {
        let name = longer(document);
        let prompts = self.documents.extract_if(.., |one| one.name == name).next();
        if let Some(prompts) = prompts.filter(|_| is_read) {
            self.sessions.rename(&name, document);
            *self.document(document) = Document {
                name: document.to_owned(),
                ..prompts
            };
        } else {
            self.sessions.remove(&name);
        }
        self.document(document).may_be_longer = false;
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

    fn tune(&mut self) -> Step {
        self.measurement.step(&self.model)
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
        let mut generator =
            EngineGenerator::load(Some(file), Some(1), KvCache::Auto).expect("a model");
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
        let mut generator =
            EngineGenerator::load(Some(file), Some(1), KvCache::Auto).expect("a model");
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

        let embedded =
            EngineGenerator::load(None, Some(1), KvCache::Auto).expect("the embedded model");
        assert!(!embedded.model.is_told_of_others());
    }

    #[test]
    fn a_document_keeps_the_size_of_its_prompts_unless_most_of_one_was_just_read() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let mut generator =
            EngineGenerator::load(Some(file), Some(1), KvCache::Auto).expect("a model");
        let usual = generator.model.budget;
        let first = generator.document("a").budget;
        let fast = Some(1e6);
        generator.measured("a", 40.0, 100, fast);
        generator.measured("a", 100.0, 100, None);
        assert_eq!(generator.model.budget, usual, "a key, and no speed");
        generator.measured("a", 100.0, 100, fast);
        generator.measured("a", 1.0, 100, fast);
        assert!(generator.is_to_read("a"));
        let large = generator.model.budget;
        assert!(large.exceeds(&first));
        let longer = generator.begin_longer("a").expect("a longer one");
        assert_eq!(
            generator.document("a").budget,
            first,
            "it goes on answering"
        );
        assert_eq!(generator.document(&longer).budget, large);
        generator.end_longer("a", false);
        assert_eq!(generator.document("a").budget, first, "not worth it");
        assert_eq!(generator.begin_longer("a"), None);
        generator.measured("a", 100.0, 100, fast);
        let longer = generator.begin_longer("a").expect("a longer one");
        let go_on = CancelToken::new();
        let prompt: Vec<TokenId> = (2..90).collect();
        for document in ["a", &longer] {
            assert!(generator.read(document, &prompt, &go_on).expect("room"));
        }
        generator.end_longer("a", true);
        assert_eq!(generator.document("a").budget, large);
        assert!(generator.known(&longer).is_none());
        assert!(!generator.is_to_read("a"));
        let session = generator.sessions.session("a", &[]).expect("room");
        assert_eq!(
            session.shared_prefix(&prompt),
            prompt.len(),
            "nothing is read again"
        );
        // What is whole from the first begins where it always does, whatever the speed is by then.
        let early = generator.document("early").budget;
        generator.model.budget.prefix_tokens += 1;
        let prefix = "let the_next_line = of(code);\n".repeat(400);
        generator.arrive("early", &prefix);
        assert_eq!(generator.document("early").budget, early);
        generator.model.budget = large;
        // What is not begins at the caret that comes first.
        generator.speed = Some(1.0);
        let slow = generator.document("slow").budget;
        assert!(large.exceeds(&slow));
        generator.arrive("slow", &prefix);
        let begun = generator.document("slow").budget;
        assert!((1..prefix.len()).contains(&begun.prefix_origin));
        generator.arrive("slow", &prefix[..1000]);
        assert_eq!(generator.document("slow").budget, begun);
        generator.speed = None;
        // Another document is read while the machine is busy.
        generator.measured("b", 100.0, 100, Some(1.0));
        assert!(large.exceeds(&generator.model.budget));
        assert_eq!(generator.document("a").budget, large);
        generator.measured("a", 100.0, 100, Some(1.0));
        assert!(!generator.is_to_read("a"), "it was read all the same");
        generator.be_steady();
        generator.measured("b", 100.0, 100, fast);
        assert!(!generator.is_to_read("b"));
    }

    #[test]
    fn of_documents_in_turns_no_prompt_is_read_twice() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let mut generator =
            EngineGenerator::load(Some(file), Some(1), KvCache::Q8_0).expect("a model");
        assert!(generator.sessions.most() > 1);
        let go_on = CancelToken::new();
        let mut prompts = [("a", vec![2u32, 300]), ("b", vec![2u32, 301])];
        for (_, prompt) in &mut prompts {
            prompt.extend((0..60).map(|n| 302 + n % 40));
        }
        let evaluated = |generator: &mut EngineGenerator| {
            let documents = ["a", "b"].map(|document| {
                let session = generator.sessions.session(document, &[]).expect("room");
                session.prompt_tokens_evaluated()
            });
            documents.iter().sum::<f64>()
        };
        let turns = 5;
        for _ in 0..turns {
            for (document, prompt) in &mut prompts {
                // A key.
                prompt.push(310);
                let whole = generator.read(document, prompt, &go_on);
                assert!(whole.expect("room"));
            }
        }
        let read = evaluated(&mut generator);
        generator.discard_sessions();
        for (document, prompt) in &prompts {
            let whole = generator.read(document, prompt, &go_on);
            assert!(whole.expect("room"));
        }
        let once = evaluated(&mut generator);
        assert!((read - once).abs() < 1e-6, "{read} tokens, {once} at once");
        assert!(generator.sessions.bytes() <= generator.caches.bytes);
    }
}
