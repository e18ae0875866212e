//! What was measured as a text: versioned, checked when it is read, and readable for who fixes it.

use std::fmt;

use thiserror::Error;

use crate::gguf::TensorType;
use crate::kernels::{Order, Reading};

/// The first line.
const HEAD: &str = "carat tuning 1";
/// The most bytes between a product and what is asked of memory.
const AHEAD_MAX: u16 = 16384;

/// Choices, and what they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// The processor's name.
    pub processor: String,
    /// The version of Carat.
    pub version: String,
    /// The level of kernels.
    pub level: String,
    /// When it was measured, in seconds since 1970.
    pub measured_unix_s: u64,
    /// What was chosen.
    pub choices: Vec<Choice>,
}

/// What is best for a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What it is for.
    pub subject: Subject,
    /// What was chosen.
    pub reading: Reading,
    /// How many times as fast as the usual reading it was; 1 if it is the usual one.
    pub gain: f64,
}

/// The weights that a choice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The size of their model.
    pub size: ModelSize,
    /// The order in which they lie in memory.
    pub order: Order,
    /// How they are stored.
    pub tensor_type: TensorType,
    /// Threads that read them.
    pub threads: usize,
}

/// Whether a model is about as large as the caches of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelSize {
    /// At most 96 MiB.
    Small,
    /// More: weights come from memory.
    Large,
}

/// Why a text is no tuning.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct TuningError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl Tuning {
    /// Reads what [`Self::fmt`](fmt::Display::fmt) wrote, or a user. A text that was cut off is refused.
    pub fn parse(text: &str) -> Result<Self, TuningError> {
        let mut lines = (1..).zip(text.lines());
        let mut next = |expected: &str| {
            let (line, text) = lines.next().unwrap_or((text.lines().count() + 1, ""));
            let rest = text.strip_prefix(expected).ok_or_else(|| TuningError {
                line,
                what: format!("expected `{expected}`, found `{}`", shortened(text)),
            })?;
            Ok((line, rest.trim().to_owned()))
        };
        next(HEAD)?;
        let processor = next("processor ")?.1;
        let version = next("version ")?.1;
        let level = next("level ")?.1;
        let (line, measured) = next("measured ")?;
        let measured_unix_s = number(line, "measured", &measured)?;
        let mut choices = Vec::new();
        for (line, text) in lines {
            let error = |what: String| TuningError { line, what };
            if let Some(count) = text.strip_prefix("end ") {
                let count: usize = number(line, "end", count)?;
                if count != choices.len() {
                    let found = choices.len();
                    return Err(error(format!("expected {count} choices, found {found}")));
                }
                return Ok(Self {
                    processor,
                    version,
                    level,
                    measured_unix_s,
                    choices,
                });
            }
            let choice = Choice::parse(line, text)?;
            if choices
                .iter()
                .any(|other: &Choice| other.subject == choice.subject)
            {
                return Err(error("the same weights a second time".to_owned()));
            }
            choices.push(choice);
        }
        Err(TuningError {
            line: text.lines().count() + 1,
            what: "expected `end`: the file was cut off".to_owned(),
        })
    }

    /// What was chosen for these weights.
    pub fn choice(&self, subject: Subject) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.subject == subject)
    }

    /// Takes in newer choices.
    pub fn update(&mut self, newer: &[Choice]) {
        let is_newer = |old: &Choice| newer.iter().any(|new| new.subject == old.subject);
        self.choices.retain(|old| !is_newer(old));
        self.choices.extend(newer);
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        writeln!(f, "processor {}", one_line(&self.processor))?;
        writeln!(f, "version {}", one_line(&self.version))?;
        writeln!(f, "level {}", one_line(&self.level))?;
        writeln!(f, "measured {}", self.measured_unix_s)?;
        for choice in &self.choices {
            writeln!(f, "{choice}")?;
        }
        writeln!(f, "end {}", self.choices.len())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject {
            size,
            order,
            tensor_type,
            threads,
        } = self.subject;
        let size = match size {
            ModelSize::Small => "small",
            ModelSize::Large => "large",
        };
        let order = match order {
            Order::Rows => "rows",
            Order::Panels => "panels",
        };
        let Reading { rows, ahead } = self.reading;
        write!(
            f,
            "model={size} order={order} type={} threads={threads} rows={rows} ahead={ahead} gain={:.3}",
            tensor_type.name(),
            self.gain
        )
    }
}

impl Choice {
    fn parse(line: usize, text: &str) -> Result<Self, TuningError> {
        let error = |what: String| TuningError { line, what };
        let mut words = text.split_whitespace();
        let mut value = |name: &str| {
            let word = words.next().unwrap_or("");
            let value = word.strip_prefix(name).and_then(|it| it.strip_prefix('='));
            value.ok_or_else(|| error(format!("expected `{name}=`, found `{}`", shortened(word))))
        };
        let size = match value("model")? {
            "small" => ModelSize::Small,
            "large" => ModelSize::Large,
            other => {
                return Err(error(format!(
                    "a model is small or large, not `{}`",
                    shortened(other)
                )));
            }
        };
        let order = match value("order")? {
            "rows" => Order::Rows,
            "panels" => Order::Panels,
            other => {
                return Err(error(format!(
                    "an order is rows or panels, not `{}`",
                    shortened(other)
                )));
            }
        };
        let name = value("type")?;
        let tensor_type = TensorType::from_name(name).ok_or_else(|| {
            error(format!(
                "no type of weights is called `{}`",
                shortened(name)
            ))
        })?;
        let threads = number(line, "threads", value("threads")?)?;
        let rows: u8 = number(line, "rows", value("rows")?)?;
        let ahead: u16 = number(line, "ahead", value("ahead")?)?;
        let gain: f64 = number(line, "gain", value("gain")?)?;
        let possible: &[u8] = match order {
            Order::Rows => &[1, 2, 4],
            Order::Panels => &[16],
        };
        if !possible.contains(&rows) {
            return Err(error(format!("rows is one of {possible:?}, not {rows}")));
        }
        if ahead > AHEAD_MAX {
            return Err(error(format!(
                "ahead is at most {AHEAD_MAX} bytes, not {ahead}"
            )));
        }
        if !gain.is_finite() {
            return Err(error(format!("gain is a number, not {gain}")));
        }
        let subject = Subject {
            size,
            order,
            tensor_type,
            threads,
        };
        let reading = Reading { rows, ahead };
        Ok(Self {
            subject,
            reading,
            gain,
        })
    }
}

fn number<T: std::str::FromStr>(line: usize, name: &str, text: &str) -> Result<T, TuningError> {
    text.trim().parse().map_err(|_| TuningError {
        line,
        what: format!("{name} is a number, not `{}`", shortened(text)),
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is quoted of a file that may be anything.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuning() -> Tuning {
        let choice = |order, tensor_type, rows, ahead, gain| Choice {
            subject: Subject {
                size: ModelSize::Large,
                order,
                tensor_type,
                threads: 2,
            },
            reading: Reading { rows, ahead },
            gain,
        };
        Tuning {
            processor: "AMD EPYC".to_owned(),
            version: "0.1.0".to_owned(),
            level: "avx512_vnni".to_owned(),
            measured_unix_s: 1_795_344_000,
            choices: vec![
                choice(Order::Rows, TensorType::Q4K, 1, 512, 1.25),
                choice(Order::Panels, TensorType::Q4_1, 16, 8192, 1.125),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = tuning().to_string();
        assert_eq!(Tuning::parse(&written), Ok(tuning()));
        assert_eq!(written, tuning().to_string(), "writing changes nothing");
        let none = Tuning {
            processor: "a name\nof two lines".to_owned(),
            choices: Vec::new(),
            ..tuning()
        };
        let read = Tuning::parse(&none.to_string()).expect("it is whole");
        assert_eq!(read.processor, "a name of two lines");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let written = tuning().to_string();
        for (from, to, expected) in [
            (
                "carat tuning 1",
                "carat tuning 2",
                "line 1: expected `carat tuning 1`",
            ),
            (
                "measured 1795344000",
                "measured soon",
                "line 5: measured is a number, not `soon`",
            ),
            (
                "rows=1 ",
                "rows=3 ",
                "line 6: rows is one of [1, 2, 4], not 3",
            ),
            (
                "ahead=512",
                "ahead=40000",
                "line 6: ahead is at most 16384 bytes",
            ),
            (
                "ahead=512",
                "ahead=-1",
                "line 6: ahead is a number, not `-1`",
            ),
            (
                "type=Q4_K",
                "type=Q9_K",
                "line 6: no type of weights is called `Q9_K`",
            ),
            (
                "gain=1.250",
                "gain=NaN",
                "line 6: gain is a number, not NaN",
            ),
            (
                "order=panels",
                "order=spiral",
                "line 7: an order is rows or panels, not `spiral`",
            ),
            ("end 2", "end 3", "line 8: expected 3 choices, found 2"),
            (
                "end 2\n",
                "",
                "line 8: expected `end`: the file was cut off",
            ),
        ] {
            let changed = written.replacen(from, to, 1);
            assert_ne!(changed, written, "{from}");
            let said = Tuning::parse(&changed).expect_err(to).to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn newer_choices_replace_older_ones() {
        let mut all = tuning();
        let newer = Choice {
            gain: 1.5,
            ..all.choices[0]
        };
        all.update(&[newer]);
        assert_eq!(all.choices.len(), 2);
        assert_eq!(all.choice(newer.subject), Some(&newer));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", cut in 0usize..400) {
            let _ = Tuning::parse(&text);
            let written = tuning().to_string();
            let cut = cut.min(written.len() - 1);
            prop_assert!(Tuning::parse(&written[..cut]).is_err() || cut + 1 == written.len());
        }
    }
}
