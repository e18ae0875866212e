//! The forward pass, top to bottom as in the papers.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use super::attention::{Attend, CachedAttention, Heads};
use super::branches::Branches;
use super::config::{Config, KvSource, LayerConfig};
use super::experts::Experts;
use super::feed_forward::{FeedForward, Ungated};
use super::matrix::Matrix;
use super::ops::{
    AddNormed, Compute, Embed, EmbedPerLayer, GateEmbedding, Linear, Normed, linear,
    rows as rows_of,
};
use super::rope::{Ropes, Rotations};
use super::weights::{LayerWeights, Norm, Weights};
use super::workspace::{Interrupted, Workspace};
use crate::kernels::{CpuLevel, Epilogue, OutTile, Pool};
use crate::kv_cache::{HeadRows, KvCache, KvShape};
use crate::{CancelToken, GenerateError, TokenId};

/// Which rows of a chunk get logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedRows {
    /// None: the chunk only fills the cache.
    None,
    /// The last `n`.
    Last(usize),
}

/// What of an interrupted chunk serves the tokens that come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// Nothing.
    Nothing,
    /// So many of its tokens are complete in the cache and need only be counted.
    Stored(usize),
    /// A pass over exactly so many tokens goes on where it was interrupted.
    Begun(usize),
}

/// A model ready to run: configuration, weights and the threads that compute.
pub(crate) struct ForwardPass {
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
    /// What the rows are, if they are not consecutive tokens.
    branches: Option<Branches<'a>>,
    rotations: Rotations,
}

impl ForwardPass {
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

    /// Memory for chunks of at most `rows` tokens.
    pub(crate) fn workspace(&self, rows: usize) -> Workspace {
        Workspace::new(&self.config, rows)
    }

    /// What an interrupted pass has left behind for `tokens`, which are to be appended to the cache
    /// next; logits are wanted from `first_wanted` on.
    ///
    /// A row depends on rows before it only: what was begun with more or other tokens serves as far
    /// as the tokens are the same.
    pub(crate) fn leftover(
        &self,
        tokens: &[TokenId],
        first_wanted: usize,
        cache: &KvCache,
        workspace: &Workspace,
    ) -> Leftover {
        let Some(begun) = &workspace.interrupted else {
            return Leftover::Nothing;
        };
        let pairs = begun.tokens.iter().zip(tokens);
        let same = pairs.take_while(|(a, b)| a == b).count();
        if begun.start != cache.len() || same == 0 {
            return Leftover::Nothing;
        }
        if self.fits(begun, &tokens[..same], first_wanted.min(same)) {
            return Leftover::Begun(same);
        }
        // Only rows of which the other chunk wanted logits are still there.
        match same.min(first_wanted) {
            0 => Leftover::Nothing,
            n => Leftover::Stored(n),
        }
    }

    /// Counts `n` tokens that an interrupted pass has stored: [`Leftover::Stored`].
    pub(crate) fn keep_stored(n: usize, cache: &mut KvCache, workspace: &mut Workspace) {
        workspace.interrupted = None;
        cache.advance(n);
    }

    /// Whether a pass over `tokens` can go on where `begun` was interrupted.
    fn fits(&self, begun: &Interrupted, tokens: &[TokenId], first_wanted: usize) -> bool {
        // Up to the last layer with a cache of its own every row is computed, wanted or not.
        let rows_are_there = begun.layer <= self.config.last_kv_layer()
            || (tokens.len() == begun.tokens.len() && first_wanted == begun.first_wanted);
        begun.tokens.starts_with(tokens) && rows_are_there
    }

    /// Runs `tokens`, at most as many as the workspace has rows, behind what the cache holds and
    /// appends them to it.
    ///
    /// `logits` becomes those of the wanted rows, `[rows, vocabulary]`. A pass that is cancelled stops
    /// before the next layer, and a pass over the same tokens goes on there. On an error the cache
    /// holds the tokens that it held before, but windows may no longer reach as far back.
    pub(crate) fn forward(
        &self,
        tokens: &[TokenId],
        cache: &mut KvCache,
        workspace: &mut Workspace,
        wanted: WantedRows,
        cancel: &CancelToken,
        logits: &mut Vec<f32>,
    ) -> std::result::Result<(), GenerateError> {
        let finished = self
            .layers(tokens, None, cache, workspace, wanted, cancel, logits)
            .map_err(|error| GenerateError::Tensor(error.to_string()))?;
        finished.then_some(()).ok_or(GenerateError::Cancelled)
    }

    /// Runs one token of each branch and appends them to the cache; `logits` becomes those of all of
    /// them. What was interrupted before is forgotten.
    pub(crate) fn forward_branches(
        &self,
        tokens: &[TokenId],
        branches: Branches<'_>,
        cache: &mut KvCache,
        workspace: &mut Workspace,
        cancel: &CancelToken,
        logits: &mut Vec<f32>,
    ) -> std::result::Result<(), GenerateError> {
        workspace.interrupted = None;
        let wanted = WantedRows::Last(tokens.len());
        let (pass, branches) = (self, Some(branches));
        let finished = pass
            .layers(tokens, branches, cache, workspace, wanted, cancel, logits)
            .map_err(|error| GenerateError::Tensor(error.to_string()))?;
        workspace.interrupted = None;
        finished.then_some(()).ok_or(GenerateError::Cancelled)
    }

    /// As `forward`; false if cancelled.
    #[expect(clippy::too_many_arguments, reason = "the state of one chunk")]
    fn layers(
        &self,
        tokens: &[TokenId],
        branches: Option<Branches<'_>>,
        cache: &mut KvCache,
        w: &mut Workspace,
        wanted: WantedRows,
        cancel: &CancelToken,
        logits: &mut Vec<f32>,
    ) -> Result<bool> {
        let first_wanted = match wanted {
            WantedRows::None => tokens.len(),
            WantedRows::Last(n) => tokens.len().saturating_sub(n),
        };
        let chunk = Chunk {
            start: cache.len(),
            len: tokens.len(),
            first_wanted,
            branches,
            rotations: if let Some(branches) = branches {
                let position = branches.position();
                let positions = std::iter::repeat_n(position, tokens.len());
                self.ropes.rotations(&positions)
            } else {
                let start = cache.len();
                self.ropes.rotations(&(start..start + tokens.len()))
            },
        };
        let begun = w.interrupted.take();
        let begun = begun.filter(|b| b.start == chunk.start && self.fits(b, tokens, first_wanted));
        let (first_layer, mut first_row) = begun.map_or((0, 0), |b| (b.layer, b.first_row));
        if first_layer == 0 {
            cache.begin(chunk.len);
            self.embed(tokens, w)?;
        }
        for (index, layer) in self.config.layers.iter().enumerate().skip(first_layer) {
            if cancel.is_cancelled() {
                w.interrupted = Some(Interrupted {
                    tokens: tokens.to_vec(),
                    start: chunk.start,
                    layer: index,
                    first_row,
                    first_wanted,
                });
                return Ok(false);
            }
            // Behind the last layer that fills the cache, only rows with wanted logits matter.
            let keep = if index >= self.config.last_kv_layer() {
                chunk.first_wanted
            } else {
                0
            };
            self.layer(index, layer, w, first_row, keep, &chunk, cache)?;
            w.work += (chunk.len - first_row) as u64;
            first_row = keep;
            if keep == chunk.len {
                break;
            }
        }
        self.logits(w, chunk.first_wanted..chunk.len, logits)?;
        cache.advance(chunk.len);
        Ok(true)
    }

    fn compute(&self) -> Compute<'_> {
        Compute {
            level: self.level,
            pool: &self.pool,
        }
    }

    fn norm<'a>(&'a self, by: &'a Norm, rows: &Range<usize>) -> Normed<'a> {
        Normed {
            by,
            epsilon: self.config.norm_epsilon,
            rows: rows.clone(),
            compute: self.compute(),
        }
    }

    /// `(x + norm(branch)) * factor`; Gemma 1 has no norm there.
    fn add_normed<'a>(
        &'a self,
        weight: Option<&'a [f32]>,
        factor: f32,
        rows: &Range<usize>,
    ) -> AddNormed<'a> {
        AddNormed {
            weight,
            epsilon: self.config.norm_epsilon,
            factor,
            rows: rows.clone(),
            compute: self.compute(),
        }
    }

    fn linear<'a>(&'a self, matrix: &'a Matrix, rows: &Range<usize>) -> Linear<'a> {
        Linear {
            matrix,
            rows: rows.clone(),
            compute: self.compute(),
        }
    }

    /// Embeddings of the tokens, and what every layer adds to them.
    fn embed(&self, tokens: &[TokenId], w: &mut Workspace) -> Result<()> {
        w.x.inplace_op1(&Embed {
            table: &self.weights.token_embedding,
            tokens,
            scale: self.config.embedding_scale,
        })?;
        if let (Some(weights), Some(per_layer)) = (&self.weights.per_layer, &mut w.per_layer) {
            let rows = 0..tokens.len();
            let projection = self.linear(&weights.model_projection, &rows);
            per_layer.embeddings.inplace_op2(&w.x, &projection)?;
            per_layer.embeddings.inplace_op1(&EmbedPerLayer {
                weights,
                tokens,
                hidden: self.config.hidden,
                epsilon: self.config.norm_epsilon,
                compute: self.compute(),
            })?;
        }
        Ok(())
    }

    /// One layer over the rows of the chunk from `first_row` on. Only those from `keep` on are
    /// wanted behind it; the others just fill the cache.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one chunk and one layer"
    )]
    fn layer(
        &self,
        index: usize,
        layer: &LayerConfig,
        w: &mut Workspace,
        first_row: usize,
        keep: usize,
        chunk: &Chunk<'_>,
        cache: &mut KvCache,
    ) -> Result<()> {
        let weights = &self.weights.layers[index];
        let rows = keep..chunk.len;
        self.heads(layer, weights, w, first_row, keep, chunk, cache)?;
        if rows.is_empty() {
            return Ok(());
        }
        w.branch.inplace_op2(
            &w.heads,
            &Attend {
                weights: &weights.attention,
                rows: rows.clone(),
                cached: CachedAttention {
                    cache,
                    store: layer.kv.store(),
                    layer,
                    first_position: chunk.start + keep,
                    branches: chunk.branches,
                    scale: layer.attention_scale,
                    compute: self.compute(),
                },
            },
        )?;
        let post_norm = weights.attention.post_norm.as_deref();
        w.x.inplace_op2(&w.branch, &self.add_normed(post_norm, 1.0, &rows))?;
        let dense = weights.feed_forward.as_ref();
        match (&weights.experts, self.config.experts, dense) {
            (Some(experts), Some(config), _) => w.branch.inplace_op2(
                &w.x,
                &Experts {
                    weights: experts,
                    dense,
                    config,
                    gate: self.config.gate,
                    epsilon: self.config.norm_epsilon,
                    rows: rows.clone(),
                    compute: self.compute(),
                    reads: &w.expert_reads,
                },
            )?,
            (_, _, None) if let Some(weights) = &weights.ungated => w.branch.inplace_op2(
                &w.x,
                &Ungated {
                    weights,
                    epsilon: self.config.norm_epsilon,
                    rows: rows.clone(),
                    compute: self.compute(),
                },
            )?,
            (_, _, Some(weights)) => w.branch.inplace_op2(
                &w.x,
                &FeedForward {
                    weights,
                    gate: self.config.gate,
                    epsilon: self.config.norm_epsilon,
                    rows: rows.clone(),
                    compute: self.compute(),
                },
            )?,
            _ => candle_core::bail!("a layer without a feed-forward block"),
        }
        let factor = weights.output_scale.unwrap_or(1.0);
        let post_norm = dense.and_then(|dense| dense.post_norm.as_deref());
        let (Some(own), Some(per_layer)) = (&weights.per_layer, &mut w.per_layer) else {
            return w
                .x
                .inplace_op2(&w.branch, &self.add_normed(post_norm, factor, &rows));
        };
        w.x.inplace_op2(&w.branch, &self.add_normed(post_norm, 1.0, &rows))?;
        let gate = GateEmbedding {
            layer: index,
            rows: rows.clone(),
            level: self.level,
        };
        per_layer
            .gate
            .inplace_op2(&w.x, &self.linear(&own.gate, &rows))?;
        per_layer.gate.inplace_op2(&per_layer.embeddings, &gate)?;
        w.branch
            .inplace_op2(&per_layer.gate, &self.linear(&own.projection, &rows))?;
        w.x.inplace_op2(
            &w.branch,
            &self.add_normed(Some(&own.post_norm), factor, &rows),
        )
    }

    /// Queries, keys and values of a layer; fills its cache.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one chunk and one layer"
    )]
    fn heads(
        &self,
        layer: &LayerConfig,
        weights: &LayerWeights,
        w: &mut Workspace,
        first_row: usize,
        first_query: usize,
        chunk: &Chunk<'_>,
        cache: &mut KvCache,
    ) -> Result<()> {
        let Some(rotation) = chunk.rotations.of(layer.window.is_some()) else {
            candle_core::bail!("no rotation for this kind of layer");
        };
        let own = weights.attention.key_value.is_some();
        let rows = if own { first_row } else { first_query }..chunk.len;
        if rows.is_empty() {
            return Ok(());
        }
        let norm = self.norm(&weights.attention.norm, &rows);
        w.normed.inplace_op2(&w.x, &norm)?;
        let heads = Heads {
            weights: &weights.attention,
            layer,
            rotation,
            norm_values: self.config.norm_values,
            epsilon: self.config.norm_epsilon,
            rows: rows.clone(),
            first_query,
            compute: self.compute(),
        };
        w.heads.inplace_op2(&w.normed, &heads)?;
        if !own {
            return Ok(());
        }
        let (storage, shape) = w.heads.storage_and_layout();
        let heads = rows_of(storage, shape, &rows)?;
        let (queries, keys) = (
            layer.n_heads * layer.head_dim,
            layer.n_kv_heads * layer.head_dim,
        );
        let from = |first: usize| HeadRows {
            values: &heads.values[first..],
            stride: heads.columns,
        };
        let (keys, values) = (from(queries), from(queries + keys));
        let position = chunk.start + first_row;
        cache.store(&self.pool, layer.kv.store(), position, keys, values);
        Ok(())
    }

    /// Logits of some rows: `[rows, V]`.
    fn logits(&self, w: &mut Workspace, rows: Range<usize>, logits: &mut Vec<f32>) -> Result<()> {
        // Keeping what is there saves clearing it: every logit is written.
        logits.resize(rows.len() * self.config.vocabulary, 0.0);
        if rows.is_empty() {
            return Ok(());
        }
        let norm = self.norm(&self.weights.output_norm, &rows);
        w.normed.inplace_op2(&w.x, &norm)?;
        let head = self.weights.head().view();
        let epilogue = self
            .config
            .final_softcap
            .map_or(Epilogue::Plain, Epilogue::Softcap);
        let (storage, layout) = w.normed.storage_and_layout();
        let x = rows_of(storage, layout, &rows)?;
        let out = OutTile::new(logits, head.rows);
        linear(self.compute(), x.values, head, epilogue, out);
        Ok(())
    }
}
