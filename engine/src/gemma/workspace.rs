//! The tensors of a pass: allocated once, used again by every layer of every chunk.

use candle_core::{DType, Device, Result, Tensor};

use super::config::Config;

/// Activations of one chunk. A row is a token; each pass uses the first rows.
///
/// H: hidden, L: layers, P: per-layer width.
pub(crate) struct Workspace {
    /// `[rows, H]`, the residual stream
    pub(super) x: Tensor,
    /// `[rows, H]`, `x` after a norm
    pub(super) normed: Tensor,
    /// `[rows, queries + keys + values of the widest layer]`
    pub(super) heads: Tensor,
    /// `[rows, H]`, what a branch adds to `x`
    pub(super) branch: Tensor,
    pub(super) per_layer: Option<PerLayerWorkspace>,
}

/// What models with per-layer embeddings need besides.
pub(super) struct PerLayerWorkspace {
    /// `[rows, L * P]`
    pub(super) embeddings: Tensor,
    /// `[rows, P]`
    pub(super) gate: Tensor,
}

impl Workspace {
    /// Tensors for chunks of at most `rows` tokens. The system backs them with memory where they
    /// are written.
    pub(crate) fn new(config: &Config, rows: usize) -> Result<Self> {
        let tensor = |columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu);
        let heads = config.layers.iter();
        let heads = heads.map(|l| (l.n_heads + 2 * l.n_kv_heads) * l.head_dim);
        let per_layer = match config.per_layer_width {
            0 => None,
            width => Some(PerLayerWorkspace {
                embeddings: tensor(config.layers.len() * width)?,
                gate: tensor(width)?,
            }),
        };
        Ok(Self {
            x: tensor(config.hidden)?,
            normed: tensor(config.hidden)?,
            heads: tensor(heads.max().unwrap_or(0))?,
            branch: tensor(config.hidden)?,
            per_layer,
        })
    }
}
