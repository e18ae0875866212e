//! Reads the metadata of one architecture, checks numbers, and says which key is wrong.

use crate::LoadError;
use crate::decoder::{ExpertConfig, KvSource, LayerConfig, Yarn};
use crate::gguf::ModelFile;

/// Bounds that no model of these families comes near; they keep products of counts from overflowing.
pub(super) const MAX_LAYERS: u32 = 1024;
pub(super) const MAX_WIDTH: u32 = 1 << 20;
pub(super) const MAX_CONTEXT: u32 = 1 << 24;

/// The metadata of a model, whose keys begin with the name of its architecture.
pub(super) struct Reader<'a> {
    pub(super) file: &'a ModelFile,
    pub(super) architecture: &'static str,
    /// Rows of the embedding.
    pub(super) vocabulary: usize,
}

/// What of its layers a family says by itself.
pub(super) struct Layers {
    /// Which layers have a window.
    pub(super) is_local: Vec<bool>,
    pub(super) window: Option<usize>,
    /// Length of a head, of one in a local layer.
    pub(super) head_dims: (usize, usize),
    /// The last layers that use the keys and values of others.
    pub(super) n_shared: usize,
    /// Factor on attention scores; `None`: the root of the head length, inverted.
    pub(super) attention_scale: Option<f32>,
}

impl Reader<'_> {
    /// Length of a head: what the file says, else the share of a head in the residual stream.
    pub(super) fn head_dim(&self) -> Result<usize, LoadError> {
        if let Some(d) = self.optional_count("attention.key_length", MAX_WIDTH)? {
            return Ok(d);
        }
        let heads = self.per_layer("attention.head_count", self.n_layers()?, MAX_WIDTH)?;
        Ok(self.hidden()? / heads[0].max(1))
    }

    pub(super) fn hidden(&self) -> Result<usize, LoadError> {
        self.count("embedding_length", 1, MAX_WIDTH)
    }

    pub(super) fn n_layers(&self) -> Result<usize, LoadError> {
        self.count("block_count", 1, MAX_LAYERS)
    }

    pub(super) fn context(&self) -> Result<usize, LoadError> {
        self.count("context_length", 1, MAX_CONTEXT)
    }

    /// What is added to a mean square; `usual` where the file does not say.
    pub(super) fn norm_epsilon(&self, usual: f32) -> f32 {
        self.float("attention.layer_norm_rms_epsilon")
            .unwrap_or(usual)
    }

    /// What is added to a variance under the root of a layer norm.
    pub(super) fn layer_norm_epsilon(&self) -> f32 {
        self.float("attention.layer_norm_epsilon").unwrap_or(1e-5)
    }

    /// Base of rotary frequencies.
    pub(super) fn rope_theta(&self, suffix: &str, usual: f32) -> Result<f32, LoadError> {
        self.positive(suffix, self.float(suffix).unwrap_or(usual))
    }

    /// Values of a head that are rotated, if not all are.
    pub(super) fn rotated(&self, head_dim: usize) -> Result<Option<usize>, LoadError> {
        let key = "rope.dimension_count";
        match self.optional_count(key, MAX_WIDTH)? {
            None => Ok(None),
            Some(n) if n == head_dim => Ok(None),
            Some(n) if n > 0 && n < head_dim && n.is_multiple_of(2) => Ok(Some(n)),
            Some(n) => {
                let what = format!("{n} of {head_dim} values of a head cannot be rotated");
                Err(self.error(key, what))
            }
        }
    }

    /// The context that a model was first trained on, if its own is a stretched one.
    pub(super) fn original_context(&self) -> Result<Option<usize>, LoadError> {
        let found = self.optional_count("rope.scaling.original_context_length", MAX_CONTEXT)?;
        Ok(found.filter(|&n| n > 0))
    }

    /// How a context was stretched, if by `YaRN`.
    pub(super) fn yarn(&self) -> Result<Option<Yarn>, LoadError> {
        if self.file.metadata().str(&self.key("rope.scaling.type")) != Some("yarn") {
            return Ok(None);
        }
        let number = |key: &str, usual| self.positive(key, self.float(key).unwrap_or(usual));
        Ok(Some(Yarn {
            factor: number("rope.scaling.factor", 1.0)?,
            original_context: match self.original_context()? {
                Some(n) => n,
                None => self.context()?,
            },
            beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
            beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
        }))
    }

    /// The factor on positions of heads that see everything.
    pub(super) fn position_scale(&self) -> Result<f32, LoadError> {
        let key = "rope.scaling.type";
        match self.file.metadata().str(&self.key(key)) {
            // Factors of `longrope` are tensors.
            None | Some("none" | "longrope" | "") => Ok(1.0),
            Some("linear") => {
                let key = "rope.scaling.factor";
                Ok(1.0 / self.positive(key, self.float(key).unwrap_or(1.0))?)
            }
            Some(other) => Err(self.error(
                key,
                format!("`{other}` is not supported here, only `none`, `linear`, `yarn` and `longrope` are"),
            )),
        }
    }

    pub(super) fn positive(&self, suffix: &str, value: f32) -> Result<f32, LoadError> {
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(self.error(suffix, format!("{value} is not a positive number")))
    }

    /// The experts; their width is that of `default_width` where the file has no other.
    pub(super) fn experts(
        &self,
        default_width: Option<&str>,
    ) -> Result<Option<ExpertConfig>, LoadError> {
        let n_experts = match self.optional_count("expert_count", MAX_WIDTH)? {
            None | Some(0) => return Ok(None),
            Some(n) => n,
        };
        let n_used = self.count("expert_used_count", 1, n_experts as u32)?;
        let key = "expert_feed_forward_length";
        let key = match default_width {
            Some(other) if self.file.metadata().get(&self.key(key)).is_none() => other,
            _ => key,
        };
        let widths = self.per_layer(key, self.n_layers()?, MAX_WIDTH)?;
        if let Some(other) = widths.iter().find(|&&width| width != widths[0]) {
            let what = format!(
                "experts of {} and of {other} in one model are not supported",
                widths[0]
            );
            return Err(self.error(key, what));
        }
        Ok(Some(ExpertConfig {
            n_experts,
            n_used,
            width: widths[0],
            shared_width: None,
            renormalised: true,
        }))
    }

    /// All layers, checked.
    pub(super) fn layers(&self, of: &Layers) -> Result<Vec<LayerConfig>, LoadError> {
        let n_layers = self.n_layers()?;
        let heads = self.per_layer("attention.head_count", n_layers, MAX_WIDTH)?;
        let kv_heads = self.per_layer("attention.head_count_kv", n_layers, MAX_WIDTH)?;
        let widths = self.per_layer("feed_forward_length", n_layers, MAX_WIDTH)?;
        let n_own = n_layers - of.n_shared;
        (0..n_layers)
            .map(|i| {
                let kv = if i < n_own {
                    KvSource::Own(i)
                } else {
                    // The donor is the last layer of the same kind that owns keys and values.
                    let donor = (0..n_own).rev().find(|&j| of.is_local[j] == of.is_local[i]);
                    KvSource::Shared(donor.ok_or_else(|| {
                        self.error(
                            "attention.shared_kv_layers",
                            format!("layer {i} has no layer to share with"),
                        )
                    })?)
                };
                let head_dim = if of.is_local[i] {
                    of.head_dims.1
                } else {
                    of.head_dims.0
                };
                let layer = LayerConfig {
                    window: of.window.filter(|_| of.is_local[i]),
                    n_heads: heads[i],
                    n_kv_heads: kv_heads[i],
                    head_dim,
                    ffn_width: widths[i],
                    kv,
                    attention_scale: of
                        .attention_scale
                        .unwrap_or_else(|| (head_dim as f32).powf(-0.5)),
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

    pub(super) fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    pub(super) fn error(&self, suffix: &str, what: String) -> LoadError {
        LoadError::Metadata {
            path: self.file.path().into(),
            key: self.key(suffix),
            what,
        }
    }

    pub(super) fn float(&self, suffix: &str) -> Option<f32> {
        self.file.metadata().f32(&self.key(suffix))
    }

    pub(super) fn count(&self, suffix: &str, min: u32, max: u32) -> Result<usize, LoadError> {
        match self.file.metadata().u32(&self.key(suffix)) {
            Some(n) if (min..=max).contains(&n) => Ok(n as usize),
            Some(n) => Err(self.error(suffix, format!("{n} is not between {min} and {max}"))),
            None => Err(self.error(suffix, "missing, or no whole number".to_owned())),
        }
    }

    pub(super) fn optional_count(
        &self,
        suffix: &str,
        max: u32,
    ) -> Result<Option<usize>, LoadError> {
        if self.file.metadata().get(&self.key(suffix)).is_none() {
            return Ok(None);
        }
        self.count(suffix, 0, max).map(Some)
    }

    /// A number for every layer, from an array or from one number for all.
    pub(super) fn per_layer(
        &self,
        suffix: &str,
        n_layers: usize,
        max: u32,
    ) -> Result<Vec<usize>, LoadError> {
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
