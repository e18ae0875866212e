//! `carat debug mixing`: how well a model and the user's own files predict the text of cases together,
//! for several weights of the files; to fit these weights.
//!
//! The true text is given token by token, so that nothing is generated: of a token, the files say what
//! begins like it. Control tokens and ends of lines are left out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use carat_engine::{CancelToken, ContinuationSource, Continuations, LoadOptions, SessionOptions};
use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::completion::{Manners, Query};
use crate::echo::{Echo, EchoWeights, Here};
use crate::evaluation::{self, Kind, Projects};
use crate::generator::CodeModel;

#[derive(Debug, Args)]
pub(super) struct MixingArgs {
    /// A folder of cases
    #[arg(value_name = "CASES_DIR")]
    folder: PathBuf,
    /// The folder that `cargo xtask projects` filled
    #[arg(long, value_name = "DIR")]
    projects: PathBuf,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Weights to try, one JSON object a line; what an object does not name is as it is today [default: today's]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Take one case of so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    every: u32,
}

/// Sums over the cases of a project.
#[derive(Debug, Default)]
struct Sums {
    tokens: usize,
    /// Of the model alone.
    alone: f64,
    /// Of the mixture, for each of the weights.
    mixed: Vec<f64>,
}

pub(super) fn run(args: &MixingArgs) -> anyhow::Result<()> {
    let model = CodeModel::load(args.model.as_deref(), &LoadOptions::default())?;
    let settings = settings(args, model.echo_weights)?;
    let cases = evaluation::read_folder(&args.folder)?;
    let cases: Vec<_> = cases.into_iter().step_by(args.every as usize).collect();
    let mut projects = Projects::open(&args.projects)?;
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let manners = Manners {
        everything: true,
        ..Manners::default()
    };
    for placed in projects.place_all(&cases, &[]) {
        let case = &placed.case;
        if case.kind == Kind::Block {
            continue;
        }
        let caret = case.caret();
        let around = caret.around();
        let query = Query {
            manners: &manners,
            ..caret.query(&around)
        };
        let plan = model.plan(&query);
        if plan.silence.is_some() {
            continue;
        }
        let index = evaluation::index_of(&placed.others);
        let tokenizer = model.model.tokenizer();
        let healed = plan.request.begins_with.len();
        let line = case.middle.lines().next().unwrap_or_default().trim_end();
        let answer = tokenizer.encode(&format!("{}{line}", plan.request.begins_with));
        if answer.is_empty() {
            continue;
        }
        let mut tokens = plan.prompt.tokens.clone();
        tokens.extend_from_slice(&answer);
        let mut session = model.model.new_session(&SessionOptions {
            context_tokens: tokens.len() + 1,
            chunk_tokens: tokens.len() + 1,
            layer_time: None,
            ..SessionOptions::default()
        })?;
        let log_probs = session.log_probs(&tokens, answer.len(), &CancelToken::new())?;
        let sums = sums
            .entry(case.project.clone().unwrap_or_default())
            .or_default();
        sums.mixed.resize(settings.len(), 0.0);
        let here = Here {
            path: &placed.path,
            prefix: &plan.prefix,
            suffix: &plan.suffix,
        };
        for (number, weights) in settings.iter().enumerate() {
            let mut echo = Echo::new(&index, here, *weights);
            let start = plan.prefix.len().saturating_sub(healed);
            let mut text = plan.prefix.as_bytes()[..start].to_vec();
            let mut into = Continuations::default();
            for (&token, &log_prob) in answer.iter().zip(&log_probs) {
                let bytes = tokenizer.token_bytes(token);
                // What is typed already is no prediction.
                if text.len() + bytes.len() > plan.prefix.len() {
                    into.clear();
                    let weight = ContinuationSource::continuations(&mut echo, &text, &mut into);
                    let weight = f64::from(weight);
                    let mass = |those: &dyn Fn(&[u8]) -> bool| -> f64 {
                        let fitting = into.iter().filter(|(bytes, _)| those(bytes));
                        fitting.map(|(_, weight)| f64::from(weight)).sum()
                    };
                    let share = mass(&|next| next.starts_with(bytes)) / mass(&|_| true).max(1e-9);
                    let of_model = f64::from(log_prob).exp();
                    let mixed = (1.0 - weight) * of_model + weight * share;
                    sums.mixed[number] -= mixed.max(1e-9).ln();
                    if number == 0 {
                        sums.alone -= f64::from(log_prob).max(-20.7);
                        sums.tokens += 1;
                    }
                }
                text.extend_from_slice(bytes);
            }
        }
    }
    for (project, sums) in sums {
        let row = json!({
            "project": project,
            "tokens": sums.tokens,
            "alone": sums.alone,
            "mixed": sums.mixed,
        });
        output::print(&format!("{row}\n"))?;
    }
    Ok(())
}

/// The weights to try.
fn settings(args: &MixingArgs, today: EchoWeights) -> anyhow::Result<Vec<EchoWeights>> {
    let Some(file) = &args.weights else {
        return Ok(vec![today]);
    };
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines()
        .map(|line| {
            let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
            let mut all = serde_json::to_value(today)?;
            for (name, value) in changes {
                all[name] = value;
            }
            Ok(serde_json::from_value(all)?)
        })
        .collect()
}
