//! Whether a caret gets the rest of its line or a block of lines.

use carat_grammars::Language;

use super::brackets::only_closers;

/// How much is proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The rest of the caret's line; or, where that line is complete, the next one.
    #[default]
    SingleLine,
    /// Up to the end of the block.
    MultiLine,
}

impl Mode {
    /// Upper bound of generated tokens: lines of code have 9 tokens on average and rarely 40;
    /// of blocks, more than 200 tokens are neither read nor often right.
    pub fn tokens_max(self) -> usize {
        match self {
            Self::SingleLine => 48,
            Self::MultiLine => 160,
        }
    }

    /// Upper bound of lines that are shown.
    pub fn lines_max(self) -> usize {
        match self {
            Self::SingleLine => 1,
            Self::MultiLine => 12,
        }
    }
}

/// Chooses the mode for a caret between `prefix` and `suffix`.
///
/// A block is proposed where one was just opened and is still empty, and where the user asks and
/// nothing follows on the line; all else gets a line, which is right more often and read faster.
pub fn mode(
    prefix: &str,
    suffix: &str,
    explicit: bool,
    language: Option<&'static Language>,
) -> Mode {
    let rest = suffix.lines().next().unwrap_or("");
    if !only_closers(rest) {
        return Mode::SingleLine;
    }
    if explicit || opens_empty_block(prefix, suffix, language) {
        Mode::MultiLine
    } else {
        Mode::SingleLine
    }
}

/// Whether the last line with text before the caret opens a block that has nothing in it yet.
pub(super) fn opens_empty_block(
    prefix: &str,
    suffix: &str,
    language: Option<&'static Language>,
) -> bool {
    let Some(opener) = prefix.lines().rev().find(|line| !line.trim().is_empty()) else {
        return false;
    };
    let code = opener.trim_end();
    let own_line = prefix.rsplit('\n').next().unwrap_or("").trim().is_empty();
    let opens = match code.chars().next_back() {
        Some('{') => true,
        // Elsewhere it stands before a type or a value; where the language is not known, both may be.
        Some(':') => {
            !code.ends_with("::") && language.is_none_or(|language| language.blocks_by_indentation)
        }
        // Arguments are a list of lines only if the caret is on one of them.
        Some('(' | '[') => own_line,
        _ => false,
    };
    if !opens {
        return false;
    }
    // What follows must not be inside the block already.
    let next = suffix.lines().skip(1).find(|line| !line.trim().is_empty());
    next.is_none_or(|next| indentation(next) <= indentation(opener))
}

/// Whether the line at the end of `prefix`, in which nothing but white space stands, may belong further
/// in than its user has indented it.
pub(super) fn may_indent(prefix: &str, language: Option<&'static Language>) -> bool {
    let (above, typed) = prefix.rsplit_once('\n').unwrap_or(("", prefix));
    if typed.is_empty() {
        return true;
    }
    let Some(above) = above.lines().rev().find(|line| !line.trim().is_empty()) else {
        return false;
    };
    if indentation(above) < indentation(typed) {
        return false;
    }
    match above.trim_end().chars().next_back() {
        Some(';' | ',' | '}') => false,
        Some('{' | '(' | '[' | ':' | '=' | '\\' | '|' | '&' | '+' | '-' | '>') => true,
        // A chain of calls goes on further in.
        _ => language.is_none_or(|language| !language.blocks_by_indentation),
    }
}

/// Width of the white space that a line begins with; a tab counts as four columns.
pub(super) fn indentation(line: &str) -> usize {
    line.chars()
        .take_while(|c| c.is_whitespace())
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum()
}
