//! Indentation and line ends: code is shown to the model without the indentation that it shares, and
//! what comes back gets it again, with the line ends of the file.

use std::ops::Range;

/// A piece of a text as the model sees it: line feeds only, shared indentation taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// The indentation of the first line in the file.
    base: String,
    /// Bytes of it that every line had and that were taken off.
    stripped: usize,
}

/// Shows `range` of `text`.
pub(super) fn show(text: &str, range: &Range<usize>) -> Shown {
    let line_start = text[..range.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let before = &text[line_start..range.start];
    let base = if before.trim().is_empty() { before } else { "" };
    let piece = text[range.clone()].replace("\r\n", "\n");
    let stripped = piece
        .lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| shared(line, base))
        .min()
        .unwrap_or(base.len());
    let mut shown = String::with_capacity(piece.len());
    for (number, line) in piece.split('\n').enumerate() {
        if number == 0 {
            shown.push_str(&base[stripped..]);
            shown.push_str(line);
        } else {
            shown.push('\n');
            shown.push_str(if line.trim().is_empty() {
                ""
            } else {
                &line[stripped..]
            });
        }
    }
    Shown {
        text: shown,
        base: base.to_owned(),
        stripped,
    }
}

impl Shown {
    /// What stands for the bytes before `at` of the original piece: how an answer that keeps them begins.
    pub(super) fn until(&self, text: &str, range: &Range<usize>, at: usize) -> String {
        let part = text[range.start..at].replace("\r\n", "\n");
        let mut until = self.base[self.stripped..].to_owned();
        for (number, line) in part.split('\n').enumerate() {
            if number > 0 {
                until.push('\n');
            }
            let strip = if number == 0 {
                0
            } else {
                shared(line, &self.base[..self.stripped])
            };
            until.push_str(&line[strip..]);
        }
        until
    }

    /// The answer as it stands in `text`, ready for the place of the original piece.
    pub(super) fn restore(&self, answer: &str, text: &str) -> String {
        let answer = indented_like(answer, text);
        let first = answer.lines().next().unwrap_or_default();
        let own = &first[..first.len() - first.trim_start().len()];
        let lines = answer.lines().enumerate().map(|(number, line)| {
            if line.trim().is_empty() {
                return String::new();
            }
            let rest = line.strip_prefix(own);
            match (number, rest) {
                (0, _) => line.trim_start().to_owned(),
                (_, Some(rest)) => format!("{}{rest}", self.base),
                (_, None) => format!("{}{line}", &self.base[..self.stripped]),
            }
        });
        lines
            .collect::<Vec<_>>()
            .join(line_end(text))
            .trim_end()
            .to_owned()
    }
}

/// Puts `indent` before every line that is not blank, and the line ends of `text` between them.
pub(super) fn indent(code: &str, indent: &str, text: &str) -> String {
    let lines = code.lines().map(|line| {
        if line.trim().is_empty() {
            String::new()
        } else {
            format!("{indent}{line}")
        }
    });
    lines.collect::<Vec<_>>().join(line_end(text))
}

/// The line end that most lines of a text have.
pub(super) fn line_end(text: &str) -> &'static str {
    let (crlf, all) = (text.matches("\r\n").count(), text.matches('\n').count());
    if crlf * 2 > all { "\r\n" } else { "\n" }
}

/// One step of indentation in a text: a tab, or the least number of spaces that a line begins with.
pub(super) fn step(text: &str) -> String {
    let tabs = text.lines().filter(|line| line.starts_with('\t')).count();
    let spaces = || {
        text.lines()
            .filter(|line| line.starts_with("  ") && !line.trim().is_empty())
    };
    if tabs > spaces().count() {
        return "\t".to_owned();
    }
    let least = spaces()
        .map(|line| line.len() - line.trim_start_matches(' ').len())
        .filter(|width| (2..=8).contains(width))
        .min();
    " ".repeat(least.unwrap_or(4))
}

/// Turns tabs into the spaces of `text`, or spaces into its tabs; leaves alone what agrees with it.
fn indented_like(answer: &str, text: &str) -> String {
    let (theirs, ours) = (step(answer), step(text));
    let differs = |line: &str| line.starts_with(if ours == "\t" { ' ' } else { '\t' });
    if !answer.lines().any(differs) {
        return answer.to_owned();
    }
    // A text without indentation has no opinion.
    if !text
        .lines()
        .any(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty())
    {
        return answer.to_owned();
    }
    let from = if ours == "\t" { theirs.as_str() } else { "\t" };
    let lines = answer.lines().map(|line| {
        let mut rest = line;
        let mut indentation = String::new();
        while let Some(after) = rest.strip_prefix(from) {
            indentation.push_str(&ours);
            rest = after;
        }
        indentation + rest
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Length of the beginning that a line shares with an indentation.
fn shared(line: &str, base: &str) -> usize {
    line.bytes()
        .zip(base.bytes())
        .take_while(|(a, b)| a == b)
        .count()
}
