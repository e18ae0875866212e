//! Who may depend on whom, under which licences, and which of them may reach the network.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{File, Finding};

/// Arrows between the packages of this workspace; development dependencies on the test harness are free.
const ARROWS: &[(&str, &[&str])] = &[
    ("carat-engine", &[]),
    ("carat-grammars", &[]),
    ("carat", &["carat-engine", "carat-grammars"]),
    ("carat-tests", &[]),
    ("xtask", &["carat-tests"]),
];

/// Packages (by the beginning of their names) that only these members may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("candle", &["carat-engine"]),
    ("tokenizers", &["carat-engine"]),
    ("memmap2", &["carat-engine"]),
    ("tree-sitter", &["carat-grammars"]),
    ("tokio", &["carat"]),
    ("tower", &["carat"]),
    ("clap", &["carat"]),
    ("rustls", &["carat"]),
    ("ureq", &["carat"]),
    ("serde_json", &["carat", "carat-tests", "xtask"]),
];

pub(crate) fn check(root: &Path, files: &[File]) -> Result<Vec<Finding>> {
    let metadata = metadata(root)?;
    let deny = files
        .iter()
        .find(|file| file.path == "deny.toml")
        .and_then(|file| file.text.as_deref());
    let mut findings = check_arrows(&metadata);
    findings.extend(check_packages(
        &metadata,
        &Policy::read(deny.unwrap_or_default()),
    ));
    for file in files
        .iter()
        .filter(|file| file.path.matches('/').count() == 1 && file.path.ends_with("/Cargo.toml"))
    {
        findings.extend(check_inheritance(
            &file.path,
            file.text.as_deref().unwrap_or_default(),
        ));
    }
    Ok(findings)
}

/// What cargo resolves for this machine's target; packages for other targets need not be there.
fn metadata(root: &Path) -> Result<Value> {
    let version = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    let output = Command::new("cargo")
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            host,
        ])
        .current_dir(root)
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

fn strings<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn check_arrows(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members = || items(metadata, "packages").filter(|package| package["source"].is_null());
    for member in members() {
        let name = strings(member, "name");
        let Some((_, arrows)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            findings.push(Finding::new(
                name,
                0,
                "is a new package: give it a row in xtask/src/tidy/dependencies.rs",
            ));
            continue;
        };
        for dependency in items(member, "dependencies") {
            let to = strings(dependency, "name");
            let for_tests = strings(dependency, "kind") == "dev";
            let ours = members().any(|other| strings(other, "name") == to);
            if ours && !arrows.contains(&to) && !(for_tests && to == "carat-tests") {
                findings.push(Finding::new(name, 0, format!("must not depend on {to}")));
            }
            let reserved = RESERVED
                .iter()
                .find(|(prefix, _)| to == *prefix || to.starts_with(&format!("{prefix}-")));
            if let Some((_, owners)) =
                reserved.filter(|(_, owners)| !for_tests && !owners.contains(&name))
            {
                findings.push(Finding::new(
                    name,
                    0,
                    format!("must not depend on {to}; only {} may", owners.join(", ")),
                ));
            }
        }
    }
    findings
}

/// The parts of deny.toml that are checked here too, so that they hold where cargo-deny is not installed.
#[derive(Debug, Default, PartialEq)]
struct Policy {
    licenses: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    /// Reads one entry per line: `"LICENCE",` under `allow = [`, and `{ crate = "NAME", … }`.
    fn read(deny: &str) -> Self {
        let mut policy = Self::default();
        let mut in_allow = false;
        for line in deny.lines().map(str::trim) {
            let quoted = |text: &str| text.split('"').nth(1).map(str::to_owned);
            match line {
                "allow = [" => in_allow = true,
                "]" => in_allow = false,
                _ if in_allow => policy.licenses.extend(quoted(line)),
                _ => policy
                    .banned
                    .extend(line.strip_prefix("{ crate = ").and_then(quoted)),
            }
        }
        policy
    }
}

fn check_packages(metadata: &Value, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in items(metadata, "packages") {
        let (name, license) = (strings(package, "name"), strings(package, "license"));
        if !is_allowed(license, &policy.licenses) {
            findings.push(Finding::new(
                "deny.toml",
                0,
                format!("the licence `{license}` of {name} is not allowed"),
            ));
        }
        if policy.banned.iter().any(|banned| banned == name) {
            findings.push(Finding::new("deny.toml", 0, format!("{name} is banned")));
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied; `/` is the old spelling of `OR`, and `AND` binds tighter.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // Expressions have one level of parentheses in practice; each group is decided first.
    if let Some((before, rest)) = expression.split_once('(')
        && let Some((group, after)) = rest.split_once(')')
    {
        let verdict = if is_allowed(group, allowed) { YES } else { NO };
        return is_allowed(&format!("{before}{verdict}{after}"), allowed);
    }
    let expression = expression.replace('/', " OR ");
    expression.split(" OR ").any(|choice| {
        choice
            .split(" AND ")
            .map(str::trim)
            .all(|license| license == YES || allowed.iter().any(|known| known == license))
    })
}

const YES: &str = "<allowed>";
const NO: &str = "<not allowed>";

/// Versions live in the root manifest alone.
fn check_inheritance(path: &str, manifest: &str) -> Vec<Finding> {
    let mut in_dependencies = false;
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains("workspace = true")
        {
            findings.push(Finding::new(
                path,
                number,
                "versions of dependencies stand in the root manifest",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_dependency(from: &str, to: &str, kind: Option<&str>, expected: &[&str]) {
        let metadata = json!({ "packages": [
            { "name": from, "source": null, "dependencies": [{ "name": to, "kind": kind }] },
            { "name": "carat-engine", "source": null, "dependencies": [] },
            { "name": "carat-grammars", "source": null, "dependencies": [] },
            { "name": "carat-tests", "source": null, "dependencies": [] },
            { "name": "xtask", "source": null, "dependencies": [] },
        ]});
        let found: Vec<_> = check_arrows(&metadata)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arrows_point_one_way() {
        check_dependency("carat", "carat-engine", None, &[]);
        check_dependency("carat", "carat-tests", Some("dev"), &[]);
        check_dependency(
            "carat",
            "carat-tests",
            None,
            &["carat: must not depend on carat-tests"],
        );
        check_dependency(
            "carat",
            "xtask",
            Some("dev"),
            &["carat: must not depend on xtask"],
        );
        check_dependency(
            "carat-engine",
            "carat-grammars",
            None,
            &["carat-engine: must not depend on carat-grammars"],
        );
        check_dependency(
            "carat-engine",
            "tokio",
            None,
            &["carat-engine: must not depend on tokio; only carat may"],
        );
        check_dependency(
            "carat",
            "candle-core",
            None,
            &["carat: must not depend on candle-core; only carat-engine may"],
        );
        check_dependency("carat-engine", "serde_json", Some("dev"), &[]);
        check_dependency(
            "carat-new",
            "x",
            None,
            &["carat-new: is a new package: give it a row in xtask/src/tidy/dependencies.rs"],
        );
    }

    #[test]
    fn reads_licences_and_bans() {
        let text = "[licenses]\nallow = [\n    \"MIT\", # why\n    \"Zlib\",\n]\n[bans]\ndeny = [\n    { crate = \"hyper\", reason = \"x\" },\n]\n";
        let policy = Policy::read(text);
        assert_eq!(
            policy,
            Policy {
                licenses: vec!["MIT".into(), "Zlib".into()],
                banned: vec!["hyper".into()]
            }
        );
        let package = json!({ "packages": [{ "name": "hyper", "license": "GPL-3.0" }] });
        assert_eq!(check_packages(&package, &policy).len(), 2);
    }

    #[test]
    fn licence_expressions_are_satisfied_or_not() {
        let allowed: Vec<String> = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
            .map(String::from)
            .into();
        for yes in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR X",
        ] {
            assert!(is_allowed(yes, &allowed), "{yes}");
        }
        for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR X) AND MIT"] {
            assert!(!is_allowed(no, &allowed), "{no}");
        }
    }

    #[test]
    fn members_inherit_versions() {
        let manifest = "[dependencies]\nanyhow.workspace = true\nserde = \"1\"\nhalf = { workspace = true }\n[features]\na = []\n";
        let lines: Vec<_> = check_inheritance("engine/Cargo.toml", manifest)
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [3]);
    }
}
