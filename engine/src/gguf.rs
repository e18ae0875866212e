//! Model files: GGUF of version 2 or 3, mapped and never copied.
//!
//! The header is read once, with every count and offset checked against the bytes of the file.
//! Strings, arrays and tensors stay in the map. A tensor of a type that Carat does not run does not
//! make the file unusable; whoever asks for it gets the error.
//!
//! Source: the specification of GGUF, `docs/gguf.md` in <https://github.com/ggml-org/ggml>.

mod header;
mod mapping;
mod metadata;
mod split;
mod tensor_type;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use header::TensorInfo;
pub use mapping::TensorData;
pub use metadata::{Metadata, Span, Strings, Value, ValueType};
pub use tensor_type::TensorType;

use crate::LoadError;
use header::Header;
use mapping::Bytes;

/// A model compiled into the binary must be aligned like this, in bytes, as tensors in it are.
const STATIC_ALIGNMENT: usize = 32;

/// A GGUF file whose header was checked. Clones share one map.
#[derive(Clone)]
pub struct ModelFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// The files of the model, one as a rule.
    parts: Vec<Bytes>,
    header: Header,
}

impl ModelFile {
    /// Maps the file and reads its header; tensors are read from the disk when they are used. Of a
    /// model in several files, `path` may be any: the others are looked for beside it.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let bytes = Bytes::map(path).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_parts(path.to_owned(), bytes)
    }

    /// A model compiled into the binary. `name` stands in for the path in messages.
    ///
    /// `bytes` must begin at a multiple of 32 bytes, which `include_bytes!` alone does not promise.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, LoadError> {
        let path = PathBuf::from(name);
        if !bytes.as_ptr().addr().is_multiple_of(STATIC_ALIGNMENT) {
            let what =
                format!("the embedded bytes do not begin at a multiple of {STATIC_ALIGNMENT}");
            return Err(LoadError::Malformed { path, what });
        }
        Self::from_parts(path, Bytes::Static(bytes))
    }

    /// A model that was made in memory; copies `bytes`. For tests and fuzzing.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        let path = PathBuf::from(name);
        match Bytes::copy(bytes) {
            Ok(bytes) => Self::from_parts(path, bytes),
            Err(source) => Err(LoadError::Io { path, source }),
        }
    }

    fn from_parts(path: PathBuf, bytes: Bytes) -> Result<Self, LoadError> {
        let header = match header::parse(&bytes) {
            Ok(header) => header,
            Err(what) => return Err(LoadError::Malformed { path, what }),
        };
        let (parts, header) = match split::count(&header) {
            Some(n_parts) => split::join(&path, bytes, header, n_parts)?,
            None => (vec![bytes], header),
        };
        Ok(Self(Arc::new(Inner {
            path,
            parts,
            header,
        })))
    }

    /// Where the file is, or the name that stands in for the path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Length of the whole file in bytes, or of all files of the model.
    pub fn len_bytes(&self) -> u64 {
        self.0.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// Whether somebody wrote to the file, or cut it off, since it was opened: what is read now is not
    /// what was checked.
    pub fn has_changed(&self) -> bool {
        self.0.parts.iter().any(Bytes::has_changed)
    }

    /// Whether bytes were read that the file has no more: they were zeros.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.parts.iter().any(Bytes::is_lost)
    }

    /// The key-value part of the header.
    pub fn metadata(&self) -> &Metadata {
        &self.0.header.metadata
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.0.header.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let Header {
            tensors, by_name, ..
        } = &self.0.header;
        let found = by_name
            .binary_search_by(|&index| tensors[index as usize].name.as_str().cmp(name))
            .ok()?;
        tensors.get(*by_name.get(found)? as usize)
    }

    /// The bytes of a tensor of this file.
    pub fn data(&self, info: &TensorInfo) -> TensorData {
        let part = self.0.parts.get(info.part).unwrap_or(&self.0.parts[0]);
        TensorData::new(part.clone(), info.range())
    }
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelFile")
            .field("path", &self.0.path)
            .field("len_bytes", &self.len_bytes())
            .field("tensors", &self.tensors().len())
            .finish_non_exhaustive()
    }
}
