//! The memory in which a model keeps what it has read of documents: how much, in which form.

use carat_engine::{KvType, Model, Session, SessionOptions, Slots};

use super::Tier;
use crate::settings::KvCache;

/// For the caches of all documents. Users edit one file and look at others; with as many caches as this
/// holds, at least one, they come back to what was read.
const BYTES_MAX: usize = 1200 << 20;

/// With room for fewer documents than this, their caches are kept in 8 bits.
const DOCUMENTS_MIN: usize = 4;

/// Positions of a document: the longest prompt with what is told of other files, and an answer. The embedded
/// model's prompts are short.
const CONTEXT_TOKENS: usize = 8192;

/// What of the memory that other programs leave beside the weights the caches may take: one in so many.
const SHARE: u64 = 2;

/// How the caches of a model's documents are kept.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    pub(super) options: SessionOptions,
    pub(super) bytes: usize,
}

impl Caches {
    /// As the user wants it; else by what a cache takes of the memory that is there.
    pub(super) fn new(model: &Model, tier: Tier, wanted: KvCache, memory: Memory) -> Self {
        let bytes = memory.for_caches();
        let usual = SessionOptions::default();
        let usual = SessionOptions {
            context_tokens: match tier {
                Tier::Small => usual.context_tokens,
                Tier::Large => CONTEXT_TOKENS,
            },
            ..usual
        };
        // A model with large caches reads in short chunks anyway, and goes back by fewer tokens.
        let small = SessionOptions {
            kv: KvType::Q8_0,
            chunk_tokens: 128,
            rollback_tokens: 768,
            ..usual.clone()
        };
        let fit = |options: &SessionOptions| bytes / Session::cache_bytes(model, options).max(1);
        let options = match wanted {
            KvCache::F16 => usual,
            KvCache::Auto if fit(&usual) >= DOCUMENTS_MIN => usual,
            KvCache::Auto | KvCache::Q8_0 => small,
        };
        Self { options, bytes }
    }

    /// A cache for each of the documents that were used last.
    pub(super) fn slots(&self, model: &Model) -> Slots {
        Slots::new(model.clone(), self.options.clone(), self.bytes)
    }
}

/// What there is for a model, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// What programs can have without making the machine swap, before the weights are read; `None` where
    /// the system does not tell.
    pub(super) available: Option<u64>,
    /// What the weights take.
    pub(super) weights: u64,
}

impl Memory {
    fn for_caches(self) -> usize {
        let left = self.available.map(|bytes| {
            let left = bytes.saturating_sub(self.weights) / SHARE;
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        left.map_or(BYTES_MAX, |left| left.min(BYTES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use carat_engine::LoadOptions;

    use super::*;

    #[test]
    fn caches_are_kept_in_8_bits_where_memory_is_short_or_the_user_says_so() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let model = Model::load(file.as_ref(), &LoadOptions { threads: Some(1) });
        let model = model.expect("a model");
        let caches = |wanted, available| {
            let weights = 1000;
            let memory = Memory { available, weights };
            Caches::new(&model, Tier::Large, wanted, memory)
        };
        let kv = |wanted, available| caches(wanted, available).options.kv;
        let plenty = caches(KvCache::Auto, None);
        assert_eq!((plenty.options.kv, plenty.bytes), (KvType::F16, BYTES_MAX));
        let each = Session::cache_bytes(&model, &plenty.options) as u64;
        let room_for = |documents: u64| Some(1000 + SHARE * documents * each);
        assert_eq!(kv(KvCache::Auto, room_for(4)), KvType::F16);
        assert_eq!(kv(KvCache::Auto, room_for(3)), KvType::Q8_0);
        assert_eq!(kv(KvCache::F16, room_for(3)), KvType::F16);
        assert_eq!(kv(KvCache::Q8_0, None), KvType::Q8_0);
        let short = caches(KvCache::Auto, room_for(3));
        let slots = short.slots(&model);
        assert!(slots.most() > 3, "in 8 bits there is room for more");
        assert!(slots.most() * Session::cache_bytes(&model, &short.options) <= short.bytes);
        let none = caches(KvCache::Auto, Some(500));
        assert_eq!(none.slots(&model).most(), 1, "one document at least");
    }
}
