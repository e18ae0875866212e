//! `cargo xtask ci`: every check of a submission, in one order, with its time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::test_programs::{TEST_COMMAND, is_test, test_binaries};
use crate::{generate, tidy};

/// Runs all steps and ends with one line that sums up the tests; stops at the first failure.
pub(crate) fn run(root: &Path) -> Result<()> {
    let started = Instant::now();
    let mut tally = Tally::default();
    step("fmt", || {
        command(root, &["cargo", "fmt", "--all", "--check"], &[])
    })?;
    step("clippy", || {
        let lint = [
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            // Benchmarks are linted here and never run.
            "carat/testing,carat-engine/bench",
            "--",
            "-D",
            "warnings",
        ];
        command(root, &lint, &[])
    })?;
    let tested = step("test", || test(root, &mut tally))
        .and_then(|()| step("levels", || test_levels(root, &mut tally)))
        .and_then(|()| step("grammars", || test_grammars(root, &mut tally)));
    if let Err(error) = tested {
        print_line(&tally.closing_line());
        return Err(error);
    }
    step("generate", || generate::run(root, true))?;
    step("doc", || {
        let document = [
            "cargo",
            "doc",
            "--workspace",
            "--no-deps",
            "--features",
            "carat/testing",
        ];
        command(root, &document, &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    step("tidy", || tidy::run(root))?;
    if deny_is_installed() {
        step("deny", || {
            command(
                root,
                &["cargo", "deny", "check", "bans", "licenses", "sources"],
                &[],
            )
        })?;
    }
    eprintln!(
        "ci: all steps took {:.0} s",
        started.elapsed().as_secs_f64()
    );
    if tally.passed == 0 {
        bail!("no test ran");
    }
    print_line(&tally.closing_line());
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("ci: {name}");
    let started = Instant::now();
    let outcome = work().with_context(|| format!("step `{name}` failed"));
    eprintln!("ci: {name} took {:.1} s", started.elapsed().as_secs_f64());
    outcome
}

fn command(root: &Path, words: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let status = prepare(root, words, variables)
        .status()
        .with_context(|| format!("cannot start {}", words[0]))?;
    if !status.success() {
        bail!("{status}; repeat it with: {}", spelled(words, variables));
    }
    Ok(())
}

fn prepare(root: &Path, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(root)
        .stdin(Stdio::null())
        .envs(variables.iter().copied());
    command
}

/// The command as one types it into a shell.
fn spelled(words: &[&str], variables: &[(&str, &str)]) -> String {
    let variables = variables
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\" "));
    variables.chain([words.join(" ")]).collect()
}

fn test(root: &Path, tally: &mut Tally) -> Result<()> {
    if !watch(&mut prepare(root, &TEST_COMMAND, &[]), tally)? {
        bail!("repeat it with: {}", TEST_COMMAND.join(" "));
    }
    Ok(())
}

/// Levels of kernels at which all of the engine's tests run again: the specification, and what
/// processors use that have no kernels of ours.
const WHOLE_LEVELS: [&str; 2] = ["scalar", "candle"];

/// What runs again at the other levels of this machine: the tests whose outcome hangs on the kernels of
/// one level at a time, by the names of their files. The kernels' own tests compare all levels anyway.
const AT_EVERY_LEVEL: [&str; 2] = ["parity", "beam"];

/// Of the tests with trained weights, the one whose outcome does not hang on how activations are rounded.
/// The others compare roundings, which are like llama.cpp's at the levels with vectors only.
const WITHOUT_ROUNDING: &str = "without_rounding";

/// The engine's tests once more at the other levels.
///
/// The binaries of the `test` step are run again: `cargo test -p carat-engine` would resolve
/// another set of features and build most dependencies a second time.
fn test_levels(root: &Path, tally: &mut Tally) -> Result<()> {
    let listing = [&TEST_COMMAND[..], &["--no-run", "--message-format=json"]].concat();
    let output = prepare(root, &listing, &[])
        .stderr(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    let engine = root.join("engine");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let binaries = test_binaries(&messages, &engine.join("Cargo.toml"));
    if binaries.is_empty() {
        bail!("cargo listed no test binary of the engine");
    }
    let levels = levels_here(&binaries)?;
    // The tests ran with the fastest before.
    let (_, others) = levels.split_last().context("a processor has a level")?;
    for level in others {
        let is_whole = WHOLE_LEVELS.contains(&level.as_str());
        eprintln!("ci: level {level}");
        for binary in &binaries {
            if !is_whole && !AT_EVERY_LEVEL.iter().any(|name| is_test(binary, name)) {
                continue;
            }
            let mut run = Command::new(binary);
            run.current_dir(&engine).stdin(Stdio::null());
            run.env("CARAT_CPU_LEVEL", level)
                .env("CARGO_MANIFEST_DIR", &engine);
            if is_test(binary, "real_weights") {
                run.arg(WITHOUT_ROUNDING);
            }
            if !watch(&mut run, tally)? {
                bail!("repeat it with: CARAT_CPU_LEVEL={level} cargo test -p carat-engine");
            }
        }
    }
    Ok(())
}

/// The levels of this processor, slowest first, as a test of the engine prints them.
fn levels_here(binaries: &[PathBuf]) -> Result<Vec<String>> {
    for binary in binaries {
        let output = Command::new(binary)
            .args(["the_fastest_level_is_chosen", "--nocapture"])
            .env_remove("CARAT_CPU_LEVEL")
            .output()
            .context("cannot start a test of the engine")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let levels = said.lines().find_map(|line| {
            let (_, levels) = line.split_once("levels here: ")?;
            Some(levels.split(' ').map(str::to_owned).collect())
        });
        if let Some(levels) = levels {
            return Ok(levels);
        }
    }
    bail!("no test of the engine says which levels this processor has")
}

/// The grammars that are built only where they are asked for.
fn test_grammars(root: &Path, tally: &mut Tally) -> Result<()> {
    let words = ["cargo", "test", "-p", "carat-grammars", "--all-features"];
    if !watch(&mut prepare(root, &words, &[]), tally)? {
        bail!("repeat it with: {}", words.join(" "));
    }
    Ok(())
}

/// Runs a test command, passes its output on line by line and counts its results.
pub(crate) fn watch(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the tests")?;
    let stdout = child
        .stdout
        .take()
        .context("the test command has no output")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        tally.read(&line);
        print_line(&line);
    }
    Ok(child.wait().context("cannot wait for the tests")?.success())
}

/// Standard output carries what the test runner printed and the closing line.
pub(crate) fn print_line(line: &str) {
    // A closed pipe is the reader's decision and no reason to stop testing.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn deny_is_installed() -> bool {
    let probe = Command::new("cargo")
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// Sums of the `test result:` lines of cargo test.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    fn read(&mut self, line: &str) {
        let Some(results) = line.strip_prefix("test result: ") else {
            return;
        };
        // "ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s"
        let counts = results.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    pub(crate) fn closing_line(&self) -> String {
        let skipped = if self.ignored == 0 {
            String::new()
        } else {
            format!(", {} skipped", self.ignored)
        };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_the_results_of_several_binaries() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        tally.read("test walls::finds ... ok");
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
        assert_eq!(tally.closing_line(), "15 passed, 2 failed, 1 skipped");
        assert_eq!(
            Tally {
                passed: 4,
                ..Tally::default()
            }
            .closing_line(),
            "4 passed, 0 failed"
        );
    }

    #[test]
    fn spells_a_command_that_can_be_pasted() {
        let spelled = spelled(&["cargo", "doc"], &[("RUSTDOCFLAGS", "-D warnings")]);
        assert_eq!(spelled, "RUSTDOCFLAGS=\"-D warnings\" cargo doc");
    }
}
