//! `cargo xtask cross`: builds the binary for other platforms and tries what can be tried here;
//! `cargo xtask cross --test` runs the engine's tests on an emulated ARM processor.

mod emulated;
mod smoke;
mod targets;
mod wine;
mod zig;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::ci::print_line;
use targets::{Runner, TARGETS, Target, Work};

pub(crate) use zig::compile;

pub(crate) const HELP: &str = "\
usage: cargo xtask cross [TARGET...]     builds `carat` and tries it where this machine can
       cargo xtask cross --built [TARGET...]
                                         tries what was built before
       cargo xtask cross --test [TEST]   the engine's tests on an emulated ARM processor, with and without
                                         dot products; TEST names some of them

targets: x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu aarch64-apple-darwin
         [default: all of them]

Prints a table: target, binary, size, time, and how it was tried. What a target needs is said before anything
is built.
";

/// What is done.
#[derive(Debug, PartialEq)]
pub(crate) enum Options {
    /// Whether they are built, or were before.
    Build {
        targets: Vec<&'static Target>,
        anew: bool,
    },
    Test {
        names: Vec<String>,
    },
}

impl Options {
    /// Reads the words behind `cross`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        if let ["--test", names @ ..] = words {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            return Ok(Self::Test { names });
        }
        let (words, anew) = match words {
            ["--built", words @ ..] => (words, false),
            _ => (words, true),
        };
        if words.is_empty() {
            let targets = TARGETS.iter().collect();
            return Ok(Self::Build { targets, anew });
        }
        let chosen = words.iter().map(|word| {
            let target = TARGETS.iter().find(|target| target.triple == *word);
            target.with_context(|| format!("unknown target `{word}`"))
        });
        let targets = chosen.collect::<Result<_>>()?;
        Ok(Self::Build { targets, anew })
    }
}

/// What became of a target.
struct Row {
    triple: &'static str,
    binary: String,
    size: String,
    time: Duration,
    tried: String,
}

pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let (targets, anew) = match options {
        Options::Build { targets, anew } => (targets, *anew),
        Options::Test { names } => return emulated::run(root, names),
    };
    let mut missing: Vec<String> = Vec::new();
    for target in targets {
        missing.extend(target.missing());
    }
    missing.dedup();
    ensure!(missing.is_empty(), "{}", missing.join("\n       "));
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        eprintln!("cross: {}", target.triple);
        let started = Instant::now();
        let built = if anew {
            build(root, target)
        } else {
            Ok(target.binary(root))
        };
        let time = started.elapsed();
        let (binary, size, tried) = match built {
            // The others are worth knowing of.
            Err(error) => {
                failed.push(target.triple);
                (
                    "none".to_owned(),
                    String::new(),
                    format!("FAILED: {error:#}"),
                )
            }
            Ok(None) => (
                "none".to_owned(),
                String::new(),
                "checked, not linked: the frameworks CoreFoundation, IOKit and Security are in Apple's SDK".to_owned(),
            ),
            Ok(Some(binary)) => {
                let bytes = binary
                    .metadata()
                    .context("the binary that was built")?
                    .len();
                let tried = match attempt(root, target, &binary) {
                    Ok(tried) => tried,
                    Err(error) => {
                        failed.push(target.triple);
                        format!("FAILED: {error:#}")
                    }
                };
                let shown = binary.strip_prefix(root).unwrap_or(&binary).display();
                (
                    shown.to_string(),
                    format!("{:.1} MB", bytes as f64 / 1e6),
                    tried,
                )
            }
        };
        rows.push(Row {
            triple: target.triple,
            binary,
            size,
            time,
            tried,
        });
    }
    print_line("| target | binary | size | build | tried |");
    print_line("| --- | --- | ---: | ---: | --- |");
    for row in &rows {
        print_line(&format!(
            "| {} | {} | {} | {:.0} s | {} |",
            row.triple,
            row.binary,
            row.size,
            row.time.as_secs_f64(),
            row.tried
        ));
    }
    ensure!(
        failed.is_empty(),
        "what was built for {} does not work",
        failed.join(", ")
    );
    Ok(())
}

/// Builds `carat` for a target; nothing to run comes of a check.
fn build(root: &Path, target: &Target) -> Result<Option<PathBuf>> {
    let work = match target.work {
        Work::Build => "build",
        Work::Check => "check",
    };
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            work,
            "--release",
            "--package",
            "carat",
            "--target",
            target.triple,
        ])
        // Debug information of all crates fills the disk, and tells nothing about what is delivered.
        .args(["--config", "profile.release.debug=false"])
        .args(["--config", "profile.release.strip=\"symbols\""])
        .current_dir(root)
        .stdin(Stdio::null());
    target.prepare(&mut cargo)?;
    let status = cargo.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo {work} for {}: {status}", target.triple);
    }
    Ok(target.binary(root))
}

/// Tries the binary, and says how.
fn attempt(root: &Path, target: &Target, binary: &Path) -> Result<String> {
    let Some(runner) = target.runner() else {
        return Ok("not run here".to_owned());
    };
    if let Some(missing) = runner.missing() {
        return Ok(format!("not run: {missing}"));
    }
    let done = smoke::test(root, runner, binary)?;
    Ok(match runner {
        Runner::Native => format!("here: {done}"),
        Runner::Qemu => format!("under qemu-aarch64: {done}"),
        Runner::Wine => format!("under Wine: {done}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_options() {
        let targets = TARGETS.iter().collect();
        let all = Options::Build {
            targets,
            anew: true,
        };
        assert_eq!(Options::parse(&[]).unwrap(), all);
        let test = Options::parse(&["--test", "kernels"]).unwrap();
        assert_eq!(
            test,
            Options::Test {
                names: vec!["kernels".to_owned()]
            }
        );
        let one = Options::parse(&["--built", "x86_64-pc-windows-gnu"]).unwrap();
        let Options::Build {
            targets,
            anew: false,
        } = one
        else {
            panic!("{one:?}");
        };
        assert_eq!(targets[0].triple, "x86_64-pc-windows-gnu");
        assert!(Options::parse(&["pdp11-dec-unix"]).is_err());
    }

    #[test]
    fn the_help_names_every_target() {
        for target in TARGETS {
            assert!(HELP.contains(target.triple), "{}", target.triple);
        }
    }
}
