//! Tokens in, tokens out: quantized Gemma models on CPU threads.
//!
//! A [`Model`] is immutable and cheap to clone: the mapped weights, the configuration, the tokenizer.
//! A [`Session`] is one stream of text: a KV cache and the tokens in it. Prompts that share a prefix
//! with what the cache holds pay only for the rest.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use carat_engine::{CancelToken, GenerationRequest, LoadOptions, Model, SessionOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("model.gguf".as_ref(), &LoadOptions::default())?;
//! let mut session = model.new_session(&SessionOptions::default())?;
//! let mut prompt: Vec<_> = model.tokenizer().bos().into_iter().collect();
//! prompt.extend(model.tokenizer().encode("fn main() {"));
//! let summary = session.generate(
//!     &prompt,
//!     &GenerationRequest { max_tokens: 16, ..GenerationRequest::default() },
//!     &CancelToken::new(),
//!     &mut |piece| { eprint!("{}", piece.text); ControlFlow::Continue(()) },
//! )?;
//! eprintln!("\n{} tokens", summary.tokens.len());
//! # Ok(())
//! # }
//! ```

mod bandwidth;
mod beam;
mod cancel;
mod continuation;
mod decoder;
mod decoding;
mod error;
mod families;
mod generation;
pub mod gguf;
mod healing;
mod kernels;
mod kv_cache;
mod mixing;
mod model;
mod right_of_way;
mod sampling;
mod session;
mod slots;
mod speculation;
mod stop;
mod tokenizer;
mod tuning;

pub use bandwidth::measure_bandwidth;
pub use beam::{Candidate, SearchSummary, search};
pub use cancel::CancelToken;
pub use continuation::{
    CONTEXT_BYTES, CONTINUATION_BYTES, CONTINUATIONS_MAX, ContinuationSource, Continuations, Mixing,
};
pub use error::{GenerateError, LoadError};
pub use generation::{
    GenerationRequest, GenerationSummary, Piece, Sampling, StopReason, TokenScore,
};
pub use gguf::ModelFile;
pub use kernels::{CpuLevel, InstructionSet, Order, Reading, release_freed_memory};
pub use kv_cache::KvType;
pub use model::{LoadOptions, Model, ModelInfo};
pub use right_of_way::{RightOfWay, WayTaken};
pub use session::{Prefill, Progress, Session, SessionOptions};
pub use slots::Slots;
pub use speculation::{Drafts, PromptLookup};
pub use tokenizer::{FimTokens, TextStream, Tokenizer};
pub use tuning::{Choice, ModelSize, Step, Subject, Tuner, Tuning, TuningError};

/// What the benchmarks call; not an interface.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench {
    pub use crate::decoder::DecodedLayer;
    pub use crate::kernels::bench::*;
}

/// Index of a token in the vocabulary.
pub type TokenId = u32;

/// Name of the instruction set that the kernels use here, as `CARAT_CPU_LEVEL` takes it.
pub fn cpu_level() -> &'static str {
    CpuLevel::current().name()
}
