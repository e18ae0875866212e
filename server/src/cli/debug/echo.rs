//! `carat debug echo`: what whole lines of a project speak for themselves at the holes of cases, and
//! which of them are right; to fit how likely a line is.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::echo::{EchoWeights, Here, line_echoes};
use crate::evaluation::{self, Hidden, Projects, is_trivial};

#[derive(Debug, Args)]
pub(super) struct EchoArgs {
    /// A folder of cases
    #[arg(value_name = "CASES_DIR")]
    folder: PathBuf,
    /// The folder that `cargo xtask projects` filled
    #[arg(long, value_name = "DIR")]
    projects: PathBuf,
    /// Take this away from the projects; several are separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    hide: Vec<Hidden>,
}

pub(super) fn run(args: &EchoArgs) -> anyhow::Result<()> {
    let cases = evaluation::read_folder(&args.folder)?;
    let mut projects = Projects::open(&args.projects)?;
    for placed in projects.place_all(&cases, &args.hide) {
        let case = &placed.case;
        let index = evaluation::index_of(&placed.others);
        let here = Here {
            path: &placed.path,
            prefix: &case.prefix,
            suffix: &case.suffix,
        };
        let begin = Instant::now();
        let echoes = line_echoes(&index, here, EchoWeights::default());
        let micros = begin.elapsed().as_micros() as u64;
        let wanted = case.middle.trim_end();
        let candidates: Vec<_> = echoes
            .iter()
            .map(|echo| {
                json!({
                    "text": echo.text,
                    "right": echo.text.trim_end() == wanted,
                    "probability": echo.probability,
                    "features": echo.evidence.features(),
                })
            })
            .collect();
        let row = json!({
            "project": case.project,
            "language": case.language,
            "kind": case.kind.as_str(),
            "trivial": is_trivial(case),
            "micros": micros,
            "candidates": candidates,
        });
        output::print(&format!("{row}\n"))?;
    }
    Ok(())
}
