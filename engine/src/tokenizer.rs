//! Text to tokens and back, from the metadata of a model file alone.
//!
//! Gemma 4 files list the merges of byte-pair encoding; older files have scores, from which the merges
//! are rebuilt; byte-level vocabularies cut words before they merge. Text of users is encoded as plain text: source code that spells a control
//! token does not steer the model.

mod bpe;
mod byte_level;
mod first;
mod ids;
mod merges;
mod pieces;
mod roles;
mod special;
mod spelling;
mod stream;
mod vocabulary;

use std::borrow::Cow;

use hashbrown::HashMap;

pub(crate) use first::FirstToken;
pub use roles::FimTokens;
pub(crate) use stream::TOKEN_ROOM;
pub use stream::TextStream;

use crate::gguf::{Metadata, ModelFile, Strings};
use crate::{LoadError, TokenId};
use bpe::{Bpe, Scratch};
use byte_level::ByteLevel;
use ids::TokenIds;
use merges::MergeList;
use pieces::JoinTable;
use roles::Roles;
use special::{Segment, SpecialTokens};
use vocabulary::{SPACE_MARK, Spelling, TokenKind, Vocabulary};

/// The vocabulary of a model, and its rules.
pub struct Tokenizer {
    encoding: Encoding,
    special: SpecialTokens,
    vocabulary: Vocabulary,
    roles: Roles,
    chat_template: Option<String>,
    /// Whether text is encoded as if a space stood before it.
    space_prefix: bool,
}

/// How text becomes tokens.
enum Encoding {
    /// By merges of characters, everywhere but where no merge can ever join.
    Characters { bpe: Bpe, joins: JoinTable },
    /// By merges of bytes, word for word.
    Bytes(Box<ByteLevel>),
}

/// What the file has of merges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A list, of characters.
    Merges,
    /// Scores of tokens.
    Scores,
    /// A list, of bytes.
    ByteLevel,
}

impl Kind {
    fn of(metadata: &Metadata) -> Result<Self, String> {
        let model = metadata.str("tokenizer.ggml.model").unwrap_or("none");
        let has_merges = metadata.get("tokenizer.ggml.merges").is_some();
        let pre = metadata.str("tokenizer.ggml.pre");
        match model {
            "gemma4" => Ok(Self::Merges),
            // Files of Ollama and of some converters: the scores count up and say nothing.
            "llama" | "gpt2" if pre == Some("gemma4") && has_merges => Ok(Self::Merges),
            "llama" => Ok(Self::Scores),
            "gpt2" => Ok(Self::ByteLevel),
            _ => Err(format!(
                "vocabulary of the kind `{model}` is not supported, expected `gemma4`, `llama` or `gpt2`"
            )),
        }
    }
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
        let texts = vocabulary::texts(metadata)?;
        let kind = Kind::of(metadata)?;
        let spelling = match kind {
            Kind::ByteLevel => Spelling::Bytes,
            Kind::Merges | Kind::Scores => Spelling::Characters,
        };
        let (vocabulary, ids) = both(
            || Vocabulary::read(metadata, texts.clone(), spelling),
            || TokenIds::new(texts.clone()),
        )?;
        let (vocabulary, ids) = (vocabulary?, ids?);
        let special = special_tokens(texts, &vocabulary);
        let encoding = Encoding::read(kind, metadata, ids, &vocabulary)?;
        let begins = match &encoding {
            Encoding::Characters { .. } => true,
            Encoding::Bytes(inner) => metadata
                .bool("tokenizer.ggml.add_bos_token")
                .unwrap_or(inner.begins()),
        };
        let roles = Roles::read(metadata, encoding.ids(), &vocabulary, begins)?;
        let chat_template = metadata.str("tokenizer.chat_template").map(str::to_owned);
        Ok(Self {
            encoding,
            special,
            vocabulary,
            roles,
            chat_template,
            // Vocabularies of SentencePiece were made so, except for Gemma's, whose files say it.
            space_prefix: kind == Kind::Scores
                && metadata
                    .bool("tokenizer.ggml.add_space_prefix")
                    .unwrap_or(true),
        })
    }

    /// Number of tokens in the file.
    pub fn vocabulary_len(&self) -> usize {
        self.vocabulary.len()
    }

    /// The tokens of plain text: control tokens that are spelled in it stay text. No begin-of-text
    /// token is added.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        let text = self.spaced(text);
        let mut encoder = Encoder::new(self);
        encoder.plain(&text);
        encoder.tokens
    }

    /// The text with the space before it that the vocabulary wants.
    fn spaced<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.space_prefix && !text.is_empty() {
            Cow::Owned(format!(" {text}"))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// As [`Tokenizer::encode`], but special tokens that are spelled in the text are parsed.
    pub fn encode_special(&self, text: &str) -> Vec<TokenId> {
        let segments: Vec<_> = self.special.segments(text).collect();
        let spaced: Vec<_> = segments
            .iter()
            .map(|segment| match segment {
                Segment::Plain(text) => Ok(self.spaced(text)),
                Segment::Special(token) => Err(*token),
            })
            .collect();
        let mut encoder = Encoder::new(self);
        for segment in &spaced {
            match segment {
                Ok(text) => encoder.plain(text),
                Err(token) => encoder.tokens.push(*token),
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
        self.encoding.ids().get(text)
    }

    /// Whether text is cut into words before tokens are joined, as byte-level vocabularies do: then
    /// the space before a word is a part of it.
    pub fn cuts_words(&self) -> bool {
        matches!(self.encoding, Encoding::Bytes(_))
    }

    /// The token that every prompt begins with, if the model knows one.
    pub fn bos(&self) -> Option<TokenId> {
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

impl Encoding {
    fn read(
        kind: Kind,
        metadata: &Metadata,
        mut ids: TokenIds,
        vocabulary: &Vocabulary,
    ) -> Result<Self, String> {
        let MergeList { merges, mut joins } = match kind {
            Kind::Merges => merges::from_file(metadata, &ids, vocabulary)?,
            Kind::Scores => {
                if let Some(tab) = ids.get("<0x09>") {
                    ids.set_tab(tab);
                }
                merges::from_scores(metadata, &ids, vocabulary)?
            }
            Kind::ByteLevel => {
                let inner = ByteLevel::read(metadata, ids, vocabulary)?;
                return Ok(Self::Bytes(Box::new(inner)));
            }
        };
        for character in (0..128_u8).map(char::from) {
            if ids.get(as_written(character, &mut [0; 4])).is_none() {
                joins.keep(character);
            }
        }
        let bpe = Bpe::new(ids, merges);
        Ok(Self::Characters { bpe, joins })
    }

    /// Finds tokens by their text.
    fn ids(&self) -> &TokenIds {
        match self {
            Self::Characters { bpe, .. } => bpe.ids(),
            Self::Bytes(inner) => inner.ids(),
        }
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
    scratch: Scratch,
}

impl<'a> Encoder<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            tokens: Vec::new(),
            seen: HashMap::new(),
            marked: String::new(),
            scratch: Scratch::default(),
        }
    }

    fn plain(&mut self, text: &'a str) {
        let (bpe, joins) = match &self.tokenizer.encoding {
            Encoding::Characters { bpe, joins } => (bpe, joins),
            Encoding::Bytes(inner) => return inner.encode(text, &mut self.tokens),
        };
        for piece in joins.pieces(text) {
            if let Some(&(start, end)) = self.seen.get(piece) {
                self.tokens.extend_from_within(start..end);
                continue;
            }
            self.marked.clear();
            for character in piece.chars() {
                self.marked.push_str(as_written(character, &mut [0; 4]));
            }
            let start = self.tokens.len();
            bpe.encode(&self.marked, &mut self.scratch, &mut self.tokens);
            self.seen.insert(piece, (start, self.tokens.len()));
        }
    }
}

/// The character as vocabularies write it.
fn as_written(character: char, buffer: &mut [u8; 4]) -> &str {
    match character {
        ' ' => SPACE_MARK,
        _ => character.encode_utf8(buffer),
    }
}

fn special_tokens(texts: Strings<'_>, vocabulary: &Vocabulary) -> SpecialTokens {
    let mut special = SpecialTokens::default();
    for (index, text) in texts.enumerate() {
        match vocabulary.kind(index as TokenId) {
            TokenKind::Control | TokenKind::UserDefined => special.insert(text, index as TokenId),
            TokenKind::Normal | TokenKind::Byte(_) => {}
        }
    }
    special
}

/// Runs both at the same time; `Err` if there is no thread to be had.
fn both<A, B: Send>(
    here: impl FnOnce() -> A,
    there: impl FnOnce() -> B + Send,
) -> Result<(A, B), String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("carat-tokenizer".to_owned())
            .spawn_scoped(scope, there)
            .map_err(|error| format!("a thread cannot be started: {error}"))?;
        let first = here();
        match thread.join() {
            Ok(second) => Ok((first, second)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
