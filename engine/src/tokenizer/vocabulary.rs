//! The entries of a vocabulary: what each token is, and the bytes that it stands for.

use super::spelling::append_spelled;
use crate::TokenId;
use crate::gguf::{Metadata, Strings};

/// Vocabularies write a space as this character.
pub(super) const SPACE_MARK: &str = "\u{2581}";

/// More entries than any vocabulary has; the largest Gemma vocabulary has 262,208.
const TOKENS_MAX: usize = 1 << 22;

/// Tokens of Gemma that steer the model, whatever their type in the file is: many files mark them as
/// normal text.
const CONTROL_NAMES: [&str; 9] = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<turn|>",
    "<|tool_response>",
    "<start_of_turn>",
    "<end_of_turn>",
];

/// What a token is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    /// Text that the merges produce.
    Normal,
    /// Text that is one token wherever special tokens are parsed.
    UserDefined,
    /// A mark for the model that stands for no text.
    Control,
    /// One byte of text that no other token covers.
    Byte(u8),
}

/// How the vocabulary writes text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spelling {
    /// As it is, but for spaces.
    Characters,
    /// Every byte as a visible character.
    Bytes,
}

/// The texts of all tokens, `tokenizer.ggml.tokens`; `Err` says what is wrong with them.
pub(super) fn texts(metadata: &Metadata) -> Result<Strings<'_>, String> {
    let texts = metadata
        .str_array("tokenizer.ggml.tokens")
        .ok_or("the list of tokens `tokenizer.ggml.tokens` is missing")?;
    match texts.len() {
        1..=TOKENS_MAX => Ok(texts),
        len => Err(format!(
            "`tokenizer.ggml.tokens` has {len} tokens, expected 1 to {TOKENS_MAX}"
        )),
    }
}

/// All entries of a vocabulary in the order of their ids.
pub(super) struct Vocabulary {
    kinds: Vec<TokenKind>,
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where the bytes of each token end.
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads `tokenizer.ggml.token_type`, if it is there, for the tokens with these texts.
    ///
    /// `Err` says what is wrong with it.
    pub(super) fn read(
        metadata: &Metadata,
        texts: Strings<'_>,
        spelling: Spelling,
    ) -> Result<Self, String> {
        let len = texts.len();
        let types = match metadata.get("tokenizer.ggml.token_type") {
            None => None,
            Some(_) => Some(
                metadata
                    .u32_array("tokenizer.ggml.token_type")
                    .filter(|types| types.len() == len)
                    .ok_or("`tokenizer.ggml.token_type` does not have one number for each token")?,
            ),
        };

        let mut vocabulary = Self {
            kinds: Vec::with_capacity(len),
            bytes: Vec::with_capacity(texts.bytes_max()),
            ends: Vec::with_capacity(len),
        };
        for (index, text) in texts.enumerate() {
            let kind = kind_of(text, types.as_ref().map(|types| types[index]), spelling);
            match kind {
                TokenKind::Control => {}
                TokenKind::Byte(byte) => vocabulary.bytes.push(byte),
                TokenKind::Normal if spelling == Spelling::Bytes => {
                    append_spelled(&mut vocabulary.bytes, text);
                }
                TokenKind::UserDefined if spelling == Spelling::Bytes => {
                    vocabulary.bytes.extend_from_slice(text.as_bytes());
                }
                TokenKind::Normal | TokenKind::UserDefined => {
                    append_with_spaces(&mut vocabulary.bytes, text.as_bytes());
                }
            }
            let end = u32::try_from(vocabulary.bytes.len())
                .map_err(|_| "the tokens have more than 4 GiB of text".to_owned())?;
            vocabulary.kinds.push(kind);
            vocabulary.ends.push(end);
        }
        Ok(vocabulary)
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The kind of a token; tokens outside of the vocabulary are control tokens, which are no text.
    pub(super) fn kind(&self, token: TokenId) -> TokenKind {
        self.kinds
            .get(token as usize)
            .copied()
            .unwrap_or(TokenKind::Control)
    }

    /// The bytes that the token decodes to.
    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        let index = token as usize;
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }
}

/// Appends `text` with spaces in place of their marks.
fn append_with_spaces(bytes: &mut Vec<u8>, mut text: &[u8]) {
    let mark = SPACE_MARK.as_bytes();
    while let Some(at) = text.iter().position(|&byte| byte == mark[0]) {
        bytes.extend_from_slice(&text[..at]);
        text = &text[at..];
        if let Some(rest) = text.strip_prefix(mark) {
            bytes.push(b' ');
            text = rest;
        } else {
            bytes.push(mark[0]);
            text = &text[1..];
        }
    }
    bytes.extend_from_slice(text);
}

/// `raw_type` is the number in the file: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
fn kind_of(text: &str, raw_type: Option<u32>, spelling: Spelling) -> TokenKind {
    if spelling == Spelling::Characters && text.starts_with('<') && CONTROL_NAMES.contains(&text) {
        return TokenKind::Control;
    }
    match raw_type {
        Some(2 | 3) => TokenKind::Control,
        // Marks of tool calls and channels are user-defined; so are runs of newlines and HTML tags.
        Some(4) if is_mark(text) => TokenKind::Control,
        Some(1) => TokenKind::Normal,
        Some(6) | None if spelling == Spelling::Bytes => TokenKind::Normal,
        Some(6) | None => byte_of(text).map_or(TokenKind::Normal, TokenKind::Byte),
        Some(_) => TokenKind::UserDefined,
    }
}

/// Whether a text looks like what no text is: `<|name|>`, also with the wide bar of DeepSeek.
fn is_mark(text: &str) -> bool {
    text.starts_with("<|") || text.ends_with("|>") || text.starts_with("<\u{ff5c}")
}

/// The byte that `<0x0A>` and its like stand for.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
