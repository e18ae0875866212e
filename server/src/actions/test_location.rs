//! Where tests belong: Rust keeps unit tests in the file that they test, others beside it.

use std::ops::Range;

use carat_grammars::{Language, SyntaxTree};

use super::indentation;

/// Where the tests of a file go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the closing bracket of the module that is there.
    Module {
        /// The place, which is empty.
        at: Range<usize>,
        /// The indentation of what stands in the module.
        indent: String,
    },
    /// A module of their own at the end of the file.
    NewModule { at: Range<usize> },
    /// A file beside the one that is tested.
    Beside { name: String },
}

/// How a language names the files of tests, from the stem and the extension of the file.
fn file_name(language: &Language, stem: &str, extension: &str) -> String {
    match language.id {
        "go" => format!("{stem}_test.{extension}"),
        "javascript" | "javascriptreact" | "typescript" | "typescriptreact" => {
            format!("{stem}.test.{extension}")
        }
        _ => format!("test_{stem}.{extension}"),
    }
}

pub(super) fn place(text: &str, language: &Language, tree: &SyntaxTree, path: &str) -> Place {
    if language.id != "rust" {
        let file = path.rsplit('/').next().unwrap_or(path);
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, "txt"));
        return Place::Beside {
            name: file_name(language, stem, extension),
        };
    }
    let module = tree.items().into_iter().rev().find(|item| {
        item.kind == "mod_item"
            && item
                .name
                .as_ref()
                .is_some_and(|name| &text[name.clone()] == "tests")
    });
    let Some(body) = module.as_ref().and_then(|module| module.body.clone()) else {
        let end = text.trim_end().len();
        return Place::NewModule { at: end..end };
    };
    let inside = text[body.start..body.end.saturating_sub(1)].trim_end();
    let at = body.start + inside.len();
    let line_start = text[..body.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line = &text[line_start..body.start];
    let outer = &line[..line.len() - line.trim_start().len()];
    Place::Module {
        at: at..at,
        indent: format!("{outer}{}", indentation::step(text)),
    }
}

impl Place {
    /// What the model must know of it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Module { .. } | Self::NewModule { .. } => {
                "Write only the functions with `#[test]`; they go into a module that has `use super::*;`.".to_owned()
            }
            Self::Beside { name } => {
                format!("They go into a new file `{name}` beside the code: import what they need, and use the test framework that is usual for the language.")
            }
        }
    }

    /// How the answer begins.
    pub(super) fn opening(&self) -> &'static str {
        match self {
            Self::Module { .. } | Self::NewModule { .. } => "#[test]\nfn",
            Self::Beside { .. } => "",
        }
    }

    /// What is inserted into the file; `None` for a file of its own.
    pub(super) fn inserted(&self, tests: &str, text: &str) -> Option<(Range<usize>, String)> {
        let end = indentation::line_end(text);
        match self {
            Self::Module { at, indent } => {
                let tests = indentation::indent(tests, indent, text);
                let gap = if text[..at.start].ends_with('{') {
                    end.to_owned()
                } else {
                    end.repeat(2)
                };
                // A module on one line has its bracket right behind the place.
                let after = if text[at.end..].starts_with(['\n', '\r']) {
                    ""
                } else {
                    end
                };
                Some((at.clone(), format!("{gap}{tests}{after}")))
            }
            Self::NewModule { at } => {
                let step = indentation::step(text);
                let tests = indentation::indent(tests, &step, text);
                let gap = if at.start == 0 {
                    String::new()
                } else {
                    end.repeat(2)
                };
                Some((
                    at.clone(),
                    format!(
                        "{gap}#[cfg(test)]{end}mod tests {{{end}{step}use super::*;{end}{end}{tests}{end}}}"
                    ),
                ))
            }
            Self::Beside { .. } => None,
        }
    }
}
