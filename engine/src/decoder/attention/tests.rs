//! What a query finds is the same numbers however the work is split: by threads, and by the rows that are
//! evaluated with it; and it is what the formula says.

use super::CachedAttention;
use crate::decoder::branches::Branches;
use crate::decoder::ops::Compute;
use crate::decoder::{KvSource, LayerConfig};
use crate::kernels::random::{Random, floats};
use crate::kernels::{CpuLevel, Pool};
use crate::kv_cache::{HeadRows, KvCache, KvLimits, KvShape, KvType};

const D: usize = 32;
/// Segments end at multiples of 256.
const CONTEXT: usize = 1100;

struct Layer {
    cache: KvCache,
    config: LayerConfig,
    /// `[CONTEXT, n_kv_heads * D]`
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[CONTEXT, n_heads * D]`
    queries: Vec<f32>,
}

fn layer(kv: KvType, n_kv_heads: usize, group: usize, window: Option<usize>) -> Layer {
    let random = &mut Random(5);
    let shape = KvShape {
        n_kv_heads,
        head_dim: D,
        window,
    };
    let limits = KvLimits {
        context: CONTEXT,
        chunk: CONTEXT,
        margin: 0,
    };
    let mut cache = KvCache::new(&[shape], kv, limits);
    let n_heads = n_kv_heads * group;
    let [keys, values] = [(); 2].map(|()| floats(random, CONTEXT * n_kv_heads * D));
    let rows = |values| HeadRows {
        values,
        stride: n_kv_heads * D,
    };
    cache.begin(CONTEXT);
    let pool = Pool::new(1).expect("no thread");
    cache.store(&pool, 0, 0, rows(&keys), rows(&values));
    cache.advance(CONTEXT);
    Layer {
        cache,
        config: LayerConfig {
            window,
            n_heads,
            n_kv_heads,
            head_dim: D,
            ffn_width: 0,
            kv: KvSource::Own(0),
            attention_scale: 0.05,
        },
        keys,
        values,
        queries: floats(random, CONTEXT * n_heads * D),
    }
}

impl Layer {
    fn width(&self) -> usize {
        self.config.n_heads * D
    }

    /// Of the rows at these positions.
    fn attend(
        &self,
        threads: usize,
        first: usize,
        n: usize,
        branches: Option<Branches<'_>>,
    ) -> Vec<f32> {
        let pool = Pool::new(threads).expect("threads start");
        let attention = CachedAttention {
            cache: &self.cache,
            store: 0,
            layer: &self.config,
            first_position: first,
            branches,
            scale: self.config.attention_scale,
            compute: Compute {
                level: CpuLevel::current(),
                pool: &pool,
            },
        };
        let width = self.width();
        let mut out = vec![f32::NAN; n * width];
        attention.attend(&self.queries[first * width..], width, &mut out);
        out
    }

    /// The formula, in f64.
    fn expected(&self, position: usize) -> Vec<f32> {
        let group = self.config.n_heads / self.config.n_kv_heads;
        let stride = self.config.n_kv_heads * D;
        let lowest = self
            .config
            .window
            .map_or(0, |w| (position + 1).saturating_sub(w));
        let mut out = Vec::new();
        for head in 0..self.config.n_heads {
            let query = &self.queries[position * self.width() + head * D..][..D];
            let at = |p: usize| p * stride + head / group * D;
            let weights: Vec<f64> = (lowest..=position)
                .map(|p| {
                    let pairs = query.iter().zip(&self.keys[at(p)..][..D]);
                    let dot: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    (dot * f64::from(self.config.attention_scale)).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            out.extend((0..D).map(|i| {
                let values = (lowest..=position).map(|p| f64::from(self.values[at(p) + i]));
                let sum: f64 = values.zip(&weights).map(|(v, w)| v * w).sum();
                (sum / total) as f32
            }));
        }
        out
    }
}

#[test]
fn splitting_changes_no_number() {
    for (kv, n_kv_heads, group, window) in [
        (KvType::F16, 1, 8, None),
        (KvType::Q8_0, 2, 3, None),
        (KvType::F32, 1, 4, Some(300)),
        (KvType::F16, 16, 1, Some(512)),
    ] {
        let layer = layer(kv, n_kv_heads, group, window);
        for first in [0, 250, 255, 256, 600, 1020] {
            let together = layer.attend(1, first, 8, None);
            for threads in [2, 3, 6] {
                assert_eq!(
                    layer.attend(threads, first, 8, None),
                    together,
                    "{threads} threads"
                );
            }
            for (i, row) in together.chunks_exact(layer.width()).enumerate() {
                let alone = layer.attend(2, first + i, 1, None);
                assert_eq!(alone, row, "{kv:?}, row {i} from {first} on");
                let expected = layer.expected(first + i);
                let tolerance = if matches!(kv, KvType::F32) {
                    1e-5
                } else {
                    2e-2
                };
                for (found, expected) in row.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < tolerance,
                        "{found} for {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_branch_is_a_row_of_its_own() {
    let layer = layer(KvType::F16, 1, 4, None);
    // Two texts of two tokens behind the same trunk, of which the second has its slots last.
    let slots = [700, 702, 701, 703];
    let branches = Branches {
        trunk: 700,
        depth: 2,
        slots: &slots,
    };
    let found = layer.attend(1, 700, 2, Some(branches));
    assert_eq!(layer.attend(3, 700, 2, Some(branches)), found);
    assert!(found.iter().all(|value| value.is_finite()));
    // A branch whose slots follow the trunk is a plain row.
    let plain = [700, 701];
    let alone = Branches {
        slots: &plain,
        ..branches
    };
    let row = layer.attend(2, 700, 1, Some(alone));
    // The query is that of the row at 700, and sees the position 701 as well.
    let width = layer.width();
    let mut moved = layer;
    let query = moved.queries[700 * width..][..width].to_vec();
    moved.queries[701 * width..][..width].copy_from_slice(&query);
    assert_eq!(moved.attend(2, 701, 1, None), row);
}
