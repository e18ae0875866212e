//! Real code is typed key by key into the real server, in process: what a person would have seen, and
//! what it would have been worth.
//!
//! The `typist` turns code into what a person does, the `player` lets a session and a model answer
//! after every key, the `oracle` says what was right. The clock goes when told and the model answers
//! between two keys, so the same code gives the same figures on every machine; times are measured beside.

mod disk;
mod git;
mod oracle;
mod player;
mod report;
mod scenes;
mod typist;

pub use disk::Disk;
pub use oracle::{Counts, Ghost, Moment, Place, Verdict};
pub use player::{Played, Player, Work};
pub use report::{Report, Row};
pub use scenes::{Scene, draw, of_commits, of_list, of_paths};
pub use typist::{How, Passage, Step};

/// What counts as a keystroke, for readers of the figures.
pub const KEYSTROKES: &str = "a key is a character or Enter; indentation, and closing round, square and curly brackets, come from the editor";
