//! The engine's tests on an emulated ARM processor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::targets::{missing_library, missing_program};
use crate::ci::{Tally, print_line, watch};
use crate::test_programs::{is_test, test_binaries};

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

/// What is left out under emulation: the file, the test or nothing for all of the file, and why.
const LEFT_OUT: &[(&str, Option<&str>, &str)] = &[
    (
        "carat_engine",
        Some("session::tests::answers_after_cancellations_are_those_of_a_fresh_session"),
        EMBEDDED,
    ),
    (
        "carat_engine",
        Some("session::tests::drafts_change_nothing_but_the_time"),
        EMBEDDED,
    ),
    (
        "carat_engine",
        Some("gguf::mapping::tests::other_bus_errors_end_the_process"),
        "starts itself once more, which only the emulator could do",
    ),
    (
        "parity",
        Some("a_second_oracle_gives_the_same_logits"),
        "long in candle-transformers; the first oracle's logits are compared",
    ),
    ("real_weights", None, "long with 135 million weights"),
    ("decoding_allocations", None, EMBEDDED),
    ("healing", None, EMBEDDED),
    (
        "gguf_faults",
        None,
        "long, and nothing in it is of one processor; `gguf` reads whole files",
    ),
];

const EMBEDDED: &str = "long with the embedded model, and nothing in it is of one processor";

/// Builds the tests once and runs them on every processor; `names` are those that are run, or all but
/// [`LEFT_OUT`].
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
    check_names(&binaries)?;
    let mut tally = Tally::default();
    let engine = root.join("engine");
    for (processor, level) in PROCESSORS {
        let started = Instant::now();
        check_level(&binaries, processor, level)?;
        for binary in &binaries {
            let left_out = LEFT_OUT.iter().filter(|(file, ..)| is_test(binary, file));
            let mut run = emulated(processor, binary);
            if names.is_empty() {
                if left_out.clone().any(|(_, test, _)| test.is_none()) {
                    continue;
                }
                for test in left_out.filter_map(|(_, test, _)| *test) {
                    run.args(["--skip", test]);
                }
                // The references of the repository; there may be as many again beside it.
                run.env("CARAT_SHARED", "/none");
            }
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
    if names.is_empty() {
        for (file, test, why) in LEFT_OUT {
            print_line(&format!(
                "left out: {file} {}: {why}",
                test.unwrap_or("as a whole")
            ));
        }
    }
    print_line(&tally.closing_line());
    Ok(())
}

/// Fails if a test that is left out does not exist.
fn check_names(binaries: &[PathBuf]) -> Result<()> {
    let (processor, _) = PROCESSORS[0];
    for (file, test, _) in LEFT_OUT {
        let mut of_file = binaries.iter().filter(|binary| is_test(binary, file));
        let binary = of_file
            .next()
            .with_context(|| format!("no tests `{file}`"))?;
        let Some(test) = test else { continue };
        let output = emulated(processor, binary)
            .args(["--list", "--format", "terse"])
            .output()
            .context("cannot start qemu-aarch64")?;
        let listed = String::from_utf8_lossy(&output.stdout);
        ensure!(
            listed
                .lines()
                .any(|line| line.strip_suffix(": test") == Some(*test)),
            "{file} has no test `{test}`"
        );
    }
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
