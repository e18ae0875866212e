//! The forward pass, top to bottom as in the papers.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::attention::{Attend, Projection};
use super::config::{Architecture, Config, KvSource, LayerConfig};
use super::experts::Experts;
use super::feed_forward::FeedForward;
use super::ops::{AddNormed, Compute, GeluTimes, Linear, RmsNorm, to_vec};
use super::rope::{Ropes, Rotations};
use super::weights::{LayerWeights, PerLayerWeights, Weights};
use crate::kernels::Pool;
use crate::kernels::{self, CpuLevel};
use crate::kv_cache::{KvCache, KvShape};
use crate::{CancelToken, GenerateError, TokenId};

/// Which rows of a chunk get logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedRows {
    /// None: the chunk only fills the cache.
    None,
    /// The last `n`.
    Last(usize),
}

/// A model ready to run: configuration, weights and the threads that compute.
pub(crate) struct Pass {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    pub(crate) level: CpuLevel,
    pub(crate) pool: Arc<Pool>,
    ropes: Ropes,
}

/// What the layers of one chunk share.
struct Chunk<'a> {
    /// Position of the chunk's first token.
    start: usize,
    /// Tokens of the chunk.
    len: usize,
    /// First row whose logits are wanted; `len` if there is none.
    first_wanted: usize,
    rotations: Rotations,
    /// `[len, L, P]`, the per-layer embeddings
    per_layer: Option<Tensor>,
    cancel: &'a CancelToken,
}

impl Pass {
    /// Prepares the pass; the weights stay in the map.
    pub(crate) fn new(config: Config, weights: Weights, level: CpuLevel, pool: Arc<Pool>) -> Self {
        let ropes = Ropes::new(&config, weights.rope_factors.as_deref());
        Self {
            config,
            weights,
            level,
            pool,
            ropes,
        }
    }

    /// What a cache must store for this model.
    pub(crate) fn kv_shapes(&self) -> Vec<KvShape> {
        let own = self
            .config
            .layers
            .iter()
            .filter(|layer| matches!(layer.kv, KvSource::Own(_)));
        own.map(|l| KvShape {
            n_kv_heads: l.n_kv_heads,
            head_dim: l.head_dim,
            window: l.window,
        })
        .collect()
    }

    /// Runs `tokens` behind what the cache holds and appends them to it.
    ///
    /// Returns the logits of the wanted rows, `[rows, vocabulary]`. On an error the cache is as before.
    pub(crate) fn forward(
        &self,
        tokens: &[TokenId],
        cache: &mut KvCache,
        wanted: WantedRows,
        cancel: &CancelToken,
    ) -> std::result::Result<Vec<f32>, GenerateError> {
        self.layers(tokens, cache, wanted, cancel)
            .map_err(|error| GenerateError::Tensor(error.to_string()))?
            .ok_or(GenerateError::Cancelled)
    }

    /// As `forward`; `None` if cancelled.
    fn layers(
        &self,
        tokens: &[TokenId],
        cache: &mut KvCache,
        wanted: WantedRows,
        cancel: &CancelToken,
    ) -> Result<Option<Vec<f32>>> {
        let first_wanted = match wanted {
            WantedRows::None => tokens.len(),
            WantedRows::Last(n) => tokens.len().saturating_sub(n),
        };
        let mut x = self.embed(tokens)?;
        let chunk = Chunk {
            start: cache.len(),
            len: tokens.len(),
            first_wanted,
            rotations: self.ropes.rotations(cache.len(), tokens.len()),
            per_layer: self.per_layer_embeddings(tokens, &x)?,
            cancel,
        };
        let mut rows = 0..chunk.len;
        for (index, (layer, weights)) in self
            .config
            .layers
            .iter()
            .zip(&self.weights.layers)
            .enumerate()
        {
            if chunk.cancel.is_cancelled() {
                return Ok(None);
            }
            // Behind the last layer that fills the cache, only rows with wanted logits matter.
            let keep = if index >= self.config.last_kv_layer() {
                chunk.first_wanted
            } else {
                0
            };
            match self.layer(index, layer, weights, &x, rows.start, keep, &chunk, cache)? {
                Some(next) => x = next,
                None => break,
            }
            rows.start = rows.start.max(keep);
        }
        let logits = if chunk.first_wanted < chunk.len {
            self.logits(&x)?
        } else {
            Vec::new()
        };
        cache.advance(chunk.len);
        Ok(Some(logits))
    }

    fn compute(&self) -> Compute<'_> {
        Compute {
            level: self.level,
            pool: &self.pool,
        }
    }

    fn norm(&self, x: &Tensor, weight: &[f32]) -> Result<Tensor> {
        x.apply_op1_no_bwd(&RmsNorm {
            weight,
            epsilon: self.config.norm_epsilon,
            compute: self.compute(),
        })
    }

    /// `(x + norm(branch)) * factor`; Gemma 1 has no norm there.
    fn add_normed(
        &self,
        x: &Tensor,
        branch: &Tensor,
        weight: Option<&[f32]>,
        factor: f32,
    ) -> Result<Tensor> {
        x.apply_op2_no_bwd(
            branch,
            &AddNormed {
                weight,
                epsilon: self.config.norm_epsilon,
                factor,
                compute: self.compute(),
            },
        )
    }

    /// `x = E[token] * sqrt(H)`: `[tokens, H]`.
    fn embed(&self, tokens: &[TokenId]) -> Result<Tensor> {
        let hidden = self.config.hidden;
        let mut x = vec![0.0; tokens.len() * hidden];
        let table = self.weights.token_embedding.view();
        for (&token, row) in tokens.iter().zip(x.chunks_exact_mut(hidden)) {
            kernels::dequantize(table.slice(token as usize, 1), row);
        }
        let scale = (hidden as f32).sqrt();
        for x in &mut x {
            *x *= scale;
        }
        Tensor::from_vec(x, (tokens.len(), hidden), &Device::Cpu)
    }

    /// What every layer adds per token: `(norm(W x / sqrt(H)) + table[token] * sqrt(P)) / sqrt(2)`.
    fn per_layer_embeddings(&self, tokens: &[TokenId], x: &Tensor) -> Result<Option<Tensor>> {
        let Some(PerLayerWeights {
            token_embedding,
            model_projection,
            projection_norm,
        }) = &self.weights.per_layer
        else {
            return Ok(None);
        };
        let width = self.config.per_layer_width;
        let (n_layers, hidden) = (self.config.layers.len(), self.config.hidden);
        let projected = x.apply_op1_no_bwd(&Linear {
            matrix: model_projection,
            compute: self.compute(),
        })?;
        let projected = projected
            .affine((hidden as f64).powf(-0.5), 0.0)?
            .reshape((tokens.len() * n_layers, width))?;
        let projected = self.norm(&projected, projection_norm)?;
        let table = token_embedding.view();
        let mut rows = vec![0.0; tokens.len() * n_layers * width];
        for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(n_layers * width)) {
            kernels::dequantize(table.slice(token as usize, 1), row);
        }
        let table_rows = Tensor::from_vec(rows, (tokens.len() * n_layers, width), &Device::Cpu)?;
        let sum = (projected + table_rows.affine((width as f64).sqrt(), 0.0)?)?;
        Ok(Some(sum.affine(0.5f64.sqrt(), 0.0)?.reshape((
            tokens.len(),
            n_layers,
            width,
        ))?))
    }

    /// One layer. `x` holds the rows of the chunk from `first_row` on; the result holds those from
    /// `keep` on, or nothing if no row is kept.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one chunk and one layer"
    )]
    fn layer(
        &self,
        index: usize,
        layer: &LayerConfig,
        weights: &LayerWeights,
        x: &Tensor,
        first_row: usize,
        keep: usize,
        chunk: &Chunk<'_>,
        cache: &mut KvCache,
    ) -> Result<Option<Tensor>> {
        let skip = keep.saturating_sub(first_row);
        let attention = self.attention(layer, weights, x, first_row, skip, chunk, cache)?;
        let Some(attention) = attention else {
            return Ok(None);
        };
        let x = x.narrow(0, skip, x.dim(0)? - skip)?;
        let post_norm = weights.attention.post_norm.as_deref();
        let residual = self.add_normed(&x, &attention, post_norm, 1.0)?;
        let f = &weights.feed_forward;
        let dense = FeedForward {
            weights: f,
            compute: self.compute(),
        };
        let dense = self.norm(&residual, &f.norm)?.apply_op1_no_bwd(&dense)?;
        let branch = match (&weights.experts, self.config.experts) {
            (Some(experts), Some(config)) => {
                let op = Experts {
                    weights: experts,
                    config,
                    epsilon: self.config.norm_epsilon,
                    compute: self.compute(),
                };
                let chosen = residual.apply_op1_no_bwd(&op)?;
                let dense = self.norm(&dense, &experts.dense_post_norm)?;
                self.add_normed(&dense, &chosen, Some(&experts.post_norm), 1.0)?
            }
            _ => dense,
        };
        let factor = weights.output_scale.unwrap_or(1.0);
        let post_norm = f.post_norm.as_deref();
        let (Some(own), Some(all)) = (&weights.per_layer, &chunk.per_layer) else {
            return self
                .add_normed(&residual, &branch, post_norm, factor)
                .map(Some);
        };
        let y = self.add_normed(&residual, &branch, post_norm, 1.0)?;
        let rows = y.dim(0)?;
        let embedding = all
            .narrow(0, chunk.len - rows, rows)?
            .narrow(1, index, 1)?
            .squeeze(1)?
            .contiguous()?;
        let gate = y.apply_op1_no_bwd(&Linear {
            matrix: &own.gate,
            compute: self.compute(),
        })?;
        let gated = gate.apply_op2_no_bwd(&embedding, &GeluTimes { level: self.level })?;
        let projected = gated.apply_op1_no_bwd(&Linear {
            matrix: &own.projection,
            compute: self.compute(),
        })?;
        self.add_normed(&y, &projected, Some(&own.post_norm), factor)
            .map(Some)
    }

    /// Fills the layer's cache and attends; nothing if no row behind `skip` is left.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one chunk and one layer"
    )]
    fn attention(
        &self,
        layer: &LayerConfig,
        weights: &LayerWeights,
        x: &Tensor,
        first_row: usize,
        skip: usize,
        chunk: &Chunk<'_>,
        cache: &mut KvCache,
    ) -> Result<Option<Tensor>> {
        let rows = x.dim(0)?;
        let Some(rotation) = chunk.rotations.of(layer.window.is_some()) else {
            candle_core::bail!("no rotation for this kind of layer");
        };
        let projection = Projection {
            weights: &weights.attention,
            layer,
            rotation,
            norm_values: self.config.architecture == Architecture::Gemma4,
            epsilon: self.config.norm_epsilon,
            compute: self.compute(),
        };
        let normed = self.norm(x, &weights.attention.norm)?;
        let keep_any = skip < rows;
        // A chunk without wanted rows still fills the cache; its one query is thrown away.
        let projected = projection.apply(&normed, skip.min(rows - 1), first_row)?;
        if let Some((keys, values)) = &projected.keys_values {
            let (keys, values) = (to_vec(keys)?, to_vec(values)?);
            let d = layer.head_dim;
            let at = |token: usize, head: usize| (token * layer.n_kv_heads + head) * d;
            cache.store(
                layer.kv.store(),
                chunk.start + first_row,
                rows,
                |token, head| &keys[at(token, head)..][..d],
                |token, head| &values[at(token, head)..][..d],
            );
        }
        if !keep_any {
            return Ok(None);
        }
        let attended = projected.queries.apply_op1_no_bwd(&Attend {
            cache,
            store: layer.kv.store(),
            layer,
            first_position: chunk.start + first_row + skip,
            scale: self.config.attention_scale(layer),
            compute: self.compute(),
        })?;
        attended
            .apply_op1_no_bwd(&Linear {
                matrix: &weights.attention.output,
                compute: self.compute(),
            })
            .map(Some)
    }

    /// Logits of the rows that are left: `[rows, V]`.
    fn logits(&self, x: &Tensor) -> Result<Vec<f32>> {
        let x = self.norm(x, &self.weights.output_norm)?;
        let logits = x.apply_op1_no_bwd(&Linear {
            matrix: self.weights.head(),
            compute: self.compute(),
        })?;
        let mut logits = to_vec(&logits)?;
        if let Some(cap) = self.config.final_softcap {
            self.pool
                .for_each_chunk(&mut logits, SOFTCAP_CHUNK, |_, logits| {
                    kernels::softcap(self.level, logits, cap);
                });
        }
        Ok(logits)
    }
}

/// Logits of one task of the softcap.
const SOFTCAP_CHUNK: usize = 16384;
