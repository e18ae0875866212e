//! The figures of a replay, by language.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::oracle::Counts;
use super::player::{Played, Work};

/// The figures of one language, or of all.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Documents.
    pub scenes: usize,
    /// What was shown.
    pub counts: Counts,
    /// What it cost.
    pub work: Work,
    /// Processor time, where the system tells it.
    pub cpu: Option<Duration>,
}

/// All figures.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: BTreeMap<String, Row>,
}

/// The columns that are the same in every run, as shares and numbers.
const COLUMNS: [&str; 19] = [
    "scenes",
    "keys",
    "standing",
    "shown",
    "precision",
    "saved",
    "saved_words",
    "saved_code",
    "taken",
    "shown_per_taken",
    "keys_per_taken",
    "flicker",
    "doubled_brackets",
    "repeated_suffixes",
    "asked",
    "prompt_tokens_per_key",
    "tokens_per_key",
    "keys_code",
    "saved_keys",
];

/// Those that depend on the machine.
const TIMES: [&str; 3] = ["p50_ms", "p95_ms", "cpu_s_per_saved_key"];

impl Report {
    /// Adds what came of a scene.
    pub fn add(&mut self, language: &str, played: &Played, cpu: Option<Duration>) {
        let row = self.rows.entry(language.to_owned()).or_default();
        row.add(&Row {
            scenes: 1,
            counts: played.counts,
            work: played.work.clone(),
            cpu,
        });
    }

    /// The rows by language, and one of all.
    pub fn rows(&self) -> Vec<(&str, Row)> {
        let mut all = Row::default();
        let mut rows: Vec<(&str, Row)> = Vec::new();
        for (language, row) in &self.rows {
            all.add(row);
            rows.push((language, row.clone()));
        }
        rows.push(("all", all));
        rows
    }

    /// The languages' figures; what depends on the machine is under `times`.
    pub fn to_json(&self) -> Value {
        let rows = self.rows().into_iter().map(|(language, mut row)| {
            let mut object = row.figures();
            object.insert("language".to_owned(), json!(language));
            object.insert("times".to_owned(), Value::Object(row.times()));
            Value::Object(object)
        });
        rows.collect()
    }

    /// The heading of [`Self::to_csv`]'s rows, after `name`.
    pub fn csv_heading(name: &str) -> String {
        let columns = [&[name, "language"], &COLUMNS[..], &TIMES[..]].concat();
        columns.join(",") + "\n"
    }

    /// A line for each language, each beginning with `name`.
    pub fn to_csv(&self, name: &str) -> String {
        let mut text = String::new();
        for (language, mut row) in self.rows() {
            let (figures, times) = (row.figures(), row.times());
            let cells = COLUMNS.iter().map(|column| &figures[*column]);
            let cells = cells.chain(TIMES.iter().map(|column| &times[*column]));
            let cells = cells.map(|cell| match cell {
                Value::Null => String::new(),
                cell => cell.to_string(),
            });
            let cells: Vec<String> = cells.collect();
            text += &format!("{name},{language},{}\n", cells.join(","));
        }
        text
    }

    /// For readers.
    pub fn to_table(&self) -> String {
        let percent = |share: &Value| format!("{:.1}%", 100.0 * share.as_f64().unwrap_or_default());
        let mut text = format!(
            "{:<15} {:>6} {:>8} {:>8} {:>9} {:>7} {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>8} {:>5} {:>5} {:>7} {:>7}\n",
            "language",
            "files",
            "keys",
            "standing",
            "precision",
            "saved",
            "words",
            "code",
            "shown",
            "keys",
            "flicker",
            "doubled",
            "repeated",
            "p50",
            "p95",
            "tokens",
            "CPU s",
        );
        for (language, mut row) in self.rows() {
            let (figures, times) = (row.figures(), row.times());
            let plain = |value: &Value| match value {
                Value::Null => String::new(),
                value => value.to_string(),
            };
            text += &format!(
                "{language:<15} {:>6} {:>8} {:>8} {:>9} {:>7} {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>8} {:>5} {:>5} {:>7} {:>7}\n",
                plain(&figures["scenes"]),
                plain(&figures["keys"]),
                percent(&figures["standing"]),
                percent(&figures["precision"]),
                percent(&figures["saved"]),
                percent(&figures["saved_words"]),
                percent(&figures["saved_code"]),
                plain(&figures["shown_per_taken"]),
                plain(&figures["keys_per_taken"]),
                plain(&figures["flicker"]),
                plain(&figures["doubled_brackets"]),
                plain(&figures["repeated_suffixes"]),
                plain(&times["p50_ms"]),
                plain(&times["p95_ms"]),
                plain(&figures["prompt_tokens_per_key"]),
                plain(&times["cpu_s_per_saved_key"]),
            );
        }
        text += "\nstanding: keys after which text stands. precision: right as a whole when first shown. saved: keys that \
            whole right lines save, taken with one key each; words: right words taken as well; code: of lines with code. \
            shown, keys: texts shown, and keys after which text stands, for each line taken. flicker: texts that go \
            although what is typed agrees. tokens: of the prompt, evaluated for each key. CPU s: for each saved key.\n";
        text
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10f64.powi(digits);
    (value * factor).round() / factor
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.scenes += other.scenes;
        self.counts.add(&other.counts);
        self.work.times.extend_from_slice(&other.work.times);
        self.work.requests += other.work.requests;
        self.work.prompt_tokens += other.work.prompt_tokens;
        self.work.written_tokens += other.work.written_tokens;
        self.cpu = match (self.cpu, other.cpu) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
    }

    fn figures(&self) -> Map<String, Value> {
        let counts = &self.counts;
        let share = |part: usize, of: usize| json!(rounded(part as f64 / of.max(1) as f64, 4));
        let per = |part: usize, of: usize| match of {
            0 => Value::Null,
            of => json!(rounded(part as f64 / of as f64, 2)),
        };
        let figures = json!({
            "scenes": self.scenes,
            "keys": counts.keys,
            "standing": share(counts.standing, counts.keys),
            "shown": counts.shown,
            "precision": share(counts.shown_right, counts.shown),
            "saved": share(counts.saved, counts.keys),
            "saved_words": share(counts.saved_words, counts.keys),
            "saved_code": share(counts.saved_code, counts.keys_code),
            "taken": counts.taken,
            "shown_per_taken": per(counts.shown_to_taker, counts.taken),
            "keys_per_taken": per(counts.standing_for_taker, counts.taken),
            "flicker": counts.flicker,
            "doubled_brackets": counts.doubled_brackets,
            "repeated_suffixes": counts.repeated_suffixes,
            "asked": share(self.work.times.len(), self.work.requests),
            "prompt_tokens_per_key": per(self.work.prompt_tokens, counts.keys),
            "tokens_per_key": per(self.work.written_tokens, counts.keys),
            "keys_code": counts.keys_code,
            "saved_keys": counts.saved,
        });
        match figures {
            Value::Object(figures) => figures,
            _ => Map::new(),
        }
    }

    fn times(&mut self) -> Map<String, Value> {
        let times = &mut self.work.times;
        times.sort_unstable();
        let percentile = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).checked_sub(1)?;
            Some(rounded(times[at].as_secs_f64() * 1e3, 1))
        };
        let saved = self.counts.saved;
        let cpu = self.cpu.filter(|_| saved > 0);
        let cpu = cpu.map(|cpu| rounded(cpu.as_secs_f64() / saved as f64, 4));
        let entries = [
            ("p50_ms", json!(percentile(50))),
            ("p95_ms", json!(percentile(95))),
            ("cpu_s_per_saved_key", json!(cpu)),
        ];
        let entries = entries.into_iter();
        entries
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_and_shares_are_of_keys() {
        let played = |keys, saved| Played {
            counts: Counts {
                keys,
                saved,
                standing: keys / 2,
                taken: 1,
                shown_to_taker: 3,
                ..Counts::default()
            },
            work: Work {
                times: vec![Duration::from_millis(keys as u64)],
                requests: keys,
                ..Work::default()
            },
            faults: Vec::new(),
            offers: Vec::new(),
        };
        let mut report = Report::default();
        let cpu = Some(Duration::from_secs(1));
        report.add("rust", &played(100, 10), cpu);
        report.add("rust", &played(300, 40), cpu);
        report.add("go", &played(100, 0), None);
        let json = report.to_json();
        assert_eq!(json[1]["language"], "rust");
        assert_eq!(json[1]["saved"], 0.125);
        assert_eq!(json[1]["shown_per_taken"], 3.0);
        assert_eq!(json[1]["times"]["cpu_s_per_saved_key"], 0.04);
        assert_eq!(json[0]["times"]["cpu_s_per_saved_key"], Value::Null);
        assert_eq!(
            (&json[2]["language"], &json[2]["keys"]),
            (&json!("all"), &json!(500))
        );
        let csv = Report::csv_heading("setting") + &report.to_csv("a");
        let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [24; 4]);
    }
}
