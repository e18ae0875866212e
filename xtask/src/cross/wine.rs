//! A folder in which Wine starts what Rust built for Windows.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The one function that Rust's library asks of a DLL which Wine has since 8.21 only, by another one.
const RANDOM: &str = "\
int __stdcall SystemFunction036(void *buffer, unsigned long length);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *data, unsigned long long length) {
    return SystemFunction036(data, (unsigned long)length);
}
";

/// Copies `binary` into `folder`, beside a stand-in for what an older Wine lacks; returns the copy.
pub(super) fn prepare(folder: &Path, binary: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let name = binary.file_name().context("a binary has a name")?;
    let copy = folder.join(name);
    std::fs::copy(binary, &copy).with_context(|| format!("cannot copy {}", binary.display()))?;
    let source = folder.join("random.c");
    std::fs::write(&source, RANDOM)
        .with_context(|| format!("cannot write {}", source.display()))?;
    let status = Command::new("x86_64-w64-mingw32-gcc")
        .args(["-shared", "-o"])
        .arg(folder.join("bcryptprimitives.dll"))
        .arg(&source)
        .arg("-ladvapi32")
        .status()
        .context("cannot start x86_64-w64-mingw32-gcc")?;
    ensure!(status.success(), "{} cannot be compiled", source.display());
    Ok(copy)
}
