//! Scores by language and kind.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::interval::Cluster;
use super::{Case, Interval, Kind, Score};

/// How many answers were right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Cases counted.
    pub cases: usize,
    /// Share of exact matches.
    pub exact_match: f64,
    /// Its 95% interval, clustered by project.
    pub interval: Interval,
}

/// The figures of one language and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The language's identifier.
    pub language: String,
    /// What was taken out.
    pub kind: Kind,
    /// Projects that the cases are from.
    pub projects: usize,
    /// Exact matches of all cases.
    pub all: Shares,
    /// Exact matches of those that are not trivial.
    pub non_trivial: Shares,
    /// Share of answers with the right first line.
    pub first_line_exact_match: f64,
    /// Mean edit similarity.
    pub edit_similarity: f64,
    /// Characters that the answers save, as a share of all characters that were taken out.
    pub characters_saved: f64,
    /// Share of cases without an answer.
    pub empty: f64,
    /// What the filter makes of the answers.
    pub filter: Filtered,
    /// Median of the time to an answer.
    pub p50: Duration,
    /// 95 of 100 answers came faster.
    pub p95: Duration,
}

/// What would be shown while typing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Filtered {
    /// Share of cases in which something is shown.
    pub shown: f64,
    /// Share of what is shown that is right.
    pub precision: f64,
    /// Share of the right answers that are shown.
    pub kept: f64,
    /// Share of the wrong answers that are not.
    pub quiet: f64,
    /// Share of cases in which a line of the user's own is shown because the model has nothing to show.
    pub echo_alone: f64,
    /// Share of these lines that are right.
    pub echo_precision: f64,
    /// Area under the curve: how often a right answer has a higher probability than a wrong one.
    pub auc: Option<f64>,
}

impl Filtered {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "shown": share(self.shown),
            "precision": share(self.precision),
            "kept": share(self.kept),
            "quiet": share(self.quiet),
            "echo_alone": share(self.echo_alone),
            "echo_precision": share(self.echo_precision),
            "auc": self.auc.map(share),
        })
    }

    fn of(scores: &[&Score]) -> Self {
        let part = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        let count =
            |counts: &dyn Fn(&Score) -> bool| scores.iter().filter(|score| counts(score)).count();
        let (shown, right) = (count(&|score| score.shown), count(&|score| score.exact));
        let wrong = count(&|score| !score.exact && !score.empty);
        let echo_alone = count(&|score| score.echo_alone);
        let mut probabilities: [Vec<f64>; 2] = Default::default();
        for score in scores.iter().filter(|score| !score.empty) {
            probabilities[usize::from(score.exact)].push(score.probability);
        }
        Self {
            shown: part(shown, scores.len()),
            precision: part(count(&|score| score.shown_right), shown),
            kept: part(count(&|score| score.exact && score.shown), right),
            quiet: part(
                count(&|score| !score.exact && !score.empty && !score.shown),
                wrong,
            ),
            echo_alone: part(echo_alone, scores.len()),
            echo_precision: part(count(&|score| score.echo_right), echo_alone),
            auc: area(&probabilities[1], &probabilities[0]),
        }
    }
}

/// To four digits.
fn share(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// How often a number of the first kind is larger than one of the second; half for equal ones.
fn area(first: &[f64], second: &[f64]) -> Option<f64> {
    let mut wins = 0.0;
    for a in first {
        for b in second {
            wins += match a.total_cmp(b) {
                Ordering::Greater => 1.0,
                Ordering::Equal => 0.5,
                Ordering::Less => 0.0,
            };
        }
    }
    let pairs = first.len() * second.len();
    (pairs > 0).then(|| wins / pairs as f64)
}

/// All figures of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By language, then by kind.
    pub groups: Vec<Group>,
    /// Of all lines and ends of lines.
    pub lines: Filtered,
    /// Of these, what there is for a user who asks.
    pub several: Several,
}

/// What other answers are worth to a user who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Several {
    /// How many there are beside the first, on average.
    pub others: f64,
    /// Share of cases in which the first has the right first line.
    pub first: f64,
    /// Share of cases in which any has.
    pub any: f64,
}

impl Several {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "others": share(self.others),
            "first": share(self.first),
            "any": share(self.any),
        })
    }

    fn of(scores: &[Score]) -> Self {
        let mean = |value: &dyn Fn(&Score) -> f64| {
            scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
        };
        Self {
            others: mean(&|score| score.others as f64),
            first: mean(&|score| f64::from(score.first_line_exact)),
            any: mean(&|score| f64::from(score.first_line_exact || score.other_first_line_exact)),
        }
    }
}

struct Scored<'a> {
    /// Cases without a project stand for themselves.
    project: Option<&'a str>,
    score: Score,
    latency: Duration,
}

impl Report {
    /// Sums up the scores and latencies of cases.
    pub fn new<'a>(scored: impl IntoIterator<Item = (&'a Case, Score, Duration)>) -> Self {
        let mut groups: BTreeMap<(&str, Kind), Vec<Scored<'_>>> = BTreeMap::new();
        let mut lines = Vec::new();
        for (case, score, latency) in scored {
            if case.kind != Kind::Block {
                lines.push(score);
            }
            let key = (case.language.as_str(), case.kind);
            groups.entry(key).or_default().push(Scored {
                project: case.project.as_deref(),
                score,
                latency,
            });
        }
        Self {
            groups: groups
                .into_iter()
                .map(|((language, kind), scored)| Group::new(language, kind, &scored))
                .collect(),
            several: Several::of(&lines),
            lines: Filtered::of(&lines.iter().collect::<Vec<_>>()),
        }
    }

    /// As one JSON array with an object for each group; latencies in milliseconds.
    pub fn to_json(&self) -> Value {
        Value::Array(self.groups.iter().map(Group::to_json).collect())
    }

    /// As comma-separated values with a heading; the names are those of the JSON.
    pub fn to_csv(&self) -> String {
        let mut text = COLUMNS.join(",") + "\n";
        for group in &self.groups {
            let row = group.to_json();
            let cells = COLUMNS.map(|column| match &row[column] {
                Value::String(cell) => cell.clone(),
                Value::Null => String::new(),
                cell => cell.to_string(),
            });
            text += &(cells.join(",") + "\n");
        }
        text
    }
}

const COLUMNS: [&str; 22] = [
    "language",
    "kind",
    "projects",
    "cases",
    "exact_match",
    "exact_match_low",
    "exact_match_high",
    "non_trivial_cases",
    "non_trivial_exact_match",
    "non_trivial_exact_match_low",
    "non_trivial_exact_match_high",
    "first_line_exact_match",
    "edit_similarity",
    "characters_saved",
    "empty",
    "shown",
    "precision",
    "kept",
    "quiet",
    "auc",
    "p50_ms",
    "p95_ms",
];

impl Group {
    fn new(language: &str, kind: Kind, scored: &[Scored<'_>]) -> Self {
        let n = scored.len() as f64;
        let mean = |value: &dyn Fn(&Score) -> f64| {
            scored
                .iter()
                .map(|scored| value(&scored.score))
                .sum::<f64>()
                / n
        };
        let total = |value: &dyn Fn(&Score) -> usize| {
            scored
                .iter()
                .map(|scored| value(&scored.score))
                .sum::<usize>() as f64
        };
        let mut latencies: Vec<_> = scored.iter().map(|scored| scored.latency).collect();
        latencies.sort();
        let percentile = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1];
        Self {
            language: language.to_owned(),
            kind,
            projects: clusters(scored, |_| true).len(),
            all: Shares::of(scored, |_| true),
            non_trivial: Shares::of(scored, |score| !score.trivial),
            first_line_exact_match: mean(&|score| f64::from(score.first_line_exact)),
            edit_similarity: mean(&|score| score.edit_similarity),
            characters_saved: total(&|score| score.saved_chars)
                / total(&|score| score.middle_chars).max(1.0),
            empty: mean(&|score| f64::from(score.empty)),
            filter: Filtered::of(
                &scored
                    .iter()
                    .map(|scored| &scored.score)
                    .collect::<Vec<_>>(),
            ),
            p50: percentile(50),
            p95: percentile(95),
        }
    }

    fn to_json(&self) -> Value {
        let ms = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        json!({
            "language": self.language,
            "kind": self.kind.as_str(),
            "projects": self.projects,
            "cases": self.all.cases,
            "exact_match": share(self.all.exact_match),
            "exact_match_low": share(self.all.interval.low),
            "exact_match_high": share(self.all.interval.high),
            "non_trivial_cases": self.non_trivial.cases,
            "non_trivial_exact_match": share(self.non_trivial.exact_match),
            "non_trivial_exact_match_low": share(self.non_trivial.interval.low),
            "non_trivial_exact_match_high": share(self.non_trivial.interval.high),
            "first_line_exact_match": share(self.first_line_exact_match),
            "edit_similarity": share(self.edit_similarity),
            "characters_saved": share(self.characters_saved),
            "empty": share(self.empty),
            "shown": share(self.filter.shown),
            "precision": share(self.filter.precision),
            "kept": share(self.filter.kept),
            "quiet": share(self.filter.quiet),
            "auc": self.filter.auc.map(share),
            "p50_ms": ms(self.p50),
            "p95_ms": ms(self.p95),
        })
    }
}

impl Shares {
    fn of(scored: &[Scored<'_>], counts: fn(&Score) -> bool) -> Self {
        let clusters = clusters(scored, counts);
        let (right, cases) = clusters
            .iter()
            .fold((0.0, 0), |(s, n), (right, cases)| (s + right, n + cases));
        Self {
            cases,
            exact_match: right / cases.max(1) as f64,
            interval: Interval::of_mean(&clusters),
        }
    }
}

/// Exact matches and cases by project, of the cases that count.
fn clusters(scored: &[Scored<'_>], counts: fn(&Score) -> bool) -> Vec<Cluster> {
    let mut by_project: BTreeMap<&str, Cluster> = BTreeMap::new();
    let mut alone = Vec::new();
    for scored in scored.iter().filter(|scored| counts(&scored.score)) {
        let right = f64::from(scored.score.exact);
        match scored.project {
            Some(project) => {
                let cluster = by_project.entry(project).or_default();
                *cluster = (cluster.0 + right, cluster.1 + 1);
            }
            None => alone.push((right, 1)),
        }
    }
    by_project.into_values().chain(alone).collect()
}
