//! Which project a package belongs to: the repository that it comes from.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Package, Registry};

/// The repository's own name in lower case; a package without one is its own project. `unpacked`
/// is the folder with the package's files.
pub(super) fn project(package: &Package, unpacked: &Path) -> Result<String> {
    let stated = match package.registry {
        Registry::Rust => of_manifest(unpacked)?,
        Registry::Python => of_metadata(unpacked)?,
        Registry::Npm => of_package_json(unpacked)?,
        Registry::Debian => {
            let name = package.name.as_str();
            return Ok(name
                .strip_prefix("golang-github-")
                .unwrap_or(name)
                .to_owned());
        }
    };
    Ok(repository_name(&stated).unwrap_or_else(|| package.name.to_lowercase()))
}

fn of_manifest(unpacked: &Path) -> Result<String> {
    let text = read(&unpacked.join("Cargo.toml"))?;
    let manifest: toml::Table = text.parse().context("Cargo.toml")?;
    let stated = |key: &str| manifest.get("package")?.get(key)?.as_str();
    Ok(stated("repository")
        .or_else(|| stated("homepage"))
        .unwrap_or_default()
        .to_owned())
}

fn of_metadata(unpacked: &Path) -> Result<String> {
    let metadata = fs::read_dir(unpacked)?
        .flatten()
        .flat_map(|entry| ["METADATA", "PKG-INFO"].map(|file| entry.path().join(file)))
        .find(|path| path.is_file())
        .context("no METADATA and no PKG-INFO")?;
    let text = read(&metadata)?;
    let header = text.split("\n\n").next().unwrap_or_default();
    let fields = |name: &'static str| header.lines().filter_map(move |l| l.strip_prefix(name));
    let mut stated = fields("Home-page: ").chain(fields("Project-URL: "));
    Ok(stated
        .find(|url| repository_name(url).is_some())
        .unwrap_or_default()
        .to_owned())
}

fn of_package_json(unpacked: &Path) -> Result<String> {
    let manifest: Value = serde_json::from_str(&read(&unpacked.join("package.json"))?)?;
    let stated = &manifest["repository"];
    let url = stated.as_str().or_else(|| stated["url"].as_str());
    Ok(url.unwrap_or_default().to_owned())
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last part of `https://HOST/OWNER/NAME`, for the hosts that are known to hold repositories.
fn repository_name(url: &str) -> Option<String> {
    let rest = ["github.", "gitlab.", "codeberg."]
        .iter()
        .find_map(|host| Some(&url[url.find(host)? + host.len()..]))?;
    let (_, path) = rest.split_once(['/', ':'])?;
    let name = path.split('/').nth(1)?;
    let end = name.find(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)));
    let name = &name[..end.unwrap_or(name.len())];
    let name = name.strip_suffix(".git").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_the_name_that_their_address_ends_with() {
        let name = |url| repository_name(url);
        let is = |name: &str| Some(name.to_owned());
        assert_eq!(
            name("https://github.com/AccessKit/accesskit"),
            is("accesskit")
        );
        assert_eq!(
            name("git+https://github.com/tj/commander.js.git"),
            is("commander.js")
        );
        assert_eq!(name("git@gitlab.com:group/tool.git#main"), is("tool"));
        assert_eq!(
            name("Source, https://github.com/pallets/click/"),
            is("click")
        );
        assert_eq!(
            name("https://github.com/rust-lang/cargo/tree/master/x"),
            is("cargo")
        );
        assert_eq!(name("https://example.org/a/b"), None);
        assert_eq!(name("https://github.com/owner"), None);
    }
}
