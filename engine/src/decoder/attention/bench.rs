//! What the benchmark of attention calls, behind the feature `bench`: not an interface.

use super::cached::{CachedAttention, SEGMENT};
use crate::decoder::ops::Compute;
use crate::decoder::{KvSource, LayerConfig};
use crate::kernels::random::{Random, floats};
use crate::kernels::{CpuLevel, Pool};
use crate::kv_cache::{HeadRows, KvCache, KvLimits, KvShape, KvType};

/// A layer whose cache is full, and the queries of the next token.
pub struct DecodedLayer {
    pool: Pool,
    cache: KvCache,
    layer: LayerConfig,
    queries: Vec<f32>,
    out: Vec<f32>,
}

impl DecodedLayer {
    /// Of `n_kv_heads` heads, each for `group` queries, that are `head_dim` long, behind so many positions.
    pub fn random(
        threads: usize,
        n_kv_heads: usize,
        group: usize,
        head_dim: usize,
        positions: usize,
    ) -> std::io::Result<Self> {
        let pool = Pool::new(threads)?;
        let shape = KvShape {
            n_kv_heads,
            head_dim,
            window: None,
        };
        let limits = KvLimits {
            context: positions,
            chunk: 1,
            margin: 0,
        };
        let mut cache = KvCache::new(&[shape], KvType::F16, limits);
        let random = &mut Random(11);
        let row = n_kv_heads * head_dim;
        for position in 0..positions {
            let rows = [floats(random, row), floats(random, row)];
            let [keys, values] = [&rows[0], &rows[1]].map(|values| HeadRows {
                values,
                stride: row,
            });
            cache.begin(1);
            cache.store(&pool, 0, position, keys, values);
            cache.advance(1);
        }
        let n_heads = n_kv_heads * group;
        Ok(Self {
            pool,
            cache,
            layer: LayerConfig {
                window: None,
                n_heads,
                n_kv_heads,
                head_dim,
                ffn_width: 0,
                kv: KvSource::Own(0),
                // Scores about as far apart as in trained models: weights that are all but zero are slow.
                attention_scale: 1.0 / (3.0 * (head_dim as f32).sqrt()),
            },
            queries: floats(random, n_heads * head_dim),
            out: vec![0.0; n_heads * head_dim],
        })
    }

    /// What the last token's queries find; with all positions in one part unless they are `split`.
    pub fn attend(&mut self, split: bool) {
        let level = CpuLevel::current();
        let attention = CachedAttention {
            cache: &self.cache,
            store: 0,
            layer: &self.layer,
            first_position: self.cache.len() - 1,
            branches: None,
            scale: self.layer.attention_scale,
            compute: Compute {
                level,
                pool: &self.pool,
            },
        };
        let segment = if split { SEGMENT } else { usize::MAX };
        attention.attend_in(segment, &self.queries, self.queries.len(), &mut self.out);
    }
}
