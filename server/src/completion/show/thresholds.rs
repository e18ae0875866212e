//! How sure a model must be, by language: data that `cargo xtask fit` writes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How readily ghost text is shown, the quieter the less.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Eagerness {
    /// Only what is probably right.
    Quiet,
    /// What is right often enough; loses hardly anything that is right.
    #[default]
    Balanced,
    /// Everything that may be right.
    Eager,
    /// However improbable it is; the rules that do not depend on that still hold.
    All,
}

/// The thresholds of one model and language.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) struct Levels {
    quiet: f64,
    balanced: f64,
    eager: f64,
}

impl Levels {
    fn of(self, eagerness: Eagerness) -> f64 {
        match eagerness {
            Eagerness::Quiet => self.quiet,
            Eagerness::Balanced => self.balanced,
            Eagerness::Eager => self.eager,
            Eagerness::All => 0.0,
        }
    }
}

/// The thresholds of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    by_language: BTreeMap<String, Levels>,
}

/// A row of the data.
#[derive(Deserialize)]
struct Row {
    model: String,
    language: String,
    #[serde(flatten)]
    levels: Levels,
}

#[derive(Deserialize)]
struct Table {
    threshold: Vec<Row>,
}

/// Rows of this model or language hold for all that have none of their own.
const ANY: &str = "*";

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    // The test below reads it too: it is never damaged in a program that was tested.
    let files = [
        include_str!("../../../../models/thresholds.toml"),
        include_str!("../../../../models/echo.toml"),
    ];
    let tables = files.map(|text| toml::from_str::<Table>(text).map(|table| table.threshold));
    tables.into_iter().flatten().flatten().collect()
});

impl Thresholds {
    /// Those of a model, or those of all others.
    pub fn of_model(model: &str) -> Self {
        let named = ROWS.iter().any(|row| row.model == model);
        let rows = ROWS
            .iter()
            .filter(|row| row.model == if named { model } else { ANY });
        Self {
            by_language: rows.map(|row| (row.language.clone(), row.levels)).collect(),
        }
    }

    /// One threshold for everything.
    #[cfg(test)]
    pub(super) fn uniform(least: f64) -> Self {
        let levels = Levels {
            quiet: least,
            balanced: least,
            eager: least,
        };
        Self {
            by_language: BTreeMap::from([(ANY.to_owned(), levels)]),
        }
    }

    /// The least probability of what is shown in a language.
    pub fn find(&self, language: &str, eagerness: Eagerness) -> f64 {
        let levels = self.by_language.get(language);
        levels
            .or_else(|| self.by_language.get(ANY))
            .map_or(0.0, |levels| levels.of(eagerness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_whole() {
        let text = include_str!("../../../../models/thresholds.toml");
        let table: Table = toml::from_str(text).expect("a table");
        for row in &table.threshold {
            let Levels {
                quiet,
                balanced,
                eager,
            } = row.levels;
            let ordered = 1.0 >= quiet && quiet >= balanced && balanced >= eager && eager >= 0.0;
            assert!(ordered, "{} {}", row.model, row.language);
        }
        for model in ["default", "a model of the user", "echo"] {
            let thresholds = Thresholds::of_model(model);
            assert!(
                thresholds.find("cobol", Eagerness::Balanced) > 0.0,
                "{model}"
            );
        }
    }
}
