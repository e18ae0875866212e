//! Markdown that tells the truth: links that lead somewhere, an overview that stays one, carets that still point where they did.

use std::path::{Component, Path, PathBuf};

use super::{File, Finding};
use crate::test_programs::TEST_COMMAND;

const ARCHITECTURE_LINES_MAX: usize = 200;
const CARETS: &str = "tests/carets.txt";
const CARETS_COUNT: usize = 21;

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        let Some(text) = &file.text else { continue };
        for (number, target) in links(text) {
            if !leads_somewhere(files, &file.path, &target) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("the link to `{target}` leads nowhere"),
                ));
            }
        }
    }
    let text_of = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .and_then(|file| file.text.as_deref())
    };
    let lines = text_of("ARCHITECTURE.md")
        .unwrap_or_default()
        .lines()
        .count();
    if lines == 0 || lines >= ARCHITECTURE_LINES_MAX {
        let message = format!(
            "{lines} lines; an overview has fewer than {ARCHITECTURE_LINES_MAX}, and more than none"
        );
        findings.push(Finding::new("ARCHITECTURE.md", 0, message));
    }
    findings.extend(check_names(
        files,
        text_of("ARCHITECTURE.md").unwrap_or_default(),
    ));
    let readme = text_of("README.md").unwrap_or_default();
    if !readme.lines().any(|line| line == TEST_COMMAND.join(" ")) {
        findings.push(Finding::new(
            "README.md",
            0,
            format!(
                "does not give the test command `{}`",
                TEST_COMMAND.join(" ")
            ),
        ));
    }
    findings.extend(check_carets(
        text_of(CARETS).unwrap_or_default(),
        readme,
        text_of,
    ));
    findings
}

/// What stands in backticks is a path that exists, or a word that some file of source or of
/// configuration says; of a command, every word.
fn check_names(files: &[File], text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for name in line.split('`').skip(1).step_by(2) {
            let missing = alternatives(name)
                .into_iter()
                .find(|name| !is_path(files, name) && !is_said(files, name));
            if let Some(missing) = missing {
                findings.push(Finding::new(
                    "ARCHITECTURE.md",
                    number,
                    format!("`{missing}` is no path, and no source file says it"),
                ));
            }
        }
    }
    findings
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn alternatives(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else {
        return vec![name.to_owned()];
    };
    let Some((inner, after)) = rest.split_once('}') else {
        return vec![name.to_owned()];
    };
    let all = inner.split(',');
    all.map(|part| format!("{before}{part}{after}")).collect()
}

/// A file or a folder, from the root or as the end of a path; a module may stand for its file.
fn is_path(files: &[File], name: &str) -> bool {
    let name = name.trim_end_matches('/');
    let ends_so = |path: &str| {
        path == name
            || path
                .strip_suffix(name)
                .is_some_and(|before| before.ends_with('/'))
    };
    files.iter().any(|file| {
        let module = file.path.strip_suffix(".rs").unwrap_or(&file.path);
        ends_so(&file.path)
            || Path::new(module)
                .ancestors()
                .any(|p| p.to_str().is_some_and(ends_so))
    })
}

/// Whether every word of it stands in a file that is not prose.
fn is_said(files: &[File], name: &str) -> bool {
    name.split_whitespace().all(|word| {
        files
            .iter()
            .filter(|file| !file.has_extension("md") && !file.is_fixture())
            .filter_map(|file| file.text.as_deref())
            .any(|text| text.contains(word))
    })
}

/// Targets of inline links, with their line numbers; code blocks are left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
        found.extend(targets.map(|target| (number, target.to_owned())));
    }
    found
}

fn leads_somewhere(files: &[File], from: &str, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true; // an anchor of the same page, or a place that is not ours to check
    }
    let Some(wanted) = resolve(from, path) else {
        return false;
    };
    files
        .iter()
        .any(|file| Path::new(&file.path).starts_with(&wanted))
}

/// A relative path as seen from the file that names it; nothing if it leaves the repository.
fn resolve(from: &str, path: &str) -> Option<PathBuf> {
    let mut resolved = Path::new(from).parent()?.to_path_buf();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(resolved)
}

/// A line is `FILE:LINE:COLUMN | TEXT`, where TEXT stands before the caret, apart from spaces; `#` begins a comment.
fn check_carets<'a>(
    carets: &str,
    readme: &str,
    text_of: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Finding> {
    let rows: Vec<(usize, &str)> = (1..)
        .zip(carets.lines())
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut findings = Vec::new();
    if rows.len() != CARETS_COUNT {
        findings.push(Finding::new(
            CARETS,
            0,
            format!("{} carets, expected {CARETS_COUNT}", rows.len()),
        ));
    }
    for &(number, row) in &rows {
        if let Err(message) = check_caret(row, &text_of) {
            findings.push(Finding::new(CARETS, number, message));
        }
    }
    let caret = |row: &str| row.split(' ').next().unwrap_or_default().to_owned();
    if !rows
        .iter()
        .any(|(_, row)| readme.contains(&format!("complete {}", caret(row))))
    {
        findings.push(Finding::new(
            "README.md",
            0,
            format!("completes none of the carets of {CARETS}"),
        ));
    }
    findings
}

fn check_caret<'a>(row: &str, text_of: impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
    let (place, before) = row
        .split_once(" |")
        .ok_or("expected `FILE:LINE:COLUMN | TEXT`")?;
    let mut parts = place.rsplitn(3, ':');
    let mut number = || {
        parts
            .next()
            .and_then(|part| part.parse::<usize>().ok())
            .filter(|&n| n > 0)
    };
    let (column, line) = (number(), number());
    let (Some(column), Some(line), Some(path)) = (column, line, parts.next()) else {
        return Err(format!("`{place}` is not FILE:LINE:COLUMN"));
    };
    let text = text_of(path).ok_or(format!("`{path}` does not exist"))?;
    let content = text
        .lines()
        .nth(line - 1)
        .ok_or(format!("`{path}` has no line {line}"))?;
    let head: String = content.chars().take(column - 1).collect();
    if head.chars().count() + 1 != column {
        return Err(format!("line {line} of `{path}` has no column {column}"));
    }
    // Spaces at the end of a row of the list would not survive everybody's editor.
    let before = before.trim();
    if !head.trim_end().ends_with(before) {
        return Err(format!(
            "`{before}` does not stand before the caret, but `{}`",
            head.trim_start()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn reads_links_outside_of_code() {
        let text = "a [b](c.md) and [d](e#f)\n```\n[x](y)\n```\n![p](q.png)";
        let found: Vec<_> = links(text)
            .into_iter()
            .map(|(line, target)| format!("{line} {target}"))
            .collect();
        assert_eq!(found, ["1 c.md", "1 e#f", "5 q.png"]);
    }

    #[test]
    fn links_lead_to_files_folders_anchors_or_out() {
        let files = [file("docs/a.md", ""), file("engine/src/lib.rs", "")];
        let leads = |target| leads_somewhere(&files, "docs/b.md", target);
        assert!(
            leads("a.md")
                && leads("a.md#x")
                && leads("#x")
                && leads("../engine")
                && leads("https://x.y/z")
        );
        assert!(!leads("c.md") && !leads("../../engine") && !leads("../engine/src/main.rs"));
    }

    #[test]
    fn names_of_the_architecture_exist() {
        let files = [
            file("engine/src/gguf/mapping.rs", "fn map() {}"),
            file("docs/a.md", "only prose says this_word"),
        ];
        let check = |text| check_names(&files, text).len();
        assert_eq!(
            check("`gguf/mapping.rs`, `engine/src/{gguf,gguf/mapping.rs}`, `mapping`, `engine/`"),
            0
        );
        assert_eq!(check("`fn map()` and no backticks: gone.rs"), 0);
        assert_eq!(
            check("`gguf/gone.rs`\n`engine/src/{gguf,gone}`\n`this_word`"),
            3
        );
        assert_eq!(check("`apping.rs/`"), 1);
    }

    #[test]
    fn carets_point_where_the_list_says() {
        let text_of = |path: &str| (path == "a.rs").then_some("fn é() {\n    self.x\n");
        let check = |row| check_caret(row, text_of);
        assert_eq!(check("a.rs:2:10 | self."), Ok(()));
        assert_eq!(check("a.rs:1:5 | é"), Ok(()));
        assert!(check("a.rs:2:9 | self.").is_err_and(|m| m.contains("but `self`")));
        assert!(check("a.rs:2:99 | self.").is_err_and(|m| m.contains("no column")));
        assert!(check("a.rs:9:1 | x").is_err_and(|m| m.contains("no line")));
        assert!(check("b.rs:1:1 | x").is_err_and(|m| m.contains("does not exist")));
        assert!(check("a.rs:0:1 | x").is_err());
        assert!(check("a.rs:2:10").is_err());
    }
}
