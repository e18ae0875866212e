//! How much surer an answer must be where the user has just typed against others.

use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    step: f64,
    most: f64,
}

static FLOW: LazyLock<Flow> = LazyLock::new(|| {
    // The test below reads it too: it is never damaged in a program that was tested.
    let flow = toml::from_str(include_str!("../../../../models/flow.toml"));
    flow.unwrap_or(Flow {
        step: 0.0,
        most: 1.0,
    })
});

/// The least probability of an answer in a line in which the user has typed against so many others.
pub(super) fn raised(threshold: f64, contradicted: u32) -> f64 {
    let raised = threshold * (1.0 + FLOW.step * f64::from(contradicted));
    raised.min(FLOW.most.max(threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_was_typed_against_raises_the_threshold_up_to_a_bound() {
        let text = include_str!("../../../../models/flow.toml");
        let flow: Flow = toml::from_str(text).expect("a table");
        assert!(flow.step > 0.0 && (0.0..1.0).contains(&flow.most));
        assert!((raised(0.1, 0) - 0.1).abs() < 1e-9);
        assert!((raised(0.1, 2) - 0.1 * (1.0 + 2.0 * flow.step)).abs() < 1e-9);
        assert!((raised(0.1, 1000) - flow.most).abs() < 1e-9);
        assert!((raised(0.9, 5) - 0.9).abs() < 1e-9);
    }
}
