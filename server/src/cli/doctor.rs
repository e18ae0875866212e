//! `carat doctor`: what was found, what is slow, and what to do.
//!
//! The report is for pasting into a message: it has no source text, and `~` in the place of the
//! home folder.

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
use crate::models::catalogue::{CATALOGUE_VARIABLE, Catalogue, Entry};
use crate::models::store::{FOLDER_VARIABLE, State, Store};

/// Below this bandwidth, a model of some gigabytes writes slower than people read.
const BANDWIDTH_MIN: f64 = 10e9;

/// Tokens of a line of code, on average.
const LINE_TOKENS: f64 = 10.0;

/// Ghost text waits so long for a model while the user types (setting `deadlineMs`).
const LINE_S_MAX: f64 = 0.7;

/// Variables that change what Carat does; those that may hold secrets are not among them.
const VARIABLES: [&str; 4] = [
    "CARAT_CPU_LEVEL",
    "CARAT_LOG",
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
        "\n{:<16} {:<10} {:>9} {:>8}  a line of {LINE_TOKENS} tokens at best (an estimate: bytes per token / bandwidth)",
        "name", "state", "memory", "tokens/s"
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
        let line = line_s(entry, bandwidth);
        let note = match (fits, line > LINE_S_MAX) {
            (false, _) => ", too large for this machine's memory",
            (true, true) => ", too slow to type with",
            (true, false) => "",
        };
        let _ = writeln!(
            report.text,
            "{:<16} {shown:<10} {:>9} {speed:>8.1}  {line:.1} s{note}",
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
            "line_s_min": line,
        }));
    }
    report.fields.insert("models".to_owned(), json!(models));
    if pulled == 0
        && let Some(total) = memory
    {
        let lines: Vec<_> = catalogue
            .suggestions(total)
            .map(|entry| (entry.name.as_str(), line_s(entry, bandwidth)))
            .collect();
        report.advice.extend(recommendation(&lines));
    }
    if ModelSource::find(None).is_err() && pulled == 0 {
        report.advise("There is no model at all: pull one, or give the path of a GGUF file.");
    }
}

/// Seconds that a model takes for a line at best.
fn line_s(entry: &Entry, bandwidth: f64) -> f64 {
    LINE_TOKENS / entry.tokens_per_s_max(bandwidth)
}

/// Which of the models that fit is worth its download, the best first: ghost text that comes later than
/// the next key helps nobody, however good it would be.
fn recommendation(models: &[(&str, f64)]) -> Option<String> {
    let quick = models.iter().find(|(_, line)| *line <= LINE_S_MAX);
    let best = models.first()?;
    let get =
        |name: &str| format!("carat model pull {name}, then --model {name} or the setting `model`");
    Some(match quick {
        Some((name, line)) if name == &best.0 => {
            format!(
                "Get better answers: {} (a line takes {line:.1} s here at best).",
                get(name)
            )
        }
        Some((name, line)) => format!(
            "Get better answers: {} (a line takes {line:.1} s here at best; {} would fit, and takes {:.1} s: ghost text does not wait that long).",
            get(name),
            best.0,
            best.1
        ),
        None => {
            let (name, line) = models.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
            format!(
                "Stay with the model in the program while you type: of those that fit, the quickest ({name}) takes {line:.1} s for a line here. For explanations and changes: {}.",
                get(name)
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(models: &[(&str, f64)], parts: &[&str]) {
        let said = recommendation(models).expect("a recommendation");
        for part in parts {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_model_is_recommended_by_the_time_of_a_line() {
        check(&[("26b", 0.5), ("e2b", 0.2)], &["model pull 26b", "0.5 s"]);
        check(
            &[("26b", 1.1), ("e4b", 1.2), ("e2b", 0.6)],
            &["model pull e2b", "26b would fit", "1.1 s"],
        );
        check(
            &[("26b", 5.0), ("e2b", 2.0)],
            &["Stay with", "model pull e2b", "2.0 s"],
        );
        assert_eq!(recommendation(&[]), None);
    }
}
