//! The engine's tests on an emulated ARM processor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::targets::{missing_library, missing_program};
use crate::ci::{Tally, print_line, watch};
use crate::test_programs::test_binaries;

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Where Debian has the libraries of the target.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Processors, by qemu's names, and the level of kernels that each shall choose.
const PROCESSORS: [(&str, &str); 3] = [
    // ARMv8.0: no dot products, which candle's code has as well.
    ("cortex-a53", "scalar"),
    // ARMv8.2 with dot products.
    ("neoverse-n1", "neon_dotprod"),
    // All that qemu knows, such as products of integer matrices.
    ("max", "neon_i8mm"),
];

/// Builds the tests once and runs them on every processor; `names` are those that are run, or all.
pub(super) fn run(root: &Path, names: &[String]) -> Result<()> {
    let missing: Vec<String> = [
        missing_library(TARGET),
        missing_program(
            "aarch64-linux-gnu-gcc",
            "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ),
        missing_program("qemu-aarch64", "qemu-user"),
    ]
    .into_iter()
    .flatten()
    .collect();
    ensure!(missing.is_empty(), "{}", missing.join("\n       "));
    let started = Instant::now();
    let binaries = build(root)?;
    eprintln!(
        "cross: the tests were built in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let mut tally = Tally::default();
    let engine = root.join("engine");
    for (processor, level) in PROCESSORS {
        let started = Instant::now();
        check_level(&binaries, processor, level)?;
        for binary in &binaries {
            let mut run = emulated(processor, binary);
            run.args(names)
                .current_dir(&engine)
                .env("CARGO_MANIFEST_DIR", &engine);
            if !watch(&mut run, &mut tally)? {
                bail!("{} fails on {processor}", binary.display());
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("cross: {processor}, kernels {level}: {seconds:.0} s");
    }
    ensure!(tally.passed > 0, "no test ran");
    print_line(&tally.closing_line());
    Ok(())
}

fn emulated(processor: &str, binary: &Path) -> Command {
    let mut run = Command::new("qemu-aarch64");
    run.args(["-L", LIBRARIES, "-cpu", processor])
        .arg(binary)
        .stdin(Stdio::null());
    run
}

/// Fails if no test says that it chose this level.
fn check_level(binaries: &[PathBuf], processor: &str, level: &str) -> Result<()> {
    for binary in binaries {
        let test = ["the_fastest_level_is_chosen", "--nocapture"];
        let output = emulated(processor, binary).args(test).output();
        let output = output.context("cannot start qemu-aarch64")?;
        if String::from_utf8_lossy(&output.stdout).contains(&format!("level in use: {level}\n")) {
            return Ok(());
        }
    }
    bail!("{processor} does not choose the kernels {level}")
}

fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--release",
            "--no-run",
            "--message-format=json",
            "--package",
            "carat-engine",
        ])
        .args(["--target", TARGET])
        // As fast as a release, and every check of the engine with it.
        .args([
            "--config",
            "profile.release.package.carat-engine.debug-assertions=true",
        ])
        .args([
            "--config",
            "profile.release.package.carat-engine.overflow-checks=true",
        ])
        .args(["--config", "profile.release.debug=false"])
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        )
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the tests cannot be built: {}",
        output.status
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    let binaries = test_binaries(&messages, &root.join("engine/Cargo.toml"));
    ensure!(
        !binaries.is_empty(),
        "cargo listed no test binary of the engine"
    );
    Ok(binaries)
}
