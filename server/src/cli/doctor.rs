//! `carat doctor`: what was found, what is slow, and what to do.

use std::fmt::Write as _;
use std::time::Instant;

use carat_engine::LoadOptions;

use super::{machine, output};
use crate::models::CodeModel;

/// Below this bandwidth, a model of some gigabytes writes slower than people read.
const BANDWIDTH_MIN: f64 = 10e9;

/// Prints a report; what it finds wrong is no failure of the report.
pub(super) fn run() -> anyhow::Result<()> {
    let mut report = String::new();
    let mut advice: Vec<String> = Vec::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(report, "{name:<10} {value}");
    };
    row("carat", env!("CARGO_PKG_VERSION").to_owned());
    let level = carat_engine::cpu_level();
    row(
        "processor",
        machine::processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
    );
    row("kernels", level.to_owned());
    if level == "scalar" {
        advice.push(
            "The slowest kernels are in use: unset CARAT_CPU_LEVEL, or use a processor with AVX2."
                .to_owned(),
        );
    }
    let threads = machine::threads();
    row("threads", threads.to_string());
    match (
        machine::total_memory_bytes(),
        machine::available_memory_bytes(),
    ) {
        (Some(total), Some(available)) => {
            row(
                "memory",
                format!(
                    "{}, {} available",
                    output::bytes(total),
                    output::bytes(available)
                ),
            );
        }
        _ => row("memory", "not known on this system".to_owned()),
    }
    let bandwidth = carat_engine::measure_bandwidth(threads);
    row(
        "bandwidth",
        format!("{}/s", output::bytes(bandwidth as u64)),
    );
    if bandwidth < BANDWIDTH_MIN {
        advice.push(
            "Memory is slow, or busy: close other programs, or stay with small models.".to_owned(),
        );
    }
    let begin = Instant::now();
    match CodeModel::load(None, &LoadOptions::default()) {
        Ok(model) => {
            let info = model.model.info();
            let size = output::bytes(info.file_bytes);
            row(
                "model",
                format!(
                    "{} ({size}), loaded in {} ms",
                    model.name,
                    begin.elapsed().as_millis()
                ),
            );
            advice.push("Try it: carat complete FILE:LINE:COLUMN".to_owned());
            advice.push(
                "Let your editor start `carat`; editors/ has the set-up for each.".to_owned(),
            );
        }
        Err(error) => {
            row("model", error.to_string());
            advice.push(
                "Give a model: `carat complete --model FILE.gguf ...`, or the setting `model` of your editor."
                    .to_owned(),
            );
        }
    }
    report.push('\n');
    for line in advice {
        let _ = writeln!(report, "- {line}");
    }
    output::print(&report)
}
