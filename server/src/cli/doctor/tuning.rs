//! What was measured of the processor.

use carat_engine::{Choice, ModelSize, Order, Tuning};
use serde_json::{Value, json};

use super::{Report, output, without_home};
use crate::statistics;
use crate::tuning::{Found, Kept};

pub(super) fn describe(report: &mut Report) {
    let kept = Kept::of_user();
    let (shown, value) = match kept.find() {
        Found::Off => ("off (CARAT_TUNE)".to_owned(), json!({ "state": "off" })),
        Found::Nothing => (
            "not measured yet: the server does that when a model has rested for some seconds"
                .to_owned(),
            json!({ "state": "not measured" }),
        ),
        Found::Refused(refused) => {
            let why = without_home(&refused.to_string());
            report.advise(format!(
                "A file with choices of kernels is not used: {why}."
            ));
            let shown = format!("not used: {why}");
            (shown, json!({ "state": "refused", "error": why }))
        }
        Found::Tuning(tuning) => {
            let date = statistics::date(tuning.measured_unix_s);
            let value = as_json(&tuning, &date);
            let file = kept.file().map(output::path).unwrap_or_default();
            (format!("{date}: {} ({file})", words(&tuning)), value)
        }
    };
    report.row("measured", shown, value);
}

fn words(tuning: &Tuning) -> String {
    let (better, usual): (Vec<&Choice>, Vec<&Choice>) =
        tuning.choices.iter().partition(|choice| choice.gain > 1.0);
    let mut all: Vec<String> = better.into_iter().map(gain).collect();
    if !usual.is_empty() {
        let names: Vec<&str> = usual
            .iter()
            .map(|it| it.subject.tensor_type.name())
            .collect();
        all.push(format!("as usual {}", names.join(", ")));
    }
    if all.is_empty() {
        return "no choices".to_owned();
    }
    all.join("; ")
}

fn gain(choice: &Choice) -> String {
    let subject = &choice.subject;
    let how = match subject.order {
        Order::Rows => format!("{} rows", choice.reading.rows),
        Order::Panels => "panels".to_owned(),
    };
    let percent = (choice.gain - 1.0) * 100.0;
    format!(
        "{} of {} models +{percent:.0}% ({how}, {} bytes ahead)",
        subject.tensor_type.name(),
        size(subject.size),
        choice.reading.ahead
    )
}

fn size(size: ModelSize) -> &'static str {
    match size {
        ModelSize::Small => "small",
        ModelSize::Large => "large",
    }
}

fn as_json(tuning: &Tuning, date: &str) -> Value {
    let choices: Vec<Value> = tuning
        .choices
        .iter()
        .map(|choice| {
            json!({
                "model": size(choice.subject.size),
                "type": choice.subject.tensor_type.name(),
                "panels": choice.subject.order == Order::Panels,
                "threads": choice.subject.threads,
                "rows": choice.reading.rows,
                "ahead": choice.reading.ahead,
                "gain": choice.gain,
            })
        })
        .collect();
    json!({ "state": "measured", "date": date, "choices": choices })
}
