//! What Carat remembers of a workspace: its texts as an [`Index`], read from disk in the background
//! and kept there for the next start.
//!
//! Files that the user's ignore files name, that tools wrote or that hold secrets by their name are
//! never read; what looks like a secret in others is masked before anything else sees it.

mod fill;
mod rules;
mod store;
mod thread;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::echo::Index;
use crate::workspace::Folder;

pub use fill::{Filled, Limits, text_of};
pub use rules::{FILE_BYTES_MAX, is_ignore_file, may_be_read};
pub use store::{FOLDER_VARIABLE, Kept, Store};
pub use thread::{Order, Reading, Recalled, spawn};

/// The memory of a workspace, as the disk has it. Paths are relative to its folder, with `/`; where
/// there are several folders, each has a prefix.
#[derive(Debug)]
pub struct Memory {
    folders: Vec<Folder>,
    index: Index,
}

impl Memory {
    /// One of a single folder that knows nothing yet.
    pub fn new(root: &Path) -> Self {
        Self::of(vec![Folder {
            root: root.to_owned(),
            prefix: String::new(),
            left_out: Arc::default(),
        }])
    }

    /// One of these folders that knows nothing yet.
    pub fn of(folders: Vec<Folder>) -> Self {
        Self {
            folders,
            index: Index::default(),
        }
    }

    /// The folders.
    pub fn folders(&self) -> &[Folder] {
        &self.folders
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

/// Whether a folder is so wide that it is no project: the root of a disk, or all of a user's files.
fn is_too_wide(root: &PathBuf) -> bool {
    root.parent().is_none() || std::env::home_dir().is_some_and(|home| home.starts_with(root))
}

#[cfg(test)]
mod tests;
