//! `carat eval CASES_DIR`: completion quality on infill cases.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use carat_engine::LoadOptions;
use clap::Args;
use serde_json::json;

use super::output;
use crate::completion::{Part, Parts};
use crate::evaluation::{self, Case, Hidden, Placed, Projects, Report, Score};
use crate::generator::CodeModel;

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// A folder of cases: `*.jsonl` with one a line, `*.json` with one each
    #[arg(value_name = "CASES_DIR")]
    folder: PathBuf,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a table of comma-separated values
    #[arg(long)]
    csv: bool,
    /// Write what was proposed for each case to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Leave out parts of completion; several are separated by commas
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    without: Vec<Part>,
    /// Give each case its whole file and its project, from the folder that `cargo xtask projects` filled
    #[arg(long, value_name = "DIR")]
    projects: Option<PathBuf>,
    /// Take this away from the projects; several are separated by commas
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        requires = "projects"
    )]
    hide: Vec<Hidden>,
}

/// Prints the figures by language and kind; the progress goes to standard error.
pub(super) fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let cases = placed(args)?;
    let mut model = CodeModel::load(args.model.as_deref(), &LoadOptions::default())?;
    model.parts = Parts::without(&args.without);
    let mut answers = args.answers.as_ref().map(AnswerFile::create).transpose()?;
    let mut scored = Vec::with_capacity(cases.len());
    for (index, Placed { case, .. }) in cases.iter().enumerate() {
        let answer = evaluation::answer(&model, case)?;
        let score = Score::of(case, &answer.text);
        if let Some(file) = &mut answers {
            file.write(case, &answer.text, score, answer.latency)?;
        }
        scored.push((case, score, answer.latency));
        if (index + 1) % 100 == 0 {
            eprintln!("{} of {} cases", index + 1, cases.len());
        }
    }
    if let Some(file) = answers {
        file.finish()?;
    }
    let report = Report::new(scored);
    if args.json {
        return output::print_json(&json!({
            "model": model.name,
            "cases": cases.len(),
            "groups": report.to_json(),
        }));
    }
    if args.csv {
        return output::print(&report.to_csv());
    }
    output::print(&table(&report))
}

/// The cases; those whose project was asked for and is not there are left out, and counted.
fn placed(args: &EvalArgs) -> anyhow::Result<Vec<Placed>> {
    let cases = evaluation::read_folder(&args.folder)?;
    let Some(folder) = &args.projects else {
        return Ok(cases.into_iter().map(Placed::alone).collect());
    };
    let mut projects = Projects::open(folder)?;
    let placed = projects.place_all(&cases, &args.hide);
    anyhow::ensure!(
        !placed.is_empty(),
        "{}: no case's file is here; get them with: cargo xtask projects {}",
        folder.display(),
        folder.display()
    );
    eprintln!(
        "{} of {} cases have their project",
        placed.len(),
        cases.len()
    );
    Ok(placed)
}

fn table(report: &Report) -> String {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let mut text = format!(
        "{:<11} {:<9} {:>5} {:>7} {:>15} {:>11} {:>15} {:>10} {:>10} {:>6} {:>6} {:>7} {:>7}\n",
        "language",
        "kind",
        "cases",
        "exact",
        "(95%)",
        "non-trivial",
        "(95%)",
        "first line",
        "similarity",
        "saved",
        "empty",
        "p50 ms",
        "p95 ms",
    );
    for group in &report.groups {
        let interval = |shares: &evaluation::Shares| {
            format!(
                "{}-{}",
                percent(shares.interval.low),
                percent(shares.interval.high)
            )
        };
        text += &format!(
            "{:<11} {:<9} {:>5} {:>7} {:>15} {:>11} {:>15} {:>10} {:>10} {:>6} {:>6} {:>7.0} {:>7.0}\n",
            group.language,
            group.kind.as_str(),
            group.all.cases,
            percent(group.all.exact_match),
            interval(&group.all),
            percent(group.non_trivial.exact_match),
            interval(&group.non_trivial),
            percent(group.first_line_exact_match),
            percent(group.edit_similarity),
            percent(group.characters_saved),
            percent(group.empty),
            group.p50.as_secs_f64() * 1e3,
            group.p95.as_secs_f64() * 1e3,
        );
    }
    text
}

/// The file that `--answers` asks for.
struct AnswerFile {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
}

impl AnswerFile {
    fn create(path: &PathBuf) -> anyhow::Result<Self> {
        let file = std::fs::File::create(path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(Self {
            path: path.clone(),
            file: std::io::BufWriter::new(file),
        })
    }

    fn write(
        &mut self,
        case: &Case,
        answer: &str,
        score: Score,
        latency: Duration,
    ) -> anyhow::Result<()> {
        let line = json!({
            "project": case.project,
            "path": case.path,
            "language": case.language,
            "kind": case.kind.as_str(),
            "middle": case.middle,
            "answer": answer,
            "exact": score.exact,
            "trivial": score.trivial,
            "ms": latency.as_secs_f64() * 1e3,
        });
        writeln!(self.file, "{line}")
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file
            .flush()
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}
