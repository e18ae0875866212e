//! `carat replay`: types real code key by key, and tells what would have been shown and what it was worth.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{EagernessArg, output};
use crate::completion::{Eagerness, Part, Parts};
use crate::generator::EngineGenerator;
use crate::machine;
use crate::replay::{self, KEYSTROKES, Played, Player, Report, Scene};
use crate::settings::KvCache;

/// What `--help` says below the options.
pub(super) const HELP: &str = "\
Examples:
  carat replay src/main.rs                       type a file from top to bottom
  carat replay --commits 20                      the lines that the last 20 commits added
  carat replay --commits 20 --everything         the same if all were shown, to compare
  carat replay --list tests/quality/replay.txt --projects ~/projects --json

The same code gives the same figures every time, but for those that are times.";

/// Keys that are typed unless told otherwise: enough for figures of one language to a point or two,
/// few enough to wait for.
const KEYS: usize = 6000;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Files, and folders of files; with --commits, a folder of the repository
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Type the lines that the last N commits added
    #[arg(long, value_name = "N")]
    commits: Option<usize>,
    /// Type the files of this list of published packages
    #[arg(long, value_name = "FILE", requires = "projects", conflicts_with_all = ["paths", "commits"])]
    list: Option<PathBuf>,
    /// Where `cargo xtask projects` has put the packages
    #[arg(long, value_name = "DIR")]
    projects: Option<PathBuf>,
    /// Type about so many keys, drawn evenly over the files, and paste the rest; 0 types all
    #[arg(long, value_name = "N", default_value_t = KEYS)]
    keys: usize,
    /// Name or GGUF file of the model
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// How readily text is shown
    #[arg(long, value_enum, default_value_t)]
    eagerness: EagernessArg,
    /// Show whatever the model proposes, however improbable: short for `--eagerness all`
    #[arg(long)]
    everything: bool,
    /// Leave out parts of completion; several are separated by commas
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    without: Vec<Part>,
    /// Files that are typed at the same time, each with a thread [default: one for each core; 1 for large models, with all threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print rows of comma-separated values that begin with this name
    #[arg(long, value_name = "NAME")]
    csv: Option<String>,
    /// Print what was wrong with what was shown, a line each, on standard error
    #[arg(long)]
    faults: bool,
    /// Write what every source had after each key, and how right it was: a JSON object a line
    #[arg(long, value_name = "FILE")]
    offers: Option<PathBuf>,
}

/// A scene that was played, by its number.
type Done = anyhow::Result<(usize, Played, Option<Duration>)>;

/// Prints the figures by language; the progress goes to standard error.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut scenes = scenes(args)?;
    if args.keys > 0 {
        replay::draw(&mut scenes, args.keys);
    }
    ensure!(
        !scenes.is_empty(),
        "there is no code to type; give files of a language that Carat knows, or --commits N in a repository"
    );
    let played = play_all(args, &scenes)?;
    let mut report = Report::default();
    for (scene, (played, cpu)) in scenes.iter().zip(&played) {
        report.add(&scene.language_id, played, *cpu);
        for fault in played.faults.iter().filter(|_| args.faults) {
            eprintln!("{fault}");
        }
    }
    if let Some(path) = &args.offers {
        let offers = played.iter().flat_map(|(played, _)| &played.offers);
        let lines: String = offers.map(|offer| format!("{offer}\n")).collect();
        std::fs::write(path, lines)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    if args.json {
        return output::print_json(&json!({
            "model": args.model.as_deref().unwrap_or("default"),
            "keystrokes": KEYSTROKES,
            "languages": report.to_json(),
            "seconds": begin.elapsed().as_secs_f64().round(),
        }));
    }
    if let Some(name) = &args.csv {
        return output::print(&(Report::csv_heading("setting") + &report.to_csv(name)));
    }
    output::print(&format!(
        "{}{KEYSTROKES}.\n{:.0} s\n",
        report.to_table(),
        begin.elapsed().as_secs_f64()
    ))
}

fn scenes(args: &ReplayArgs) -> anyhow::Result<Vec<Scene>> {
    if let (Some(list), Some(projects)) = (&args.list, &args.projects) {
        return replay::of_list(list, projects);
    }
    if let Some(commits) = args.commits {
        ensure!(
            args.paths.len() <= 1,
            "--commits takes one repository; give one folder, or none for this one"
        );
        let here = args.paths.first().map_or(Path::new("."), PathBuf::as_path);
        return replay::of_commits(here, commits);
    }
    ensure!(
        !args.paths.is_empty(),
        "what is to be typed? Give files or folders, or --commits N in a repository"
    );
    replay::of_paths(&args.paths)
}

/// Plays the scenes, some at the same time; what came of each, in their order.
fn play_all(
    args: &ReplayArgs,
    scenes: &[Scene],
) -> anyhow::Result<Vec<(Played, Option<Duration>)>> {
    let jobs = match args.jobs {
        Some(jobs) => jobs as usize,
        None if args.model.is_none() => machine::threads(),
        None => 1,
    };
    let shares = shares(scenes, jobs);
    let bar = bar(scenes);
    let (sender, done) = mpsc::channel();
    let mut played: Vec<(Played, Option<Duration>)> = vec![Default::default(); scenes.len()];
    std::thread::scope(|scope| {
        for share in &shares {
            let (sender, is_alone) = (sender.clone(), shares.len() == 1);
            scope.spawn(move || {
                if let Err(error) = play(args, scenes, share, is_alone, &sender) {
                    // The receiver waits for all senders.
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        for one in done {
            let (index, result, cpu) = one?;
            bar.inc(scenes[index].size() as u64);
            played[index] = (result, cpu);
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    Ok(played)
}

/// Plays some scenes with a model of its own.
fn play(
    args: &ReplayArgs,
    scenes: &[Scene],
    share: &[usize],
    is_alone: bool,
    sender: &Sender<Done>,
) -> anyhow::Result<()> {
    let threads = if is_alone { None } else { Some(1) };
    let mut generator = EngineGenerator::load(args.model.as_deref(), threads, KvCache::Auto)?;
    generator.set_parts(Parts::without(&args.without));
    generator.be_steady();
    let eagerness = if args.everything {
        Eagerness::All
    } else {
        args.eagerness.into()
    };
    let options = json!({ "eagerness": eagerness });
    let mut player = Player::new(Box::new(generator), options);
    if args.offers.is_some() {
        player.tell_offers();
    }
    let cpu_time = || {
        if is_alone {
            machine::cpu_time()
        } else {
            machine::cpu_time_of_thread()
        }
    };
    for &index in share {
        let before = cpu_time();
        let played = player.play(&scenes[index]);
        let cpu = before
            .zip(cpu_time())
            .map(|(before, after)| after.saturating_sub(before));
        if sender.send(Ok((index, played, cpu))).is_err() {
            break;
        }
    }
    Ok(())
}

/// Who plays which scenes: the large ones first, each to who has least.
fn shares(scenes: &[Scene], jobs: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..scenes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(scenes[index].size()));
    let mut shares = vec![(0, Vec::new()); jobs.min(scenes.len()).max(1)];
    for index in order {
        if let Some((size, share)) = shares.iter_mut().min_by_key(|(size, _)| *size) {
            *size += scenes[index].size();
            share.push(index);
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

fn bar(scenes: &[Scene]) -> ProgressBar {
    let keys = scenes.iter().map(Scene::size).sum::<usize>() as u64;
    // Where standard error is no terminal, nothing is drawn.
    let bar = ProgressBar::with_draw_target(Some(keys), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} keys, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
