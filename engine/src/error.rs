//! Errors of loading a model and of running it: what, where, expected and found, what to do.

use std::path::PathBuf;

use crate::TokenId;

/// A model file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be opened or mapped.
    #[error("{}: cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes are not a GGUF file that can be read.
    #[error("{}: not a usable GGUF file: {what}; download it again, or choose another file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and found, and where.
        what: String,
    },
    /// The file holds a model that Carat does not run.
    #[error("{}: architecture `{found}` is not supported; use a GGUF file of one of these: {supported}", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// The value of `general.architecture`.
        found: String,
        /// What Carat runs.
        supported: String,
    },
    /// A metadata key is missing or has a value that makes no sense.
    #[error("{}: metadata key `{key}`: {what}; convert the model again, or choose another file", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What was expected and found.
        what: String,
    },
    /// A tensor that the architecture needs is missing.
    #[error("{}: tensor `{name}` is missing; the file is incomplete, download it again", path.display())]
    TensorMissing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// Tensors of the model have no place in its architecture.
    #[error("{}: tensors that this architecture does not have: {names}; the file is of another model, or of a newer kind", path.display())]
    TensorUnknown {
        /// The file.
        path: PathBuf,
        /// The tensors.
        names: String,
    },
    /// A tensor has another shape than the metadata says.
    #[error("{}: tensor `{name}` has shape {found:?}, expected {expected:?}; the file is damaged or of another model", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Rows, columns as found.
        found: Vec<usize>,
        /// Rows, columns as the metadata demands.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a format that Carat has no kernels for.
    #[error("{}: tensor `{name}` has type {found}, which is not supported; use the Q4_0, Q4_K_M or Q8_0 file of this model", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Name or number of the type.
        found: String,
    },
    /// The vocabulary cannot be used.
    #[error("{}: tokenizer: {what}; convert the model again, or choose another file", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        what: String,
    },
}

/// A generation that could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is nothing to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The prompt does not fit.
    #[error(
        "the prompt has {prompt_tokens} tokens, the context has room for {context_tokens}; shorten the prompt or raise the context size"
    )]
    PromptTooLong {
        /// Length of the prompt.
        prompt_tokens: usize,
        /// Size of the context.
        context_tokens: usize,
    },
    /// A token is outside of the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocabulary} tokens")]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The file was cut off, or cannot be read, while the model ran.
    #[error("{}: the file changed on the disk while the model was in use; load it again, or download it again", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// The computation was cancelled before it had a result.
    #[error("cancelled")]
    Cancelled,
    /// The tensor library failed, which is a defect of Carat.
    #[error("tensor computation failed: {0}; please report this")]
    Tensor(String),
}
