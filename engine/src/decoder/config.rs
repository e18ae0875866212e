//! Hyper-parameters from the metadata of a model file, checked; no weights.

use crate::LoadError;
use crate::gguf::ModelFile;

/// The architectures that the pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Gemma 1, of which CodeGemma is a variant.
    Gemma,
    /// Gemma 3, text part.
    Gemma3,
    /// Gemma 4, text part, dense or with experts.
    Gemma4,
}

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
}

/// Experts beside the dense feed-forward block of every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExpertConfig {
    /// Experts of a layer.
    pub(crate) n_experts: usize,
    /// Experts that a token uses.
    pub(crate) n_used: usize,
    /// Width of an expert.
    pub(crate) width: usize,
}

/// Rotary position embeddings of one kind of layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RopeConfig {
    /// Base of the frequencies.
    pub(crate) theta: f32,
    /// Positions are divided by this.
    pub(crate) position_scale: f32,
}

/// A model's hyper-parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) architecture: Architecture,
    /// Length of the residual stream.
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    /// Positions that the model was made for.
    pub(crate) context: usize,
    /// Added to the mean square before its root is taken.
    pub(crate) norm_epsilon: f32,
    /// Logits are `cap * tanh(logits / cap)`.
    pub(crate) final_softcap: Option<f32>,
    /// Width of the per-layer embeddings; 0: the model has none.
    pub(crate) per_layer_width: usize,
    pub(crate) experts: Option<ExpertConfig>,
    pub(crate) rope_local: RopeConfig,
    pub(crate) rope_global: RopeConfig,
    pub(crate) layers: Vec<LayerConfig>,
}

/// Bounds that no model of these families comes near; they keep products of counts from overflowing.
const MAX_LAYERS: u32 = 1024;
const MAX_WIDTH: u32 = 1 << 20;
const MAX_CONTEXT: u32 = 1 << 24;

impl Config {
    /// Reads and checks the metadata; `vocabulary` is the number of rows of the embedding.
    pub(crate) fn from_model_file(file: &ModelFile, vocabulary: usize) -> Result<Self, LoadError> {
        let name = file.metadata().architecture();
        let architecture = match name {
            "gemma" => Architecture::Gemma,
            "gemma3" => Architecture::Gemma3,
            "gemma4" => Architecture::Gemma4,
            other => {
                return Err(LoadError::Architecture {
                    path: file.path().into(),
                    found: other.to_owned(),
                });
            }
        };
        Reader {
            file,
            prefix: name,
            architecture,
        }
        .config(vocabulary)
    }

    /// The first layer after which rows whose logits nobody wants need no more work: the last one
    /// that owns keys and values.
    pub(crate) fn last_kv_layer(&self) -> usize {
        self.layers
            .iter()
            .rposition(|layer| matches!(layer.kv, KvSource::Own(_)))
            .unwrap_or(0)
    }

    /// The factor on attention scores.
    pub(crate) fn attention_scale(&self, layer: &LayerConfig) -> f32 {
        match self.architecture {
            Architecture::Gemma4 => 1.0,
            // Gemma 3 27B divides by its hidden size per head instead of its head length.
            Architecture::Gemma3 if self.layers.len() == 62 => {
                ((self.hidden / layer.n_heads) as f32).powf(-0.5)
            }
            Architecture::Gemma | Architecture::Gemma3 => (layer.head_dim as f32).powf(-0.5),
        }
    }
}

struct Reader<'a> {
    file: &'a ModelFile,
    prefix: &'a str,
    architecture: Architecture,
}

impl Reader<'_> {
    fn config(&self, vocabulary: usize) -> Result<Config, LoadError> {
        let gemma4 = self.architecture == Architecture::Gemma4;
        let n_layers = self.count("block_count", 1, MAX_LAYERS)?;
        let rope_theta =
            self.float("rope.freq_base")
                .unwrap_or(if self.architecture == Architecture::Gemma {
                    1e4
                } else {
                    1e6
                });
        let theta_local = match self.architecture {
            Architecture::Gemma => rope_theta,
            _ => self.float("rope.freq_base_swa").unwrap_or(1e4),
        };
        let scaling = match self.file.metadata().str(&self.key("rope.scaling.type")) {
            Some("linear") => self.float("rope.scaling.factor").unwrap_or(1.0),
            _ => 1.0,
        };
        for (key, value) in [
            ("rope.freq_base", rope_theta),
            ("rope.freq_base_swa", theta_local),
            ("rope.scaling.factor", scaling),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(self.error(key, format!("{value} is not a positive number")));
            }
        }
        let softcap = self
            .float("final_logit_softcapping")
            .or(gemma4.then_some(30.0))
            .filter(|&cap| cap > 0.0);
        Ok(Config {
            architecture: self.architecture,
            hidden: self.count("embedding_length", 1, MAX_WIDTH)?,
            vocabulary,
            context: self.count("context_length", 1, MAX_CONTEXT)?,
            norm_epsilon: self
                .float("attention.layer_norm_rms_epsilon")
                .unwrap_or(1e-6),
            final_softcap: softcap,
            per_layer_width: if gemma4 {
                self.optional_count("embedding_length_per_layer_input", MAX_WIDTH)?
                    .unwrap_or(0)
            } else {
                0
            },
            experts: self.experts()?,
            rope_local: RopeConfig {
                theta: theta_local,
                position_scale: 1.0,
            },
            rope_global: RopeConfig {
                theta: rope_theta,
                position_scale: 1.0 / scaling,
            },
            layers: self.layers(n_layers)?,
        })
    }

    fn experts(&self) -> Result<Option<ExpertConfig>, LoadError> {
        let n_experts = match self.optional_count("expert_count", MAX_WIDTH)? {
            None | Some(0) => return Ok(None),
            Some(n) => n,
        };
        let n_used = self.count("expert_used_count", 1, n_experts as u32)?;
        let width = self.count("expert_feed_forward_length", 1, MAX_WIDTH)?;
        Ok(Some(ExpertConfig {
            n_experts,
            n_used,
            width,
        }))
    }

    fn layers(&self, n_layers: usize) -> Result<Vec<LayerConfig>, LoadError> {
        let heads = self.per_layer("attention.head_count", n_layers, MAX_WIDTH)?;
        let kv_heads = self.per_layer("attention.head_count_kv", n_layers, MAX_WIDTH)?;
        let widths = self.per_layer("feed_forward_length", n_layers, MAX_WIDTH)?;
        let hidden = self.count("embedding_length", 1, MAX_WIDTH)?;
        let head_dim = match self.optional_count("attention.key_length", MAX_WIDTH)? {
            Some(d) => d,
            None => hidden / heads[0].max(1),
        };
        let head_dim_local = self
            .optional_count("attention.key_length_swa", MAX_WIDTH)?
            .unwrap_or(head_dim);
        let window = self
            .optional_count("attention.sliding_window", MAX_CONTEXT)?
            .filter(|&w| w > 0);
        let is_local = self.sliding_pattern(n_layers, window)?;
        let shared = self
            .optional_count("attention.shared_kv_layers", MAX_LAYERS)?
            .unwrap_or(0);
        if shared >= n_layers {
            return Err(self.error("attention.shared_kv_layers", format!("{shared} of {n_layers} layers share keys and values, at least one must own them")));
        }
        let n_own = n_layers - shared;
        (0..n_layers)
            .map(|i| {
                let kv = if i < n_own {
                    KvSource::Own(i)
                } else {
                    // The donor is the last layer of the same kind that owns keys and values.
                    let donor = (0..n_own).rev().find(|&j| is_local[j] == is_local[i]);
                    KvSource::Shared(donor.ok_or_else(|| {
                        self.error(
                            "attention.shared_kv_layers",
                            format!("layer {i} has no layer to share with"),
                        )
                    })?)
                };
                let layer = LayerConfig {
                    window: if is_local[i] { window } else { None },
                    n_heads: heads[i],
                    n_kv_heads: kv_heads[i],
                    head_dim: if is_local[i] {
                        head_dim_local
                    } else {
                        head_dim
                    },
                    ffn_width: widths[i],
                    kv,
                };
                self.check_layer(i, &layer)?;
                Ok(layer)
            })
            .collect()
    }

    fn check_layer(&self, i: usize, layer: &LayerConfig) -> Result<(), LoadError> {
        if layer.n_kv_heads == 0
            || layer.n_heads == 0
            || !layer.n_heads.is_multiple_of(layer.n_kv_heads)
        {
            let what = format!(
                "layer {i}: {} query heads are not a multiple of {} key/value heads",
                layer.n_heads, layer.n_kv_heads
            );
            return Err(self.error("attention.head_count_kv", what));
        }
        if layer.head_dim == 0 || !layer.head_dim.is_multiple_of(2) {
            return Err(self.error(
                "attention.key_length",
                format!(
                    "layer {i}: {} is not a positive even number",
                    layer.head_dim
                ),
            ));
        }
        if layer.n_heads * layer.head_dim > MAX_WIDTH as usize {
            return Err(self.error(
                "attention.head_count",
                format!(
                    "layer {i}: {} heads of {} are more than any model has",
                    layer.n_heads, layer.head_dim
                ),
            ));
        }
        Ok(())
    }

    /// Which layers are local.
    fn sliding_pattern(
        &self,
        n_layers: usize,
        window: Option<usize>,
    ) -> Result<Vec<bool>, LoadError> {
        if window.is_none() || self.architecture == Architecture::Gemma {
            return Ok(vec![false; n_layers]);
        }
        let key = "attention.sliding_window_pattern";
        match self.file.metadata().bool_array(&self.key(key)) {
            Some(pattern) if pattern.len() == n_layers => Ok(pattern),
            // One value would be a period, as some converters of Gemma 3 write it.
            Some(pattern) if pattern.len() > 1 => Err(self.error(
                key,
                format!("{} entries for {n_layers} layers", pattern.len()),
            )),
            _ if self.architecture == Architecture::Gemma4 => {
                Err(self.error(key, "missing".to_owned()))
            }
            _ => Ok((0..n_layers)
                .map(|i| (i + 1) % GEMMA3_PERIOD != 0)
                .collect()),
        }
    }

    fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.prefix)
    }

    fn error(&self, suffix: &str, what: String) -> LoadError {
        LoadError::Metadata {
            path: self.file.path().into(),
            key: self.key(suffix),
            what,
        }
    }

    fn float(&self, suffix: &str) -> Option<f32> {
        self.file.metadata().f32(&self.key(suffix))
    }

    fn count(&self, suffix: &str, min: u32, max: u32) -> Result<usize, LoadError> {
        match self.file.metadata().u32(&self.key(suffix)) {
            Some(n) if (min..=max).contains(&n) => Ok(n as usize),
            Some(n) => Err(self.error(suffix, format!("{n} is not between {min} and {max}"))),
            None => Err(self.error(suffix, "missing, or no whole number".to_owned())),
        }
    }

    fn optional_count(&self, suffix: &str, max: u32) -> Result<Option<usize>, LoadError> {
        if self.file.metadata().get(&self.key(suffix)).is_none() {
            return Ok(None);
        }
        self.count(suffix, 0, max).map(Some)
    }

    /// A number for every layer, from an array or from one number for all.
    fn per_layer(&self, suffix: &str, n_layers: usize, max: u32) -> Result<Vec<usize>, LoadError> {
        let metadata = self.file.metadata();
        let values = match metadata.u32_array(&self.key(suffix)) {
            Some(values) if values.len() == n_layers => values,
            Some(values) if values.len() > 1 => {
                return Err(self.error(
                    suffix,
                    format!("{} entries for {n_layers} layers", values.len()),
                ));
            }
            _ => vec![self.count(suffix, 1, max)? as u32; n_layers],
        };
        match values.iter().find(|&&v| v == 0 || v > max) {
            Some(v) => Err(self.error(suffix, format!("{v} is not between 1 and {max}"))),
            None => Ok(values.into_iter().map(|v| v as usize).collect()),
        }
    }
}

/// Every sixth layer of Gemma 3 is global.
const GEMMA3_PERIOD: usize = 6;
