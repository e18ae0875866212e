//! Why nothing is shown.

use std::fmt;

/// The rule or the number that decided; its text is one sentence for the user.
#[derive(Clone, Debug, PartialEq)]
pub enum Silence {
    /// The file's name says that it holds secrets.
    SecretFile,
    /// What would be shown looks like a password or a key.
    SecretText,
    /// The model was not trained on this language.
    UnknownLanguage {
        /// The language, by its LSP identifier.
        language: String,
        /// The model's name.
        model: String,
        /// What it knows.
        knows: Vec<String>,
    },
    /// Text follows on the caret's line.
    TextFollows,
    /// The caret stands in a comment.
    Comment,
    /// The caret stands in a string.
    String,
    /// The file is larger than any that someone writes.
    Huge,
    /// A program wrote the file.
    Generated,
    /// The caret's line is longer than any that someone writes.
    LongLine,
    /// The model wrote nothing of use: nothing at all, white space, what stands there already, or a loop.
    Nothing,
    /// It is too short to be worth a look.
    Short {
        /// Least number of characters.
        shortest: usize,
    },
    /// A comment or a string is to hold prose, and this is none.
    NotProse,
    /// It has a name that exists nowhere.
    UnknownName {
        /// The name.
        name: String,
    },
    /// It is too probably wrong.
    Improbable {
        /// What the model holds of it.
        probability: f64,
        /// What it would have to.
        threshold: f64,
    },
}

impl Silence {
    /// Whether there was an answer, which was not worth showing; it would be the same answer again
    /// once more of it is typed.
    pub fn judges_answer(&self) -> bool {
        matches!(
            self,
            Self::SecretText
                | Self::Short { .. }
                | Self::NotProse
                | Self::UnknownName { .. }
                | Self::Improbable { .. }
        )
    }

    /// A name that does not change, for statistics and clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretFile => "secret-file",
            Self::SecretText => "secret-text",
            Self::UnknownLanguage { .. } => "unknown-language",
            Self::TextFollows => "text-follows",
            Self::Comment => "comment",
            Self::String => "string",
            Self::Huge => "huge",
            Self::Generated => "generated",
            Self::LongLine => "long-line",
            Self::Nothing => "nothing",
            Self::Short { .. } => "short",
            Self::NotProse => "not-prose",
            Self::UnknownName { .. } => "unknown-name",
            Self::Improbable { .. } => "improbable",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretFile => out.write_str(
                "the file's name says that it holds secrets: it is neither completed nor shown to a model",
            ),
            Self::SecretText => {
                out.write_str("the answer has a part that looks like a password or a key")
            }
            Self::UnknownLanguage { language, model, knows } => write!(
                out,
                "the model `{model}` knows {}, not {language}; it answers here only when you ask",
                Listed(knows)
            ),
            Self::TextFollows => out.write_str(
                "text follows on the caret's line; ask with a key to complete in the middle of a line",
            ),
            Self::Comment => {
                out.write_str("the caret is in a comment, and the setting `comments` is `off`")
            }
            Self::String => {
                out.write_str("the caret is in a string, and the setting `strings` is `off`")
            }
            Self::Huge => out.write_str("the file is larger than code that someone writes"),
            Self::Generated => out.write_str("the file says that a program wrote it"),
            Self::LongLine => out.write_str("the caret's line is longer than code that someone writes"),
            Self::Nothing => out.write_str(
                "the model wrote nothing of use: nothing at all, what stands there already, or a loop",
            ),
            Self::Short { shortest } => write!(
                out,
                "the answer has fewer than {shortest} characters (setting `shortest`)"
            ),
            Self::NotProse => {
                out.write_str("the answer does not read like prose, which comments and strings are to hold")
            }
            Self::UnknownName { name } => write!(
                out,
                "the answer has the name `{name}`, which is neither in this file nor in the standard library"
            ),
            Self::Improbable { probability, threshold } => write!(
                out,
                "the answer is right with a probability of {} by the model's own account, less than {} (setting `eagerness`)",
                Percent(*probability),
                Percent(*threshold)
            ),
        }
    }
}

/// Names with commas and a last "and".
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => out.write_str("no language"),
            [one] => out.write_str(one),
            [first @ .., last] => write!(out, "{} and {last}", first.join(", ")),
        }
    }
}

/// A share with two significant digits where it is small.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        match percent {
            10.0.. => write!(out, "{percent:.0}%"),
            0.1.. => write!(out, "{percent:.1}%"),
            _ => out.write_str("less than 0.1%"),
        }
    }
}
