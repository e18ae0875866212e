//! Counts of what was shown and taken, by language and day, in one file on this machine: never text,
//! never sent.
//!
//! The file has a line for each time that a server wrote down what it had counted. Several servers
//! write to it, each under a lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::folders;

/// A file that is longer than this is written anew with one line for each day and language.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is read of a file; more is not ours.
const READ_BYTES_MAX: u64 = 16 << 20;

/// Days that are kept.
const DAYS_MAX: u64 = 400;

/// A language's identifier is a word; clients may send anything.
const LANGUAGE_CHARS_MAX: usize = 40;

/// Something to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The language, by its LSP identifier.
    pub language: Arc<str>,
    /// Completions that were shown.
    pub shown: i64,
    /// Those of which some text was taken; negative where that was undone.
    pub taken: i64,
    /// Keys that this saved.
    pub saved: i64,
}

/// A day of one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The date in UTC, as 2026-11-21.
    pub day: String,
    /// The language, by its LSP identifier.
    pub language: String,
    /// Completions that were shown.
    pub shown: i64,
    /// Those of which some text was taken.
    pub taken: i64,
    /// Keys that this saved.
    pub saved: i64,
}

/// Counts that are not written down yet.
#[derive(Debug, Default)]
pub struct Counter {
    counts: BTreeMap<(String, String), [i64; 3]>,
}

impl Counter {
    /// Counts something, for today.
    pub fn add(&mut self, tally: &Tally) {
        let today = day_of(days_since_1970());
        let language = tally.language.chars();
        let language: String = language.take(LANGUAGE_CHARS_MAX).collect();
        self.add_at(today, language, [tally.shown, tally.taken, tally.saved]);
    }

    fn add_at(&mut self, day: String, language: String, numbers: [i64; 3]) {
        let counts = self.counts.entry((day, language)).or_default();
        for (count, number) in counts.iter_mut().zip(numbers) {
            *count = count.saturating_add(number);
        }
    }

    fn read(&mut self, text: &str) {
        // A line that cannot be read, after a crash just there, costs itself.
        let counts = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        for count in counts {
            let Count {
                day,
                language,
                shown,
                taken,
                saved,
            } = count;
            self.add_at(day, language, [shown, taken, saved]);
        }
    }

    fn counts(&self) -> impl Iterator<Item = Count> {
        let counts = self.counts.iter();
        counts.map(|((day, language), [shown, taken, saved])| Count {
            day: day.clone(),
            language: language.clone(),
            shown: *shown,
            taken: *taken,
            saved: *saved,
        })
    }

    fn lines(&self) -> String {
        let lines = self
            .counts()
            .filter_map(|count| serde_json::to_string(&count).ok());
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }

    /// Writes down what was counted, and counts from nothing again.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; the counts are lost then.
    pub fn flush(&mut self, file: &Path) -> std::io::Result<()> {
        let counted = std::mem::take(self);
        if counted.counts.is_empty() {
            return Ok(());
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut open = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(file)?;
        open.lock()?;
        open.write_all(counted.lines().as_bytes())?;
        if open.metadata()?.len() > FILE_BYTES_MAX {
            shorten(&mut open)?;
        }
        Ok(())
    }
}

/// Makes one line of all of a day and language, and drops what is old.
fn shorten(file: &mut File) -> std::io::Result<()> {
    let mut text = String::new();
    file.rewind()?;
    file.take(READ_BYTES_MAX).read_to_string(&mut text)?;
    let mut all = Counter::default();
    all.read(&text);
    let oldest = day_of(days_since_1970().saturating_sub(DAYS_MAX));
    all.counts.retain(|(day, _), _| *day >= oldest);
    file.set_len(0)?;
    file.write_all(all.lines().as_bytes())
}

/// Where counts are kept.
pub fn file() -> Option<PathBuf> {
    Some(folders::state()?.join("statistics.jsonl"))
}

/// What was counted, by day and language; nothing if there is no file.
///
/// # Errors
///
/// Where there is a file that cannot be read.
pub fn read(file: &Path) -> std::io::Result<Vec<Count>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    opened.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    let mut all = Counter::default();
    all.read(&String::from_utf8_lossy(&bytes));
    Ok(all.counts().collect())
}

/// Forgets everything that was counted.
///
/// # Errors
///
/// Where there is a file that cannot be removed.
pub fn clear(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The first of the last so many days, today included.
pub fn first_day(days: u64) -> String {
    day_of((days_since_1970() + 1).saturating_sub(days))
}

/// The date of a moment.
pub fn date(unix_s: u64) -> String {
    day_of(unix_s / DAY_S)
}

const DAY_S: u64 = 24 * 60 * 60;

fn days_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() / DAY_S
}

/// The date of a day, in the calendar that all of the world uses.
fn day_of(days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    loop {
        let length = 365 + u64::from(is_leap(year));
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(language: &str, taken: i64) -> Tally {
        Tally {
            language: language.into(),
            shown: 1,
            taken,
            saved: 5 * taken,
        }
    }

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        for (days, date) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day_of(days), date);
        }
    }

    #[test]
    fn counts_of_several_servers_add_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new/statistics.jsonl");
        assert_eq!(read(&file).expect("no file is none"), []);
        let (mut one, mut other) = (Counter::default(), Counter::default());
        one.flush(&file).expect("nothing to write");
        assert!(!file.exists());
        one.add(&tally("rust", 1));
        one.add(&tally("rust", 0));
        other.add(&tally("rust", 1));
        other.add(&tally("go", -1));
        one.flush(&file).expect("a file");
        other.flush(&file).expect("a file");
        one.flush(&file).expect("nothing again");
        let counts = read(&file).expect("a file");
        let seen: Vec<_> = counts
            .iter()
            .map(|count| {
                (
                    count.language.as_str(),
                    count.shown,
                    count.taken,
                    count.saved,
                )
            })
            .collect();
        assert_eq!(seen, [("go", 1, -1, -5), ("rust", 3, 2, 10)]);
        clear(&file).expect("a file");
        assert!(!file.exists());
        clear(&file).expect("twice is once");
    }

    #[test]
    fn a_long_file_is_shortened_and_damage_costs_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("statistics.jsonl");
        let old = r#"{"day":"1999-01-01","language":"rust","shown":1,"taken":1,"saved":1}"#;
        let today = day_of(days_since_1970());
        let line =
            format!(r#"{{"day":"{today}","language":"rust","shown":1,"taken":0,"saved":0}}"#);
        let lines = format!("{old}\nhalf a line{{\n{}", format!("{line}\n").repeat(1000));
        std::fs::write(&file, lines).expect("a file");
        let mut counter = Counter::default();
        counter.add(&tally("rust", 1));
        counter.flush(&file).expect("a file");
        assert!(file.metadata().expect("a file").len() < 200);
        let counts = read(&file).expect("a file");
        assert_eq!(counts.len(), 1);
        assert_eq!((counts[0].shown, counts[0].taken), (1001, 1));
    }
}
