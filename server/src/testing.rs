//! Test cases as text files: `=== name`, then sections that begin with `--- title`.

use std::path::{Path, PathBuf};

/// One case of a file.
pub(crate) struct Case {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    /// Titles and texts in order; the part before the first title is called "".
    pub(crate) sections: Vec<(String, String)>,
}

impl Case {
    /// The text of a section.
    pub(crate) fn section(&self, title: &str) -> Option<&str> {
        self.sections
            .iter()
            .find(|(found, _)| found == title)
            .map(|(_, text)| text.as_str())
    }

    /// The section of this title as `key = value` lines.
    pub(crate) fn value(&self, title: &str, key: &str) -> Option<&str> {
        let mut lines = self
            .section(title)?
            .lines()
            .filter_map(|line| line.split_once(" = "));
        lines
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// For messages.
    pub(crate) fn place(&self) -> String {
        format!(
            "{}: {}",
            self.file.file_name().unwrap_or_default().display(),
            self.name
        )
    }
}

/// Reads all cases of `server/testdata/FOLDER`.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    assert!(!cases.is_empty(), "{}: no cases", folder.display());
    cases
}

fn read(file: &Path) -> Vec<Case> {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            let sections = vec![(String::new(), String::new())];
            cases.push(Case {
                file: file.to_owned(),
                name: name.to_owned(),
                sections,
            });
        } else if let Some(case) = cases.last_mut() {
            if let Some(title) = line.strip_prefix("--- ") {
                case.sections.push((title.to_owned(), String::new()));
            } else if let Some((_, text)) = case.sections.last_mut() {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    for (_, text) in cases.iter_mut().flat_map(|case| &mut case.sections) {
        // The line end before the next title belongs to the format, not to the text.
        text.truncate(text.len().saturating_sub(1));
    }
    cases
}

/// The environment variable that makes tests write what they found in place of what they expected.
/// Such a run fails, so that it is never mistaken for a check.
const UPDATE: &str = "CARAT_UPDATE_TESTDATA";

/// Compares sections of cases with what was found; names every difference at once.
pub(crate) fn compare(cases: &[Case], found: impl Fn(&Case, &str) -> Option<String>) {
    let mut differences = Vec::new();
    let mut updated: Vec<(PathBuf, String)> = Vec::new();
    for case in cases {
        let mut text = format!("=== {}\n", case.name);
        for (title, expected) in &case.sections {
            let actual = found(case, title).unwrap_or_else(|| expected.clone());
            if actual != *expected {
                differences.push(format!(
                    "{} --- {title}\n{actual}\n(expected)\n{expected}\n",
                    case.place()
                ));
            }
            if !title.is_empty() {
                text.extend(["--- ", title, "\n"]);
            }
            if !(title.is_empty() && actual.is_empty()) {
                text.extend([actual.as_str(), "\n"]);
            }
        }
        match updated.last_mut().filter(|(file, _)| *file == case.file) {
            Some((_, whole)) => whole.push_str(&text),
            None => updated.push((case.file.clone(), text)),
        }
    }
    if std::env::var_os(UPDATE).is_some() {
        for (file, text) in updated {
            std::fs::write(&file, text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        panic!("the test data was rewritten; review the difference");
    }
    assert!(
        differences.is_empty(),
        "{}{UPDATE}=1 accepts what was found",
        differences.join("\n")
    );
}
