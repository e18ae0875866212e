//! Lines of a file as the command line names them: `FILE:LINE` or `FILE:LINE-LINE`, or a caret in them.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::ensure;
use ropey::Rope;

use super::caret::{self, Caret};

/// Some lines of a file; they count from 1, the last one is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) file: PathBuf,
    pub(super) first: usize,
    /// None where a single line was named: the item that it stands in is meant.
    pub(super) last: Option<usize>,
}

impl FromStr for Lines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            format!(
                "expected FILE:LINE or FILE:LINE-LINE, for example src/main.rs:10-20, found `{text}`"
            )
        };
        // Compilers and `carat complete` name a column as well.
        if let Ok(Caret { file, line, .. }) = text.parse() {
            let last = None;
            return Ok(Self {
                file,
                first: line,
                last,
            });
        }
        let (file, lines) = text.rsplit_once(':').ok_or_else(usage)?;
        let (first, last) = match lines.split_once('-') {
            Some((first, last)) => (first, Some(last)),
            None => (lines, None),
        };
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        let first = number(first).ok_or_else(usage)?;
        let last = last
            .map(|last| number(last).ok_or_else(usage))
            .transpose()?;
        if file.is_empty() || last.is_some_and(|last| last < first) {
            return Err(usage());
        }
        Ok(Self {
            file: file.into(),
            first,
            last,
        })
    }
}

impl Lines {
    /// The file's text and what is selected in it, in bytes; empty where a single line was named.
    pub(super) fn read(&self) -> anyhow::Result<(Rope, Range<usize>)> {
        let text = Rope::from_str(&caret::read(&self.file)?);
        let selection = self.select(&text)?;
        Ok((text, selection))
    }

    fn select(&self, text: &Rope) -> anyhow::Result<Range<usize>> {
        let (file, lines) = (self.file.display(), text.len_lines());
        let last = self.last.unwrap_or(self.first);
        ensure!(
            last <= lines,
            "{file} has {lines} lines, there is no line {last}; give lines of the file"
        );
        let start = text.line_to_byte(self.first - 1);
        if self.last.is_none() {
            let line = text.line(self.first - 1);
            let indentation = line.chars().take_while(|c| matches!(c, ' ' | '\t')).count();
            return Ok(start + indentation..start + indentation);
        }
        Ok(start..text.line_to_byte(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_with_colons_in_the_path() {
        let lines: Lines = r"C:\a.rs:10-12".parse().expect("lines");
        assert_eq!(
            (lines.file, lines.first, lines.last),
            (r"C:\a.rs".into(), 10, Some(12))
        );
        let caret: Lines = r"C:\a.rs:10:5".parse().expect("a caret");
        assert_eq!(
            (caret.file, caret.first, caret.last),
            (r"C:\a.rs".into(), 10, None)
        );
        for wrong in [
            "", "a.rs", "a.rs:0", "a.rs:x", ":1", "a.rs:3-2", "a.rs:1-", "a.rs:-1", "a.rs:1-0",
        ] {
            assert!(wrong.parse::<Lines>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn selects_whole_lines_or_puts_a_caret() {
        let text = Rope::from_str("é\r\n\tb\r\nc");
        let select = |first, last| {
            let lines = Lines {
                file: "f".into(),
                first,
                last,
            };
            lines.select(&text)
        };
        assert_eq!(select(1, Some(2)).ok(), Some(0..8));
        assert_eq!(select(2, None).ok(), Some(5..5));
        assert_eq!(select(3, Some(3)).ok(), Some(8..9));
        assert!(select(4, None).is_err());
        assert!(select(1, Some(4)).is_err());
    }
}
