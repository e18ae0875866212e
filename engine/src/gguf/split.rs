//! Models in several files, `NAME-00001-of-00003.gguf`: the first has the metadata, each its tensors.
//!
//! Source: `gguf-split` of <https://github.com/ggml-org/llama.cpp>, keys `split.no`, `split.count` and
//! `split.tensors.count`.

use std::path::{Path, PathBuf};

use super::header::{self, Header};
use super::mapping::Bytes;
use crate::LoadError;

/// Digits of the numbers in file names.
const DIGITS: usize = 5;
/// More files than any model has.
const MAX_PARTS: u64 = 1000;

/// How many files the model has that this header is from; `None`: this one.
pub(super) fn count(header: &Header) -> Option<u64> {
    header.metadata.u64("split.count").filter(|&n| n > 1)
}

/// The other files of a model, joined with the one that was opened, in the order of their numbers.
pub(super) fn join(
    path: &Path,
    bytes: Bytes,
    header: Header,
    n_parts: u64,
) -> Result<(Vec<Bytes>, Header), LoadError> {
    let malformed = |path: &Path, what: String| LoadError::Malformed {
        path: path.to_owned(),
        what,
    };
    let own = header.metadata.u64("split.no").unwrap_or(0);
    let names = (n_parts <= MAX_PARTS && own < n_parts)
        .then(|| names(path, own, n_parts))
        .flatten()
        .ok_or_else(|| {
            let number = own.saturating_add(1);
            let what = format!(
                "it is part {number} of a model in {n_parts} files, whose names have to end in `-{:0DIGITS$}-of-{n_parts:0DIGITS$}.gguf` and so on",
                1
            );
            malformed(path, what)
        })?;
    let mut opened = Some((bytes, header));
    let mut parts = Vec::new();
    let mut whole: Option<Header> = None;
    for (number, name) in (0..).zip(&names) {
        let (bytes, mut header) = match opened.take() {
            Some(opened) if number == own => opened,
            kept => {
                opened = kept;
                let bytes = Bytes::map(name).map_err(|source| LoadError::Io {
                    path: name.clone(),
                    source,
                })?;
                let header = header::parse(&bytes).map_err(|what| malformed(name, what))?;
                (bytes, header)
            }
        };
        let found = header.metadata.u64("split.no").unwrap_or(0);
        if count(&header) != Some(n_parts) || found != number {
            let what = format!(
                "it is not part {} of {n_parts}, as its name says",
                number + 1
            );
            return Err(malformed(name, what));
        }
        for tensor in &mut header.tensors {
            tensor.part = parts.len();
        }
        parts.push(bytes);
        match &mut whole {
            None => whole = Some(header),
            Some(whole) => whole.tensors.append(&mut header.tensors),
        }
    }
    let Some(mut whole) = whole else {
        return Err(malformed(path, "it has no parts".to_owned()));
    };
    let expected = whole.metadata.u64("split.tensors.count");
    let n_tensors = whole.tensors.len() as u64;
    if let Some(expected) = expected.filter(|&expected| expected != n_tensors) {
        let what = format!("its {n_parts} files have {n_tensors} tensors, expected {expected}");
        return Err(malformed(path, what));
    }
    whole.by_name = header::sort_by_name(&whole.tensors).map_err(|what| malformed(path, what))?;
    Ok((parts, whole))
}

/// The names of all files, if that of file `own` is as it has to be.
fn names(path: &Path, own: u64, n_parts: u64) -> Option<Vec<PathBuf>> {
    let ending = |number: u64| format!("-{:0DIGITS$}-of-{n_parts:0DIGITS$}.gguf", number + 1);
    let stem = path.file_name()?.to_str()?.strip_suffix(&ending(own))?;
    let name = |number| path.with_file_name(format!("{stem}{}", ending(number)));
    Some((0..n_parts).map(name).collect())
}
