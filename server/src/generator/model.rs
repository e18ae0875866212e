//! A loaded model together with how it is prompted: what completion and code actions need of it.

use std::ops::ControlFlow;

use carat_engine::{
    CancelToken, ContinuationSource, GenerateError, LoadOptions, Model, Session, SessionOptions,
};

use crate::actions::Instruct;
use crate::completion::{
    self, Completion, Knowledge, Part, Parts, Plan, Progress, Query, RANKING_TOKENS, Thresholds,
};
use crate::context::{self, Chosen, Outline, Spot};
use crate::echo::{Echo, EchoWeights, Here, Known, LineEcho};
use crate::models::{ModelError, ModelSource, instruct_form};
use crate::prompt::{PromptBudget, PromptForm, Vocabulary};
use crate::tuning::Kept;

/// How much a model costs, which decides when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The embedded model: fast enough for every keystroke.
    Small,
    /// A model from a file.
    Large,
}

impl Tier {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

/// Tokens that a ranking session reads at once: it needs little memory, and is made quickly.
const RANKING_CHUNK_TOKENS: usize = 128;

/// Whole lines of the user's own that a model's lines are compared with; each is read once.
const ECHOES_MAX: usize = 3;

/// Less likely ones are not.
const ECHO_PROBABILITY_MIN: f32 = 0.03;

/// Lines that a small model looks for at once. Five find no more that is right, and cost a third more.
const BEAM: usize = 3;

/// A loaded model together with how it is prompted.
#[derive(Clone)]
pub struct CodeModel {
    /// The weights and the tokenizer.
    pub model: Model,
    /// Its name in messages.
    pub name: String,
    /// When it is asked.
    pub tier: Tier,
    /// The layout of its prompts.
    pub form: PromptForm,
    /// The size of its prompts.
    pub budget: PromptBudget,
    /// Positions that a prompt and its answer may have.
    positions: usize,
    /// Lines that it looks for at once, where one is wanted; 1 for models that are too slow for more.
    pub beam: usize,
    /// What takes part in its completions.
    pub parts: Parts,
    /// What it knows, and how sure it must be.
    pub knowledge: Knowledge,
    /// How much the echo of the user's files counts beside it.
    pub echo_weights: EchoWeights,
}

impl CodeModel {
    /// Loads the model that `name` means; nothing means the embedded one.
    pub fn load(name: Option<&str>, options: &LoadOptions) -> Result<Self, ModelError> {
        let source = ModelSource::find(name)?;
        let model = source.load(options)?;
        Kept::of_user().apply(&model);
        let form = source.prompt_form(&model);
        let tier = if source == ModelSource::Embedded {
            Tier::Small
        } else {
            Tier::Large
        };
        // An edition of the embedded model may come from a file as well.
        let usual = match form {
            PromptForm::FimSuffixFirst => PromptBudget::default().for_embedded(),
            _ => PromptBudget::default(),
        };
        let budget = match tier {
            Tier::Small => usual,
            Tier::Large => usual.for_large(),
        };
        let positions = model.info().context_length;
        let budget = budget.within(positions);
        let name = source.name();
        let knowledge = Knowledge {
            languages: source.languages(&model),
            thresholds: Some(Thresholds::of_model(&name)),
            model: if source == ModelSource::Embedded {
                "the embedded model".to_owned()
            } else {
                format!("the model `{name}`")
            },
        };
        let echo_weights = EchoWeights::of_model(&name);
        Ok(Self {
            model,
            name,
            tier,
            form,
            budget,
            positions,
            beam: match tier {
                Tier::Small => BEAM,
                Tier::Large => 1,
            },
            parts: Parts::default(),
            knowledge,
            echo_weights,
        })
    }

    /// How it is told what to do, if it was tuned for that.
    pub fn instruct(&self) -> Option<Instruct<'_>> {
        Some(Instruct {
            form: instruct_form(&self.model)?,
            vocabulary: self.model.tokenizer(),
            context_tokens: super::code_action::session_options()
                .context_tokens
                .min(self.model.info().context_length),
        })
    }

    /// Prompt, limits and the reading of the answer for a caret.
    pub fn plan(&self, query: &Query<'_>) -> Plan {
        self.plan_within(query, &self.budget)
    }

    /// The same with a prompt of another size.
    pub fn plan_within(&self, query: &Query<'_>, budget: &PromptBudget) -> Plan {
        let plan = completion::plan(
            query,
            self.form,
            budget,
            &self.parts,
            self.model.tokenizer(),
            &self.knowledge,
        );
        let searched = plan.request.single_line && self.parts.has(Part::Beam);
        let asked = query.explicit && !plan.request.single_line && self.parts.has(Part::Beam);
        Plan {
            beam: if searched { self.beam } else { 1 },
            alternatives: if asked { self.beam } else { 0 },
            ..plan
        }
    }

    /// What it is to be told of other files at a caret, out of what is known of them; nothing for a
    /// model that gains nothing by it.
    pub fn choose_context(
        &self,
        query: &Query<'_>,
        known: Known<'_>,
        outline: &Outline,
        budget: &PromptBudget,
    ) -> Chosen {
        if !self.is_told_of_others() {
            return Chosen::default();
        }
        let spot = Spot {
            prefix: query.prefix,
            suffix: query.suffix,
            language: query.language,
        };
        let vocabulary: &dyn Vocabulary = self.model.tokenizer();
        let count = |text: &str| vocabulary.encode(text).len();
        context::choose(&spot, known, outline, budget.context_tokens, &count)
    }

    /// Whether it is told of other files at all.
    pub fn is_told_of_others(&self) -> bool {
        self.budget.context_tokens > 0 && self.parts.has(Part::Context)
    }

    /// What it is to be told at a caret that stands alone, as by an editor that has been open for a while.
    pub fn context_at(&self, query: &Query<'_>, known: Known<'_>) -> Chosen {
        let mut outline = Outline::default();
        if self.is_told_of_others() {
            outline.learn(known.index, known.path, &mut || ControlFlow::Continue(()));
        }
        self.choose_context(query, known, &outline, &self.budget)
    }

    /// A session for the choice between the lines of a plan, if there is more than one.
    pub fn ranking_session(&self, plan: &Plan) -> Result<Option<Session>, GenerateError> {
        let options = SessionOptions {
            context_tokens: RANKING_TOKENS,
            chunk_tokens: RANKING_CHUNK_TOKENS,
            layer_time: None,
            ..SessionOptions::default()
        };
        let session = (plan.beam > 1).then(|| self.model.new_session(&options));
        session.transpose()
    }

    /// What the user's texts say at the plan's caret, if that takes part.
    pub fn echo<'a>(&self, known: Known<'a>, plan: &'a Plan) -> Option<Echo<'a>> {
        let here = Here {
            path: known.path,
            prefix: &plan.prefix,
            suffix: &plan.suffix,
        };
        let takes_part = self.parts.has(Part::Echo);
        takes_part.then(|| Echo::new(known.index, here, self.echo_weights))
    }

    /// Whole lines of the user's texts for the plan's caret, if they take part.
    pub fn line_echoes(&self, known: Known<'_>, plan: &Plan) -> Vec<LineEcho> {
        let takes_part = plan.beam > 1 && self.parts.has(Part::Echo) && self.parts.has(Part::Lines);
        if !takes_part {
            return Vec::new();
        }
        let here = Here {
            path: known.path,
            prefix: &plan.prefix,
            suffix: &plan.suffix,
        };
        let mut echoes = completion::lines(known, here, self.echo_weights);
        echoes.retain(|echo| echo.probability >= ECHO_PROBABILITY_MIN);
        echoes.truncate(ECHOES_MAX);
        echoes
    }

    /// Runs a plan in a session of its own, as for an editor whose cache is empty.
    pub fn complete(&self, plan: &Plan, known: Known<'_>) -> Result<Completion, GenerateError> {
        let mut echo = self.echo(known, plan);
        let source = echo
            .as_mut()
            .map(|echo| echo as &mut dyn ContinuationSource);
        let mut session = self.session_for(plan)?;
        let mut ranking = self.ranking_session(plan)?;
        let echoes = self.line_echoes(known, plan);
        let mut heard = |_: &str, _: &Progress<'_>| ControlFlow::Continue(());
        completion::run(plan, &mut heard, |on_piece| {
            let cancel = CancelToken::new();
            completion::generate(
                plan,
                &mut session,
                ranking.as_mut(),
                &echoes,
                source,
                &cancel,
                on_piece,
            )
        })
    }

    /// Bounds the prompts by the positions of its sessions.
    pub fn prompts_within(&mut self, context_tokens: usize) {
        self.positions = self.positions.min(context_tokens);
        self.budget = self.budget.within(self.positions);
    }

    /// Sizes the prompts by the speed at which the model reads them. The embedded one keeps the size
    /// that it was trained with.
    pub fn adapt_budget(&mut self, tokens_per_second: f64) {
        if self.tier == Tier::Large {
            let budget = self.budget.for_speed(tokens_per_second);
            self.budget = budget.within(self.positions);
        }
    }

    /// A session with room for this plan and no more, for a completion that stands alone.
    fn session_for(&self, plan: &Plan) -> Result<Session, GenerateError> {
        self.model.new_session(&SessionOptions {
            context_tokens: plan.prompt.tokens.len()
                + plan.beam * (plan.request.begins_with.len() + plan.request.max_tokens)
                + 1,
            // Nobody interrupts it, and a busy machine answers as an idle one does.
            layer_time: None,
            ..SessionOptions::default()
        })
    }
}
