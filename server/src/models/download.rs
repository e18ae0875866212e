//! Brings a model's file to this machine: whole and checked, or not at all.
//!
//! Bytes go to a partial file beside a description of the content that they are of. An attempt
//! that ends early, in whatever way, leaves both, and the next attempt asks for the rest. Only a
//! file whose digest is right gets the model's name, in one step.

mod error;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

pub use self::error::PullError;
use super::digest::Digest;
use super::http::{Answer, Client, HttpError, Resume};
use super::store::{Partial, Record, State, Store};

/// Attempts in a row that brought nothing new.
const ATTEMPTS_MAX: u32 = 5;
/// Times that one run throws away what is here and starts over; a server that causes more is broken.
const RESTARTS_MAX: u32 = 3;
/// The first wait between attempts is this part of the time after which a connection counts as
/// stalled; each further one is twice as long.
const BACKOFF_DIVISOR: u32 = 30;
/// A server that is asked too often may ask for a longer wait, but not for any.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);
/// Left free on the disk: a full one hurts more than a missing model.
const DISK_RESERVE_BYTES: u64 = 64 << 20;
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name of the model in the store.
    pub name: String,
    /// Where the file is.
    pub url: String,
    /// The page where a person can ask for access.
    pub page: String,
    /// The digest it must have, if known beforehand.
    pub sha256: Option<String>,
    /// The length it must have, if known beforehand.
    pub size_bytes: Option<u64>,
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another process is pulling the same model; this one waits for it.
    Waiting,
    /// Bytes of an earlier attempt are read again for the digest.
    Checking {
        /// How many there are.
        bytes: u64,
    },
    /// Bytes that are here.
    Received {
        /// How many.
        bytes: u64,
        /// Of how many.
        size_bytes: u64,
    },
    /// An attempt has failed; the next follows after a wait.
    Again {
        /// Why it failed.
        why: String,
        /// How long the wait is.
        wait: Duration,
    },
    /// What was here cannot be gone on with.
    FromTheBeginning {
        /// Why.
        why: &'static str,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The file.
    pub path: PathBuf,
    /// Its digest, where it is known.
    pub sha256: Option<String>,
    /// Its length.
    pub size_bytes: u64,
    /// Whether it was there already.
    pub was_here: bool,
}

/// Brings a model into the store, or finds that it is there.
///
/// It returns with an error after some attempts in a row that brought nothing. Progress is told to
/// `on_progress` after each piece.
pub fn pull(
    request: &Request,
    store: &Store,
    client: &Client,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Pulled, PullError> {
    if let Some(pulled) = present(request, store) {
        return Ok(pulled);
    }
    let failed = |source| PullError::File {
        path: store.folder().to_owned(),
        source,
    };
    let _lock = store
        .lock(&request.name, || on_progress(Progress::Waiting))
        .map_err(failed)?;
    // The process that held the lock may have brought it.
    if let Some(pulled) = present(request, store) {
        return Ok(pulled);
    }
    Download::resume(request, store, on_progress)?.run(client, on_progress)
}

fn present(request: &Request, store: &Store) -> Option<Pulled> {
    let State::Present { bytes } = store.state(&request.name) else {
        return None;
    };
    let record = store.record(&request.name);
    // Cut off by somebody else; a file without a record is one that the user has put there.
    if record
        .as_ref()
        .is_some_and(|record| record.size_bytes != bytes)
    {
        return None;
    }
    Some(Pulled {
        path: store.file(&request.name),
        sha256: record.map(|record| record.sha256),
        size_bytes: bytes,
        was_here: true,
    })
}

/// How an attempt ended that did not fail for good.
enum Attempt {
    /// All bytes are here.
    Complete,
    /// It is worth another.
    Again {
        why: String,
        retry_after: Option<Duration>,
    },
}

/// A download under way.
struct Download<'a> {
    request: &'a Request,
    store: &'a Store,
    /// The content that the bytes here are of.
    partial: Partial,
    /// The partial file, written to its end.
    file: File,
    /// Bytes of it.
    bytes: u64,
    /// The digest of these bytes.
    digest: Digest,
    /// Whether some of them came in an earlier attempt.
    is_pieced: bool,
    /// How often this run has started over.
    restarts: u32,
}

impl<'a> Download<'a> {
    /// Takes up what an earlier process left, if it is of what is asked for.
    fn resume(
        request: &'a Request,
        store: &'a Store,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, PullError> {
        let path = store.part(&request.name);
        let failed = |source| PullError::File {
            path: path.clone(),
            source,
        };
        let left = store.partial(&request.name).filter(|partial| {
            let same = |known: &Option<String>| {
                known
                    .as_ref()
                    .is_none_or(|digest| *digest == partial.sha256)
            };
            partial.url == request.url && same(&request.sha256)
        });
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(left.is_none())
            .open(&path)
            .map_err(failed)?;
        let mut digest = Digest::default();
        let mut bytes = 0;
        if left.is_some() {
            let length = file.metadata().map_err(failed)?.len();
            if length > 0 {
                on_progress(Progress::Checking { bytes: length });
            }
            bytes = digest.read(&mut file, &mut |_| ()).map_err(failed)?;
        }
        Ok(Self {
            request,
            store,
            partial: left.unwrap_or_default(),
            file,
            bytes,
            digest,
            is_pieced: bytes > 0,
            restarts: 0,
        })
    }

    fn run(
        mut self,
        client: &Client,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Pulled, PullError> {
        let mut fruitless = 0;
        loop {
            let before = self.bytes;
            let (why, retry_after) = match self.attempt(client, on_progress)? {
                Attempt::Complete => match self.finish(on_progress)? {
                    Some(pulled) => return Ok(pulled),
                    None => continue, // from the beginning
                },
                Attempt::Again { why, retry_after } => (why, retry_after),
            };
            self.is_pieced |= self.bytes > 0;
            fruitless = if self.bytes > before {
                0
            } else {
                fruitless + 1
            };
            if fruitless == ATTEMPTS_MAX {
                return Err(PullError::Attempts { why });
            }
            let first = client.settings().timeout / BACKOFF_DIVISOR;
            let wait = retry_after
                .map_or(first * (1 << fruitless), |wait| wait.max(first))
                .min(RETRY_AFTER_MAX);
            on_progress(Progress::Again { why, wait });
            std::thread::sleep(wait);
        }
    }

    /// Asks for what is missing and takes what comes.
    fn attempt(
        &mut self,
        client: &Client,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Attempt, PullError> {
        if self.bytes > 0 && Some(self.bytes) == self.partial.size_bytes {
            return Ok(Attempt::Complete);
        }
        let etag = self.partial.etag.clone();
        let from = (self.bytes > 0).then_some(Resume {
            byte: self.bytes,
            etag: etag.as_deref(),
        });
        let answer = match client.get(&self.request.url, from) {
            Ok(answer) => answer,
            Err(error @ HttpError::Connection { .. }) => {
                return Ok(Attempt::Again {
                    why: error.to_string(),
                    retry_after: None,
                });
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(again) = self.judge_status(&answer, on_progress)? {
            return Ok(again);
        }
        let size_bytes = self.judge_content(&answer, on_progress)?;
        self.check_room(size_bytes)?;
        self.receive(answer, size_bytes, on_progress)
    }

    /// Sorts out answers that carry no part of the file.
    fn judge_status(
        &mut self,
        answer: &Answer,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Attempt>, PullError> {
        let (host, status) = (answer.host.clone(), answer.status);
        match status {
            200 => Ok(None),
            206 if answer.range.is_some_and(|(first, _)| first == self.bytes) => Ok(None),
            // A part that was not asked for, or no part where one was asked for.
            206 | 416 => {
                if self.bytes == 0 {
                    return Err(PullError::Status { host, status });
                }
                self.start_over("the server cannot give the rest", on_progress)?;
                Ok(Some(Attempt::Again {
                    why: format!("{host}: status {status}"),
                    retry_after: None,
                }))
            }
            401 | 403 => Err(PullError::Access {
                host,
                name: self.request.name.clone(),
                status,
                page: self.request.page.clone(),
            }),
            404 | 410 => Err(PullError::Missing {
                host,
                url: self.request.url.clone(),
                status,
                page: self.request.page.clone(),
            }),
            408 | 429 | 500.. => Ok(Some(Attempt::Again {
                why: format!("{host}: status {status}"),
                retry_after: answer.retry_after,
            })),
            _ => Err(PullError::Status { host, status }),
        }
    }

    /// Decides of which content this answer is, before a byte of it is read, and gives its length.
    fn judge_content(
        &mut self,
        answer: &Answer,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<u64, PullError> {
        let request = self.request;
        let other = |what, found: &str, expected: &str| PullError::Other {
            host: answer.host.clone(),
            what,
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        if let (Some(stated), Some(expected)) = (&answer.sha256, &request.sha256)
            && stated != expected
        {
            return Err(other("SHA-256 digest", stated, expected));
        }
        let sha256 = request
            .sha256
            .clone()
            .or_else(|| answer.sha256.clone())
            .ok_or_else(|| PullError::NoDigest {
                host: answer.host.clone(),
                name: request.name.clone(),
            })?;
        let told = match (answer.status, answer.range) {
            (206, Some((_, total))) => total,
            _ => answer.body_bytes,
        };
        let size_bytes = request
            .size_bytes
            .or(answer.stated_bytes)
            .or(told)
            .ok_or_else(|| PullError::NoLength {
                host: answer.host.clone(),
                name: request.name.clone(),
            })?;
        for found in [answer.stated_bytes, told].into_iter().flatten() {
            if found != size_bytes {
                let (found, expected) = (found.to_string(), size_bytes.to_string());
                return Err(other("length in bytes", &found, &expected));
            }
        }
        let partial = Partial {
            url: request.url.clone(),
            sha256,
            size_bytes: Some(size_bytes),
            etag: answer.etag.clone(),
        };
        if self.bytes > 0 {
            if partial.sha256 != self.partial.sha256 {
                self.start_over("the file was replaced at the server", on_progress)?;
            } else if answer.status == 200 {
                self.start_over("the server gives it only from the beginning", on_progress)?;
            }
        }
        if partial != self.partial {
            self.store
                .write_partial(&request.name, &partial)
                .map_err(|source| self.failed(source))?;
            self.partial = partial;
        }
        Ok(size_bytes)
    }

    fn check_room(&self, size_bytes: u64) -> Result<(), PullError> {
        let Some(available) = self.store.available_bytes() else {
            return Ok(());
        };
        let needed = size_bytes
            .saturating_sub(self.bytes)
            .saturating_add(DISK_RESERVE_BYTES);
        if needed <= available {
            return Ok(());
        }
        Err(PullError::Disk {
            folder: self.store.folder().to_owned(),
            missing_bytes: needed - available,
        })
    }

    fn receive(
        &mut self,
        mut answer: Answer,
        size_bytes: u64,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Attempt, PullError> {
        // A part that starts elsewhere than it was asked for was sorted out before; what is left of
        // other content starts over at byte 0, so a body of status 206 cannot be used for it.
        if answer.status == 206 && answer.range.is_some_and(|(first, _)| first != self.bytes) {
            return Ok(Attempt::Again {
                why: format!("{}: the file was replaced", answer.host),
                retry_after: None,
            });
        }
        let again = |why: &str| {
            Ok(Attempt::Again {
                why: format!("{}: {why}", answer.host),
                retry_after: None,
            })
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            on_progress(Progress::Received {
                bytes: self.bytes,
                size_bytes,
            });
            let count = match answer.body.read(&mut chunk) {
                Ok(0) if self.bytes < size_bytes => {
                    return again("the connection ended early");
                }
                Ok(0) => return Ok(Attempt::Complete),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return again(&error.to_string()),
            };
            self.file
                .write_all(&chunk[..count])
                .map_err(|source| self.failed(source))?;
            self.digest.update(&chunk[..count]);
            self.bytes += count as u64;
            if self.bytes > size_bytes {
                // More than was stated: the digest is wrong by now.
                return Ok(Attempt::Complete);
            }
        }
    }

    /// Checks the digest and publishes the file; `None` if it has to be pulled again.
    fn finish(
        &mut self,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Pulled>, PullError> {
        let found = self.digest.hex();
        let expected = self.partial.sha256.clone();
        if found != expected {
            if self.is_pieced && self.restarts < RESTARTS_MAX {
                // The pieces may be of different contents.
                self.start_over("the pieces do not fit together", on_progress)?;
                return Ok(None);
            }
            let discarded = self.store.discard_part(&self.request.name);
            discarded.map_err(|source| self.failed(source))?;
            return Err(PullError::Digest { found, expected });
        }
        let record = Record {
            url: self.request.url.clone(),
            sha256: found,
            size_bytes: self.bytes,
        };
        self.file
            .sync_all()
            .and_then(|()| self.store.publish(&self.request.name, &record))
            .map_err(|source| self.failed(source))?;
        Ok(Some(Pulled {
            path: self.store.file(&self.request.name),
            sha256: Some(record.sha256),
            size_bytes: record.size_bytes,
            was_here: false,
        }))
    }

    fn start_over(
        &mut self,
        why: &'static str,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<(), PullError> {
        if self.restarts == RESTARTS_MAX {
            return Err(PullError::Restarts { why });
        }
        self.restarts += 1;
        on_progress(Progress::FromTheBeginning { why });
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| io::Seek::rewind(&mut self.file));
        emptied.map_err(|source| self.failed(source))?;
        self.bytes = 0;
        self.digest = Digest::default();
        self.is_pieced = false;
        Ok(())
    }

    /// Why the partial file cannot be written; a full disk is told apart.
    fn failed(&self, source: io::Error) -> PullError {
        if matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        ) {
            let size = self.partial.size_bytes.unwrap_or(self.bytes + 1);
            let available = self.store.available_bytes().unwrap_or(0);
            return PullError::Disk {
                folder: self.store.folder().to_owned(),
                missing_bytes: size
                    .saturating_sub(self.bytes)
                    .saturating_sub(available)
                    .max(1),
            };
        }
        PullError::File {
            path: self.store.part(&self.request.name),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
