//! Brings the pages of a large model's file into memory in their order.
//!
//! The engine touches experts here and there: where the file is not in memory yet, each touch waits for
//! the disk, which is many times slower than reading it from its begin to its end.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Smaller files are read in no time anyway.
const BYTES_MIN: u64 = 256 << 20;
/// What is left to other programs.
const RESERVE: u64 = 1 << 30;
/// Bytes that are read at once.
const PIECE: usize = 4 << 20;

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

fn read(path: &PathBuf) -> u64 {
    let Ok(mut file) = File::open(path) else {
        return 0;
    };
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while let Ok(n @ 1..) = file.read(&mut piece) {
        read += n as u64;
    }
    read
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
        assert_eq!(read(&file.into()), bytes);
        assert_eq!(read(&"nothing".into()), 0);
    }
}
