//! `cargo xtask fit`: how sure a model must be before its answers are shown, from infill cases.
//!
//! Writes `models/thresholds.toml` and the curves `docs/show-filter.svg`. The figures beside each
//! threshold are of projects that it was not fitted to (five folds).

mod curves;
pub(crate) mod echo;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Shares of the right answers that the settings `quiet`, `balanced` and `eager` keep.
const KEPT: [f64; 3] = [0.80, 0.955, 0.985];

/// A language with fewer right answers has no threshold of its own.
const RIGHT_MIN: usize = 50;

const FOLDS: usize = 5;

/// Reasons that come before the probability: such answers take no part.
const RULES: &[&str] = &[
    "nothing",
    "secret-file",
    "secret-text",
    "short",
    "not-prose",
    "unknown-name",
    "text-follows",
    "generated",
];

/// An answer to a case.
#[derive(Clone, Debug)]
struct Answer {
    language: String,
    project: String,
    probability: f64,
    right: bool,
}

/// What a threshold does with answers.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    shown: usize,
    shown_right: usize,
    right: usize,
    answers: usize,
}

impl Outcome {
    fn add(&mut self, answers: &[&Answer], threshold: f64) {
        for answer in answers {
            let shown = answer.probability >= threshold;
            self.answers += 1;
            self.right += usize::from(answer.right);
            self.shown += usize::from(shown);
            self.shown_right += usize::from(shown && answer.right);
        }
    }

    fn precision(self) -> f64 {
        self.shown_right as f64 / self.shown.max(1) as f64
    }

    fn kept(self) -> f64 {
        self.shown_right as f64 / self.right.max(1) as f64
    }

    fn join(&mut self, other: Self) {
        self.shown += other.shown;
        self.shown_right += other.shown_right;
        self.right += other.right;
        self.answers += other.answers;
    }

    fn words(self) -> String {
        format!(
            "{:.0}% are shown, {:.0}% of these right, {:.0}% of the right ones kept",
            100.0 * self.shown as f64 / self.answers.max(1) as f64,
            100.0 * self.precision(),
            100.0 * self.kept(),
        )
    }
}

/// Fits the thresholds of the embedded model to the answers in a file, or to new ones.
pub(crate) fn run(root: &Path, answers: Option<&str>) -> Result<()> {
    let path = match answers {
        Some(path) => Path::new(path).to_owned(),
        None => evaluate(root)?,
    };
    let answers = read(&path)?;
    let mut languages: BTreeMap<&str, Vec<&Answer>> = BTreeMap::new();
    for answer in &answers {
        languages.entry("*").or_default().push(answer);
        languages.entry(&answer.language).or_default().push(answer);
    }
    languages.retain(|language, answers| {
        *language == "*" || answers.iter().filter(|answer| answer.right).count() >= RIGHT_MIN
    });
    let all = pooled(&languages, KEPT[1]);
    let mut table = format!(
        "{HEADER}# Fitted on {}. Of projects that were left out, {}; at 90%, {}.\n",
        today(),
        all.words(),
        pooled(&languages, 0.9).words(),
    );
    eprintln!("in all, {}", all.words());
    for (language, answers) in &languages {
        let [quiet, balanced, eager] = KEPT.map(|kept| threshold(answers, kept));
        let outcome = held_out(answers, KEPT[1], &|_| true);
        let figures = format!(
            "{} answers, {} right; of projects that were left out, {}; at 90%, {}",
            outcome.answers,
            outcome.right,
            outcome.words(),
            held_out(answers, 0.9, &|_| true).words(),
        );
        eprintln!("{language}: {balanced} ({figures})");
        table += &format!(
            "\n# {figures}.\n[[threshold]]\nmodel = \"default\"\nlanguage = \"{language}\"\nquiet = {quiet}\nbalanced = {balanced}\neager = {eager}\n"
        );
        if *language == "*" {
            table += &format!(
                "\n# Models that were not measured.\n[[threshold]]\nmodel = \"*\"\nlanguage = \"*\"\nquiet = {quiet}\nbalanced = {balanced}\neager = {eager}\n"
            );
        }
    }
    std::fs::write(root.join("models/thresholds.toml"), table)?;
    let picture = curves::draw(&languages);
    std::fs::write(root.join("docs/show-filter.svg"), picture)?;
    Ok(())
}

const HEADER: &str = "\
# How probable an answer must be by the model's own account before it is shown while typing: the
# product of the probabilities of its tokens. Written by `cargo xtask fit`, which keeps 80% (quiet),
# 95.5% (balanced) and 98.5% (eager) of the right answers to the lines and ends of lines in
# tests/quality/cases. `*` holds for all languages or models without a row of their own.
";

/// Runs `carat eval`; gives the file of its answers.
fn evaluate(root: &Path) -> Result<std::path::PathBuf> {
    let path = root.join("target/fit-answers.jsonl");
    let status = Command::new("cargo")
        .current_dir(root)
        .args([
            "run",
            "--release",
            "--quiet",
            "-p",
            "carat",
            "--",
            "eval",
            "tests/quality/cases",
        ])
        .arg("--answers")
        .arg(&path)
        .stdout(Stdio::null())
        .status()
        .context("cannot start carat")?;
    if !status.success() {
        bail!("carat eval failed");
    }
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<Answer>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut answers = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).context("a line that is no answer")?;
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let probability = row["product"].as_f64();
        let ruled_out = row["silence"]
            .as_str()
            .is_some_and(|silence| RULES.contains(&silence));
        if let (Some(probability), false) = (probability, ruled_out || row["kind"] == "block") {
            answers.push(Answer {
                language: text("language"),
                project: text("project"),
                probability,
                right: row["exact"] == true,
            });
        }
    }
    if answers.is_empty() {
        bail!("{}: no answers with probabilities", path.display());
    }
    Ok(answers)
}

/// What the thresholds of all languages do together with answers of projects that they were not fitted to.
fn pooled(languages: &BTreeMap<&str, Vec<&Answer>>, kept: f64) -> Outcome {
    let mut all = Outcome::default();
    for (language, answers) in languages {
        let has_no_row = |answer: &Answer| !languages.contains_key(answer.language.as_str());
        all.join(held_out(answers, kept, &|answer| {
            *language != "*" || has_no_row(answer)
        }));
    }
    all
}

/// The highest threshold that keeps this share of the right answers. Two digits.
fn threshold(answers: &[&Answer], kept: f64) -> f64 {
    let right = answers.iter().filter(|answer| answer.right);
    let mut right: Vec<f64> = right.map(|answer| answer.probability).collect();
    right.sort_by(f64::total_cmp);
    let Some(least) = right.get(((1.0 - kept) * right.len() as f64) as usize) else {
        return 0.05;
    };
    let digits = 10f64.powf(1.0 - least.max(1e-6).log10().floor());
    (least * digits).floor() / digits
}

/// What a threshold that keeps this share does with answers of projects that it was not fitted to, as
/// far as they count.
fn held_out(answers: &[&Answer], kept: f64, counts: &dyn Fn(&Answer) -> bool) -> Outcome {
    let mut projects: Vec<&str> = answers
        .iter()
        .map(|answer| answer.project.as_str())
        .collect();
    projects.sort_unstable();
    projects.dedup();
    let fold = |answer: &Answer| {
        projects
            .binary_search(&answer.project.as_str())
            .unwrap_or_default()
            % FOLDS
    };
    let mut outcome = Outcome::default();
    for left_out in 0..FOLDS {
        let (test, train): (Vec<&Answer>, Vec<&Answer>) =
            answers.iter().partition(|answer| fold(answer) == left_out);
        let test: Vec<&Answer> = test.into_iter().filter(|answer| counts(answer)).collect();
        outcome.add(&test, threshold(&train, kept));
    }
    outcome
}

/// The date in UTC, `2026-11-21`.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut days = seconds.map_or(0, |since| since.as_secs() / 86_400);
    let mut year = 1970;
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(probability: f64, right: bool, project: &str) -> Answer {
        Answer {
            language: "rust".to_owned(),
            project: project.to_owned(),
            probability,
            right,
        }
    }

    #[test]
    fn a_threshold_keeps_the_share_it_is_asked_for() {
        let answers: Vec<Answer> = (1..=100)
            .map(|n| answer(f64::from(n) / 100.0, n > 20, "a"))
            .collect();
        let answers: Vec<&Answer> = answers.iter().collect();
        let least = threshold(&answers, 0.95);
        let mut outcome = Outcome::default();
        outcome.add(&answers, least);
        assert!((0.24..=0.25).contains(&least), "{least}");
        assert!(outcome.kept() >= 0.95 && outcome.precision() > 0.99);
    }

    #[test]
    fn every_answer_is_left_out_once() {
        let answers: Vec<Answer> = (0..50)
            .map(|n| answer(0.5, n % 2 == 0, &format!("p{n}")))
            .collect();
        let outcome = held_out(&answers.iter().collect::<Vec<_>>(), 0.9, &|_| true);
        assert_eq!((outcome.answers, outcome.right), (50, 25));
    }
}
