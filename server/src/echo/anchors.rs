//! Places in a text that its content alone decides, so that equal texts have equal anchors.
//!
//! Of every [`WINDOW`] overlapping pieces of [`PIECE`] bytes the one with the smallest hash is an
//! anchor (a minimizer). Two texts that share [`SHARED_MIN`] bytes therefore share an anchor in
//! them, and less than a quarter of all places have to be kept.

/// Bytes that an anchor's hash is of.
pub(super) const PIECE: usize = 6;

/// Pieces of which the smallest is taken.
const WINDOW: usize = 8;

/// Texts with this many bytes in common have an anchor in common, unless those are white space.
#[cfg(test)]
pub(super) const SHARED_MIN: usize = PIECE + WINDOW - 1;

/// Calls `found` with the place and hash of every anchor, in order. Pieces of white space are none.
pub(super) fn each(text: &[u8], mut found: impl FnMut(usize, u32)) {
    if text.len() < PIECE + WINDOW - 1 {
        return;
    }
    let mut hashes = [u32::MAX; WINDOW];
    let mut last = usize::MAX;
    let (mut best, mut best_at) = (u32::MAX, usize::MAX);
    for at in 0..=text.len() - PIECE {
        let hash = piece_hash(text, at);
        hashes[at % WINDOW] = hash;
        if hash < best {
            (best, best_at) = (hash, at);
        } else if best_at.wrapping_add(WINDOW) <= at {
            // It left the window: the leftmost of the smallest that are still in it.
            (best, best_at) = (u32::MAX, usize::MAX);
            for place in at + 1 - WINDOW..=at {
                if hashes[place % WINDOW] < best {
                    (best, best_at) = (hashes[place % WINDOW], place);
                }
            }
        }
        if at + 1 >= WINDOW && best_at != last && best_at != usize::MAX {
            last = best_at;
            found(best_at, best);
        }
    }
}

/// A hash that is small for one piece in eight, and the largest for white space.
fn piece_hash(text: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 8];
    bytes[..PIECE].copy_from_slice(&text[at..at + PIECE]);
    if bytes[..PIECE].iter().all(u8::is_ascii_whitespace) {
        return u32::MAX;
    }
    let mixed = u64::from_le_bytes(bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32
}

/// A hash of any text.
pub(super) fn text_hash(text: &[u8]) -> u32 {
    let mut hash = 0x2545_f491_4f6c_dd1d_u64 ^ text.len() as u64;
    let mut chunks = text.chunks_exact(8);
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    };
    for chunk in &mut chunks {
        mix(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    let mut rest = [0; 8];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(u64::from_le_bytes(rest));
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn anchors(text: &[u8]) -> Vec<(usize, u32)> {
        let mut all = Vec::new();
        each(text, |at, hash| all.push((at, hash)));
        all
    }

    proptest! {
        #[test]
        fn a_shared_text_has_a_shared_anchor(
            shared in "[a-z_(.]{13,60}",
            (a, b) in ("[a-z \n]{0,40}", "[a-z \n]{0,40}"),
            (c, d) in ("[a-z \n]{0,40}", "[a-z \n]{0,40}"),
        ) {
            prop_assert!(shared.len() >= SHARED_MIN);
            let within = |before: &str, after: &str| -> Vec<(usize, u32)> {
                let text = format!("{before}{shared}{after}");
                let end = before.len() + shared.len() - PIECE;
                let inside = |at: usize| (before.len()..=end).contains(&at);
                let all = anchors(text.as_bytes()).into_iter();
                all.filter(|(at, _)| inside(*at)).map(|(at, hash)| (at - before.len(), hash)).collect()
            };
            let (first, second) = (within(&a, &b), within(&c, &d));
            prop_assert!(first.iter().any(|anchor| second.contains(anchor)));
        }
    }

    #[test]
    fn white_space_has_none_and_code_has_few() {
        assert_eq!(anchors(&[b' '; 300]), []);
        let code: String = (0..2000)
            .map(|n| format!("let value_{n} = {};\n", n * 7))
            .collect();
        let share = anchors(code.as_bytes()).len() as f64 / code.len() as f64;
        assert!((0.18..0.27).contains(&share), "{share}");
    }
}
