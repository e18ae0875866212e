//! The bytes of a model: a mapped file, or a model compiled into the binary.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; this is the only place that does it"
)]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

/// Bytes that stay in place for as long as a clone of this handle lives.
#[derive(Clone)]
pub(super) enum Bytes {
    Mapped(Arc<Mmap>),
    Static(&'static [u8]),
}

impl Bytes {
    /// Maps the file at `path`; pages are read from the disk when they are first touched.
    pub(super) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        // SAFETY: the map is private and read-only, so this process cannot write through it. Another
        // process can still change or truncate the file: weights then change under us or the access
        // faults, as with every program that maps its data. Model files are written once, under
        // another name, and renamed when they are complete; nothing here derives lengths or offsets
        // from the map a second time after the header was checked.
        let map = unsafe { Mmap::map(&file)? };
        // Decoding touches every page once per token; large pages spare it the walks. Where the
        // file system has none (Linux before 6.16 with ext4), the advice has no effect.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self::Mapped(Arc::new(map)))
    }

    /// Copies `bytes` into anonymous pages, so that they are aligned as a mapped file is.
    pub(super) fn copy(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::Static(&[]));
        }
        let mut map = MmapMut::map_anon(bytes.len())?;
        map.copy_from_slice(bytes);
        let map = map.make_read_only()?;
        Ok(Self::Mapped(Arc::new(map)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

/// The bytes of one tensor, in the map; clones share the map and keep it alive.
#[derive(Clone)]
pub struct TensorData {
    bytes: Bytes,
    range: Range<usize>,
}

impl TensorData {
    /// A range outside of `bytes` gives no bytes at all.
    pub(super) fn new(bytes: Bytes, range: Range<usize>) -> Self {
        let range = if bytes.get(range.clone()).is_some() {
            range
        } else {
            0..0
        };
        Self { bytes, range }
    }
}

impl Deref for TensorData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl std::fmt::Debug for TensorData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorData({} bytes)", self.range.len())
    }
}
