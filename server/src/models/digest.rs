//! SHA-256 digests of model files.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The digest of bytes that come one after another.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    state: Sha256,
}

impl Digest {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Adds all that `reader` gives, and tells after each piece how many bytes it has read.
    pub fn read(
        &mut self,
        mut reader: impl Read,
        on_bytes: &mut dyn FnMut(u64),
    ) -> io::Result<u64> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut total = 0;
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(total),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.state.update(&chunk[..count]);
            total += count as u64;
            on_bytes(total);
        }
    }

    /// The digest of all bytes so far, in lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        let bytes = self.state.clone().finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_is_sha_256_however_the_bytes_come() {
        let mut digest = Digest::default();
        digest.update(b"a");
        let mut seen = Vec::new();
        let read = digest.read(&b"bc"[..], &mut |bytes| seen.push(bytes));
        assert_eq!(read.ok(), Some(2));
        assert_eq!((digest.hex().as_str(), seen), (ABC, vec![2]));
    }
}
