//! `carat debug`: what the engine computes, for comparison with other engines.

mod echo;
mod greedy;
mod logits;
mod loss;
mod mixing;
mod tokenize;
mod tune;

use carat_engine::{KvType, LoadOptions, Model, Session, SessionOptions, TokenId};
use clap::{Args, Subcommand};

use super::Kv;
use crate::models::ModelSource;
use crate::tuning::Kept;

#[derive(Debug, Args)]
pub(super) struct DebugArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The logits of the last of the given tokens
    Logits(logits::LogitsArgs),
    /// The lines that the user's own files offer for cases, with what speaks for each, as JSON Lines
    Echo(echo::EchoArgs),
    /// The most probable continuation of the given tokens; stop tokens are ignored
    Greedy(greedy::GreedyArgs),
    /// How well the model predicts texts, in nats for each token
    Loss(loss::LossArgs),
    /// How well a model and the other files of projects predict cases together, as JSON Lines
    Mixing(mixing::MixingArgs),
    /// The tokens of a text, without a token for its beginning
    Tokenize(tokenize::TokenizeArgs),
    /// How weights are read fastest on this processor, measured now, in the form of `CARAT_TUNE=FILE`
    Tune(tune::TuneArgs),
}

pub(super) fn run(args: &DebugArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::Logits(args) => logits::run(args),
        Command::Echo(args) => echo::run(args),
        Command::Greedy(args) => greedy::run(args),
        Command::Loss(args) => loss::run(args),
        Command::Mixing(args) => mixing::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Tune(args) => tune::run(args),
    }
}

/// What the subcommands that compute have in common.
#[derive(Debug, Args)]
struct InputArgs {
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// The tokens, separated by commas; nothing is added to them
    #[arg(long, value_name = "ID,ID,...", value_delimiter = ',', required = true)]
    tokens: Vec<TokenId>,
    /// How keys and values are stored
    #[arg(long, value_enum, default_value = "f16")]
    kv: Kv,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl InputArgs {
    /// A session with room for the tokens and `more`.
    fn session(&self, more: usize) -> anyhow::Result<Session> {
        let model = load(self.model.as_deref())?;
        let kv: KvType = self.kv.into();
        let options = SessionOptions {
            context_tokens: self.tokens.len() + more + 1,
            kv,
            layer_time: None,
            ..SessionOptions::default()
        };
        Ok(model.new_session(&options)?)
    }
}

fn load(name: Option<&str>) -> anyhow::Result<Model> {
    let model = ModelSource::find(name)?.load(&LoadOptions::default())?;
    Kept::of_user().apply(&model);
    Ok(model)
}

/// Numbers as a line for readers.
fn line(numbers: impl IntoIterator<Item = impl ToString>) -> String {
    numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
