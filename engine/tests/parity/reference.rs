//! Reading references: a model file, what it has to produce, and how near is near enough.

use std::path::{Path, PathBuf};

use carat_engine::{KvType, LoadOptions, Model, Session, SessionOptions, TokenId};
use serde_json::Value;

/// How far from a reference is near enough.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// L2 norm of the difference of the logits over the norm of the reference.
    pub(crate) rel_l2: f64,
    /// Divergence of the distributions, in nats.
    pub(crate) kl: f64,
    /// The best token has to agree if the reference's best two are farther apart than this.
    pub(crate) margin: f64,
}

/// F32 files with an F32 cache: only the order of sums differs.
pub(crate) const EXACT: Limits = Limits {
    rel_l2: 1e-5,
    kl: 1e-6,
    margin: 5e-3,
};
/// Quantized files: activations are rounded to 8 bits, keys and values to f16.
pub(crate) const ROUNDED: Limits = Limits {
    rel_l2: 2e-2,
    kl: 1e-2,
    margin: 0.3,
};
/// Two ways of our own on quantized files: one token at a time rounds activations to 8 bits, many may
/// round them to BF16. Each is within [`ROUNDED`] of the reference; the worst difference that was
/// measured between them is below 2e-2 and 1.2e-2.
const TWO_WAYS_ROUNDED: Limits = Limits {
    rel_l2: 3e-2,
    kl: 2.5e-2,
    margin: 0.3,
};
/// A `q8_0` cache against an f32 cache on F32 files, where nothing else is rounded; the worst that was
/// measured is 1.3e-2 and 7.3e-4.
const Q8_CACHE: Limits = Limits {
    rel_l2: 2e-2,
    kl: 2e-3,
    margin: 0.3,
};
/// The same on quantized files, where what the cache changes also rounds activations the other way;
/// the worst that was measured is 1.7e-2 and 1.6e-2.
const Q8_CACHE_ROUNDED: Limits = Limits {
    rel_l2: 3e-2,
    kl: 2.5e-2,
    margin: 0.3,
};

/// A model file and what it has to produce.
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) data: Value,
    pub(crate) logits: Vec<f32>,
    pub(crate) model: Model,
}

pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logits: &'a [f32],
    pub(crate) data: &'a Value,
}

impl Reference {
    pub(crate) fn read(path: &Path) -> Self {
        let data = read_json(path);
        let folder = path.parent().unwrap().to_path_buf();
        let file = |key: &str| folder.join(data[key].as_str().unwrap());
        let bytes = std::fs::read(file("logits_file")).unwrap();
        let logits = bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let model = Model::load(&file("model"), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            name: data["model"].as_str().unwrap().to_owned(),
            folder,
            data,
            logits,
            model,
        }
    }

    pub(crate) fn model_path(&self) -> PathBuf {
        self.folder.join(self.data["model"].as_str().unwrap())
    }

    pub(crate) fn is_f32(&self) -> bool {
        self.data["format"] == "f32"
    }

    /// Limits against the reference.
    pub(crate) fn limits(&self) -> Limits {
        if self.is_f32() { EXACT } else { ROUNDED }
    }

    /// Limits of two ways of our own to compute the same.
    pub(crate) fn two_ways_limits(&self) -> Limits {
        if self.is_f32() {
            EXACT
        } else {
            TWO_WAYS_ROUNDED
        }
    }

    pub(crate) fn q8_cache_limits(&self) -> Limits {
        if self.is_f32() {
            Q8_CACHE
        } else {
            Q8_CACHE_ROUNDED
        }
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.data["cases"].as_array().unwrap().iter().map(|data| {
            let number =
                |key: &str| usize::try_from(data["logits"][key].as_u64().unwrap()).unwrap();
            let start = number("offset") / 4;
            let logits = &self.logits[start..start + number("count")];
            Case {
                name: data["name"].as_str().unwrap(),
                tokens: ids(&data["tokens"]),
                logits,
                data,
            }
        })
    }

    pub(crate) fn longest_case(&self) -> Case<'_> {
        self.cases().max_by_key(|case| case.tokens.len()).unwrap()
    }

    /// A session with the cache that the format's limits are for.
    pub(crate) fn session(&self) -> Session {
        self.session_with(&self.options())
    }

    pub(crate) fn options(&self) -> SessionOptions {
        let kv = if self.is_f32() {
            KvType::F32
        } else {
            KvType::F16
        };
        SessionOptions {
            context_tokens: 256,
            kv,
            ..SessionOptions::default()
        }
    }

    pub(crate) fn session_with(&self, options: &SessionOptions) -> Session {
        self.model.new_session(options).unwrap()
    }
}

/// All references of the repository, then those beside it.
pub(crate) fn references() -> Vec<Reference> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let shared =
        std::env::var_os("CARAT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let mut found = Vec::new();
    for folder in [
        root.join("tests/fixtures/parity"),
        shared.join("parity/open"),
    ] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!(
                "note: {} is not there, its references are not checked",
                folder.display()
            );
            continue;
        };
        let mut paths: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_reference(path))
            .collect();
        paths.sort();
        found.extend(paths.iter().map(|path| Reference::read(path)));
    }
    assert!(
        found.len() >= 9,
        "only {} references were found",
        found.len()
    );
    found
}

/// `NAME.FORMAT.json` is a reference, `tokenizer-KIND.json` is not.
pub(crate) fn is_reference(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default();
    path.extension()
        .is_some_and(|extension| extension == "json")
        && Path::new(stem).extension().is_some()
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn ids(value: &Value) -> Vec<TokenId> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| TokenId::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}
