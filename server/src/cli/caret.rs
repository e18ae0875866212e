//! A caret as the command line names it: `FILE:LINE:COLUMN`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use ropey::Rope;

/// Files beyond this size are data, not code that someone writes; editors do not send them either.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A place in a file; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caret {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl FromStr for Caret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage =
            || format!("expected FILE:LINE:COLUMN, for example src/main.rs:10:5, found `{text}`");
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse().ok().filter(|number| *number > 0);
        let (column, line) = number().zip(number()).ok_or_else(usage)?;
        let file = parts
            .next()
            .filter(|file| !file.is_empty())
            .ok_or_else(usage)?;
        Ok(Self {
            file: file.into(),
            line,
            column,
        })
    }
}

impl Caret {
    /// Reads the file; its text, and the caret's place in bytes.
    pub(super) fn read(&self) -> anyhow::Result<(Rope, usize)> {
        self.find_in(Rope::from_str(&read(&self.file)?))
    }

    fn find_in(&self, rope: Rope) -> anyhow::Result<(Rope, usize)> {
        let (file, lines) = (self.file.display(), rope.len_lines());
        ensure!(
            self.line <= lines,
            "{file} has {lines} lines, there is no line {}; give a line of the file",
            self.line
        );
        let line = rope.line(self.line - 1);
        let columns = line
            .to_string()
            .trim_end_matches(['\n', '\r'])
            .chars()
            .count()
            + 1;
        ensure!(
            self.column <= columns,
            "line {} of {file} ends at column {columns}, there is no column {}; give a column of the line",
            self.line,
            self.column
        );
        let at = rope.char_to_byte(rope.line_to_char(self.line - 1) + self.column - 1);
        Ok((rope, at))
    }
}

/// Reads a text file, within bounds.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let metadata = file
        .metadata()
        .with_context(|| format!("{shown} cannot be read; give the path of a text file"))?;
    ensure!(
        metadata.is_file(),
        "{shown} is not a file; give the path of a text file"
    );
    if metadata.len() > FILE_BYTES_MAX {
        bail!(
            "{shown} has {} bytes, more than {FILE_BYTES_MAX}; give a smaller file",
            metadata.len()
        );
    }
    let bytes = std::fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    String::from_utf8(bytes)
        .map_err(|error| error.utf8_error().valid_up_to())
        .or_else(|at| bail!("{shown} is not UTF-8 text (see byte {at}); convert it first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Caret {
        Caret {
            file: "f".into(),
            line,
            column,
        }
    }

    #[test]
    fn reads_places_with_colons_in_the_path() {
        let caret: Caret = r"C:\src\a.rs:10:5".parse().expect("a place");
        assert_eq!(
            (caret.file, caret.line, caret.column),
            (r"C:\src\a.rs".into(), 10, 5)
        );
        for wrong in [
            "",
            "a.rs",
            "a.rs:1",
            "a.rs:0:1",
            "a.rs:1:0",
            "a.rs:x:1",
            ":1:1",
            "a.rs:1:-1",
        ] {
            assert!(wrong.parse::<Caret>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn finds_where_the_caret_stands() {
        for (text, line, column, prefix) in [
            ("", 1, 1, ""),
            ("ab", 1, 3, "ab"),
            ("ab\n", 2, 1, "ab\n"),
            ("ab\r\ncd\r\n", 1, 3, "ab"),
            ("ab\r\ncd\r\n", 2, 2, "ab\r\nc"),
            ("é😊x\n", 1, 3, "é😊"),
            ("a\u{2028}b", 1, 4, "a\u{2028}b"),
        ] {
            let found = at(line, column).find_in(Rope::from_str(text));
            let (rope, byte) = found.expect(text);
            assert_eq!(rope.byte_slice(..byte), prefix, "{text:?}");
            assert_eq!(rope, text);
        }
    }

    #[test]
    fn refuses_places_outside_of_the_text() {
        for (text, line, column) in [("", 1, 2), ("", 2, 1), ("ab\r\n", 1, 4), ("ab\n", 3, 1)] {
            assert!(
                at(line, column).find_in(Rope::from_str(text)).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_text() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("latin1.rs");
        std::fs::write(&file, b"// caf\xe9").expect("a file");
        let caret = |file: &Path| Caret {
            file: file.to_owned(),
            line: 1,
            column: 1,
        };
        let error = caret(&file).read().expect_err("not UTF-8");
        assert!(error.to_string().contains("byte 6"), "{error}");
        assert!(caret(directory.path()).read().is_err());
        assert!(caret(&directory.path().join("none")).read().is_err());
    }
}
