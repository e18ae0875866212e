//! How probable a model held each piece of what it wrote.

use std::ops::Range;

use carat_engine::TokenScore;

/// A part of a text that came at once: of one token, or of some whose characters were incomplete.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Where it ends; it begins where the one before ends.
    end: usize,
    /// Tokens that it is made of.
    tokens: usize,
    /// Natural logarithm of the probability of all of them.
    sum: f64,
    /// The same of the least probable one.
    minimum: f64,
    /// The same of the first one.
    first: f64,
    /// How much the user's own texts weighed, over all tokens.
    echo: f64,
}

/// The pieces of a text in order. The last may begin where the text ends: a line is right only if it
/// ends in the right place, so what ends it counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    pieces: Vec<Piece>,
}

/// How sure a model was of a text; all are probabilities, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Of all of it: the product over its tokens.
    pub product: f64,
    /// Of the least probable token.
    pub minimum: f64,
    /// The geometric mean over the tokens.
    pub mean: f64,
    /// Of the first token.
    pub first: f64,
    /// How much the user's own texts weighed in it, on average over the tokens; the rest is the model.
    pub echo: f64,
}

impl Scores {
    /// Adds a piece that ends at byte `end`.
    pub fn push(&mut self, end: usize, scores: &[TokenScore]) {
        let log_probs = scores.iter().map(|score| f64::from(score.mixed_log_prob));
        self.pieces.push(Piece {
            end,
            tokens: scores.len(),
            sum: log_probs.clone().sum(),
            minimum: log_probs.clone().fold(0.0, f64::min),
            first: log_probs.clone().next().unwrap_or(0.0),
            echo: scores
                .iter()
                .map(|score| f64::from(score.source_weight))
                .sum(),
        });
    }

    /// The pieces that the bytes `part` touch, and the one that begins where they end, as those of
    /// the part alone.
    #[must_use]
    pub fn part(&self, part: Range<usize>) -> Self {
        let (mut pieces, mut start) = (Vec::new(), 0);
        for piece in &self.pieces {
            if piece.end > part.start && start <= part.end {
                let end = piece.end - part.start;
                pieces.push(Piece { end, ..*piece });
            }
            start = piece.end;
        }
        Self { pieces }
    }

    /// The same for a text whose ends of pieces are elsewhere.
    #[must_use]
    pub(super) fn moved(mut self, end: impl Fn(usize) -> usize) -> Self {
        for piece in &mut self.pieces {
            piece.end = end(piece.end);
        }
        self
    }

    /// How sure the model was of all of it; certain where nothing is known.
    pub fn confidence(&self) -> Confidence {
        let tokens: usize = self.pieces.iter().map(|piece| piece.tokens).sum();
        let sum: f64 = self.pieces.iter().map(|piece| piece.sum).sum();
        let minimum = self.pieces.iter().map(|piece| piece.minimum);
        let echo: f64 = self.pieces.iter().map(|piece| piece.echo).sum();
        Confidence {
            product: sum.exp(),
            minimum: minimum.fold(0.0, f64::min).exp(),
            mean: (sum / tokens.max(1) as f64).exp(),
            first: self.pieces.first().map_or(0.0, |piece| piece.first).exp(),
            echo: echo / tokens.max(1) as f64,
        }
    }

    /// Natural logarithms of the probabilities of its pieces, in order.
    pub fn log_probs(&self) -> impl Iterator<Item = f64> {
        self.pieces.iter().map(|piece| piece.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_part_has_the_pieces_that_it_touches_and_the_one_that_ends_it() {
        let mut scores = Scores::default();
        for (end, probability) in [(3, 0.5f32), (5, 0.8), (7, 0.9), (8, 0.25), (9, 0.1)] {
            scores.push(end, &[TokenScore::of_model(probability.ln())]);
        }
        let line = scores.part(0..7).confidence();
        near(line.product, 0.5 * 0.8 * 0.9 * 0.25);
        near(line.minimum, 0.25);
        near(line.first, 0.5);
        near(line.mean, (0.5f64 * 0.8 * 0.9 * 0.25).powf(0.25));
        near(scores.part(3..7).confidence().product, 0.8 * 0.9 * 0.25);
        near(scores.part(4..7).confidence().product, 0.8 * 0.9 * 0.25);
        near(scores.part(0..4).confidence().product, 0.5 * 0.8);
        near(
            scores.part(2..7).part(1..5).confidence().product,
            0.8 * 0.9 * 0.25,
        );
        near(Scores::default().confidence().product, 1.0);
    }
}
