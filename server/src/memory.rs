//! What Carat remembers of a workspace: its texts as an [`Index`], read from disk in the background
//! and kept there for the next start.
//!
//! Files that the user's ignore files name, that tools wrote or that hold secrets by their name are
//! never read; what looks like a secret in others is masked before anything else sees it.

mod fill;
mod rules;
mod store;

use std::path::{Path, PathBuf};

use crate::echo::Index;

pub use fill::{Filled, Limits};
pub use rules::FILE_BYTES_MAX;
pub use store::{FOLDER_VARIABLE, Kept, Store};

/// The memory of one workspace folder, as the disk has it. Paths are relative to it, with `/`.
#[derive(Debug)]
pub struct Memory {
    root: PathBuf,
    index: Index,
}

impl Memory {
    /// One that knows nothing yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            index: Index::default(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is known.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Joins what has changed where that pays.
    fn tidy(&mut self) {
        if let Some(tidying) = self.index.tidying() {
            self.index.adopt_tidied(tidying.build());
        }
    }
}

#[cfg(test)]
mod tests;
