//! One forward pass, driven by the facts of a configuration, for all families of models.

mod attention;
mod branches;
mod config;
mod cost;
mod experts;
mod feed_forward;
mod forward;
mod matrix;
mod names;
mod ops;
mod rope;
mod routing;
mod weights;
mod workspace;

#[cfg(feature = "bench")]
pub use attention::bench::DecodedLayer;
pub(crate) use branches::Branches;
pub(crate) use config::{Config, ExpertConfig, KvSource, LayerConfig, RopeConfig, RopePairs, Yarn};
pub(crate) use forward::{ForwardPass, Leftover, WantedRows};
pub(crate) use matrix::Matrix;
pub(crate) use names::{ExpertNames, GateRows, TensorNames};
pub(crate) use weights::{Weights, vocabulary};
pub(crate) use workspace::Workspace;
