//! Text to tokens and back, from the metadata of a model file alone.
//!
//! Gemma 4 files list the merges of byte-pair encoding; older Gemma files have scores, from which the
//! merges are rebuilt. Text of users is encoded as plain text: source code that spells a control
//! token does not steer the model.

mod merges;
mod pieces;
mod roles;
mod special;
mod stream;
mod vocabulary;

use std::collections::HashMap;

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

pub use roles::FimTokens;
pub use stream::TextStream;

use crate::gguf::{Metadata, ModelFile};
use crate::{LoadError, TokenId};
use merges::Filter;
use pieces::JoinTable;
use roles::Roles;
use special::{Segment, SpecialTokens};
use vocabulary::{SPACE_MARK, TokenKind, Vocabulary};

/// The vocabulary of a model, and its rules.
pub struct Tokenizer {
    bpe: BPE,
    joins: JoinTable,
    special: SpecialTokens,
    vocabulary: Vocabulary,
    roles: Roles,
    chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer that the file describes.
    pub fn from_model_file(file: &ModelFile) -> Result<Self, LoadError> {
        Self::from_metadata(file.metadata()).map_err(|what| LoadError::Tokenizer {
            path: file.path().to_owned(),
            what,
        })
    }

    fn from_metadata(metadata: &Metadata) -> Result<Self, String> {
        let model = metadata.str("tokenizer.ggml.model").unwrap_or("none");
        let vocabulary = Vocabulary::read(metadata)?;
        let ids = ids_by_text(metadata, &vocabulary);
        let roles = Roles::read(metadata, &ids, vocabulary.len())?;
        let special = special_tokens(metadata, &vocabulary);
        let (bpe, joins) = match model {
            "gemma4" => {
                let merges = merges::from_file(metadata, &ids, &vocabulary, Filter::Trusting)?;
                build_bpe(ids, merges).or_else(|_| {
                    let ids = ids_by_text(metadata, &vocabulary);
                    let merges = merges::from_file(metadata, &ids, &vocabulary, Filter::Strict)?;
                    build_bpe(ids, merges)
                })?
            }
            "llama" => {
                let mut ids = ids;
                if let Some(&tab) = ids.get("<0x09>") {
                    ids.entry("\t".to_owned()).or_insert(tab);
                }
                let merges = merges::from_scores(metadata, &ids, &vocabulary)?;
                build_bpe(ids, merges)?
            }
            _ => {
                return Err(format!(
                    "vocabulary of the kind `{model}` is not supported, expected `gemma4` or `llama`"
                ));
            }
        };
        let chat_template = metadata.str("tokenizer.chat_template").map(str::to_owned);
        Ok(Self {
            bpe,
            joins,
            special,
            vocabulary,
            roles,
            chat_template,
        })
    }

    /// Number of tokens in the file.
    pub fn vocabulary_len(&self) -> usize {
        self.vocabulary.len()
    }

    /// The tokens of plain text: control tokens that are spelled in it stay text. No begin-of-text
    /// token is added.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut encoder = Encoder::new(self);
        encoder.plain(text);
        encoder.tokens
    }

    /// As [`Tokenizer::encode`], but special tokens that are spelled in the text are parsed.
    pub fn encode_special(&self, text: &str) -> Vec<TokenId> {
        let mut encoder = Encoder::new(self);
        for segment in self.special.segments(text) {
            match segment {
                Segment::Plain(text) => encoder.plain(text),
                Segment::Special(token) => encoder.tokens.push(token),
            }
        }
        encoder.tokens
    }

    /// The text of the tokens; control tokens have none, bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|&token| self.token_bytes(token))
            .copied()
            .collect();
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// Decodes tokens as they come.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    /// The bytes that the token decodes to; none for control tokens and outside of the vocabulary.
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// Whether the token is a mark for the model and stands for no text.
    pub fn is_control(&self, token: TokenId) -> bool {
        self.vocabulary.kind(token) == TokenKind::Control
    }

    /// The token with exactly this text in the vocabulary, control tokens included. Spaces are
    /// written as U+2581 there.
    pub fn token_id(&self, text: &str) -> Option<TokenId> {
        self.bpe.token_to_id(text)
    }

    /// The token that every prompt begins with.
    pub fn bos(&self) -> TokenId {
        self.roles.bos
    }

    /// Tokens after which nothing follows, sorted.
    pub fn end_of_generation(&self) -> &[TokenId] {
        &self.roles.end_of_generation
    }

    /// Tokens that must not be generated, sorted.
    pub fn banned(&self) -> &[TokenId] {
        &self.roles.banned
    }

    /// The tokens for filling a gap, if the vocabulary has them.
    pub fn fim(&self) -> Option<&FimTokens> {
        self.roles.fim.as_ref()
    }

    /// The chat template of the file, in Jinja.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary_len", &self.vocabulary_len())
            .field("fim", &self.roles.fim)
            .finish_non_exhaustive()
    }
}

/// One call of `encode`.
struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    tokens: Vec<TokenId>,
    /// Where in `tokens` each piece was encoded before: source code repeats itself.
    seen: HashMap<&'a str, (usize, usize)>,
    /// The piece with spaces as the vocabulary writes them.
    marked: String,
}

impl<'a> Encoder<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            tokens: Vec::new(),
            seen: HashMap::new(),
            marked: String::new(),
        }
    }

    fn plain(&mut self, text: &'a str) {
        let tokenizer = self.tokenizer;
        for piece in tokenizer.joins.pieces(text) {
            if let Some(&(start, end)) = self.seen.get(piece) {
                self.tokens.extend_from_within(start..end);
                continue;
            }
            self.marked.clear();
            for character in piece.chars() {
                match character {
                    ' ' => self.marked.push_str(SPACE_MARK),
                    _ => self.marked.push(character),
                }
            }
            let start = self.tokens.len();
            // Byte-pair encoding fails only if the unknown token is not in the vocabulary, and the
            // builder was given one only if it is.
            if let Ok(tokens) = tokenizer.bpe.tokenize(&self.marked) {
                self.tokens.extend(tokens.iter().map(|token| token.id));
            }
            self.seen.insert(piece, (start, self.tokens.len()));
        }
    }
}

fn build_bpe(ids: Vocab, merges: Merges) -> Result<(BPE, JoinTable), String> {
    let joins = JoinTable::new(
        merges
            .iter()
            .map(|(left, right)| (left.as_str(), right.as_str())),
    );
    let unknown = ids.contains_key("<unk>");
    // The crate's cache lives as long as the thread; `encode` has one that lives as long as the call.
    let mut builder = BPE::builder()
        .vocab_and_merges(ids, merges)
        .fuse_unk(true)
        .byte_fallback(true)
        .cache_capacity(0);
    if unknown {
        builder = builder.unk_token("<unk>".to_owned());
    }
    let bpe = builder
        .build()
        .map_err(|error| format!("the merges cannot be used: {error}"))?;
    Ok((bpe, joins))
}

/// Text to id; of several tokens with the same text, which old files have, the first one counts.
fn ids_by_text(metadata: &Metadata, vocabulary: &Vocabulary) -> Vocab {
    let mut ids = Vocab::with_capacity(vocabulary.len());
    for (index, text) in metadata
        .str_array("tokenizer.ggml.tokens")
        .into_iter()
        .flatten()
        .enumerate()
    {
        ids.entry(text.to_owned()).or_insert(index as TokenId);
    }
    ids
}

fn special_tokens(metadata: &Metadata, vocabulary: &Vocabulary) -> SpecialTokens {
    let mut special = SpecialTokens::default();
    for (index, text) in metadata
        .str_array("tokenizer.ggml.tokens")
        .into_iter()
        .flatten()
        .enumerate()
    {
        match vocabulary.kind(index as TokenId) {
            TokenKind::Control | TokenKind::UserDefined => special.insert(text, index as TokenId),
            TokenKind::Normal | TokenKind::Byte(_) => {}
        }
    }
    special
}
