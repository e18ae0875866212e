//! Choice by measurement: what is a guess about a processor is timed once on the user's machine.
//!
//! The candidates are the readings of `kernels/reading.rs`, which change no number. A [`Tuner`] times
//! them on slices of a model's own weights, a few milliseconds at a time and 300 at the most; a
//! [`Tuning`] is what came of it, as a text to keep. What the text is of, where it is kept and when
//! there is time is the caller's business.

mod contest;
mod file;
mod tuner;

pub use file::{Choice, ModelSize, Subject, Tuning, TuningError};
pub use tuner::{Step, Tuner};
