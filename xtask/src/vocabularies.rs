//! `cargo xtask vocabularies`: llama.cpp's own texts and ids for the vocabularies that it tests with, for
//! `engine/tests/tokenizer_llama_cpp.rs`.
//!
//! The source package `llama-cpp-python` of the Python package index (MIT) ships them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::package::{self, Package};

const PACKAGE: Package<'_> = Package {
    requirements: "tests/fixtures/vocabularies/requirements.txt",
    name: "llama-cpp-python",
    file: "llama_cpp_python-0.3.36.tar.gz",
};

/// Unpacks `ggml-vocab-*` of the package into one folder. Arguments: the package, the folder.
const UNPACK: &str = "
import pathlib, shutil, sys, tarfile
with tarfile.open(sys.argv[1]) as package:
    for member in package:
        path = pathlib.PurePosixPath(member.name)
        if member.isfile() and path.parent.name == 'models' and path.name.startswith('ggml-vocab-'):
            with open(pathlib.Path(sys.argv[2], path.name), 'wb') as file:
                shutil.copyfileobj(package.extractfile(member), file)
";

/// Fetches the files into `target/vocabularies`, unless they are there.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = root.join("target/vocabularies");
    if folder.exists() {
        eprintln!("{} is there", folder.display());
        return Ok(());
    }
    // Renamed last: a folder with this name is complete.
    let unpacked = root.join("target/vocabularies.part");
    fs::create_dir_all(&unpacked)
        .with_context(|| format!("cannot create {}", unpacked.display()))?;
    let package = PACKAGE.download(root, &unpacked)?;
    let mut unpack = package::python();
    unpack.args(["-c", UNPACK]).arg(&package).arg(&unpacked);
    package::succeed(&mut unpack, "cannot unpack the package")?;
    fs::remove_file(&package).context("cannot remove the package")?;
    fs::rename(&unpacked, &folder)
        .with_context(|| format!("cannot rename {}", unpacked.display()))?;
    eprintln!("{} is there now", folder.display());
    Ok(())
}
