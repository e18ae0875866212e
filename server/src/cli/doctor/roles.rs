//! What a model is good for on a machine, by the time that a line takes.

use crate::models::catalogue::Entry;

/// Tokens of a line of code, on average.
pub(super) const LINE_TOKENS: f64 = 10.0;

/// Tokens of an explanation: two paragraphs.
pub(super) const EXPLANATION_TOKENS: f64 = 150.0;

/// Ghost text waits so long for a model while the user types (setting `deadlineMs`).
const TYPING_S_MAX: f64 = 0.7;

/// So long a caret may rest before the next key, where somebody thinks.
const REST_S_MAX: f64 = 3.0;

/// An explanation of two paragraphs within a minute and a quarter.
const ASKED_S_MAX: f64 = 5.0;

/// Seconds that a model takes for a line at best.
pub(super) fn line_s(entry: &Entry, bandwidth: f64) -> f64 {
    LINE_TOKENS / entry.tokens_per_s_max(bandwidth)
}

/// A time for readers.
pub(super) fn seconds(time: f64) -> String {
    match time {
        ..0.1 => format!("{:.0} ms", 1000.0 * time),
        ..10.0 => format!("{time:.1} s"),
        _ => format!("{time:.0} s"),
    }
}

/// What it feels like.
pub(super) fn feels_like(line_s: f64, fits: bool) -> &'static str {
    if !fits {
        "too large for this machine's memory"
    } else if line_s <= TYPING_S_MAX {
        "as you type"
    } else if line_s <= REST_S_MAX {
        "when the caret rests"
    } else if line_s <= ASKED_S_MAX {
        "when asked, with patience"
    } else {
        "too slow here"
    }
}

/// Which of the models that fit is worth its download, the best first. The one in the program goes on
/// answering at every key, so it need not be quicker than a pause; what comes later than that helps nobody,
/// however good it would be.
pub(super) fn recommendation(models: &[(&str, f64)]) -> Option<String> {
    let quick = models.iter().find(|(_, line)| *line <= REST_S_MAX);
    let (best, best_line) = models.first()?;
    let get = |name: &str| format!("carat model pull {name}, then the setting `model` = `{name}`");
    let Some((name, line)) = quick else {
        let (name, line) = models.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        return Some(format!(
            "Stay with the model in the program while you type: of those that fit, the quickest ({name}) takes {line:.1} s for a line here. For explanations and changes: {}.",
            get(name)
        ));
    };
    let other = if name == best {
        String::new()
    } else {
        format!(" {best} would fit, and takes {best_line:.1} s: no caret rests that long.")
    };
    Some(format!(
        "Get better answers: {}. The model in the program goes on answering at every key, this one once the caret rests (a line takes {line:.1} s here at best) and on demand.{other}",
        get(name)
    ))
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
            &[("26b", 2.1), ("e2b", 0.6)],
            &["model pull 26b", "2.1 s", "at every key"],
        );
        check(
            &[("31b", 4.1), ("26b", 1.2), ("e2b", 0.6)],
            &["model pull 26b", "31b would fit", "4.1 s"],
        );
        check(
            &[("26b", 5.0), ("e2b", 3.5)],
            &["Stay with", "model pull e2b", "3.5 s"],
        );
        assert_eq!(recommendation(&[]), None);
    }

    #[test]
    fn what_does_not_fit_is_not_called_slow() {
        assert!(feels_like(0.1, false).contains("memory"));
        assert_eq!(feels_like(0.5, true), "as you type");
        assert_eq!(feels_like(2.0, true), "when the caret rests");
        assert_eq!(feels_like(9.0, true), "too slow here");
    }
}
