//! Facts about a model that the pass runs by. Where they come from is the business of `families`.

use crate::kernels::Gate;

/// Which layer's keys and values a layer attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvSource {
    /// Its own, in this store of the cache.
    Own(usize),
    /// Those of an earlier layer, in this store of the cache.
    Shared(usize),
}

impl KvSource {
    /// Index of the store in the cache.
    pub(crate) fn store(self) -> usize {
        match self {
            Self::Own(store) | Self::Shared(store) => store,
        }
    }
}

/// What differs from layer to layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerConfig {
    /// Positions that a query sees, itself included; `None`: all (a global layer).
    pub(crate) window: Option<usize>,
    /// Query heads.
    pub(crate) n_heads: usize,
    /// Key/value heads; query head `a` uses key/value head `a / (n_heads / n_kv_heads)`.
    pub(crate) n_kv_heads: usize,
    /// Length of a head.
    pub(crate) head_dim: usize,
    /// Width of the dense feed-forward block.
    pub(crate) ffn_width: usize,
    /// Where keys and values come from.
    pub(crate) kv: KvSource,
    /// Factor on attention scores.
    pub(crate) attention_scale: f32,
}

/// Experts of every layer, in place of the dense feed-forward block or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExpertConfig {
    /// Experts of a layer.
    pub(crate) n_experts: usize,
    /// Experts that a token uses.
    pub(crate) n_used: usize,
    /// Width of an expert.
    pub(crate) width: usize,
    /// Width of the expert that all tokens use, if there is one.
    pub(crate) shared_width: Option<usize>,
    /// Whether the weights of the experts in use add up to one.
    pub(crate) renormalised: bool,
}

/// Rotary position embeddings of one kind of layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RopeConfig {
    /// Base of the frequencies.
    pub(crate) theta: f32,
    /// Positions are multiplied by this.
    pub(crate) position_scale: f32,
    /// Which values of a head are rotated together.
    pub(crate) pairs: RopePairs,
    /// Values of a head that are rotated, the first ones; `None`: all.
    pub(crate) rotated: Option<usize>,
    /// Cosines and sines are multiplied by this.
    pub(crate) magnitude: f32,
    pub(crate) yarn: Option<Yarn>,
    /// Whether only the first quarter of the pairs is rotated where the file has no factors.
    pub(crate) proportional: bool,
}

/// Longer contexts by slower rotation: `YaRN`, which leaves fast pairs as they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Yarn {
    /// How many times longer the context is.
    pub(crate) factor: f32,
    /// Positions of the context that the model was first trained on.
    pub(crate) original_context: usize,
    /// Pairs that turn at least so often in that context stay as they are.
    pub(crate) beta_fast: f32,
    /// Pairs that turn at most so often become slower by the whole factor.
    pub(crate) beta_slow: f32,
}

/// Which values of a head are rotated together; d: values of a head that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RopePairs {
    /// `(i, i + d/2)`
    Halves,
    /// `(2i, 2i + 1)`
    Neighbours,
}

/// A model's hyper-parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Length of the residual stream.
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    /// Positions that the model was made for.
    pub(crate) context: usize,
    /// Added to the mean square before its root is taken.
    pub(crate) norm_epsilon: f32,
    /// Factor on logits, before the cap; the last norm has it.
    pub(crate) logit_scale: f32,
    /// Logits are `cap * tanh(logits / cap)`.
    pub(crate) final_softcap: Option<f32>,
    /// Width of the per-layer embeddings; 0: the model has none.
    pub(crate) per_layer_width: usize,
    pub(crate) experts: Option<ExpertConfig>,
    /// Factor on embeddings.
    pub(crate) embedding_scale: f32,
    /// The function of the gates.
    pub(crate) gate: Gate,
    /// Whether values are normed, without a weight.
    pub(crate) norm_values: bool,
    /// Whether the vocabulary has fill-in-the-middle tokens that the model was not trained on.
    pub(crate) untrained_fim: bool,
    pub(crate) rope_local: RopeConfig,
    pub(crate) rope_global: RopeConfig,
    pub(crate) layers: Vec<LayerConfig>,
}

impl Config {
    /// The first layer after which rows whose logits nobody wants need no more work: the last one
    /// that owns keys and values.
    pub(crate) fn last_kv_layer(&self) -> usize {
        self.layers
            .iter()
            .rposition(|layer| matches!(layer.kv, KvSource::Own(_)))
            .unwrap_or(0)
    }
}
