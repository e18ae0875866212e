//! `cargo xtask projects`: the published projects that the quality cases are from, by name and version.
//!
//! A case holds the text around its hole and no more. What Carat remembers of a project needs the
//! other files, so this fetches the held-out packages of `models/default/DATA.md` with the clients of
//! their registries into `FOLDER/PROJECT/PACKAGE-VERSION`, source files only, for
//! `carat eval --projects FOLDER`. What is there already is kept, so a broken run is started again.

mod fetch;
mod repository;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

pub(crate) const HELP: &str = "\
usage: cargo xtask projects FOLDER [rust] [python] [npm] [debian]

  Fetches the held-out packages of models/default/DATA.md into FOLDER [default: those of Rust],
  with cargo, pip, npm and apt-get: about 200 crates and 30 other packages, 150 MB.
  `carat eval tests/quality/cases --projects FOLDER` then gives each case its whole file and its project.
";

/// Where a package is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registry {
    Rust,
    Python,
    Npm,
    Debian,
}

impl Registry {
    const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::Npm, Self::Debian];

    /// Its name in the data list and on the command line.
    fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Npm => "npm",
            Self::Debian => "debian",
        }
    }
}

/// A package of the data list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    registry: Registry,
    name: String,
    version: String,
}

/// What to fetch, and where to.
#[derive(Debug)]
pub(crate) struct Options {
    folder: PathBuf,
    registries: Vec<Registry>,
}

impl Options {
    /// Reads the words behind `projects`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let (folder, names) = words.split_first().context("which folder?")?;
        ensure!(!folder.starts_with('-'), "unknown option {folder}");
        let mut registries = names
            .iter()
            .map(|name| {
                let known = Registry::ALL.into_iter().find(|one| one.as_str() == *name);
                known.with_context(|| format!("{name}: no such registry"))
            })
            .collect::<Result<Vec<_>>>()?;
        if registries.is_empty() {
            registries.push(Registry::Rust);
        }
        Ok(Self {
            folder: PathBuf::from(folder),
            registries,
        })
    }
}

/// Fetches what is missing; fails at the end if something could not be had.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let list = root.join("models/default/DATA.md");
    let text = fs::read_to_string(&list).with_context(|| format!("{}", list.display()))?;
    fs::create_dir_all(&options.folder)
        .with_context(|| format!("{}: cannot be made", options.folder.display()))?;
    let (mut have, mut failed) = (0, 0);
    for &registry in &options.registries {
        let packages = held_out(&text, registry);
        ensure!(
            !packages.is_empty(),
            "{}: no held-out packages of {}",
            list.display(),
            registry.as_str()
        );
        for package in &packages {
            match fetch::fetch(package, &options.folder) {
                Ok(()) => have += 1,
                Err(error) => {
                    failed += 1;
                    eprintln!("{} {}: {error:#}", package.name, package.version);
                }
            }
        }
    }
    eprintln!("{have} packages in {}", options.folder.display());
    if failed > 0 {
        bail!("{failed} packages could not be had; started again, the command tries these alone");
    }
    Ok(())
}

/// The packages under the list's heading `## Held out: REGISTRY`.
fn held_out(list: &str, registry: Registry) -> Vec<Package> {
    let heading = format!("## Held out: {}", registry.as_str());
    list.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("- ")?.split_once(' ')?;
            let (version, _) = rest.split_once(',')?;
            Some(Package {
                registry,
                name: name.to_owned(),
                version: version.trim_end_matches(".dsc").to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_by_registry() {
        let list = "\
## Training: rust

- other 1.0.0, MIT, rust 1

## Held out: rust

name version, licence, kB by language

- aes-gcm 0.11.1, Apache-2.0 OR MIT, rust 16

## Held out: debian

- jq 1.6-2.1.dsc, see debian/copyright, c 459
";
        let named = |registry| -> Vec<_> {
            let packages = held_out(list, registry).into_iter();
            packages.map(|p| (p.name, p.version)).collect()
        };
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(named(Registry::Rust), [pair("aes-gcm", "0.11.1")]);
        assert_eq!(named(Registry::Debian), [pair("jq", "1.6-2.1")]);
        assert_eq!(named(Registry::Npm), []);
    }

    #[test]
    fn registries_are_named() {
        let parsed = Options::parse(&["folder"]).expect("options");
        assert_eq!(parsed.registries, [Registry::Rust]);
        let parsed = Options::parse(&["folder", "npm", "python"]).expect("options");
        assert_eq!(parsed.registries, [Registry::Npm, Registry::Python]);
        assert!(Options::parse(&["folder", "pypi"]).is_err());
        assert!(Options::parse(&[]).is_err());
    }
}
