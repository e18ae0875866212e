//! The parts of a completion that can be left out, to measure what each gives.

use clap::ValueEnum;

/// A part of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Cutting the prompt back to where tokens begin, and holding the answer to what was cut off
    Healing,
    /// What the user's own files say, mixed into every token
    Echo,
    /// Whole lines that stood in like places, beside what the model writes
    Lines,
    /// Several answers at once, of which the best is taken
    Beam,
    /// Hiding what is probably wrong
    Filter,
    /// Context of other files in the prompt
    Context,
}

/// Which parts take part: all, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    without: Vec<Part>,
}

impl Parts {
    /// All but these.
    pub fn without(parts: &[Part]) -> Self {
        Self {
            without: parts.to_vec(),
        }
    }

    /// Whether this part takes part.
    pub fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }
}
