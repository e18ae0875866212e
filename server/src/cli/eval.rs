//! `carat eval CASES_DIR`: completion quality on infill cases.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use carat_engine::LoadOptions;
use clap::Args;
use serde_json::json;

use super::{EagernessArg, output};
use crate::completion::{Manners, Part, Parts, Silence};
use crate::evaluation::{self, Answer, Case, Filtered, Hidden, Placed, Projects, Report, Score};
use crate::generator::CodeModel;

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// A folder of cases: `*.jsonl` with one a line, `*.json` with one each
    #[arg(value_name = "CASES_DIR")]
    folder: PathBuf,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// How readily answers are shown
    #[arg(long, value_enum, default_value_t)]
    eagerness: EagernessArg,
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
    /// Ask as with a key, for blocks where they fit and for other answers, and tell what these are worth
    #[arg(long, conflicts_with = "csv")]
    asked: bool,
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
    let manners = Manners {
        eagerness: args.eagerness.into(),
        ..Manners::default()
    };
    let mut scored = Vec::with_capacity(cases.len());
    for (index, placed) in cases.iter().enumerate() {
        let case = &placed.case;
        let answer = evaluation::answer(&model, placed, &manners, args.asked)?;
        let score = Score::of(case, &answer);
        if let Some(file) = &mut answers {
            file.write(case, &answer, score)?;
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
        let (model, cases) = (&model.name, cases.len());
        return output::print_json(&if args.asked {
            json!({ "model": model, "cases": cases, "asked": report.several.to_json() })
        } else {
            json!({
                "model": model,
                "cases": cases,
                "groups": report.to_json(),
                "lines": report.lines.to_json(),
            })
        });
    }
    if args.csv {
        return output::print(&report.to_csv());
    }
    // Blocks are not to be compared with lines, nor judged as if nobody had asked.
    output::print(&if args.asked {
        several(&report)
    } else {
        table(&report)
    })
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
        "{:<11} {:<9} {:>5} {:>6} {:>13} {:>11} {:>13} {:>10} {:>6} {:>6} {:>6} {:>9} {:>6} {:>6} {:>5} {:>4} {:>4}\n",
        "language",
        "kind",
        "cases",
        "exact",
        "(95%)",
        "non-trivial",
        "(95%)",
        "first line",
        "saved",
        "empty",
        "shown",
        "precision",
        "kept",
        "quiet",
        "AUC",
        "p50",
        "p95",
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
            "{:<11} {:<9} {:>5} {:>6} {:>13} {:>11} {:>13} {:>10} {:>6} {:>6} {} {:>4.0} {:>4.0}\n",
            group.language,
            group.kind.as_str(),
            group.all.cases,
            percent(group.all.exact_match),
            interval(&group.all),
            percent(group.non_trivial.exact_match),
            interval(&group.non_trivial),
            percent(group.first_line_exact_match),
            percent(group.characters_saved),
            percent(group.empty),
            filtered(&group.filter),
            group.p50.as_secs_f64() * 1e3,
            group.p95.as_secs_f64() * 1e3,
        );
    }
    text += &format!(
        "{:<97} {}\n",
        "all lines and ends of lines",
        filtered(&report.lines)
    );
    text += &format!(
        "Where the model shows nothing, a line of the project's own stands at {} of all lines and ends of lines; {} of these are right.\n",
        percent(report.lines.echo_alone),
        percent(report.lines.echo_precision),
    );
    text
}

/// What other answers are worth, as a sentence.
fn several(report: &Report) -> String {
    let several = &report.several;
    format!(
        "Of all lines and ends of lines, the first answer begins with the right line in {:.1}%, one of {:.1} in {:.1}%.\n",
        several.first * 1e2,
        1.0 + several.others,
        several.any * 1e2,
    )
}

/// The columns of what is shown.
fn filtered(filter: &Filtered) -> String {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    format!(
        "{:>6} {:>9} {:>6} {:>6} {:>5}",
        percent(filter.shown),
        percent(filter.precision),
        percent(filter.kept),
        percent(filter.quiet),
        filter
            .auc
            .map_or_else(String::new, |auc| format!("{auc:.3}")),
    )
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

    fn write(&mut self, case: &Case, answer: &Answer, score: Score) -> anyhow::Result<()> {
        let line = json!({
            "project": case.project,
            "path": case.path,
            "language": case.language,
            "kind": case.kind.as_str(),
            "middle": case.middle,
            "answer": answer.text,
            "echo": answer.echo,
            "others": answer.others,
            "exact": score.exact,
            "trivial": score.trivial,
            "shown": answer.shown.as_deref().ok(),
            "silence": answer.shown.as_ref().err().map(Silence::code),
            "product": answer.confidence.map(|confidence| confidence.product),
            "minimum": answer.confidence.map(|confidence| confidence.minimum),
            "mean": answer.confidence.map(|confidence| confidence.mean),
            "first": answer.confidence.map(|confidence| confidence.first),
            "log_probs": answer.log_probs,
            "ms": answer.latency.as_secs_f64() * 1e3,
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
