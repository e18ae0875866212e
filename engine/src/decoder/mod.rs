//! The Gemma architectures: one pass, driven by configuration, for Gemma 1, 3 and 4.

mod attention;
mod branches;
mod config;
mod cost;
mod experts;
mod feed_forward;
mod forward;
mod ops;
mod rope;
mod routing;
mod weights;
mod workspace;

pub(crate) use branches::Branches;
pub(crate) use config::{Architecture, Config};
pub(crate) use forward::{Leftover, Pass, WantedRows};
pub(crate) use weights::{Weights, vocabulary};
pub(crate) use workspace::Workspace;
