//! The activations of a pass: allocated once, used again by every layer of every chunk.

use std::sync::atomic::AtomicU64;

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result};

use super::config::Config;
use crate::TokenId;

/// A matrix of f32 that nothing else shares.
///
/// Custom operations run on it as on a candle tensor. A tensor could share its memory with others,
/// which candle looks into with an allocation for every operation.
pub(crate) struct Activation {
    storage: CpuStorage,
    layout: Layout,
}

impl Activation {
    fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            storage: CpuStorage::F32(vec![0.0; rows * columns]),
            layout: Layout::contiguous((rows, columns)),
        }
    }

    /// Changes the matrix.
    pub(super) fn inplace_op1(&mut self, op: &impl InplaceOp1) -> Result<()> {
        op.cpu_fwd(&mut self.storage, &self.layout)
    }

    /// Changes the matrix with the help of another one.
    pub(super) fn inplace_op2(&mut self, other: &Self, op: &impl InplaceOp2) -> Result<()> {
        let (storage, layout) = (&mut self.storage, &self.layout);
        op.cpu_fwd(storage, layout, &other.storage, &other.layout)
    }

    /// Memory and shape.
    pub(super) fn storage_and_layout(&self) -> (&CpuStorage, &Layout) {
        (&self.storage, &self.layout)
    }
}

/// Activations of one chunk. A row is a token; each pass uses the first rows.
///
/// H: hidden, L: layers, P: per-layer width.
pub(crate) struct Workspace {
    /// `[rows, H]`, the residual stream
    pub(super) x: Activation,
    /// `[rows, H]`, `x` after a norm
    pub(super) normed: Activation,
    /// `[rows, queries + keys + values of the widest layer]`
    pub(super) heads: Activation,
    /// `[rows, H]`, what a branch adds to `x`
    pub(super) branch: Activation,
    pub(super) per_layer: Option<PerLayerWorkspace>,
    /// The chunk whose rows lie here, if it was interrupted.
    pub(super) interrupted: Option<Interrupted>,
    /// Layers times rows that were computed since the workspace was made.
    pub(crate) work: u64,
    /// Experts that were read since the workspace was made: in a layer, each once a chunk.
    pub(crate) expert_reads: AtomicU64,
}

/// A chunk that was interrupted between two layers: its rows are in the workspace, and what the
/// layers before have stored is in the cache, where it does not count yet.
pub(super) struct Interrupted {
    pub(super) tokens: Vec<TokenId>,
    /// Position of the first of them.
    pub(super) start: usize,
    /// The layer that comes next.
    pub(super) layer: usize,
    /// The first row that is still computed, and the first one whose logits were wanted.
    pub(super) first_row: usize,
    pub(super) first_wanted: usize,
}

/// What models with per-layer embeddings need besides.
pub(super) struct PerLayerWorkspace {
    /// `[rows, L * P]`
    pub(super) embeddings: Activation,
    /// `[rows, P]`
    pub(super) gate: Activation,
}

impl Workspace {
    /// Matrices for chunks of at most `rows` tokens. The system backs them with memory where they
    /// are written.
    pub(crate) fn new(config: &Config, rows: usize) -> Self {
        let matrix = |columns| Activation::zeros(rows, columns);
        let heads = config.layers.iter();
        let heads = heads.map(|l| (l.n_heads + 2 * l.n_kv_heads) * l.head_dim);
        let per_layer = match config.per_layer_width {
            0 => None,
            width => Some(PerLayerWorkspace {
                embeddings: matrix(config.layers.len() * width),
                gate: matrix(width),
            }),
        };
        Self {
            x: matrix(config.hidden),
            normed: matrix(config.hidden),
            heads: matrix(heads.max().unwrap_or(0)),
            branch: matrix(config.hidden),
            per_layer,
            interrupted: None,
            work: 0,
            expert_reads: AtomicU64::new(0),
        }
    }

    /// Forgets a chunk that was interrupted: the cache is another one from here on.
    pub(crate) fn forget(&mut self) {
        self.interrupted = None;
    }
}
