//! `cargo xtask fit echo FOLDER`: how likely a line of the user's own is, and how much such text weighs
//! beside the embedded model, from the cases and their projects.
//!
//! Writes `models/echo.toml`. What is fitted is compared with what was there on projects that it was
//! not fitted to (five folds); nothing is drawn at random.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{FOLDS, today};

/// Pulls weights toward 0: as strong as one more example for each weight.
const RIDGE: f64 = 1.0;

/// Steps of Newton's method; it has settled after a few.
const STEPS: usize = 25;

/// Rounds in which one weight of the mixture is moved at a time.
const ROUNDS: usize = 3;

/// What weights of the mixture are multiplied with, to see what is better.
const MOVES: [f64; 2] = [0.75, 1.3];

/// A gain of fewer nats a token is none.
const GAIN_MIN: f64 = 1e-4;

/// One case in so many is enough for the few weights of the mixture.
const EVERY: &str = "3";

/// A line that may stand at a place.
#[derive(Clone, Debug)]
struct Candidate {
    features: Vec<f64>,
    right: bool,
    /// By today's weights.
    before: f64,
}

#[derive(Clone, Debug)]
struct Place {
    project: String,
    candidates: Vec<Candidate>,
}

/// Fits both, and writes them.
pub(crate) fn run(root: &Path, folder: &Path) -> Result<()> {
    let folder = folder.to_str().context("the folder's path is no text")?;
    let cases = "tests/quality/cases";
    let places = places(&carat(
        root,
        &["debug", "echo", cases, "--projects", folder],
    )?)?;
    let weights = fit(&places.iter().collect::<Vec<_>>());
    let lines = report_lines(&places);
    eprint!("{lines}");
    let (mixing, gain) = fit_mixing(root, cases, folder)?;
    eprint!("{gain}");
    let path = root.join("models/echo.toml");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(path, rewritten(&text, &weights, &lines, &mixing, &gain)?)?;
    Ok(())
}

/// Runs the release binary; gives what it prints.
fn carat(root: &Path, arguments: &[&str]) -> Result<String> {
    let carat = root.join("target/release/carat");
    ensure!(
        carat.is_file(),
        "{} is not there: `cargo build --release -p carat` makes it",
        carat.display()
    );
    let output = Command::new(carat)
        .current_dir(root)
        .args(arguments)
        .output()
        .context("cannot start carat")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("carat {} failed: {error}", arguments[..2].join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn places(rows: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).context("a line that is no place")?;
        if row["kind"] == "block" {
            continue;
        }
        let candidates = row["candidates"].as_array().into_iter().flatten();
        let candidates = candidates.map(|one| Candidate {
            features: one["features"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .collect(),
            right: one["right"] == true,
            before: one["probability"].as_f64().unwrap_or_default(),
        });
        places.push(Place {
            project: row["project"].as_str().unwrap_or_default().to_owned(),
            candidates: candidates.collect(),
        });
    }
    ensure!(
        places.iter().any(|place| !place.candidates.is_empty()),
        "no place has a line to offer"
    );
    Ok(places)
}

fn probability(weights: &[f64], features: &[f64]) -> f64 {
    let sum: f64 = weights.iter().zip(features).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-sum).exp())
}

/// A logistic function of the features by Newton's method, with a ridge.
fn fit(places: &[&Place]) -> Vec<f64> {
    let all: Vec<&Candidate> = places.iter().flat_map(|place| &place.candidates).collect();
    let count = all.first().map_or(0, |one| one.features.len());
    let mut weights = vec![0.0; count];
    for _ in 0..STEPS {
        let mut gradient: Vec<f64> = weights.iter().map(|w| -RIDGE * w).collect();
        let mut curvature = vec![vec![0.0; count]; count];
        for (at, row) in curvature.iter_mut().enumerate() {
            row[at] = RIDGE;
        }
        for one in &all {
            let p = probability(&weights, &one.features);
            let miss = f64::from(u8::from(one.right)) - p;
            for (i, x) in one.features.iter().enumerate() {
                gradient[i] += miss * x;
                for (j, y) in one.features.iter().enumerate() {
                    curvature[i][j] += p * (1.0 - p) * x * y;
                }
            }
        }
        for (weight, step) in weights.iter_mut().zip(solve(curvature, gradient)) {
            *weight += step;
        }
    }
    weights
}

/// The solution of a system of equations whose matrix is positive definite.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for j in i + 1..n {
            let factor = a[j][i] / a[i][i];
            let row = a[i].clone();
            for (x, y) in a[j].iter_mut().zip(&row) {
                *x -= factor * y;
            }
            b[j] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

/// What the likeliest line of each place comes to: loss of all, and what is shown from a probability on.
#[derive(Default)]
struct Outcome {
    loss: f64,
    candidates: usize,
    places: usize,
    shown: usize,
    right: usize,
}

impl Outcome {
    fn add(&mut self, place: &Place, of: &dyn Fn(&Candidate) -> f64) {
        self.places += 1;
        for one in &place.candidates {
            let p = of(one).clamp(1e-6, 1.0 - 1e-6);
            self.loss -= if one.right { p.ln() } else { (1.0 - p).ln() };
            self.candidates += 1;
        }
        let best = place
            .candidates
            .iter()
            .max_by(|a, b| of(a).total_cmp(&of(b)));
        if let Some(best) = best.filter(|best| of(best) >= 0.2) {
            self.shown += 1;
            self.right += usize::from(best.right);
        }
    }

    fn told(&self) -> String {
        format!(
            "{:.4} nats a line; at 0.2, text at {:.1}% of {} places, {:.1}% of it right",
            self.loss / self.candidates.max(1) as f64,
            100.0 * self.shown as f64 / self.places.max(1) as f64,
            self.places,
            100.0 * self.right as f64 / self.shown.max(1) as f64,
        )
    }
}

fn fold_of(projects: &[&str], project: &str) -> usize {
    projects.binary_search(&project).unwrap_or_default() % FOLDS
}

/// Today's weights and those of a fit to other projects.
fn report_lines(places: &[Place]) -> String {
    let mut projects: Vec<&str> = places.iter().map(|place| place.project.as_str()).collect();
    projects.sort_unstable();
    projects.dedup();
    let (mut before, mut after) = (Outcome::default(), Outcome::default());
    for left_out in 0..FOLDS {
        let (test, train): (Vec<&Place>, Vec<&Place>) = places
            .iter()
            .partition(|place| fold_of(&projects, &place.project) == left_out);
        let weights = fit(&train);
        for place in test {
            before.add(place, &|one| one.before);
            after.add(place, &|one| probability(&weights, &one.features));
        }
    }
    format!(
        "# Lines, of projects that were left out: {}.\n# Before, by weights that may know these projects: {}.\n",
        after.told(),
        before.told()
    )
}

/// The weights of the mixture, and what they gain.
fn fit_mixing(root: &Path, cases: &str, folder: &str) -> Result<(BTreeMap<String, f64>, String)> {
    let file = root.join("target/fit-mixing.jsonl");
    let name = file.to_str().context("the folder's path is no text")?;
    let text = std::fs::read_to_string(root.join("models/echo.toml"))?;
    let table: toml::Table = toml::from_str(&text)?;
    let rows = table.get("mixing").and_then(toml::Value::as_array);
    let row = rows
        .and_then(|rows| rows.first()?.as_table())
        .context("models/echo.toml has no mixing")?;
    let numbers = row
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_float()?)));
    let start: BTreeMap<String, f64> = numbers.collect();
    let (mut best, mut gain) = (start.clone(), String::new());
    for _ in 0..ROUNDS {
        let mut tried = vec![start.clone(), best.clone()];
        for name in best.keys() {
            for factor in MOVES {
                let mut one = best.clone();
                // Shares stay below 1.
                let most = if name.starts_with("weight") || name == "names" {
                    0.97
                } else {
                    f64::INFINITY
                };
                let value = (best[name] * factor * 1e4).round() / 1e4;
                one.insert(name.clone(), value.min(most));
                if one["weight_max"] <= one["weight_sure"] {
                    tried.push(one);
                }
            }
        }
        let lines: String = tried
            .iter()
            .map(|one| format!("{}\n", json!(one)))
            .collect();
        std::fs::write(&file, lines)?;
        let rows = carat(
            root,
            &[
                "debug",
                "mixing",
                cases,
                "--projects",
                folder,
                "--every",
                EVERY,
                "--weights",
                name,
            ],
        )?;
        let rows: Vec<Value> = rows
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let projects: Vec<&str> = rows
            .iter()
            .map(|row| row["project"].as_str().unwrap_or_default())
            .collect();
        let tokens: f64 = rows.iter().filter_map(|row| row["tokens"].as_f64()).sum();
        let loss = |number: usize, counts: &dyn Fn(&str) -> bool| -> f64 {
            let counted = rows
                .iter()
                .zip(&projects)
                .filter(|(_, project)| counts(project));
            counted
                .filter_map(|(row, _)| row["mixed"][number].as_f64())
                .sum()
        };
        let least = |counts: &dyn Fn(&str) -> bool| {
            let numbers = 0..tried.len();
            numbers
                .min_by(|&a, &b| loss(a, counts).total_cmp(&loss(b, counts)))
                .unwrap_or(0)
        };
        let held_out: f64 = (0..FOLDS)
            .map(|fold| {
                let chosen = least(&|project| fold_of(&projects, project) != fold);
                loss(chosen, &|project| fold_of(&projects, project) == fold)
            })
            .sum();
        let alone: f64 = rows.iter().filter_map(|row| row["alone"].as_f64()).sum();
        gain = format!(
            "# Mixing: {:.4} nats a token of {tokens} by the model alone, {:.4} before, {:.4} of projects that were left out.\n",
            alone / tokens,
            loss(0, &|_| true) / tokens,
            held_out / tokens,
        );
        let chosen = least(&|_| true);
        let moved = (loss(1, &|_| true) - loss(chosen, &|_| true)) / tokens > GAIN_MIN;
        if !moved {
            break;
        }
        best = tried[chosen].clone();
    }
    Ok((best, gain))
}

/// The file with other numbers; what is said of them is said anew.
fn rewritten(
    text: &str,
    weights: &[f64],
    lines: &str,
    mixing: &BTreeMap<String, f64>,
    gain: &str,
) -> Result<String> {
    let table: toml::Table = toml::from_str(text)?;
    let mut new = HEADER.to_owned();
    let weights: Vec<String> = weights
        .iter()
        .map(|weight| format!("{weight:.3}"))
        .collect();
    write!(
        new,
        "# Fitted on {}.\n{lines}weights = [{}]\n",
        today(),
        weights.join(", ")
    )?;
    let rows = |name: &str| {
        table
            .get(name)
            .and_then(toml::Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for row in rows("threshold") {
        write!(new, "\n[[threshold]]\n{}", toml_of(&row)?)?;
    }
    write!(new, "\n{MIXING}{gain}")?;
    let row: String = mixing
        .iter()
        .map(|(name, value)| format!("{name} = {value:?}\n"))
        .collect();
    write!(new, "[[mixing]]\nmodel = \"*\"\n{row}")?;
    Ok(new)
}

/// The texts and numbers of a row.
fn toml_of(row: &toml::Value) -> Result<String> {
    let row = row.as_table().context("a row is no table")?;
    let mut lines = String::new();
    for (name, value) in row {
        match value {
            toml::Value::String(text) => writeln!(lines, "{name} = \"{text}\"")?,
            toml::Value::Float(number) => writeln!(lines, "{name} = {number:?}")?,
            _ => bail!("{name} is neither a text nor a number with a point"),
        }
    }
    Ok(lines)
}

const HEADER: &str = "\
# How likely a line of the user's own is to be the one at the caret: weights of a logistic function of what
# speaks for it, in the order of `Evidence::features` (server/src/echo/candidates.rs), and how likely it must
# be before it is shown while typing. Written by `cargo xtask fit echo FOLDER`, from what `carat debug echo`
# prints of lines and ends of lines in all languages.
";

const MIXING: &str = "\
# How much text of the user's own weighs in every token, against a model (`EchoWeights`,
# server/src/echo/weights.rs), from what `carat debug mixing` prints. `*` holds for models that were not
# measured.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn place(project: &str, x: f64, right: bool) -> Place {
        let candidate = Candidate {
            features: vec![1.0, x],
            right,
            before: 0.5,
        };
        Place {
            project: project.to_owned(),
            candidates: vec![candidate],
        }
    }

    #[test]
    fn a_fit_finds_the_odds_that_were_there() {
        // Right in 9 of 10 with the feature, in 2 of 10 without.
        let places: Vec<Place> = (0..2000)
            .map(|n| {
                let with = n % 2 == 0;
                let rank = n / 2 % 10;
                place(
                    &format!("p{}", n % 7),
                    f64::from(u8::from(with)),
                    rank < if with { 9 } else { 2 },
                )
            })
            .collect();
        let weights = fit(&places.iter().collect::<Vec<_>>());
        for (x, wanted) in [(1.0, 0.9), (0.0, 0.2)] {
            let found = probability(&weights, &[1.0, x]);
            assert!((found - wanted).abs() < 0.01, "{found} for {wanted}");
        }
        let told = report_lines(&places);
        assert!(
            told.contains("text at 100.0% of 2000 places, 55.0% of it right"),
            "{told}"
        );
    }

    #[test]
    fn the_file_keeps_its_thresholds() {
        let text = "weights = [1.0]\n[[threshold]]\nmodel = \"echo\"\nquiet = 0.5\n[[mixing]]\nmodel = \"*\"\nnames = 0.3\n";
        let mixing = BTreeMap::from([("names".to_owned(), 0.4)]);
        let new = rewritten(text, &[0.25], "# Lines.\n", &mixing, "# Gain.\n").expect("a table");
        let table: toml::Table = toml::from_str(&new).expect("a table");
        assert_eq!(table["weights"][0].as_float(), Some(0.25));
        assert_eq!(table["threshold"][0]["quiet"].as_float(), Some(0.5));
        assert_eq!(table["mixing"][0]["names"].as_float(), Some(0.4));
    }
}
