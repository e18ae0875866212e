//! What one decoded token costs: the weights that it reads.

use super::config::Config;
use super::matrix::Matrix;
use super::weights::{GateUp, LayerWeights, Weights};

/// How much of a matrix a token uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Whole,
    SomeExperts,
}

impl Weights {
    /// Bytes of the matrices that one decoded token reads: everything but the embedding tables, and
    /// of the experts only the used ones.
    pub(crate) fn bytes_per_token(&self, config: &Config) -> u64 {
        self.sum_active(config, Matrix::bytes)
    }

    /// Weights in the matrices that one decoded token reads.
    pub(crate) fn active_parameters(&self, config: &Config) -> u64 {
        self.sum_active(config, Matrix::elements)
    }

    /// The matrices that decoding multiplies, with all experts.
    pub(crate) fn decoded(&self) -> impl Iterator<Item = &Matrix> {
        self.uses().into_iter().map(|(matrix, _)| matrix)
    }

    fn sum_active(&self, config: &Config, size: impl Fn(&Matrix) -> u64) -> u64 {
        let parts = self
            .uses()
            .into_iter()
            .map(|(matrix, how)| match (how, config.experts) {
                (Use::SomeExperts, Some(experts)) => {
                    size(matrix) / experts.n_experts as u64 * experts.n_used as u64
                }
                _ => size(matrix),
            });
        parts.sum()
    }

    fn uses(&self) -> Vec<(&Matrix, Use)> {
        let mut all = vec![(self.head(), Use::Whole)];
        all.extend(
            self.per_layer
                .iter()
                .map(|p| (&p.model_projection, Use::Whole)),
        );
        all.extend(self.layers.iter().flat_map(LayerWeights::uses));
        all
    }
}

impl LayerWeights {
    fn uses(&self) -> Vec<(&Matrix, Use)> {
        let a = &self.attention;
        let mut whole = vec![&a.query, &a.output];
        let mut experts = Vec::new();
        if let Some(f) = &self.feed_forward {
            whole.extend([&f.gate, &f.up, &f.down]);
        }
        if let Some(f) = &self.ungated {
            whole.extend([&f.up, &f.down]);
        }
        if let Some(kv) = &a.key_value {
            whole.push(&kv.key);
            whole.extend(&kv.value);
        }
        if let Some(e) = &self.experts {
            whole.push(&e.router);
            match &e.gate_up {
                GateUp::Fused(fused) => experts.push(&fused.all),
                GateUp::Split { gate, up } => experts.extend([&gate.all, &up.all]),
            }
            experts.push(&e.down.all);
        }
        if let Some(p) = &self.per_layer {
            whole.extend([&p.gate, &p.projection]);
        }
        let whole = whole.into_iter().map(|matrix| (matrix, Use::Whole));
        let experts = experts.into_iter().map(|matrix| (matrix, Use::SomeExperts));
        whole.chain(experts).collect()
    }
}
