//! Our byte-pair encoding against that of the crate `tokenizers`, on vocabularies that are built here
//! and on the real one.

mod gguf_writer;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use carat_engine::{ModelFile, TokenId, Tokenizer};
use gguf_writer::{Writer, with_gemma4_vocabulary};
use proptest::prelude::*;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::{AddedToken, Model as _};

/// What the crate makes of the same file. Merges that spell control tokens are left to the caller.
fn oracle(file: &ModelFile) -> BPE {
    let list = |key| file.metadata().str_array(key).expect("a list of texts");
    let mut ids = Vocab::default();
    for (index, text) in list("tokenizer.ggml.tokens").enumerate() {
        ids.entry(text.to_owned()).or_insert(index as TokenId);
    }
    let merges = list("tokenizer.ggml.merges")
        .filter_map(|line| {
            // The first part may not be empty, but it may be a space.
            let mut spaces = line.match_indices(' ').map(|(at, _)| at);
            let at = spaces.find(|&at| at > 0)?;
            let (left, right) = (&line[..at], &line[at + 1..]);
            let is_known = [left, right, &format!("{left}{right}")]
                .iter()
                .all(|&part| ids.contains_key(part));
            is_known.then(|| (left.to_owned(), right.to_owned()))
        })
        .collect();
    let mut builder = BPE::builder()
        .fuse_unk(true)
        .byte_fallback(true)
        .cache_capacity(0);
    if ids.contains_key("<unk>") {
        builder = builder.unk_token("<unk>".to_owned());
    }
    builder
        .vocab_and_merges(ids, merges)
        .build()
        .expect("a vocabulary that the crate takes")
}

fn ids_of(oracle: &BPE, text: &str) -> Vec<TokenId> {
    let tokens = oracle.tokenize(&text.replace(' ', "\u{2581}"));
    let tokens = tokens.expect("tokens");
    tokens.iter().map(|token| token.id).collect()
}

fn small(tokens: &[&str], merges: &[String]) -> ModelFile {
    let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
    let bytes = Writer::new()
        .string("tokenizer.ggml.model", "gemma4")
        .strings("tokenizer.ggml.tokens", tokens)
        .strings("tokenizer.ggml.merges", &merges)
        .finish();
    ModelFile::from_bytes("test.gguf", &bytes).expect("a correct file")
}

fn tokenizer(file: &ModelFile) -> Tokenizer {
    Tokenizer::from_model_file(file).expect("a correct vocabulary")
}

const TOKENS: [&str; 22] = [
    "<bos>",
    "<unk>",
    "a",
    "b",
    "c",
    "\u{2581}",
    "é",
    "aa",
    "ab",
    "ba",
    "bc",
    "aaa",
    "aab",
    "aba",
    "abc",
    "bab",
    "aaaa",
    "abab",
    "\u{2581}a",
    "\u{2581}ab",
    "éa",
    "a",
];

/// Any merges of these tokens in any order, some of them twice, some with parts that are no token.
fn merges() -> impl Strategy<Value = Vec<String>> {
    let part = prop::sample::select(TOKENS[2..].to_vec());
    prop::collection::vec((part.clone(), part), 0..200).prop_map(|pairs| {
        let lines = pairs
            .into_iter()
            .map(|(left, right)| format!("{left} {right}"));
        lines.collect()
    })
}

proptest! {
    #[test]
    fn any_order_of_merges_gives_the_same_tokens(
        merges in merges(),
        text in "[abc éäöx]{0,60}",
    ) {
        let file = small(&TOKENS, &merges);
        prop_assert_eq!(tokenizer(&file).encode(&text), ids_of(&oracle(&file), &text));
    }

    /// Some bytes have tokens and some have none, also of characters in ASCII.
    #[test]
    fn some_tokens_for_bytes_give_the_same_tokens(
        merges in merges(),
        text in "[abcxyz éäöü]{0,60}",
    ) {
        let tokens = [&TOKENS[..], &["<0xC3>", "<0xA4>", "<0x79>"]].concat();
        let file = small(&tokens, &merges);
        prop_assert_eq!(tokenizer(&file).encode(&text), ids_of(&oracle(&file), &text));
    }

    #[test]
    fn the_vocabulary_of_the_tests_gives_the_same_tokens(text in "[abc \n()é\t🦀ö]{0,60}") {
        let bytes = with_gemma4_vocabulary(Writer::new()).finish();
        let file = ModelFile::from_bytes("test.gguf", &bytes).expect("a correct file");
        prop_assert_eq!(tokenizer(&file).encode(&text), ids_of(&oracle(&file), &text));
    }
}

/// The real vocabulary, ours and the crate's, which also knows the special tokens.
struct Real {
    file: ModelFile,
    ours: Tokenizer,
    theirs: BPE,
    theirs_special: tokenizers::Tokenizer,
    special_texts: Vec<String>,
}

impl Real {
    fn open() -> Option<Self> {
        let shared = std::env::var_os("CARAT_SHARED")
            .map_or_else(|| repository().join("../shared"), PathBuf::from);
        let path = shared.join("vocab/ggml-vocab-gemma-4.gguf");
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            return None;
        }
        let file = ModelFile::open(&path).expect("a correct file");
        let types = file.metadata().u32_array("tokenizer.ggml.token_type");
        let texts = file.metadata().str_array("tokenizer.ggml.tokens");
        let special_texts: Vec<String> = texts
            .expect("texts")
            .zip(types.expect("types"))
            // Some files give these three the type of plain text.
            .filter(|&(text, number)| {
                !matches!(number, 1 | 6) || matches!(text, "<eos>" | "<turn|>" | "<|tool_response>")
            })
            .map(|(text, _)| text.to_owned())
            .collect();
        let mut theirs_special = tokenizers::Tokenizer::new(oracle(&file));
        let spaces = Replace::new(" ", "\u{2581}").expect("a pattern");
        theirs_special
            .with_normalizer(Some(spaces))
            .expect("a normalizer");
        let added = special_texts.iter();
        theirs_special
            .add_special_tokens(added.map(|text| AddedToken::from(text, true)))
            .expect("tokens of the vocabulary");
        Some(Self {
            ours: tokenizer(&file),
            theirs: oracle(&file),
            theirs_special,
            special_texts,
            file,
        })
    }

    fn shared() -> Option<&'static Self> {
        static REAL: LazyLock<Option<Real>> = LazyLock::new(Real::open);
        REAL.as_ref()
    }

    /// Compares the tokens of plain text; returns how many there are.
    fn check(&self, text: &str) -> usize {
        let tokens = self.ours.encode(text);
        assert_eq!(tokens, ids_of(&self.theirs, text), "{text:?}");
        tokens.len()
    }

    /// Compares the tokens of text with special tokens; returns how many there are.
    fn check_special(&self, text: &str) -> usize {
        let tokens = self.ours.encode_special(text);
        let expected = self.theirs_special.encode(text, false).expect("tokens");
        assert_eq!(tokens, expected.get_ids(), "{text:?}");
        tokens.len()
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What code and prose are made of, and what tokenizers are known to get wrong.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z_]{1,12}",
        2 => " {1,9}",
        2 => "\n{1,5}|\r\n|\t{1,4}",
        2 => "[-+*/=<>(){};:,.!?'\"#&|]{1,4}",
        1 => "[0-9]{1,8}",
        1 => "\u{2581}{1,3}|\u{FEFF}|\u{200D}|e\u{301}|\0",
        1 => "(🦀|👩‍💻|é|ß|中文|русский|עברית){1,3}",
        2 => any::<String>(),
        1 => prop::sample::select(vec!["<bos>", "<eos>", "<turn|>", "<0x41>", "<unk>", "</s>", "<td>"])
            .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_text_gives_the_same_tokens(text in text()) {
        if let Some(real) = Real::shared() {
            real.check(&text);
        }
    }

    #[test]
    fn random_text_with_special_tokens_gives_the_same_tokens(
        parts in prop::collection::vec((text(), any::<prop::sample::Index>()), 1..4),
    ) {
        if let Some(real) = Real::shared() {
            let special = |index: prop::sample::Index| index.get(&real.special_texts).as_str();
            let parts = parts.iter().flat_map(|(text, index)| [text.as_str(), special(*index)]);
            real.check_special(&parts.collect::<String>());
        }
    }
}

#[test]
fn every_character_gives_the_same_tokens() {
    let Some(real) = Real::shared() else { return };
    let characters: Vec<char> = ('\0'..=char::MAX).collect();
    let mut n_tokens = 0;
    for some in characters.chunks(32) {
        // Next to each other, where merges join them, and apart.
        let together: String = some.iter().collect();
        let apart: String = some
            .iter()
            .flat_map(|&character| [' ', character, 'a'])
            .collect();
        n_tokens += real.check(&together) + real.check(&apart);
    }
    assert!(n_tokens > 2 * characters.len(), "only {n_tokens} tokens");
}

#[test]
fn every_special_token_gives_the_same_token() {
    let Some(real) = Real::shared() else { return };
    for text in &real.special_texts {
        real.check_special(text);
        real.check_special(&format!(" a {text}{text} b"));
        real.check(text);
    }
    assert_eq!(real.special_texts.len(), 24, "as the list of Gemma 4 has");
}

#[test]
fn the_texts_of_the_vocabulary_and_of_this_repository_give_the_same_tokens() {
    let Some(real) = Real::shared() else { return };
    let mut n_tokens = 0;
    // Every text of the vocabulary, which exercises every result of a merge, and two behind each other.
    let texts: Vec<&str> = real
        .file
        .metadata()
        .str_array("tokenizer.ggml.tokens")
        .expect("texts")
        .collect();
    for pair in texts.windows(2) {
        n_tokens += real.check(&pair.concat());
    }
    for folder in ["engine/src/tokenizer", "engine/src/kernels", "docs"] {
        for entry in repository().join(folder).read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "md")
            {
                n_tokens += real.check(&std::fs::read_to_string(path).expect("text"));
            }
        }
    }
    assert!(n_tokens > 500_000, "only {n_tokens} tokens");
}
