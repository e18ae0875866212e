//! Pieces of other files in a prompt.

use carat_grammars::Language;

/// A piece of another file, as a model is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file's path as the model may see it.
    pub path: String,
    /// Whole lines.
    pub text: String,
}

impl Excerpt {
    /// The piece as comments, for models that know one file at a time.
    pub(super) fn commented(&self, language: Option<&Language>) -> String {
        let mark = language.map_or("//", |language| language.line_comment);
        let mut text = format!("{mark} From {}:\n", self.path);
        for line in self.text.lines() {
            text += format!("{mark} {line}").trim_end();
            text.push('\n');
        }
        text
    }
}
