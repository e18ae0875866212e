//! Where other texts say how a text goes on: the seam for what the user's own files know.
//!
//! A [`ContinuationSource`] speaks of bytes, not of tokens: the tokens at a caret differ from those
//! that the same text has elsewhere. The engine finds the token that its tokenizer would choose for
//! each continuation and mixes, at every token, `p = (1 - weight) * p_model + weight * p_source`.
//!
//! ```
//! use carat_engine::{ContinuationSource, Continuations};
//!
//! /// Knows one text, and what stands behind the last eight bytes wherever they occur in it.
//! struct OneText(Vec<u8>);
//!
//! impl ContinuationSource for OneText {
//!     fn continuations(&mut self, text: &[u8], into: &mut Continuations) -> f32 {
//!         let Some(end) = text.last_chunk::<8>() else {
//!             return 0.0;
//!         };
//!         for (at, found) in self.0.windows(8).enumerate() {
//!             if found == end {
//!                 into.push(&self.0[at + 8..], 1.0);
//!             }
//!         }
//!         0.5
//!     }
//! }
//!
//! let mut into = Continuations::default();
//! let mut source = OneText(b"let total = sum(rows);".to_vec());
//! let weight = source.continuations(b"    let total =", &mut into);
//! assert_eq!(weight, 0.5);
//! assert_eq!(into.iter().next(), Some((&b" sum(rows);"[..], 1.0)));
//! ```

/// Bytes of a continuation that are kept: more than any token of a vocabulary for code.
pub const CONTINUATION_BYTES: usize = 64;

/// Continuations that are kept.
pub const CONTINUATIONS_MAX: usize = 64;

/// Bytes of the text so far that a source is shown, where there are as many.
pub const CONTEXT_BYTES: usize = 4096;

/// Says how a text may go on, for example as it does elsewhere in the user's files.
///
/// It is asked once for every token, between two passes of the model: it must be quick against one,
/// and must not allocate once everything has its place.
pub trait ContinuationSource {
    /// Puts into `into`, which is empty, what may follow `text`, and returns the weight of all of it
    /// against the model, from 0 (nothing is known) up to 1.
    ///
    /// `text` is the document before the caret followed by the answer so far, or the last bytes of
    /// it, at least [`CONTEXT_BYTES`] where there are as many. It may begin and end inside a
    /// character.
    ///
    /// It is asked for several texts in turn when several answers are written at once.
    fn continuations(&mut self, text: &[u8], into: &mut Continuations) -> f32;
}

/// What may follow a text, with weights. Memory is taken once.
#[derive(Debug)]
pub struct Continuations {
    all: Vec<Continuation>,
}

#[derive(Clone, Copy, Debug)]
struct Continuation {
    bytes: [u8; CONTINUATION_BYTES],
    len: u8,
    weight: f32,
}

impl Default for Continuations {
    fn default() -> Self {
        Self {
            all: Vec::with_capacity(CONTINUATIONS_MAX),
        }
    }
}

impl Continuations {
    /// Adds a continuation; nothing means that the document ends here.
    ///
    /// The first [`CONTINUATION_BYTES`] count. Give as many where they are there, line ends
    /// included: which token begins a text depends on what follows. Weights are compared with each
    /// other only; what is not above 0 is ignored. Returns whether there is room for more.
    pub fn push(&mut self, continuation: &[u8], weight: f32) -> bool {
        if self.is_full() {
            return false;
        }
        if weight.is_finite() && weight > 0.0 {
            let len = continuation.len().min(CONTINUATION_BYTES);
            let mut bytes = [0; CONTINUATION_BYTES];
            bytes[..len].copy_from_slice(&continuation[..len]);
            self.all.push(Continuation {
                bytes,
                len: len as u8,
                weight,
            });
        }
        !self.is_full()
    }

    /// The continuations and their weights, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], f32)> {
        self.all
            .iter()
            .map(|one| (&one.bytes[..usize::from(one.len)], one.weight))
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether no more are kept.
    pub fn is_full(&self) -> bool {
        self.all.len() == CONTINUATIONS_MAX
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.all.clear();
    }
}

/// A source for one generation, and the text that it goes on from.
pub struct Mixing<'a> {
    /// Says how the text may go on.
    pub source: &'a mut dyn ContinuationSource,
    /// The document before the caret. It ends with what the answer is to begin with, see
    /// [`crate::GenerationRequest::begins_with`].
    pub before: &'a [u8],
}

impl std::fmt::Debug for Mixing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mixing")
            .field("before", &self.before.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_continuations_are_cut_and_odd_weights_ignored() {
        let mut all = Continuations::default();
        assert!(all.push(&[b'a'; 100], 1.0));
        for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(all.push(b"b", weight));
        }
        assert_eq!(
            all.iter().collect::<Vec<_>>(),
            [(&[b'a'; CONTINUATION_BYTES][..], 1.0)]
        );
    }

    #[test]
    fn there_is_room_for_some() {
        let mut all = Continuations::default();
        for _ in 1..CONTINUATIONS_MAX {
            assert!(all.push(b"a", 1.0));
        }
        assert!(!all.push(b"a", 1.0), "the last one that fits");
        assert_eq!(all.iter().count(), CONTINUATIONS_MAX);
        assert!(all.is_full() && !all.push(b"b", 1.0));
        all.clear();
        assert!(all.is_empty() && all.push(b"b", 1.0));
    }
}
