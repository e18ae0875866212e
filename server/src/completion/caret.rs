//! A caret as every caller has it, and the text around it that prompts and rules look at.

use std::sync::Arc;

use carat_grammars::Language;
use ropey::Rope;

use super::{Manners, Query};

/// A place at which something is to be proposed: for an editor, the command line or an evaluation.
#[derive(Clone, Debug)]
pub struct Caret {
    /// The text.
    pub text: Rope,
    /// Byte offset in it.
    pub at: usize,
    /// The file's path as the model may see it: relative to the workspace, or the name alone.
    pub path: Arc<str>,
    /// The document's language, where it is known.
    pub language: Option<&'static Language>,
    /// Whether the user asked for it; what comes unasked is kept shorter.
    pub explicit: bool,
    /// Upper bound of generated tokens; `None` leaves it to the mode.
    pub max_tokens: Option<usize>,
    /// The identifier of the language as the client sends it; may be one that Carat does not know.
    pub language_id: Arc<str>,
    /// What the user wants to see.
    pub manners: Arc<Manners>,
}

/// Beyond this much text on a side, windows begin on a grid of this size: copying stays cheap in
/// large files, and where a window begins changes rarely, which the engine's cache needs.
const WINDOW_STEP_BYTES: usize = 256 * 1024;

/// The text before and after a caret, at least 256 KiB of each where there is as much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Before the caret.
    pub prefix: String,
    /// After the caret.
    pub suffix: String,
}

impl Caret {
    /// Copies the text around.
    pub fn around(&self) -> Around {
        let text = &self.text;
        let start = (self.at / WINDOW_STEP_BYTES).saturating_sub(1) * WINDOW_STEP_BYTES;
        let end = (self.at + 2 * WINDOW_STEP_BYTES).min(text.len_bytes());
        let (start, at, end) = (
            text.byte_to_char(start),
            text.byte_to_char(self.at),
            text.byte_to_char(end),
        );
        Around {
            prefix: text.slice(start..at).to_string(),
            suffix: text.slice(at..end).to_string(),
        }
    }

    /// What is asked of a model.
    pub fn query<'a>(&'a self, around: &'a Around) -> Query<'a> {
        Query {
            path: &self.path,
            language: self.language,
            prefix: &around.prefix,
            suffix: &around.suffix,
            document_bytes: self.text.len_bytes(),
            explicit: self.explicit,
            max_tokens: self.max_tokens,
            language_id: &self.language_id,
            manners: &self.manners,
            texts: None,
            context: &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_small_files_and_bound_large_ones() {
        let around = |text: &str, at: usize| {
            let caret = Caret {
                text: Rope::from_str(text),
                at,
                path: "a".into(),
                language: None,
                explicit: false,
                max_tokens: None,
                language_id: "".into(),
                manners: Arc::default(),
            };
            let around = caret.around();
            (around.prefix, around.suffix)
        };
        assert_eq!(around("aé|b", 3), ("aé".to_owned(), "|b".to_owned()));
        let (prefix, suffix) = around(&"漢字\n".repeat(400_000), 7 * 300_000);
        assert!(prefix.len() >= WINDOW_STEP_BYTES && prefix.len() <= 2 * WINDOW_STEP_BYTES);
        assert!(suffix.len() >= WINDOW_STEP_BYTES && suffix.len() <= 2 * WINDOW_STEP_BYTES + 3);
    }
}
