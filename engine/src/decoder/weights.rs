//! The weights of a model: typed views of the mapped file, each with its shape.

mod lookup;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use crate::LoadError;
use crate::gguf::ModelFile;
use crate::kernels::{CpuLevel, Pool, Readings};

use super::config::{Config, KvSource, LayerConfig};
use super::matrix::{ExpertMatrices, Matrix};
use super::names::{GateRows, TensorNames};

/// A model's weights. H: hidden, V: vocabulary, L: layers, P: per-layer width.
pub(crate) struct Weights {
    /// `[V, H]`, also the output matrix
    pub(crate) token_embedding: Matrix,
    /// `[V, H]` where the file has one of its own
    pub(crate) output: Option<Matrix>,
    pub(crate) output_norm: Norm,
    /// `[d / 2]`, the divisors of the global layers' rotary frequencies
    pub(crate) rope_factors: Option<Vec<f32>>,
    pub(crate) per_layer: Option<PerLayerWeights>,
    pub(crate) layers: Vec<LayerWeights>,
    /// How all matrices are read.
    pub(crate) readings: Arc<Readings>,
}

/// A norm of the residual stream: of root mean squares, or a layer norm if it has a bias.
pub(crate) struct Norm {
    /// `[H]`
    pub(crate) weight: Vec<f32>,
    /// `[H]`
    pub(crate) bias: Option<Vec<f32>>,
}

impl Norm {
    /// Gives what it gave, multiplied by `factor`.
    fn times(mut self, factor: f32) -> Self {
        for values in [Some(&mut self.weight), self.bias.as_mut()] {
            for value in values.into_iter().flatten() {
                *value *= factor;
            }
        }
        self
    }
}

/// Embeddings that every layer adds (E2B, E4B).
pub(crate) struct PerLayerWeights {
    /// `[V, L * P]`
    pub(crate) token_embedding: Matrix,
    /// `[L * P, H]`
    pub(crate) model_projection: Matrix,
    /// `[P]`
    pub(crate) projection_norm: Vec<f32>,
}

/// One layer. d: head length, q: query heads, k: key/value heads, F: feed-forward width.
pub(crate) struct LayerWeights {
    pub(crate) attention: AttentionWeights,
    /// Absent where all of the block are experts, and where it has no gate.
    pub(crate) feed_forward: Option<FeedForwardWeights>,
    pub(crate) ungated: Option<UngatedWeights>,
    pub(crate) experts: Option<ExpertWeights>,
    pub(crate) per_layer: Option<LayerEmbeddingWeights>,
    /// Factor on the residual stream after the layer.
    pub(crate) output_scale: Option<f32>,
}

impl LayerWeights {
    /// All matrices that decoding multiplies.
    fn matrices_mut(&mut self) -> Vec<&mut Matrix> {
        let a = &mut self.attention;
        let mut all = vec![&mut a.query, &mut a.output];
        if let Some(f) = &mut self.feed_forward {
            all.extend([&mut f.gate, &mut f.up, &mut f.down]);
        }
        if let Some(f) = &mut self.ungated {
            all.extend([&mut f.up, &mut f.down]);
        }
        if let Some(own) = &mut a.key_value {
            all.push(&mut own.key);
            all.extend(&mut own.value);
        }
        if let Some(experts) = &mut self.experts {
            all.extend([&mut experts.router, &mut experts.down.all]);
            match &mut experts.gate_up {
                GateUp::Fused(both) => all.push(&mut both.all),
                GateUp::Split { gate, up } => all.extend([&mut gate.all, &mut up.all]),
            }
        }
        if let Some(own) = &mut self.per_layer {
            all.extend([&mut own.gate, &mut own.projection]);
        }
        all
    }
}

pub(crate) struct AttentionWeights {
    pub(crate) norm: Norm,
    /// `[q * d, H]`
    pub(crate) query: Matrix,
    /// Absent where the layer uses another one's keys and values.
    pub(crate) key_value: Option<KeyValueWeights>,
    /// `[d]`
    pub(crate) query_norm: Option<Vec<f32>>,
    /// `[H, q * d]`
    pub(crate) output: Matrix,
    /// `[H]`
    pub(crate) post_norm: Option<Vec<f32>>,
    /// `[q * d + 2 k * d]`: of queries, keys and values
    pub(crate) bias: Option<Vec<f32>>,
    /// `[H]`
    pub(crate) output_bias: Option<Vec<f32>>,
}

pub(crate) struct KeyValueWeights {
    /// `[k * d, H]`
    pub(crate) key: Matrix,
    /// `[k * d, H]`; absent where values are the keys before their norm
    pub(crate) value: Option<Matrix>,
    /// `[d]`
    pub(crate) key_norm: Option<Vec<f32>>,
}

pub(crate) struct FeedForwardWeights {
    /// `[H]`
    pub(crate) norm: Vec<f32>,
    /// `[F, H]`
    pub(crate) gate: Matrix,
    /// `[F, H]`
    pub(crate) up: Matrix,
    /// `[H, F]`
    pub(crate) down: Matrix,
    /// `[H]`
    pub(crate) post_norm: Option<Vec<f32>>,
}

/// A feed-forward block without a gate.
pub(crate) struct UngatedWeights {
    pub(crate) norm: Norm,
    /// `[F, H]`
    pub(crate) up: Matrix,
    /// `[F]`
    pub(crate) up_bias: Vec<f32>,
    /// `[H, F]`
    pub(crate) down: Matrix,
    /// `[H]`
    pub(crate) down_bias: Vec<f32>,
}

/// The experts of a layer. E: experts, W: expert width.
pub(crate) struct ExpertWeights {
    /// `[H]`, on what the dense block gives, before the sum with the experts
    pub(crate) dense_post_norm: Option<Vec<f32>>,
    /// `[H]`
    pub(crate) norm: Vec<f32>,
    /// `[H]`
    pub(crate) post_norm: Option<Vec<f32>>,
    /// `[E, H]`
    pub(crate) router: Matrix,
    /// `[H]`, on the router's own norm; without it the router reads what the experts read
    pub(crate) router_scale: Option<Vec<f32>>,
    pub(crate) gate_up: GateUp,
    /// E times `[H, W]`
    pub(crate) down: ExpertMatrices,
    /// `[E]`, on what an expert gives
    pub(crate) output_scale: Vec<f32>,
    /// `[H]`, whose product with the input weighs the expert that all tokens use
    pub(crate) shared_gate: Option<Vec<f32>>,
}

/// The first two matrices of the experts, as one tensor or as two.
pub(crate) enum GateUp {
    /// E times `[2 W, H]`, the gate's rows first
    Fused(ExpertMatrices),
    /// E times `[W, H]` each
    Split {
        gate: ExpertMatrices,
        up: ExpertMatrices,
    },
}

/// What a layer does with its per-layer embedding.
pub(crate) struct LayerEmbeddingWeights {
    /// `[P, H]`
    pub(crate) gate: Matrix,
    /// `[H, P]`
    pub(crate) projection: Matrix,
    /// `[H]`
    pub(crate) post_norm: Vec<f32>,
}

/// Rows of the embedding, which is the size of the vocabulary.
pub(crate) fn vocabulary(file: &ModelFile) -> Result<usize, LoadError> {
    let loader = Loader::new(file, &TensorNames::PLAIN);
    let info = loader.info("token_embd.weight")?;
    match info.shape[..] {
        [rows, _] if rows > 0 => Ok(rows),
        _ => Err(LoadError::TensorShape {
            path: file.path().into(),
            name: info.name.clone(),
            found: info.shape.clone(),
            expected: vec![0, 0],
        }),
    }
}

impl Weights {
    /// Finds and checks every tensor that the configuration asks for.
    /// A tensor of the model's text part that nothing asked for is an error: the model would be another.
    pub(crate) fn from_model_file(
        file: &ModelFile,
        config: &Config,
        names: &'static TensorNames,
    ) -> Result<Self, LoadError> {
        let loader = Loader::new(file, names);
        let (h, v) = (config.hidden, config.vocabulary);
        let n_layers = config.layers.len();
        let per_layer = match config.per_layer_width {
            0 => None,
            p => Some(PerLayerWeights {
                token_embedding: loader.matrix("per_layer_token_embd.weight", v, n_layers * p)?,
                model_projection: loader.matrix("per_layer_model_proj.weight", n_layers * p, h)?,
                projection_norm: loader.vector("per_layer_proj_norm.weight", p)?,
            }),
        };
        let rope_factors = match config.layers.iter().find(|layer| layer.window.is_none()) {
            Some(layer) => {
                let n = config.rope_global.rotated.unwrap_or(layer.head_dim) / 2;
                let of_all = loader.optional_vector("rope_freqs.weight", n)?;
                match of_all {
                    None => loader.optional_vector("rope_factors_short.weight", n)?,
                    of_all => of_all,
                }
            }
            None => None,
        };
        let weights = Self {
            token_embedding: loader.matrix("token_embd.weight", v, h)?,
            output: loader.optional_matrix("output.weight", v, h)?,
            output_norm: loader.norm("output_norm", h)?.times(config.logit_scale),
            rope_factors,
            per_layer,
            layers: (0..n_layers)
                .map(|i| loader.layer(i, config))
                .collect::<Result<_, _>>()?,
            readings: Arc::clone(&loader.readings),
        };
        loader.check_all_claimed(config)?;
        Ok(weights)
    }

    /// Makes second copies of the matrices in the order in which they are decoded fastest.
    pub(crate) fn interleave(&mut self, level: CpuLevel, pool: &Pool) {
        let head = self.output.as_mut().unwrap_or(&mut self.token_embedding);
        let layers = self.layers.iter_mut().flat_map(LayerWeights::matrices_mut);
        let per_layer = self.per_layer.iter_mut().map(|p| &mut p.model_projection);
        let mut matrices: Vec<_> = layers.chain(per_layer).chain([head]).collect();
        pool.for_each_chunk(&mut matrices, 1, |_, matrices| {
            for matrix in matrices {
                matrix.interleave(level);
            }
        });
    }

    /// The matrix that turns the last hidden state into logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.token_embedding)
    }
}

/// Looks tensors up by name and checks their shapes and types.
struct Loader<'a> {
    file: &'a ModelFile,
    names: &'static TensorNames,
    /// The tensors that were asked for.
    claimed: RefCell<HashSet<String>>,
    /// What all matrices share.
    readings: Arc<Readings>,
}

/// Tensors that steer no text: of pictures and sound, factors that global layers alone read, and factors
/// for contexts longer than the one that families allow where there are such.
const HARMLESS: &[&str] = &[
    "v.",
    "a.",
    "mm.",
    "model.vision_tower.",
    "rope_freqs.",
    "rope_factors_long.",
];
/// Tensors that layers have which use the keys and values of others.
const UNUSED_IF_SHARED: &[&str] = &["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"];
/// Names in a message: enough to know what kind of a file it is.
const NAMES_MAX: usize = 4;

impl<'a> Loader<'a> {
    fn new(file: &'a ModelFile, names: &'static TensorNames) -> Self {
        Self {
            file,
            names,
            claimed: RefCell::default(),
            readings: Arc::new(Readings::usual(CpuLevel::current())),
        }
    }

    fn check_all_claimed(&self, config: &Config) -> Result<(), LoadError> {
        let claimed = self.claimed.borrow();
        let is_harmless = |name: &str| {
            let unused = name.strip_prefix("blk.").and_then(|rest| {
                let (layer, tensor) = rest.split_once('.')?;
                let layer = config.layers.get(layer.parse::<usize>().ok()?)?;
                Some(matches!(layer.kv, KvSource::Shared(_)) && UNUSED_IF_SHARED.contains(&tensor))
            });
            unused.unwrap_or(false) || HARMLESS.iter().any(|prefix| name.starts_with(prefix))
        };
        let names = self.file.tensors().iter().map(|info| info.name.as_str());
        let unknown: Vec<&str> = names
            .filter(|name| !claimed.contains(*name) && !is_harmless(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let more = unknown.len().saturating_sub(NAMES_MAX);
        let mut names = unknown[..unknown.len().min(NAMES_MAX)].join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        Err(LoadError::TensorUnknown {
            path: self.file.path().into(),
            names,
        })
    }

    fn layer(&self, i: usize, config: &Config) -> Result<LayerWeights, LoadError> {
        let h = config.hidden;
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        let per_layer = match config.per_layer_width {
            0 => None,
            p => Some(LayerEmbeddingWeights {
                gate: self.matrix(&name("inp_gate.weight"), p, h)?,
                projection: self.matrix(&name("proj.weight"), h, p)?,
                post_norm: self.vector(&name("post_norm.weight"), h)?,
            }),
        };
        Ok(LayerWeights {
            attention: self.attention(i, config)?,
            feed_forward: self.feed_forward(i, config)?,
            ungated: self.ungated(i, config)?,
            experts: self.experts(i, config)?,
            per_layer,
            output_scale: self
                .optional_vector(&name("layer_output_scale.weight"), 1)?
                .map(|scale| scale[0]),
        })
    }

    /// The dense block, if the layer has one beside its experts or has none.
    fn feed_forward(
        &self,
        i: usize,
        config: &Config,
    ) -> Result<Option<FeedForwardWeights>, LoadError> {
        let has_dense = self
            .names
            .experts
            .is_none_or(|e| e.dense_post_norm.is_some());
        let is_gated = self.names.gate != GateRows::Absent;
        if config.experts.is_some_and(|e| e.shared_width.is_some()) {
            return self.shared_expert(i, config).map(Some);
        }
        if (config.experts.is_some() && !has_dense) || !is_gated {
            return Ok(None);
        }
        let (h, width) = (config.hidden, config.layers[i].ffn_width);
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        let (gate, up) = if self.names.gate == GateRows::InUp {
            self.matrix(&name("ffn_up.weight"), 2 * width, h)?
                .split(width)
        } else {
            (
                self.matrix(&name("ffn_gate.weight"), width, h)?,
                self.matrix(&name("ffn_up.weight"), width, h)?,
            )
        };
        Ok(Some(FeedForwardWeights {
            norm: self.vector(&name("ffn_norm.weight"), h)?,
            gate,
            up,
            down: self.matrix(&name("ffn_down.weight"), h, width)?,
            post_norm: self.named_vector(i, self.names.branch_norms.map(|names| names[1]), h)?,
        }))
    }

    /// The expert that all tokens use, as a dense block beside the others.
    fn shared_expert(&self, i: usize, config: &Config) -> Result<FeedForwardWeights, LoadError> {
        let h = config.hidden;
        let width = config.experts.and_then(|e| e.shared_width).unwrap_or(0);
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        Ok(FeedForwardWeights {
            norm: self.vector(&name("ffn_norm.weight"), h)?,
            gate: self.matrix(&name("ffn_gate_shexp.weight"), width, h)?,
            up: self.matrix(&name("ffn_up_shexp.weight"), width, h)?,
            down: self.matrix(&name("ffn_down_shexp.weight"), h, width)?,
            post_norm: None,
        })
    }

    fn ungated(&self, i: usize, config: &Config) -> Result<Option<UngatedWeights>, LoadError> {
        if self.names.gate != GateRows::Absent {
            return Ok(None);
        }
        let (h, width) = (config.hidden, config.layers[i].ffn_width);
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        Ok(Some(UngatedWeights {
            norm: self.norm(&name("ffn_norm"), h)?,
            up: self.matrix(&name("ffn_up.weight"), width, h)?,
            up_bias: self.vector(&name("ffn_up.bias"), width)?,
            down: self.matrix(&name("ffn_down.weight"), h, width)?,
            down_bias: self.vector(&name("ffn_down.bias"), h)?,
        }))
    }

    fn attention(&self, i: usize, config: &Config) -> Result<AttentionWeights, LoadError> {
        let layer = &config.layers[i];
        let (h, d) = (config.hidden, layer.head_dim);
        let (q_rows, kv_rows) = (layer.n_heads * d, layer.n_kv_heads * d);
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        let owns = matches!(layer.kv, KvSource::Own(_));
        let (query, key, value) = if self.file.tensor(&name("attn_qkv.weight")).is_some() {
            let all = self.matrix(&name("attn_qkv.weight"), q_rows + 2 * kv_rows, h)?;
            let (query, rest) = all.split(q_rows);
            let (key, value) = rest.split(kv_rows);
            (query, Some(key), Some(value))
        } else {
            let query = self.matrix(&name("attn_q.weight"), q_rows, h)?;
            let key = if owns {
                Some(self.matrix(&name("attn_k.weight"), kv_rows, h)?)
            } else {
                None
            };
            let value = if owns {
                self.optional_matrix(&name("attn_v.weight"), kv_rows, h)?
            } else {
                None
            };
            (query, key, value)
        };
        let key_value = match key {
            Some(key) if owns => Some(KeyValueWeights {
                key,
                value: self.required_value(value, i, layer)?,
                key_norm: self.named_vector(i, self.names.head_norms.map(|names| names[1]), d)?,
            }),
            _ => None,
        };
        Ok(AttentionWeights {
            norm: self.norm(&name("attn_norm"), h)?,
            query,
            key_value,
            query_norm: self.named_vector(i, self.names.head_norms.map(|names| names[0]), d)?,
            output: self.matrix(&name("attn_output.weight"), h, q_rows)?,
            post_norm: self.named_vector(i, self.names.branch_norms.map(|names| names[0]), h)?,
            bias: self.bias(i, q_rows, kv_rows)?,
            output_bias: self.named_vector(i, self.names.output_bias, h)?,
        })
    }

    /// Biases of queries, keys and values, one after the other.
    fn bias(&self, i: usize, q_rows: usize, kv_rows: usize) -> Result<Option<Vec<f32>>, LoadError> {
        let Some(names) = self.names.biases else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(q_rows + 2 * kv_rows);
        for (name, rows) in names.into_iter().zip([q_rows, kv_rows, kv_rows]) {
            all.extend(self.vector(&format!("blk.{i}.{name}"), rows)?);
        }
        Ok(Some(all))
    }

    fn required_value(
        &self,
        value: Option<Matrix>,
        i: usize,
        layer: &LayerConfig,
    ) -> Result<Option<Matrix>, LoadError> {
        let may_be_absent = self.names.values_may_be_keys && layer.window.is_none();
        if value.is_none() && !may_be_absent {
            return Err(LoadError::TensorMissing {
                path: self.file.path().into(),
                name: format!("blk.{i}.attn_v.weight"),
            });
        }
        Ok(value)
    }

    /// A tensor of a layer that the family has or not.
    fn named_vector(
        &self,
        i: usize,
        name: Option<&str>,
        len: usize,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        name.map(|name| self.vector(&format!("blk.{i}.{name}"), len))
            .transpose()
    }

    fn experts(&self, i: usize, config: &Config) -> Result<Option<ExpertWeights>, LoadError> {
        let (Some(experts), Some(names)) = (config.experts, self.names.experts) else {
            return Ok(None);
        };
        let (h, n, w) = (config.hidden, experts.n_experts, experts.width);
        let name = |suffix: &str| format!("blk.{i}.{suffix}");
        let fused = name("ffn_gate_up_exps.weight");
        let gate_up = if self.file.tensor(&fused).is_some() {
            GateUp::Fused(self.expert_matrices(&fused, n, 2 * w, h)?)
        } else {
            GateUp::Split {
                gate: self.expert_matrices(&name("ffn_gate_exps.weight"), n, w, h)?,
                up: self.expert_matrices(&name("ffn_up_exps.weight"), n, w, h)?,
            }
        };
        Ok(Some(ExpertWeights {
            dense_post_norm: self.named_vector(i, names.dense_post_norm, h)?,
            norm: self.vector(&name(names.norm), h)?,
            post_norm: self.named_vector(i, names.post_norm, h)?,
            router: self.matrix(&name("ffn_gate_inp.weight"), n, h)?,
            router_scale: self.named_vector(i, names.router_scale, h)?,
            gate_up,
            down: self.expert_matrices(&name("ffn_down_exps.weight"), n, h, w)?,
            output_scale: names
                .output_scale
                .iter()
                .find(|suffix| self.file.tensor(&name(suffix)).is_some())
                .map_or_else(|| Ok(vec![1.0; n]), |suffix| self.vector(&name(suffix), n))?,
            shared_gate: experts
                .shared_width
                .map(|_| self.vector(&name("ffn_gate_inp_shexp.weight"), h))
                .transpose()?,
        }))
    }

    /// A norm of the residual stream, a layer norm where the family has those.
    fn norm(&self, name: &str, len: usize) -> Result<Norm, LoadError> {
        let bias = self
            .names
            .layer_norms
            .then(|| self.vector(&format!("{name}.bias"), len));
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), len)?,
            bias: bias.transpose()?,
        })
    }
}
