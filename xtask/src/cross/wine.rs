//! A folder in which Wine starts what Rust built for Windows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The one function that Rust's library asks of a DLL which Wine has since 8.21 only, by another one.
const RANDOM: &str = "\
int __stdcall SystemFunction036(void *buffer, unsigned long length);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *data, unsigned long long length) {
    return SystemFunction036(data, (unsigned long)length);
}
";

/// What Wine is told: its own folder, not the user's; nothing on standard error but what the program says;
/// and that neither .NET nor HTML is wanted, for which it would ask in a window.
pub(super) fn environment(folder: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("WINEPREFIX", folder.join("prefix").display().to_string()),
        ("WINEDEBUG", "-all".to_owned()),
        ("WINEDLLOVERRIDES", "mscoree=;mshtml=".to_owned()),
    ]
}

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
    let status = Command::new("wine")
        .args(["wineboot", "--init"])
        .envs(environment(folder))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start wine")?;
    ensure!(status.success(), "wineboot: {status}");
    Ok(copy)
}
