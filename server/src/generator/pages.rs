//! Brings the pages of a large model's file into memory in their order.
//!
//! The engine touches experts here and there: where the file is not in memory yet, each touch waits for
//! the disk, which is many times slower than reading it from its begin to its end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

/// Smaller files are read in no time anyway.
const BYTES_MIN: u64 = 256 << 20;
/// What is left to other programs.
const RESERVE: u64 = 1 << 30;
/// Bytes that are read at once.
const PIECE: usize = 4 << 20;
/// A byte of a piece comes this soon only from memory; disks take several times as long.
const FROM_MEMORY: Duration = Duration::from_micros(20);

/// Reads the file of a model on a thread of its own, where memory has room for all of it.
pub(super) fn read_ahead(path: &Path, bytes: u64, available: Option<u64>) {
    if !is_worthwhile(bytes, available) {
        return;
    }
    let path = path.to_owned();
    let thread = std::thread::Builder::new().name("carat-pages".to_owned());
    // Without it, the engine waits more often.
    drop(thread.spawn(move || read(&path)));
}

fn is_worthwhile(bytes: u64, available: Option<u64>) -> bool {
    let has_room = available.is_none_or(|available| available >= bytes + RESERVE);
    bytes >= BYTES_MIN && has_room
}

/// Reads a file, but for pieces that are in memory already; returns how many bytes it went over.
fn read(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        let end = bytes.min(at + PIECE as u64);
        let size = (end - at) as usize;
        if !(is_in_memory(&mut file, at)? && is_in_memory(&mut file, at.midpoint(end))?) {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut piece[..size])?;
        }
        at = end;
    }
    Ok(at)
}

/// Whether the page at this offset comes without the disk.
fn is_in_memory(file: &mut File, at: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    let begin = Instant::now();
    file.read_exact(&mut [0])?;
    Ok(begin.elapsed() < FROM_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_read_where_there_is_room() {
        let large = 10 << 30;
        assert!(is_worthwhile(large, Some(12 << 30)));
        assert!(is_worthwhile(large, None));
        assert!(!is_worthwhile(large, Some(10 << 30)));
        assert!(!is_worthwhile(1 << 20, None));
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let bytes = std::fs::metadata(file).expect("a file").len();
        assert_eq!(read(file.as_ref()).expect("it is there"), bytes);
        assert!(read("nothing".as_ref()).is_err());
    }
}
