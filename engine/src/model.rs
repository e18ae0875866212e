//! A loaded model: immutable, shared by all sessions.

use std::path::Path;
use std::sync::Arc;

use crate::decoder::{Config, ForwardPass, Matrix, Weights};
use crate::families;
use crate::gguf::ModelFile;
use crate::kernels::CpuLevel;
use crate::kernels::Pool;
use crate::tokenizer::Tokenizer;
use crate::tuning::{Choice, ModelSize, Tuning};
use crate::{GenerateError, LoadError, Session, SessionOptions};

/// Up to this size of its file a model may have a second copy of its weights in memory: it is as
/// large as the caches of a processor, so that decoding is bound by arithmetic.
const SMALL_MODEL_BYTES: u64 = 96 << 20;

/// How a model is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Threads that compute; by default as many as the machine has cores.
    pub threads: Option<usize>,
}

/// What a model file says of itself, and what follows from it.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// The name that the file gives, or the file's own.
    pub name: String,
    /// The architecture's name as in the file.
    pub architecture: String,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Weights in the file.
    pub parameters: u64,
    /// Weights that one token uses; embedding tables do not count, the output matrix does.
    pub active_parameters: u64,
    /// Programming languages that it was trained on, by their LSP identifiers, if the file says so.
    pub languages: Option<Vec<String>>,
    /// Positions that the model was made for.
    pub context_length: usize,
    /// Layers.
    pub layers: usize,
    /// Experts of a layer; 0 for dense models.
    pub experts: usize,
    /// Experts that a token uses.
    pub experts_used: usize,
    /// Whether every layer adds embeddings of its own (E2B, E4B).
    pub has_per_layer_embeddings: bool,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Bytes of weights that one decoded token reads.
    pub weight_bytes_per_token: u64,
    /// Types of the tensors and how many have each, most frequent first.
    pub tensor_types: Vec<(String, usize)>,
    /// Whether the model was not trained on the fill-in-the-middle tokens of its vocabulary.
    pub has_untrained_fim: bool,
    /// Threads that compute.
    pub threads: usize,
    /// Instruction set of the kernels in use.
    pub cpu_level: &'static str,
}

/// A model that sessions run. Clones share it.
#[derive(Clone)]
pub struct Model(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pass: ForwardPass,
    pub(crate) tokenizer: Tokenizer,
    info: ModelInfo,
    file: ModelFile,
}

impl Model {
    /// Maps and checks a GGUF file. Weights are read from the disk when they are used.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::from_file(&ModelFile::open(path)?, options)
    }

    /// A model compiled into the binary; `bytes` are aligned to 32, `name` stands in for a path.
    pub fn from_static(
        name: &str,
        bytes: &'static [u8],
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        Self::from_file(&ModelFile::from_static(name, bytes)?, options)
    }

    /// Builds a model from a file whose header was read.
    pub fn from_file(file: &ModelFile, options: &LoadOptions) -> Result<Self, LoadError> {
        let (config, names) = families::read(file, crate::decoder::vocabulary(file)?)?;
        let mut weights = Weights::from_model_file(file, &config, names)?;
        let tokenizer = Tokenizer::from_model_file(file)?;
        if tokenizer.vocabulary_len() != config.vocabulary {
            let what = format!(
                "{} tokens for an embedding of {} rows",
                tokenizer.vocabulary_len(),
                config.vocabulary
            );
            return Err(LoadError::Tokenizer {
                path: file.path().into(),
                what,
            });
        }
        let threads = options.threads.unwrap_or_else(default_threads);
        let pool = Pool::new(threads).map_err(|source| LoadError::Io {
            path: file.path().into(),
            source: std::io::Error::new(
                source.kind(),
                format!("worker threads cannot be started: {source}"),
            ),
        })?;
        if file.len_bytes() <= SMALL_MODEL_BYTES {
            weights.interleave(CpuLevel::current(), &pool);
        }
        let info = describe(file, &config, &weights, threads);
        let pass = ForwardPass::new(config, weights, CpuLevel::current(), Arc::new(pool));
        Ok(Self(Arc::new(Inner {
            pass,
            tokenizer,
            info,
            file: file.clone(),
        })))
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// What the file says of itself.
    pub fn info(&self) -> &ModelInfo {
        &self.0.info
    }

    /// Whether the file was written to, or cut off, since the model was loaded: its answers are worth
    /// nothing from then on, and it has to be loaded again.
    pub fn file_has_changed(&self) -> bool {
        self.0.file.has_changed()
    }

    /// Reads weights as was measured before. What the measurement says of other models is left out; no
    /// number that the model computes changes.
    pub fn tune(&self, tuning: &Tuning) {
        let threads = self.info().threads;
        let own = |choice: &&Choice| {
            choice.subject.size == self.size() && choice.subject.threads == threads
        };
        for choice in tuning.choices.iter().filter(own) {
            self.read_as(choice);
        }
    }

    pub(crate) fn read_as(&self, choice: &Choice) {
        let subject = choice.subject;
        let readings = &self.0.pass.weights.readings;
        readings.set(subject.tensor_type, subject.order, choice.reading);
    }

    /// The matrices that decoding multiplies.
    pub(crate) fn decoded(&self) -> impl Iterator<Item = &Matrix> {
        self.0.pass.weights.decoded()
    }

    pub(crate) fn size(&self) -> ModelSize {
        if self.0.file.len_bytes() <= SMALL_MODEL_BYTES {
            ModelSize::Small
        } else {
            ModelSize::Large
        }
    }

    pub(crate) fn level(&self) -> CpuLevel {
        self.0.pass.level
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pass.pool
    }

    /// An error if what was computed is from weights that the file has no more.
    pub(crate) fn check_file(&self) -> Result<(), GenerateError> {
        if self.0.file.is_lost() {
            let path = self.0.file.path().to_owned();
            return Err(GenerateError::FileChanged { path });
        }
        Ok(())
    }

    /// A new stream of text with an empty cache.
    pub fn new_session(&self, options: &SessionOptions) -> Result<Session, GenerateError> {
        Ok(Session::new(self.clone(), options))
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn describe(file: &ModelFile, config: &Config, weights: &Weights, threads: usize) -> ModelInfo {
    let metadata = file.metadata();
    let fallback = || {
        file.path()
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = metadata.model_name().map_or_else(fallback, str::to_owned);
    let parameters: u64 = file.tensors().iter().map(|t| t.elements() as u64).sum();
    let mut types: Vec<(String, usize)> = Vec::new();
    for tensor in file.tensors() {
        let name = tensor.type_name();
        match types.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => types.push((name, 1)),
        }
    }
    types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ModelInfo {
        has_untrained_fim: config.untrained_fim,
        languages: metadata.languages(),
        name,
        architecture: metadata.architecture().to_owned(),
        file_bytes: file.len_bytes(),
        parameters,
        active_parameters: weights.active_parameters(config),
        context_length: config.context,
        layers: config.layers.len(),
        experts: config.experts.map_or(0, |e| e.n_experts),
        experts_used: config.experts.map_or(0, |e| e.n_used),
        has_per_layer_embeddings: config.per_layer_width > 0,
        vocabulary: config.vocabulary,
        weight_bytes_per_token: weights.bytes_per_token(config),
        tensor_types: types,
        threads,
        cpu_level: CpuLevel::current().name(),
    }
}
