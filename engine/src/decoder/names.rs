//! What families call the tensors in which they differ; those of a layer without its `blk.N.`.

/// The tensors of a family beside those that all have under the same names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TensorNames {
    /// Norms of query and of key heads.
    pub(crate) head_norms: Option<[&'static str; 2]>,
    /// Norms at the end of attention and of the feed-forward block.
    pub(crate) branch_norms: Option<[&'static str; 2]>,
    /// Biases of queries, keys and values.
    pub(crate) biases: Option<[&'static str; 3]>,
    /// Bias of what attention gives.
    pub(crate) output_bias: Option<&'static str>,
    /// Whether norms of the residual stream are layer norms, with a bias.
    pub(crate) layer_norms: bool,
    /// Whether a global layer may take its values from its keys.
    pub(crate) values_may_be_keys: bool,
    pub(crate) gate: GateRows,
    /// Those of experts, if the configuration has some.
    pub(crate) experts: Option<ExpertNames>,
}

impl TensorNames {
    /// None of these.
    pub(crate) const PLAIN: Self = Self {
        head_norms: None,
        branch_norms: None,
        biases: None,
        output_bias: None,
        layer_norms: false,
        values_may_be_keys: false,
        gate: GateRows::Own,
        experts: None,
    };
}

/// Where the gate of the dense feed-forward block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateRows {
    /// In a tensor of its own.
    Own,
    /// The tensor of the up matrix begins with them.
    InUp,
    /// The block has no gate, but biases.
    Absent,
}

/// The tensors of a layer's experts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpertNames {
    /// Norm of what they read.
    pub(crate) norm: &'static str,
    /// Norm of their sum.
    pub(crate) post_norm: Option<&'static str>,
    /// Norm of what the dense block beside them gives; without one there is no such block but a shared
    /// expert.
    pub(crate) dense_post_norm: Option<&'static str>,
    /// Scale of the router's own norm; without one the router reads what the experts read.
    pub(crate) router_scale: Option<&'static str>,
    /// Factors on what they give, under one of these names.
    pub(crate) output_scale: &'static [&'static str],
}

impl ExpertNames {
    /// Experts in place of the dense block.
    pub(crate) const PLAIN: Self = Self {
        norm: "ffn_norm.weight",
        post_norm: None,
        dense_post_norm: None,
        router_scale: None,
        output_scale: &[],
    };
}
