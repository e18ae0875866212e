//! Why nothing is shown.

use std::fmt;

use carat_grammars::languages;

/// The rule or the number that decided; its text is one sentence for the user.
#[derive(Clone, Debug, PartialEq)]
pub enum Silence {
    /// The user has paused completion.
    Paused,
    /// The settings switch completion off.
    Off,
    /// The settings, or the user for now, switch it off for a language.
    LanguageOff {
        /// The language, by its LSP identifier.
        language: String,
    },
    /// Ghost text comes only on request.
    Manual,
    /// The user's settings leave the file out.
    DisabledFile {
        /// The pattern that it has.
        pattern: String,
    },
    /// The model is not there yet.
    Loading,
    /// The model cannot be used.
    NoModel,
    /// Something newer came before there was an answer.
    Superseded,
    /// Nothing was ready in time.
    Slow {
        /// The time, in milliseconds.
        ms: u64,
    },
    /// Text was accepted a moment ago, and more was not ready at once.
    AfterAcceptance,
    /// The user has dismissed or undone it at this place.
    Dismissed,
    /// The file's name says that it holds secrets.
    SecretFile,
    /// What would be shown looks like a password or a key.
    SecretText,
    /// The model was not trained on this language.
    UnknownLanguage {
        /// The language, by its LSP identifier.
        language: String,
        /// What to call the model.
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
    /// It is not sure enough in a line in which the user has typed against others.
    Contradicted {
        /// How many.
        times: u32,
        /// What the model holds of it.
        probability: f64,
        /// What it would have to here.
        threshold: f64,
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
                | Self::Dismissed
                | Self::Short { .. }
                | Self::NotProse
                | Self::UnknownName { .. }
                | Self::Contradicted { .. }
                | Self::Improbable { .. }
        )
    }

    /// Whether it says something of the document rather than of one caret: there will be nothing
    /// anywhere in it.
    pub fn is_of_document(&self) -> bool {
        matches!(
            self,
            Self::LanguageOff { .. }
                | Self::DisabledFile { .. }
                | Self::SecretFile
                | Self::UnknownLanguage { .. }
                | Self::Huge
                | Self::Generated
        )
    }

    /// A name that does not change, for statistics and clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Off => "off",
            Self::LanguageOff { .. } => "language-off",
            Self::Manual => "manual",
            Self::DisabledFile { .. } => "disabled-file",
            Self::Loading => "loading",
            Self::NoModel => "no-model",
            Self::Superseded => "superseded",
            Self::Slow { .. } => "slow",
            Self::AfterAcceptance => "after-acceptance",
            Self::Dismissed => "dismissed",
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
            Self::Contradicted { .. } => "contradicted",
            Self::Improbable { .. } => "improbable",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => out.write_str("completion is paused"),
            Self::Off => out.write_str("completion is switched off (setting `enable`)"),
            Self::LanguageOff { language } => {
                write!(out, "completion is switched off for {language} (setting `languages`)")
            }
            Self::Manual => {
                out.write_str("text comes only when you ask for it with a key (setting `trigger`)")
            }
            Self::DisabledFile { pattern } => write!(
                out,
                "the setting `disabledGlobs` leaves this file out, by `{pattern}`"
            ),
            Self::Loading => out.write_str("the model is still being loaded"),
            Self::NoModel => out.write_str("the model cannot be used; `carat doctor` says more"),
            Self::Superseded => out.write_str("you went on before there was an answer"),
            Self::Slow { ms } => write!(
                out,
                "nothing was ready within {ms} ms (settings `deadlineMs` and `explicitDeadlineMs`)"
            ),
            Self::AfterAcceptance => {
                out.write_str("text was taken here a moment ago, and more was not ready at once")
            }
            Self::Dismissed => {
                out.write_str("you have dismissed or undone this text here; ask with a key to see it again")
            }
            Self::SecretFile => out.write_str(
                "the file's name says that it holds secrets: it is neither completed nor shown to a model",
            ),
            Self::SecretText => {
                out.write_str("the answer has a part that looks like a password or a key")
            }
            Self::UnknownLanguage { language, model, knows } => write!(
                out,
                "{model} knows {}, not {}; it answers here only when you ask with a key",
                Listed(knows),
                Named(language)
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
            Self::Contradicted { times, probability, threshold } => write!(
                out,
                "you have typed against {times} proposal{} in this line, and the answer is right with a probability of {} by the model's own account, less than {} here",
                if *times == 1 { "" } else { "s" },
                Percent(*probability),
                Percent(*threshold)
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

/// A language as readers call it, where it is known.
struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = languages::by_id(self.0);
        out.write_str(known.map_or(self.0, |language| language.title))
    }
}

/// Names with commas and a last "and".
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => out.write_str("no language"),
            [first, rest @ ..] => {
                write!(out, "{}", Named(first))?;
                for (index, name) in rest.iter().enumerate() {
                    let sign = if index + 1 == rest.len() {
                        " and "
                    } else {
                        ", "
                    };
                    write!(out, "{sign}{}", Named(name))?;
                }
                Ok(())
            }
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
