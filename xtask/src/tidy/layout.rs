//! Where files stand, how they begin and how long they are.

use super::{File, Finding};

/// The top level of the repository: what design and packaging need, and the usual dot files.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "deny.toml",
    "docs",
    "editors",
    "engine",
    "grammars",
    "models",
    "server",
    "tests",
    "xtask",
];

/// Longer files have two duties, or stand here with the reason why they have one.
const LINES_MAX: usize = 600;
const LONG_FILES: &[(&str, &str)] = &[];
const CODE_EXTENSIONS: &[&str] = &["rs", "py", "lua", "js", "ts"];

/// Folders of one machine: such a path works nowhere else.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/", "root/"),
    concat!("/", "work/"),
    concat!("/", "home/"),
];

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        check_place(&file.path, &mut findings);
        let Some(text) = &file.text else { continue };
        if file.is_fixture() {
            continue;
        }
        check_machine_folders(&file.path, text, &mut findings);
        if file.has_extension("rs") && !text.starts_with("//!") {
            findings.push(Finding::new(
                &file.path,
                1,
                "the first line is not `//!` with the file's one duty",
            ));
        }
        if CODE_EXTENSIONS
            .iter()
            .any(|extension| file.has_extension(extension))
        {
            check_length(&file.path, text, &mut findings);
        }
    }
    findings.extend(stale_exceptions(files));
    findings
}

fn check_place(path: &str, findings: &mut Vec<Finding>) {
    let top = path.split('/').next().unwrap_or(path);
    if !TOP_LEVEL.contains(&top) {
        findings.push(Finding::new(
            path,
            0,
            format!("`{top}` is not an entry of the top level; see xtask/src/tidy/layout.rs"),
        ));
    }
}

fn check_length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if lines > LINES_MAX && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        findings.push(Finding::new(
            path,
            0,
            format!("{lines} lines, at most {LINES_MAX}: does it have two duties?"),
        ));
    }
}

fn check_machine_folders(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(text.lines()) {
        for folder in MACHINE_FOLDERS {
            // Inside of a longer path it is an ordinary name; at the beginning of a path it is the root.
            let found = line.match_indices(folder).any(|(at, _)| {
                !line[..at].ends_with(|c: char| {
                    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '/' | '*')
                })
            });
            if found {
                findings.push(Finding::new(
                    path,
                    number,
                    format!("`{folder}` is a folder of one machine"),
                ));
            }
        }
    }
}

/// Exceptions for files that are gone or short again.
fn stale_exceptions(files: &[File]) -> Vec<Finding> {
    let still_long = |path: &str| {
        files.iter().any(|file| {
            file.path == path
                && file
                    .text
                    .as_ref()
                    .is_some_and(|text| text.lines().count() > LINES_MAX)
        })
    };
    LONG_FILES
        .iter()
        .filter(|(path, _)| !still_long(path))
        .map(|(path, _)| {
            Finding::new(
                path,
                0,
                "is listed as a long file in xtask/src/tidy/layout.rs and is none",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[track_caller]
    fn check_one(path: &str, text: &str, expected: usize) {
        let findings = check(&[file(path, text)]);
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn every_rust_file_says_its_duty() {
        check_one("engine/src/a.rs", "//! Duty.\n", 0);
        check_one("engine/src/a.rs", "use std::fmt;\n", 1);
        check_one("tests/fixtures/carets/a.rs", "use std::fmt;\n", 0);
    }

    #[test]
    fn the_top_level_is_closed() {
        check_one("utils/a.md", "", 1);
        check_one("docs/a.md", "", 0);
    }

    #[test]
    fn long_files_are_found() {
        check_one(
            "engine/src/a.rs",
            &("//! Duty.\n".to_owned() + &"\n".repeat(600)),
            1,
        );
        check_one("docs/a.md", &"\n".repeat(700), 0);
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in MACHINE_FOLDERS {
            check_one("docs/a.md", &format!("open {folder}x"), 1);
            check_one("docs/a.md", &format!("open some{folder}x"), 0);
        }
    }
}
