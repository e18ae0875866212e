//! Why a model did not come, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::{ATTEMPTS_MAX, RESTARTS_MAX};
use crate::models::http::HttpError;

/// A model that did not come.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The request cannot be sent.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Attempts at it brought nothing new.
    #[error(
        "{why}, {ATTEMPTS_MAX} times in a row; what is here is kept, and the same command goes on from there"
    )]
    Attempts {
        /// How the last one failed.
        why: String,
    },
    /// The server cannot be relied on.
    #[error(
        "{why}, again after {RESTARTS_MAX} new beginnings; try another time or from another network"
    )]
    Restarts {
        /// What is wrong with what it sends.
        why: &'static str,
    },
    /// The server does not know us, or does not let us.
    #[error(
        "{host} refuses access to `{name}` (status {status}); look at {page}, accept the licence there, and set HF_TOKEN to a token that may read it"
    )]
    Access {
        /// Which server.
        host: String,
        /// Which model.
        name: String,
        /// 401 or 403.
        status: u16,
        /// Where to ask for access.
        page: String,
    },
    /// The file has moved or was never there.
    #[error(
        "{host} has no file {url} (status {status}); try --revision main, or look at {page} for a file that you pull yourself and use by its path"
    )]
    Missing {
        /// Which server.
        host: String,
        /// What was asked for.
        url: String,
        /// 404 or 410.
        status: u16,
        /// Where to look.
        page: String,
    },
    /// Any other status that is no file.
    #[error("{host} answers with status {status} and no file")]
    Status {
        /// Which server.
        host: String,
        /// The status.
        status: u16,
    },
    /// There would be nothing to check the file with.
    #[error(
        "neither the catalogue nor {host} states a SHA-256 digest of `{name}`, so that it could not be checked; put `sha256` into a catalogue of your own (CARAT_CATALOGUE)"
    )]
    NoDigest {
        /// Which server.
        host: String,
        /// Which model.
        name: String,
    },
    /// Nobody could tell when it is complete, or whether it fits on the disk.
    #[error(
        "neither the catalogue nor {host} states the length of `{name}`; put `size_bytes` into a catalogue of your own (CARAT_CATALOGUE)"
    )]
    NoLength {
        /// Which server.
        host: String,
        /// Which model.
        name: String,
    },
    /// Not the file that the catalogue means; nothing was transferred.
    #[error(
        "the file at {host} is not the one of the catalogue: its {what} is {found}, expected {expected}; --revision main takes what the server has now, checked with the server's own digest"
    )]
    Other {
        /// Which server.
        host: String,
        /// Digest or length.
        what: &'static str,
        /// What the server states.
        found: String,
        /// What the catalogue states.
        expected: String,
    },
    /// What came is not what was stated.
    #[error(
        "the file that came is damaged: its SHA-256 digest is {found}, expected {expected}; it was thrown away. Try again, and from another network if this happens twice"
    )]
    Digest {
        /// Of the bytes that came.
        found: String,
        /// Of the bytes that should have come.
        expected: String,
    },
    /// The disk is too small.
    #[error(
        "the disk of {} has too little room: {} are missing; free them, or set CARAT_MODELS to a folder of another disk", .folder.display(), megabytes(*.missing_bytes)
    )]
    Disk {
        /// Where the file would be.
        folder: PathBuf,
        /// How much more room it needs.
        missing_bytes: u64,
    },
    /// The file cannot be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
