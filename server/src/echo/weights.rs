//! How much what was matched counts.

/// Numbers that are fitted to measured answers, by model.
#[derive(Clone, Copy, Debug, PartialEq)]
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

impl Default for EchoWeights {
    /// Those of the embedded model.
    fn default() -> Self {
        Self {
            bytes_min: 8.0,
            per_byte: 0.7 / 27.0,
            weight_max: 0.75,
            same_file: 6.0,
            same_folder: 1.0,
            decay_bytes: 6.0,
            names: 0.35,
            weight_sure: 0.95,
            blank: 1.0,
        }
    }
}

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
