//! Where the memory of a workspace lies on the disk: its texts as they were read, in files of up to
//! 32 MB, each with a version and a digest. The tables are sorted again when a file is read, which
//! is faster than reading them.
//!
//! A file that cannot be read is forgotten: the texts are still in the workspace.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::echo::{Segment, SegmentBuilder};
use crate::folders;

/// The environment variable that names another folder for memories.
pub const FOLDER_VARIABLE: &str = "CARAT_MEMORY";

/// The first bytes of every file; the last are the version of the form.
const MAGIC: &[u8; 8] = b"CARATM02";

const DIGEST_BYTES: usize = 32;

const EXTENSION: &str = "segment";

/// How files are called while they are written.
const UNFINISHED: &str = "unfinished-";

/// A file is written within this time, or never: its process was killed.
const WRITING: Duration = Duration::from_mins(10);

/// The memories of all workspaces.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What is kept of one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The workspace.
    pub root: PathBuf,
    /// Where it lies.
    pub folder: PathBuf,
    /// Bytes on the disk.
    pub bytes: u64,
}

impl Store {
    /// The user's: `CARAT_MEMORY`, else the system's place for what can be made again. `None` if
    /// there is none.
    pub fn of_user() -> Option<Self> {
        let set = |variable: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| !path.as_os_str().is_empty())
        };
        let own = || Some(folders::cache()?.join("memory"));
        set(FOLDER_VARIABLE).or_else(own).map(Self::in_folder)
    }

    /// Another folder, which need not exist yet.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder of all memories.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the memory of a workspace lies.
    pub fn of(&self, root: &Path) -> PathBuf {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let digits: String = digest[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.join(digits)
    }

    /// All memories, in the order of their workspaces.
    pub fn all(&self) -> Vec<Kept> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut all: Vec<Kept> = folders
            .filter_map(|folder| {
                let folder = folder.path();
                let root = PathBuf::from(fs::read_to_string(folder.join("root")).ok()?);
                let files = fs::read_dir(&folder).ok()?.flatten();
                let bytes = files
                    .filter_map(|file| Some(file.metadata().ok()?.len()))
                    .sum();
                Some(Kept {
                    root,
                    folder,
                    bytes,
                })
            })
            .collect();
        all.sort_by(|a, b| a.root.cmp(&b.root));
        all
    }

    /// Forgets a workspace; says whether anything was kept of it.
    pub fn clear(&self, root: &Path) -> io::Result<bool> {
        match fs::remove_dir_all(self.of(root)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names by which a folder is remembered: a link that an editor opened, or the place itself.
    pub fn roots_of(&self, root: &Path) -> Vec<PathBuf> {
        // A folder that is gone has the name that it had.
        let named = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let place = root.canonicalize().ok();
        let all = self.all().into_iter().map(|kept| kept.root);
        all.filter(|kept| *kept == named || place.is_some() && kept.canonicalize().ok() == place)
            .collect()
    }

    /// What is kept of a workspace, its paths behind `prefix`. Damaged files are removed; how many is said.
    pub fn read(&self, root: &Path, prefix: &str) -> (Vec<Segment>, usize) {
        let (mut segments, mut damaged) = (Vec::new(), 0);
        let files = fs::read_dir(self.of(root)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
        paths.sort();
        for path in paths
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == EXTENSION))
        {
            if let Some(segment) = fs::read(path).ok().and_then(|bytes| decode(&bytes, prefix)) {
                segments.push(segment);
            } else {
                damaged += 1;
                let _ = fs::remove_file(path);
            }
        }
        (segments, damaged)
    }

    /// Keeps these texts of a workspace, and nothing else of it.
    pub fn write<'a>(
        &self,
        root: &Path,
        segments: impl Iterator<Item = Vec<(&'a str, u64, &'a str)>>,
    ) -> io::Result<()> {
        let folder = self.of(root);
        create_private(&folder)?;
        fs::write(folder.join("root"), root.to_string_lossy().as_bytes())?;
        let mut written = Vec::new();
        for (number, files) in segments.enumerate() {
            let path = folder.join(format!("{number:04}.{EXTENSION}"));
            let mut file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(&folder)?;
            encode(&files, file.as_file_mut())?;
            file.persist(&path).map_err(|error| error.error)?;
            written.push(path);
        }
        for file in fs::read_dir(&folder)?.flatten() {
            let path = file.path();
            let is_old =
                path.extension().is_some_and(|e| e == EXTENSION) && !written.contains(&path);
            if is_old || is_abandoned(&file) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// A folder that no other user can look into, where the system has such a thing.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A file that nobody finishes any more.
fn is_abandoned(file: &fs::DirEntry) -> bool {
    let name = file.file_name();
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|changed| changed.elapsed().ok());
    name.to_string_lossy().starts_with(UNFINISHED) && age.is_some_and(|age| age > WRITING)
}

fn encode(files: &[(&str, u64, &str)], out: &mut dyn io::Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    out.write_all(MAGIC)?;
    let mut digest = Sha256::new();
    let mut put = |bytes: &[u8]| {
        digest.update(bytes);
        out.write_all(bytes)
    };
    for (path, stamp, text) in files {
        put(&stamp.to_le_bytes())?;
        for part in [path, text] {
            put(&(part.len() as u32).to_le_bytes())?;
            put(part.as_bytes())?;
        }
    }
    out.write_all(&digest.finalize())?;
    out.flush()
}

/// `None` if the file is of another version, cut off or altered.
fn decode(bytes: &[u8], prefix: &str) -> Option<Segment> {
    let payload = bytes.strip_prefix(MAGIC)?;
    let (mut rest, digest) = payload.split_at_checked(payload.len().checked_sub(DIGEST_BYTES)?)?;
    if Sha256::digest(rest).as_slice() != digest {
        return None;
    }
    let mut builder = SegmentBuilder::default();
    while !rest.is_empty() {
        let (stamp, behind) = rest.split_first_chunk()?;
        let (path, behind) = part(behind)?;
        let (text, behind) = part(behind)?;
        if !builder.push(&format!("{prefix}{path}"), u64::from_le_bytes(*stamp), text) {
            return None;
        }
        rest = behind;
    }
    Some(builder.build())
}

fn part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_folder(folder.path().join("memory"));
        (folder, store)
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let (_folder, store) = store();
        let root = Path::new("/w/project");
        let first = vec![
            ("src/a.rs", 7, "let a = 1;\n"),
            ("src/ä.rs", 8, "let ä = 1;\n"),
        ];
        store
            .write(root, [first, vec![("b.rs", 9, "")]].into_iter())
            .expect("written");
        let (segments, damaged) = store.read(root, "");
        assert_eq!((segments.len(), damaged), (2, 0));
        let file = &segments[0].files()[1];
        assert_eq!((file.path.as_str(), file.stamp), ("src/ä.rs", 8));
        assert_eq!(segments[0].text_of(file), "let ä = 1;\n".as_bytes());
        assert_eq!(store.read(Path::new("/w/other"), "").0.len(), 0);
        let all = store.all();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].root, root);
        assert!(all[0].bytes > 60);

        // Less is kept the next time.
        store
            .write(root, std::iter::once(vec![("b.rs", 9, "")]))
            .expect("written");
        assert_eq!(store.read(root, "").0.len(), 1);
        assert!(store.clear(root).expect("cleared"));
        assert!(!store.clear(root).expect("cleared"));
        assert!(store.all().is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_is_found_by_all_its_names() {
        let (folder, store) = store();
        let place = folder
            .path()
            .canonicalize()
            .expect("a folder")
            .join("place");
        let link = place.with_file_name("link");
        fs::create_dir(&place).expect("a folder");
        std::os::unix::fs::symlink(&place, &link).expect("a link");
        store
            .write(&link, std::iter::once(vec![("a.rs", 9, "")]))
            .expect("written");
        for name in [&place, &link] {
            assert_eq!(store.roots_of(name), std::slice::from_ref(&link));
        }
        fs::remove_dir(&place).expect("removed");
        assert_eq!(store.roots_of(&link), [link]);
        assert!(store.roots_of(&place).is_empty());
    }

    #[test]
    fn every_damage_is_noticed_once() {
        let (_folder, store) = store();
        let root = Path::new("/w/project");
        let mut bytes = Vec::new();
        encode(&[("src/a.rs", 7, "let a = 1;\n")], &mut bytes).expect("written");
        let path = store.of(root).join("0000.segment");
        fs::create_dir_all(store.of(root)).expect("a folder");
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x10;
            assert!(decode(&altered, "").is_none(), "byte {at}");
            assert!(decode(&bytes[..at], "").is_none(), "{at} bytes");
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
        assert_eq!(store.read(root, "").1, 1);
        assert_eq!(store.read(root, "").1, 0);
    }
}
