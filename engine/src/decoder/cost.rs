//! What one decoded token costs: the weights that it reads.

use super::config::Config;
use super::matrix::Matrix;
use super::weights::{GateUp, LayerWeights, Weights};

impl Weights {
    /// Bytes of the matrices that one decoded token reads: everything but the embedding tables, and
    /// of the experts only the used ones.
    pub(crate) fn bytes_per_token(&self, config: &Config) -> u64 {
        self.sum_active(config, &Matrix::bytes)
    }

    /// Weights in the matrices that one decoded token reads.
    pub(crate) fn active_parameters(&self, config: &Config) -> u64 {
        self.sum_active(config, &Matrix::elements)
    }

    fn sum_active(&self, config: &Config, size: &dyn Fn(&Matrix) -> u64) -> u64 {
        let layers = self.layers.iter().map(|l| l.sum_active(config, size));
        let per_layer = self.per_layer.as_ref().map(|p| size(&p.model_projection));
        size(self.head()) + per_layer.unwrap_or(0) + layers.sum::<u64>()
    }
}

impl LayerWeights {
    fn sum_active(&self, config: &Config, size: &dyn Fn(&Matrix) -> u64) -> u64 {
        let a = &self.attention;
        let mut sum = size(&a.query) + size(&a.output);
        if let Some(f) = &self.feed_forward {
            sum += size(&f.gate) + size(&f.up) + size(&f.down);
        }
        if let Some(f) = &self.ungated {
            sum += size(&f.up) + size(&f.down);
        }
        if let Some(kv) = &a.key_value {
            sum += size(&kv.key) + kv.value.as_ref().map_or(0, size);
        }
        if let (Some(e), Some(c)) = (&self.experts, config.experts) {
            let gate_up = match &e.gate_up {
                GateUp::Fused(fused) => size(&fused.all),
                GateUp::Split { gate, up } => size(&gate.all) + size(&up.all),
            };
            let all = gate_up + size(&e.down.all);
            sum += size(&e.router) + all / c.n_experts as u64 * c.n_used as u64;
        }
        if let Some(p) = &self.per_layer {
            sum += size(&p.gate) + size(&p.projection);
        }
        sum
    }
}
