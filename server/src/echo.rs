//! Echo: what the user's own files say comes next.
//!
//! [`Index`] knows the texts of a workspace. For a caret, [`Echo`] finds the longest pieces of them
//! that end like the text so far, and says how these go on and how much that weighs beside a model.
//! It compares texts, not tokens, so one index serves every model, and it learns nothing: what was
//! typed a moment ago counts now. All of it is pure.

mod anchors;
mod candidates;
mod here;
mod index;
mod line_kind;
mod lines;
mod matches;
mod names;
mod segment;
mod weights;
mod words;

pub use candidates::{Evidence, FEATURES, LineEcho, Nearness, Neighbors, line_echoes};
pub use here::{Here, Known};
pub use index::{Index, Tidied, Tidying};
pub use matches::Echo;
pub use segment::{Segment, SegmentBuilder, SegmentFile};
pub use weights::EchoWeights;

#[cfg(test)]
mod tests;
