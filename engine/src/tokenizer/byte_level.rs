//! Byte-level vocabularies (GPT-2 and after): a regular expression cuts text into words, whose bytes
//! are spelled as characters of their own and joined by merges.
//!
//! The crate `tokenizers` does the work: these expressions need look-ahead and the classes of Unicode.

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel as Spelling;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper};
use tokenizers::{SplitDelimiterBehavior, TokenizerBuilder, TokenizerImpl};

use super::bpe::MERGES_MAX;
use super::ids::TokenIds;
use super::spelling::char_of;
use super::vocabulary::{self, TokenKind, Vocabulary};
use crate::TokenId;
use crate::gguf::Metadata;

/// How words are cut, under the names that `tokenizer.ggml.pre` has for it.
struct Words {
    names: &'static [&'static str],
    /// Applied one after the other, each to what the one before has cut.
    patterns: &'static [&'static str],
    /// A word that is a token is one, whatever the merges say.
    ignores_merges: bool,
    /// Texts begin with a token of their own if the file does not say.
    begins: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Checked name by name against llama.cpp in `tests/tokenizer_llama_cpp.rs`.
const WORDS: &[Words] = &[
    Words {
        // What llama.cpp takes where a file does not say.
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        ignores_merges: false,
        begins: false,
    },
    Words {
        names: &["gpt-2", "mellum"],
        patterns: &[GPT2],
        ignores_merges: false,
        begins: false,
    },
    Words {
        names: &["starcoder", "smollm", "refact", "command-r", "codeshell"],
        patterns: &[r"\p{N}", GPT2],
        ignores_merges: false,
        begins: false,
    },
    Words {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignores_merges: false,
        begins: false,
    },
    Words {
        names: &["seed-coder"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignores_merges: false,
        begins: false,
    },
    Words {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        patterns: &[LLAMA3],
        ignores_merges: true,
        begins: true,
    },
    Words {
        // Phi 4.
        names: &["dbrx"],
        patterns: &[LLAMA3],
        ignores_merges: false,
        begins: false,
    },
    Words {
        // Phi 4 mini.
        names: &["gpt-4o"],
        patterns: &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignores_merges: false,
        begins: false,
    },
    Words {
        // Mistral's since Nemo: Devstral, Ministral.
        names: &["tekken"],
        patterns: &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignores_merges: true,
        begins: true,
    },
    Words {
        names: &["deepseek-coder"],
        patterns: &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            r"[\u{4e00}-\u{9fa5}\u{0800}-\u{4e00}\u{ac00}-\u{d7ff}]+",
            r"\p{N}",
        ],
        ignores_merges: false,
        begins: false,
    },
    Words {
        // DeepSeek-Coder 7B v1.5: no digit is a word of its own, and letters are listed.
        names: &["deepseek-llm"],
        patterns: &[
            r"[\r\n]",
            r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1f7d}ᾀ-ᾴᾶ-ᾼ\u{1fbe}ῂ-ῄῆ-ῌῐ-\u{1fd3}ῖ-\u{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            r"[\u{4e00}-\u{9fa5}\u{0800}-\u{4e00}\u{ac00}-\u{d7ff}]+",
            r"\p{N}+",
        ],
        ignores_merges: false,
        begins: false,
    },
];

type Crate = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A byte-level vocabulary with its merges.
pub(super) struct ByteLevel {
    ids: TokenIds,
    inner: Crate,
    /// The token of every byte.
    bytes: Vec<Option<TokenId>>,
    /// Texts that are one token wherever they stand, whatever the merges say; longer ones first.
    added: Vec<(String, TokenId)>,
    begins: bool,
}

impl ByteLevel {
    /// Reads merges and the way in which words are cut; `Err` says what is wrong with them.
    pub(super) fn read(
        metadata: &Metadata,
        ids: TokenIds,
        vocabulary: &Vocabulary,
    ) -> Result<Self, String> {
        let name = metadata.str("tokenizer.ggml.pre").unwrap_or("default");
        let words = WORDS
            .iter()
            .find(|words| words.names.contains(&name))
            .ok_or_else(|| {
                let known: Vec<_> = WORDS
                    .iter()
                    .flat_map(|words| words.names)
                    .copied()
                    .collect();
                format!(
                    "`tokenizer.ggml.pre` is `{name}`, which is not supported; known are {}",
                    known.join(", ")
                )
            })?;
        // Text that spells a control token stays text, so only others take part.
        let mut texts = Vocab::default();
        let mut added = Vec::new();
        for (index, text) in vocabulary::texts(metadata)?.enumerate() {
            match vocabulary.kind(index as TokenId) {
                TokenKind::Normal => {
                    texts.entry(text.to_owned()).or_insert(index as TokenId);
                }
                // Marks such as `<|fim_prefix|>` are of this kind too in some files.
                TokenKind::UserDefined if !text.is_empty() && !text.starts_with('<') => {
                    added.push((text.to_owned(), index as TokenId));
                }
                _ => {}
            }
        }
        added.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let lines = metadata
            .str_array("tokenizer.ggml.merges")
            .ok_or("the list of merges `tokenizer.ggml.merges` is missing")?;
        if lines.len() > MERGES_MAX {
            return Err(format!(
                "{} merges, expected at most {MERGES_MAX}",
                lines.len()
            ));
        }
        let merges = lines
            .filter_map(|line| {
                let (left, right) = line.split_once(' ')?;
                let is_known = [left, right, &format!("{left}{right}")]
                    .iter()
                    .all(|&part| texts.contains_key(part));
                is_known.then(|| (left.to_owned(), right.to_owned()))
            })
            .collect();
        let bytes = (0..=u8::MAX)
            .map(|byte| texts.get(char_of(byte).encode_utf8(&mut [0; 4])).copied())
            .collect();
        let model = BPE::builder()
            .vocab_and_merges(texts, merges)
            .ignore_merges(words.ignores_merges)
            .build()
            .map_err(|error| error.to_string())?;
        let mut steps = Vec::new();
        for pattern in words.patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(|error| error.to_string())?;
            steps.push(PreTokenizerWrapper::Split(split));
        }
        steps.push(Spelling::new(false, false, false).into());
        let inner = TokenizerBuilder::new()
            .with_model(model)
            .with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(steps))))
            .with_normalizer(None)
            .with_post_processor(None)
            .with_decoder(None)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            ids,
            inner,
            bytes,
            added,
            begins: words.begins,
        })
    }

    /// Finds tokens by their text.
    pub(super) fn ids(&self) -> &TokenIds {
        &self.ids
    }

    /// Whether texts begin with a token of their own if the file does not say.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }

    /// The token of one byte.
    pub(super) fn byte_token(&self, byte: u8) -> Option<TokenId> {
        self.bytes[usize::from(byte)]
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<TokenId>) {
        let mut start = 0;
        if !self.added.is_empty() {
            for (at, _) in text.char_indices() {
                let rest = &text[at..];
                let found = self.added.iter().find(|(added, _)| rest.starts_with(added));
                if let Some((added, token)) = found.filter(|_| at >= start) {
                    self.encode_words(&text[start..at], tokens);
                    tokens.push(*token);
                    start = at + added.len();
                }
            }
        }
        self.encode_words(&text[start..], tokens);
    }

    fn encode_words(&self, text: &str, tokens: &mut Vec<TokenId>) {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => tokens.extend(encoding.get_ids()),
            // The expression gave up: every byte has a token of its own.
            Err(_) => tokens.extend(
                text.bytes()
                    .filter_map(|byte| self.bytes[usize::from(byte)]),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for pattern in WORDS.iter().flat_map(|words| words.patterns) {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            assert!(split.is_ok(), "{:?}", split.err());
        }
    }
}
