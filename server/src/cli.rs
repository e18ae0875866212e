//! The command line: reads the arguments, runs one subcommand, turns its result into an exit code.
//!
//! Results go to standard output, everything else to standard error. The exit code is 0 on success,
//! 1 for a job that failed (with one line that says why and what to do), 2 for wrong usage.

mod bench;
mod caret;
mod code_action;
mod complete;
mod debug;
mod doctor;
mod eval;
mod explain;
mod generated;
mod lines;
mod memory;
mod model;
mod output;
mod refactor;
mod replay;
mod stats;
mod why;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::completion::Eagerness;
use crate::logging;

/// What `--help` says below the commands.
const HELP: &str = "\
Examples:
  carat complete src/main.rs:10:5     ghost text for a caret, from the embedded model
  carat doctor                        what this machine can do
  carat model pull gemma-4-26b-a4b    the large model, for much better answers
  carat complete src/main.rs:10:5 --model 26b

An editor starts `carat` without arguments; editors/ of the repository has the set-up for each.";

/// Code completion with Gemma 4 inside its own process: a language server, and its tools.
#[derive(Debug, Parser)]
#[command(name = "carat", version, about, disable_help_subcommand = true, after_help = HELP)]
struct Cli {
    /// Accepted and ignored: editors add it for servers that speak more than one transport
    #[arg(long, hide = true)]
    stdio: bool,
    /// Without a subcommand, the language server starts on standard input and output.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an editor on standard input and output (what `carat` alone does too)
    Lsp(LspArgs),
    /// Print ghost text for a caret
    #[command(after_help = complete::HELP)]
    Complete(complete::CompleteArgs),
    /// Tell what decides whether ghost text stands at a caret
    #[command(after_help = why::HELP)]
    Why(why::WhyArgs),
    /// Explain code in prose
    #[command(after_help = explain::HELP)]
    Explain(explain::ExplainArgs),
    /// Rewrite code as told; prints a diff
    #[command(after_help = refactor::HELP)]
    Refactor(refactor::RefactorArgs),
    /// Show models, what is in them, and bring them here
    Model(model::ModelArgs),
    /// Show what is remembered of workspaces, and forget it
    #[command(after_help = memory::HELP)]
    Memory(memory::MemoryArgs),
    /// Show how much ghost text was shown and taken on this machine, and forget it
    #[command(after_help = stats::HELP)]
    Stats(stats::StatsArgs),
    /// Measure how fast a model loads, reads and writes
    #[command(after_help = bench::HELP)]
    Bench(bench::BenchArgs),
    /// Measure how often the model's proposals are right
    Eval(eval::EvalArgs),
    /// Type real code key by key, and tell what would have been shown and what it was worth
    #[command(after_help = replay::HELP)]
    Replay(replay::ReplayArgs),
    /// Tell what was found, what is slow, and what to do; for pasting into a message
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    #[command(after_help = generated::COMPLETIONS_HELP)]
    Completions(generated::CompletionsArgs),
    /// Print a page of the manual
    #[command(after_help = generated::MAN_HELP)]
    Man(generated::ManArgs),
    /// Print the JSON schema of the settings
    Schema,
    /// Print what the engine computes, to compare it with other engines
    Debug(debug::DebugArgs),
}

#[derive(Debug, Args)]
struct LspArgs {
    /// Name or GGUF file of the model; wins over the editor's setting
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Accepted and ignored: editors add it for servers that speak more than one transport
    #[arg(long, hide = true)]
    stdio: bool,
}

/// How the cache stores keys and values.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kv {
    /// 32-bit floats; for comparisons
    #[value(name = "f32")]
    F32,
    /// 16-bit floats
    #[value(name = "f16")]
    F16,
    /// 8-bit integers with a scale per 32
    #[value(name = "q8_0")]
    Q8_0,
}

/// How readily ghost text is shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum EagernessArg {
    /// Only what is probably right
    Quiet,
    /// What is right often enough
    #[default]
    Balanced,
    /// Whatever may be right
    Eager,
    /// However improbable it is
    All,
}

impl From<EagernessArg> for Eagerness {
    fn from(eagerness: EagernessArg) -> Self {
        match eagerness {
            EagernessArg::Quiet => Self::Quiet,
            EagernessArg::Balanced => Self::Balanced,
            EagernessArg::Eager => Self::Eager,
            EagernessArg::All => Self::All,
        }
    }
}

impl From<Kv> for carat_engine::KvType {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::F32 => Self::F32,
            Kv::F16 => Self::F16,
            Kv::Q8_0 => Self::Q8_0,
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version are usage as well, asked for; a closed pipe hears neither.
            let _ = usage.print();
            return if usage.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    logging::start();
    let result = match cli.command {
        None => return serve(None),
        Some(Command::Lsp(args)) => return serve(args.model),
        Some(Command::Complete(args)) => complete::run(&args),
        Some(Command::Why(args)) => why::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Refactor(args)) => refactor::run(&args),
        Some(Command::Memory(args)) => memory::run(&args),
        Some(Command::Stats(args)) => stats::run(&args),
        Some(Command::Model(args)) => model::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Completions(args)) => generated::completions(&args),
        Some(Command::Man(args)) => generated::man(&args),
        Some(Command::Schema) => schema(),
        Some(Command::Debug(args)) => debug::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn schema() -> anyhow::Result<()> {
    output::print(&format!("{:#}", crate::settings::schema()))
}

fn serve(model: Option<String>) -> ExitCode {
    crate::lsp::run(model).unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests;
