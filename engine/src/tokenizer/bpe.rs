//! Byte-pair encoding: joins neighbouring symbols of a text by a list of merges, the first in the list first.
//!
//! The order of merges, also where several ways lead to the same token, is that of the crate
//! `tokenizers`, with which the tests compare. Its tables own every text two to four times and take
//! about four times as long to build as all of this module's parent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::ids::TokenIds;
use crate::TokenId;

/// More merges than any vocabulary has; the largest Gemma vocabulary has 514,906.
pub(super) const MERGES_MAX: usize = 1 << 24;

/// Two neighbouring tokens that become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Merge {
    pub(super) left: TokenId,
    pub(super) right: TokenId,
    pub(super) result: TokenId,
}

impl Merge {
    fn pair(self) -> (TokenId, TokenId) {
        (self.left, self.right)
    }
}

/// A vocabulary with its merges.
pub(super) struct Bpe {
    ids: TokenIds,
    /// In the order in which they apply: the index is the rank.
    merges: Vec<Merge>,
    /// Indices into `merges`, found by the pair.
    by_pair: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The tokens that stand for bytes of characters without a token.
    byte_tokens: Box<[Option<TokenId>; 256]>,
    /// What stands for characters that have no byte tokens either.
    unknown: Option<TokenId>,
}

/// Memory that one call of [`Bpe::encode`] hands to the next.
#[derive(Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    queue: Vec<Reverse<Candidate>>,
}

/// A merge that was possible at `at` when it was queued. Ordered by rank, then from left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    at: usize,
}

/// A token of the text, in a list that is linked both ways.
#[derive(Clone, Copy)]
struct Symbol {
    /// `JOINED` if it became part of the symbol to its left.
    token: TokenId,
    /// `END` before the first one.
    previous: usize,
    /// `END` behind the last one.
    next: usize,
}

const END: usize = usize::MAX;
const JOINED: TokenId = TokenId::MAX;

impl Bpe {
    /// Of merges with the same pair the last one counts. There are at most [`MERGES_MAX`].
    pub(super) fn new(ids: TokenIds, merges: Vec<Merge>) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut by_pair = HashTable::with_capacity(merges.len());
        for (rank, merge) in merges.iter().enumerate() {
            by_pair
                .entry(
                    hasher.hash_one(merge.pair()),
                    |&other: &u32| merges[other as usize].pair() == merge.pair(),
                    |&other| hasher.hash_one(merges[other as usize].pair()),
                )
                .insert(rank as u32);
        }
        let byte_tokens = std::array::from_fn(|byte| ids.get(&format!("<0x{byte:02X}>")));
        let unknown = ids.get("<unk>");
        Self {
            ids,
            merges,
            by_pair,
            hasher,
            byte_tokens: Box::new(byte_tokens),
            unknown,
        }
    }

    /// Finds tokens by their text.
    pub(super) fn ids(&self) -> &TokenIds {
        &self.ids
    }

    /// The token that stands for one byte of a character without a token.
    pub(super) fn byte_token(&self, byte: u8) -> Option<TokenId> {
        self.byte_tokens[usize::from(byte)]
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, tokens: &mut Vec<TokenId>) {
        self.spell(text, &mut scratch.symbols);
        self.join(scratch);
        let symbols = scratch.symbols.iter().map(|symbol| symbol.token);
        tokens.extend(symbols.filter(|&token| token != JOINED));
    }

    /// One symbol for each character, or for each of its bytes; one for a run of unknown characters.
    ///
    /// The symbol of an unknown run stands before the next character that has a token, so behind bytes
    /// between them. That is odd, but what models were trained with; vocabularies with all byte tokens
    /// never get there.
    fn spell(&self, text: &str, symbols: &mut Vec<Symbol>) {
        symbols.clear();
        let mut push = |token| {
            let at = symbols.len();
            symbols.push(Symbol {
                token,
                previous: at.checked_sub(1).unwrap_or(END),
                next: at + 1,
            });
        };
        let mut unknown_run = None;
        let mut buffer = [0; 4];
        for character in text.chars() {
            let text: &str = character.encode_utf8(&mut buffer);
            let byte_token = |byte| self.byte_tokens[usize::from(byte)];
            if let Some(token) = self.ids.get(text) {
                unknown_run.take().into_iter().for_each(&mut push);
                push(token);
            } else if text.bytes().all(|byte| byte_token(byte).is_some()) {
                text.bytes().filter_map(byte_token).for_each(&mut push);
            } else {
                unknown_run = self.unknown;
            }
        }
        unknown_run.into_iter().for_each(&mut push);
        if let Some(last) = symbols.last_mut() {
            last.next = END;
        }
    }

    /// Applies merges until none is possible.
    fn join(&self, scratch: &mut Scratch) {
        let Scratch { symbols, queue } = scratch;
        let mut entries = std::mem::take(queue);
        entries.clear();
        entries.extend(symbols.windows(2).enumerate().filter_map(|(at, pair)| {
            let rank = self.rank(pair[0].token, pair[1].token)?;
            Some(Reverse(Candidate { rank, at }))
        }));
        let mut entries = BinaryHeap::from(entries);
        while let Some(Reverse(Candidate { rank, at })) = entries.pop() {
            let Symbol {
                token,
                previous,
                next,
            } = symbols[at];
            if token == JOINED || next == END {
                continue;
            }
            // Other merges may have changed either side since.
            if self.rank(token, symbols[next].token) != Some(rank) {
                continue;
            }
            let result = self.merges[rank as usize].result;
            let after = symbols[next].next;
            symbols[next].token = JOINED;
            symbols[at].token = result;
            symbols[at].next = after;
            if let Some(after) = symbols.get_mut(after) {
                after.previous = at;
            }
            let mut queue_pair = |left: usize, right: usize| {
                if let (Some(a), Some(b)) = (symbols.get(left), symbols.get(right))
                    && let Some(rank) = self.rank(a.token, b.token)
                {
                    entries.push(Reverse(Candidate { rank, at: left }));
                }
            };
            queue_pair(previous, at);
            queue_pair(at, after);
        }
        *queue = entries.into_vec();
    }

    fn rank(&self, left: TokenId, right: TokenId) -> Option<u32> {
        let pair = (left, right);
        self.by_pair
            .find(self.hasher.hash_one(pair), |&rank| {
                self.merges[rank as usize].pair() == pair
            })
            .copied()
    }
}
