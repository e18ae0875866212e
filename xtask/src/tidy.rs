//! `cargo xtask tidy`: the rules that no compiler checks, over the text of all files of the repository.

mod circles;
mod dependencies;
mod documents;
mod features;
mod layout;
mod source;
mod walls;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A file that git tracks or would track.
pub(crate) struct File {
    /// Path from the root of the repository, with `/`.
    path: String,
    /// The content, or nothing if it is not UTF-8 text.
    text: Option<String>,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// Data of a test: it may break the rules of source code on purpose.
    fn is_fixture(&self) -> bool {
        self.path.starts_with("tests/fixtures/")
            || self.path.starts_with("tests/quality/cases/")
            || self.path.contains("/testdata/")
    }
}

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// 1-based; 0 if the finding is about the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Prints every finding and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = read_files(root)?;
    let mut findings = layout::check(&files);
    findings.extend(walls::check(&files));
    findings.extend(circles::check(&files));
    findings.extend(documents::check(&files));
    findings.extend(features::check(&files));
    findings.extend(dependencies::check(root, &files)?);
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!(
            "{} findings in {} files; repeat it with: cargo xtask tidy",
            findings.len(),
            files.len()
        );
    }
    eprintln!("tidy: {} files, no findings", files.len());
    Ok(())
}

/// Everything that is tracked or new, and not ignored.
fn read_files(root: &Path) -> Result<Vec<File>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git ls-files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let mut paths: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    // A file that was removed but not yet committed is listed and cannot be read: it is gone.
    let files = paths.into_iter().filter_map(|path| {
        let bytes = std::fs::read(root.join(&path)).ok()?;
        Some(File {
            path,
            text: String::from_utf8(bytes)
                .ok()
                .filter(|text| !text.contains('\0')),
        })
    });
    Ok(files.collect())
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: Some(text.to_owned()),
    }
}
