//! How much what was matched counts.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Numbers that are fitted to measured answers, by model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EchoWeights {
    /// Matched bytes at which a continuation begins to count; shorter matches are ignored.
    pub bytes_min: f32,
    /// Gain of weight for each matched byte more.
    pub per_byte: f32,
    /// The largest weight; the rest is the model's.
    pub weight_max: f32,
    /// Bytes that a match in the same file is worth more.
    pub same_file: f32,
    /// Bytes that a match in the same folder is worth more.
    pub same_folder: f32,
    /// A match that is this many bytes shorter than another counts e times less.
    pub decay_bytes: f32,
    /// The weight of names that begin as the text ends.
    pub names: f32,
    /// The largest weight where several places go on alike.
    pub weight_sure: f32,
    /// What a byte of white space behind another one is worth, in bytes.
    pub blank: f32,
}

/// A row of the data.
#[derive(Deserialize)]
struct Row {
    model: String,
    #[serde(flatten)]
    weights: EchoWeights,
}

#[derive(Deserialize)]
struct Table {
    mixing: Vec<Row>,
}

/// The row of this name holds for models that have none of their own.
const ANY: &str = "*";

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    // The test below reads it too: it is never damaged in a program that was tested.
    let table = toml::from_str::<Table>(include_str!("../../../models/echo.toml"));
    table.map(|table| table.mixing).unwrap_or_default()
});

impl Default for EchoWeights {
    /// Those of models that were not measured.
    fn default() -> Self {
        Self::of_model(ANY)
    }
}

impl EchoWeights {
    /// Those of a model, or those of all others.
    pub fn of_model(model: &str) -> Self {
        let row = |name: &str| ROWS.iter().find(|row| row.model == name);
        row(model)
            .or_else(|| row(ANY))
            .map_or(SILENT, |row| row.weights)
    }
}

/// Weights with which nothing counts.
const SILENT: EchoWeights = EchoWeights {
    bytes_min: 8.0,
    per_byte: 0.0,
    weight_max: 0.0,
    same_file: 0.0,
    same_folder: 0.0,
    decay_bytes: 1.0,
    names: 0.0,
    weight_sure: 0.0,
    blank: 1.0,
};

impl EchoWeights {
    /// The weight of what the longest match says, 0 to 1; its length includes what its place is worth.
    /// `alike` says how many matches, as counted by their lengths, go on in the most usual way, and
    /// `share` which share of all that is.
    pub(super) fn weight(&self, length: f32, alike: f32, share: f32) -> f32 {
        let sure = (1.0 - 1.0 / alike.max(1.0)) * share;
        let most = self.weight_max + (self.weight_sure - self.weight_max) * sure;
        ((length - self.bytes_min) * self.per_byte).clamp(0.0, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_weights() {
        assert!(ROWS.iter().any(|row| row.model == ANY));
        for row in ROWS.iter() {
            let weights = row.weights;
            assert!((0.0..1.0).contains(&weights.weight_max) && weights.per_byte > 0.0);
            assert!((weights.weight_max..1.0).contains(&weights.weight_sure));
        }
        assert_eq!(
            EchoWeights::of_model("nobody measured it"),
            EchoWeights::default()
        );
    }
}
