//! Where pulled models lie on the disk, and what is known of each.
//!
//! For a model `NAME` the folder holds `NAME.gguf`, which is there only when it is complete and its
//! digest was right; `NAME.gguf.json`, its record; `NAME.gguf.part` with `NAME.gguf.part.json`, a
//! download under way or interrupted; and `NAME.gguf.lock`, which the downloading process holds.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::folders;

/// The environment variable that names another folder for models.
pub const FOLDER_VARIABLE: &str = "CARAT_MODELS";

/// There is no place for models.
#[derive(Debug, thiserror::Error)]
#[error("there is no home folder to keep models in; set {FOLDER_VARIABLE} to a folder")]
pub struct NoFolder;

/// What is known of a complete file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Where it is from.
    pub url: String,
    /// Its digest, checked when it was pulled.
    pub sha256: String,
    /// Its length.
    pub size_bytes: u64,
}

/// What is known of a download under way.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Partial {
    /// Where it is from.
    pub url: String,
    /// The digest that the complete file must have.
    pub sha256: String,
    /// The length of the complete file, if the server told.
    pub size_bytes: Option<u64>,
    /// The server's tag for this content, to ask for the rest of the same.
    pub etag: Option<String>,
}

/// How far a model has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing of it is here.
    Absent,
    /// A part of it is here.
    Partial {
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of the whole, if the server told.
        size_bytes: Option<u64>,
    },
    /// It is here.
    Present {
        /// Its length.
        bytes: u64,
    },
}

/// The folder of pulled models.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The user's: `CARAT_MODELS`, else the place for data that the system's conventions give.
    pub fn of_user() -> Result<Self, NoFolder> {
        std::env::var_os(FOLDER_VARIABLE)
            .map(PathBuf::from)
            .filter(|path| !path.as_os_str().is_empty())
            .or_else(|| Some(folders::data()?.join("models")))
            .map(Self::in_folder)
            .ok_or(NoFolder)
    }

    /// Another folder, which need not exist yet.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The complete file of a model, whether it is there or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.gguf"))
    }

    pub(super) fn part(&self, name: &str) -> PathBuf {
        beside(&self.file(name), ".part")
    }

    /// How far a model has come.
    pub fn state(&self, name: &str) -> State {
        let length = |path: PathBuf| {
            path.metadata()
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|metadata| metadata.len())
        };
        if let Some(bytes) = length(self.file(name)) {
            return State::Present { bytes };
        }
        match length(self.part(name)) {
            Some(bytes) if bytes > 0 => State::Partial {
                bytes,
                size_bytes: self.partial(name).and_then(|partial| partial.size_bytes),
            },
            _ => State::Absent,
        }
    }

    /// What is known of a model's complete file.
    pub fn record(&self, name: &str) -> Option<Record> {
        record_of(&self.file(name))
    }

    pub(super) fn partial(&self, name: &str) -> Option<Partial> {
        read_json(&beside(&self.part(name), ".json"))
    }

    pub(super) fn write_partial(&self, name: &str, partial: &Partial) -> io::Result<()> {
        write_json(&beside(&self.part(name), ".json"), partial)
    }

    /// Makes the complete partial file the model's file, with its record.
    pub(super) fn publish(&self, name: &str, record: &Record) -> io::Result<()> {
        let file = self.file(name);
        write_json(&beside(&file, ".json"), record)?;
        fs::rename(self.part(name), &file)?;
        remove(&beside(&self.part(name), ".json"))?;
        sync_folder(&self.folder)
    }

    /// Removes what an interrupted download left.
    pub(super) fn discard_part(&self, name: &str) -> io::Result<u64> {
        // The description first: without it the rest means nothing.
        Ok(remove(&beside(&self.part(name), ".json"))? + remove(&self.part(name))?)
    }

    /// Removes all of a model, and gives the bytes that this freed.
    pub fn remove(&self, name: &str) -> io::Result<u64> {
        let file = self.file(name);
        Ok(remove(&file)? + remove(&beside(&file, ".json"))? + self.discard_part(name)?)
    }

    /// Waits until no other process changes this model, and keeps others from it while the result lives.
    ///
    /// `on_wait` is called before it waits. The file stays: a lock on a file that another process
    /// has removed would keep nobody out.
    pub fn lock(&self, name: &str, on_wait: impl FnOnce()) -> io::Result<Lock> {
        fs::create_dir_all(&self.folder)?;
        let file = File::create(beside(&self.file(name), ".lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                on_wait();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Lock { _file: file })
    }

    /// Bytes that can still be written to the folder's disk, where the system tells.
    pub fn available_bytes(&self) -> Option<u64> {
        let existing = self.folder.ancestors().find(|path| path.exists())?;
        fs4::available_space(existing).ok()
    }
}

/// Keeps other processes from a model.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What is known of a file, from the record beside it.
pub fn record_of(file: &Path) -> Option<Record> {
    read_json(&beside(file, ".json"))
}

/// `path` with `extension` appended.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    PathBuf::from(name)
}

/// What a file holds; nothing if it is not there or damaged, which means the same.
fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file whole or not at all.
fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = beside(path, ".new");
    let mut file = File::create(&temporary)?;
    serde_json::to_writer(&mut file, value)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Removes a file and gives its length; nothing if it is not there.
fn remove(path: &Path) -> io::Result<u64> {
    let length = path.symlink_metadata().map_or(0, |metadata| metadata.len());
    match fs::remove_file(path) {
        Ok(()) => Ok(length),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Makes a rename survive a loss of power, where folders can be synchronized.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_folder(folder.path().join("models"));
        (folder, store)
    }

    #[test]
    fn a_model_goes_from_absent_over_partial_to_present() {
        let (_folder, store) = store();
        assert_eq!(store.state("m"), State::Absent);
        let lock = store.lock("m", || panic!("nobody else is here"));
        assert!(lock.is_ok());
        fs::write(store.part("m"), b"abc").unwrap();
        let partial = Partial {
            size_bytes: Some(6),
            ..Partial::default()
        };
        store.write_partial("m", &partial).unwrap();
        let state = State::Partial {
            bytes: 3,
            size_bytes: Some(6),
        };
        assert_eq!(
            (store.state("m"), store.partial("m")),
            (state, Some(partial))
        );
        let record = Record {
            url: "u".to_owned(),
            sha256: "d".to_owned(),
            size_bytes: 3,
        };
        store.publish("m", &record).unwrap();
        assert_eq!(store.state("m"), State::Present { bytes: 3 });
        assert_eq!(store.record("m"), Some(record));
        assert_eq!(store.partial("m"), None);
        assert!(store.remove("m").unwrap() > 3);
        assert_eq!((store.state("m"), store.record("m")), (State::Absent, None));
        assert_eq!(store.remove("m").unwrap(), 0);
    }

    #[test]
    fn a_damaged_description_is_none() {
        let (_folder, store) = store();
        fs::create_dir_all(store.folder()).unwrap();
        fs::write(beside(&store.part("m"), ".json"), b"{\"url\":").unwrap();
        assert_eq!(store.partial("m"), None);
    }

    #[test]
    fn the_second_of_two_waits() {
        let (_folder, store) = store();
        let first = store.lock("m", || ()).unwrap();
        let (waits, told) = std::sync::mpsc::channel();
        let other = store.clone();
        let second = std::thread::spawn(move || {
            let lock = other.lock("m", || waits.send("waits").unwrap());
            waits.send("has it").unwrap();
            lock.map(drop)
        });
        assert_eq!(told.recv(), Ok("waits"));
        assert!(told.try_recv().is_err());
        drop(first);
        assert_eq!(told.recv(), Ok("has it"));
        second.join().unwrap().unwrap();
    }

    #[test]
    fn space_is_that_of_the_nearest_folder_that_exists() {
        let (_folder, store) = store();
        assert!(store.available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
