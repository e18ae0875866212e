//! Reading infill cases.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use carat_grammars::{Language, languages};
use ropey::Rope;
use serde::{Deserialize, Serialize};

use crate::completion::Caret;

/// What was taken out of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A line, behind its indentation.
    Line,
    /// The end of a line, from a random column.
    LineRest,
    /// The lines of a block.
    Block,
}

impl Kind {
    /// Its name in the files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::LineRest => "line-rest",
            Self::Block => "block",
        }
    }
}

/// A hole in a real file. Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Case {
    /// The file's path inside its project.
    pub path: String,
    /// The language's LSP identifier.
    pub language: String,
    /// What was taken out.
    pub kind: Kind,
    /// The text before the hole.
    pub prefix: String,
    /// The text that was taken out.
    pub middle: String,
    /// The text after the hole.
    pub suffix: String,
    /// The project that the file is from; cases of one project are not independent.
    #[serde(default)]
    pub project: Option<String>,
}

impl Case {
    /// Its document's language, where it is known.
    pub fn language(&self) -> Option<&'static Language> {
        languages::of_document(&self.language, self.path.as_ref())
    }

    /// The user's caret, in the hole.
    pub fn caret(&self) -> Caret {
        let mut text = Rope::from_str(&self.prefix);
        let at = text.len_bytes();
        text.append(Rope::from_str(&self.suffix));
        Caret {
            text,
            at,
            path: self.path.as_str().into(),
            language: self.language(),
            explicit: false,
            max_tokens: None,
            language_id: self.language.as_str().into(),
            manners: Arc::default(),
        }
    }
}

/// Cases that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line, or a file, is no case.
    #[error("{}:{line}: not a case: {source}; a case is a JSON object with the texts `path`, `language`, `kind` (line, line-rest or block), `prefix`, `middle` and `suffix`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The folder holds none.
    #[error("{}: no cases; give a folder with files `*.jsonl` (a case a line) or `*.json` (one case)", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// All cases of a folder, its files in the order of their names: a case a line in `*.jsonl`, one
/// case in `*.json`.
pub fn read_folder(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Io { path, source }
    };
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(failed(folder))?;
    paths.sort();
    let mut cases = Vec::new();
    for path in &paths {
        let malformed = |line| {
            move |source| CaseError::Malformed {
                path: path.clone(),
                line,
                source,
            }
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => {
                let text = fs::read_to_string(path).map_err(failed(path))?;
                // Not `str::lines`: a carriage return may only stand in a JSON text escaped.
                for (index, line) in text.split('\n').enumerate() {
                    if !line.trim().is_empty() {
                        cases.push(serde_json::from_str(line).map_err(malformed(index + 1))?);
                    }
                }
            }
            Some("json") => {
                let text = fs::read_to_string(path).map_err(failed(path))?;
                cases.push(serde_json::from_str(&text).map_err(malformed(1))?);
            }
            _ => {}
        }
    }
    if cases.is_empty() {
        return Err(CaseError::Empty {
            path: folder.to_owned(),
        });
    }
    Ok(cases)
}
