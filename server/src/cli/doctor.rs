//! `carat doctor`: what was found, what is slow, and what to do.
//!
//! The report is for pasting into a message: it has no source text, and `~` in the place of the
//! home folder.

mod roles;
mod speed;
mod tuning;

use std::fmt::Write as _;
use std::time::Instant;

use carat_engine::LoadOptions;
use clap::Args;
use serde_json::{Value, json};

use super::output;
use crate::generator::CodeModel;
use crate::logging::LastError;
use crate::machine;
use crate::models::ModelSource;
use crate::models::catalogue::{CATALOGUE_VARIABLE, Catalogue};
use crate::models::store::{FOLDER_VARIABLE, State, Store};

/// Below this bandwidth, a model of some gigabytes writes slower than people read.
const BANDWIDTH_MIN: f64 = 10e9;

/// Variables that change what Carat does; those that may hold secrets are not among them.
const VARIABLES: [&str; 5] = [
    "CARAT_CPU_LEVEL",
    "CARAT_LOG",
    crate::tuning::VARIABLE,
    CATALOGUE_VARIABLE,
    FOLDER_VARIABLE,
];

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The model of your editor's setting, to see what it means [default: the embedded one]
    #[arg(long, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found, as rows for readers and as fields for programs, and what to do about it.
#[derive(Default)]
struct Report {
    text: String,
    fields: serde_json::Map<String, Value>,
    advice: Vec<String>,
}

impl Report {
    fn row(&mut self, name: &str, shown: impl AsRef<str>, value: Value) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{name:<10} {}", shown.as_ref());
        self.fields.insert(name.replace(' ', "_"), value);
    }

    fn advise(&mut self, what: impl Into<String>) {
        self.advice.push(what.into());
    }
}

/// Prints a report; what it finds wrong is no failure of the report.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let mut report = Report::default();
    let version = env!("CARGO_PKG_VERSION");
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    report.row("carat", format!("{version} ({system})"), json!(version));
    describe_processor(&mut report);
    tuning::describe(&mut report);
    describe_variables(&mut report);
    let threads = machine::threads();
    report.row("threads", threads.to_string(), json!(threads));
    let memory = machine::total_memory_bytes();
    describe_memory(&mut report, memory);
    let bandwidth = carat_engine::measure_bandwidth(threads);
    let shown = format!(
        "{}/s now, with what else runs",
        output::bytes(bandwidth as u64)
    );
    report.row("bandwidth", shown, json!(bandwidth));
    if bandwidth < BANDWIDTH_MIN {
        report.advise("Memory is slow, or busy: close other programs, or stay with small models.");
    }
    describe_choice(&mut report, args.model.as_deref());
    match (Catalogue::of_user(), Store::of_user()) {
        (Ok(catalogue), Ok(store)) => {
            describe_models(&mut report, &catalogue, &store, memory, bandwidth);
        }
        (Err(error), _) => report.advise(format!("{error}.")),
        (_, Err(error)) => report.advise(format!("{error}.")),
    }
    describe_last_error(&mut report);
    if args.json {
        report
            .fields
            .insert("advice".to_owned(), json!(report.advice));
        return output::print_json(&Value::Object(report.fields));
    }
    report.text.push('\n');
    for line in &report.advice {
        let _ = writeln!(report.text, "- {line}");
    }
    output::print(&report.text)
}

fn describe_processor(report: &mut Report) {
    let processor = machine::processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    report.row("processor", &processor, json!(processor));
    let level = carat_engine::cpu_level();
    report.row("kernels", level, json!(level));
    if level == "scalar" {
        report.advise(
            "The slowest kernels are in use: unset CARAT_CPU_LEVEL, or use a processor with AVX2 or NEON.",
        );
    }
}

fn describe_variables(report: &mut Report) {
    let set: Vec<String> = VARIABLES
        .into_iter()
        .filter_map(|name| {
            let value = std::env::var_os(name)?;
            let shown = output::path(value.as_ref());
            Some(format!("{name}={shown}"))
        })
        .collect();
    if !set.is_empty() {
        report.row("set", set.join(" "), json!(set));
    }
}

fn describe_memory(report: &mut Report, total: Option<u64>) {
    let available = machine::available_memory_bytes();
    let shown = match (total, available) {
        (Some(total), Some(available)) => format!(
            "{}, {} available",
            output::bytes(total),
            output::bytes(available)
        ),
        _ => "not known on this system".to_owned(),
    };
    let value = json!({ "total_bytes": total, "available_bytes": available });
    report.row("memory", shown, value);
}

/// Which model the setting means, and whether it loads.
fn describe_choice(report: &mut Report, name: Option<&str>) {
    let begin = Instant::now();
    match CodeModel::load(name, &LoadOptions::default()) {
        Ok(model) => {
            let size = output::bytes(model.model.info().file_bytes);
            let ms = begin.elapsed().as_millis() as u64;
            let form = model.form.name();
            report.row(
                "model",
                format!(
                    "{} ({size}), loaded in {ms} ms, prompts: {form}",
                    model.name
                ),
                json!({ "name": model.name, "load_ms": ms, "prompt_form": form }),
            );
            describe_speed(report, &model);
            report.advise("Try it: carat complete FILE:LINE:COLUMN");
            report.advise("Let your editor start `carat`; editors/ has the set-up for each.");
        }
        Err(error) => {
            let said = without_home(&error.to_string());
            report.row("model", &said, json!({ "error": said }));
            report.advise(
                "Choose another model: `--model NAME|PATH`, or the setting `model` of your editor.",
            );
        }
    }
}

/// What the chosen model feels like.
fn describe_speed(report: &mut Report, model: &CodeModel) {
    let Some(speed) = speed::measure(&model.model) else {
        let why = "not measured: its file has to come from the disk first, or the machine is busy";
        return report.row("speed", why, Value::Null);
    };
    let (line, explanation) = (
        roles::LINE_TOKENS / speed.writes,
        roles::EXPLANATION_TOKENS / speed.writes,
    );
    let mut shown = format!(
        "reads {:.0} tokens/s, writes {:.1}; a line in {}: {}",
        speed.reads,
        speed.writes,
        roles::seconds(line),
        roles::feels_like(line, true)
    );
    if model.instruct().is_some() {
        let _ = write!(shown, "; an explanation in {}", roles::seconds(explanation));
    }
    let value = json!({
        "prefill_tokens_per_s": speed.reads, "decode_tokens_per_s": speed.writes, "line_s": line,
    });
    report.row("speed", shown, value);
}

fn describe_last_error(report: &mut Report) {
    let Some(last) = LastError::read() else {
        return;
    };
    let minutes = last.age().as_secs() / 60;
    let age = match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    };
    let said = without_home(&last.message);
    report.text.push('\n');
    report.row(
        "last error",
        format!("{age} ago, carat {}: {said}", last.version),
        json!({ "message": said, "at_unix_s": last.at_unix_s, "version": last.version }),
    );
}

/// An error for readers: its paths do not tell who the user is.
fn without_home(text: &str) -> String {
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    home.map_or_else(
        || text.to_owned(),
        |home| text.replace(&*home.to_string_lossy(), "~"),
    )
}

/// The models that are known by name, and how fast this machine can be with each.
fn describe_models(
    report: &mut Report,
    catalogue: &Catalogue,
    store: &Store,
    memory: Option<u64>,
    bandwidth: f64,
) {
    let folder = store.folder();
    let free = store.available_bytes();
    let room = free.map_or(String::new(), |free| {
        format!(", {} free", output::bytes(free))
    });
    let shown = format!("{}{room}", output::path(folder));
    report.row("folder", shown, json!({ "free_bytes": free }));
    let _ = writeln!(
        report.text,
        "\nThis machine with other models, at best: bandwidth / bytes of weights that a token reads\n\n{:<20} {:<8} {:>9} {:>8} {:>7}  answers",
        "name", "state", "memory", "tokens/s", "a line"
    );
    let mut models = Vec::new();
    let mut pulled = 0;
    for entry in catalogue.entries() {
        let state = store.state(&entry.name);
        let fits = memory.is_none_or(|total| entry.fits(total));
        let speed = entry.tokens_per_s_max(bandwidth);
        let shown = match state {
            State::Present { .. } => "pulled",
            State::Partial { .. } => "partial",
            State::Absent => "absent",
        };
        let line = roles::line_s(entry, bandwidth);
        let feels_like = roles::feels_like(line, fits);
        let _ = writeln!(
            report.text,
            "{:<20} {shown:<8} {:>9} {speed:>8.1} {line:>5.1} s  {feels_like}",
            entry.name,
            output::bytes(entry.memory_bytes)
        );
        pulled += usize::from(matches!(state, State::Present { .. }));
        if matches!(state, State::Partial { .. }) {
            report.advice.push(format!(
                "Finish the download: carat model pull {}",
                entry.name
            ));
        }
        models.push(json!({
            "name": entry.name, "state": shown, "fits": fits, "tokens_per_s_max": speed,
            "line_s_min": line, "answers": feels_like,
        }));
    }
    report.fields.insert("models".to_owned(), json!(models));
    if pulled == 0
        && let Some(total) = memory
    {
        let lines: Vec<_> = catalogue
            .suggestions(total)
            .map(|entry| (entry.name.as_str(), roles::line_s(entry, bandwidth)))
            .collect();
        report.advice.extend(roles::recommendation(&lines));
    }
    if ModelSource::find(None).is_err() && pulled == 0 {
        report.advise("There is no model at all: pull one, or give the path of a GGUF file.");
    }
}
