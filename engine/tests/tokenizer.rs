//! The tokenizer on small vocabularies that are built here.

mod gguf_writer;

use carat_engine::{ModelFile, TokenId, Tokenizer};
use gguf_writer::{Writer, with_gemma4_vocabulary};
use proptest::prelude::*;

/// Ids of the vocabulary of the tests: ten special tokens, then 256 bytes.
const BYTE_0: TokenId = 10;

fn gemma4() -> Tokenizer {
    build(with_gemma4_vocabulary(Writer::new()))
}

fn build(writer: Writer) -> Tokenizer {
    let file = ModelFile::from_bytes("test.gguf", &writer.finish()).expect("a correct file");
    Tokenizer::from_model_file(&file).expect("a correct vocabulary")
}

fn texts(tokenizer: &Tokenizer, tokens: &[TokenId]) -> Vec<String> {
    tokens
        .iter()
        .map(|&token| tokenizer.decode(&[token]))
        .collect()
}

/// A vocabulary with scores: the tab has only its byte token, and one token is made of tabs.
fn scored() -> Tokenizer {
    build(scored_file().bool("tokenizer.ggml.add_space_prefix", false))
}

fn scored_file() -> Writer {
    let entries = [
        ("<pad>", 0.0, 3),
        ("<eos>", 0.0, 3),
        ("<bos>", 0.0, 3),
        ("<unk>", 0.0, 2),
        ("<0x09>", 0.0, 6),
        ("\t\t", -1.0, 1),
        ("▁", -20.0, 1),
        ("a", -20.0, 1),
        ("b", -20.0, 1),
        ("c", -20.0, 1),
        ("bc", -1.0, 1),
        ("ab", -2.0, 1),
        ("<end_of_turn>", 0.0, 4),
    ];
    Writer::new()
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &entries.map(|entry| entry.0))
        .f32s("tokenizer.ggml.scores", &entries.map(|entry| entry.1))
        .i32s("tokenizer.ggml.token_type", &entries.map(|entry| entry.2))
        .u32("tokenizer.ggml.bos_token_id", 2)
        .u32("tokenizer.ggml.eos_token_id", 1)
        .u32("tokenizer.ggml.prefix_token_id", 5)
        .u32("tokenizer.ggml.suffix_token_id", 6)
        .u32("tokenizer.ggml.middle_token_id", 7)
}

#[test]
fn a_text_may_begin_with_a_space_that_is_not_there() {
    for tokenizer in [
        build(scored_file()),
        build(scored_file().bool("tokenizer.ggml.add_space_prefix", true)),
    ] {
        let tokens = |text| texts(&tokenizer, &tokenizer.encode(text));
        assert_eq!(tokens("abc"), [" ", "a", "bc"]);
        assert_eq!(tokens(" a"), [" ", " ", "a"]);
        assert!(tokens("").is_empty());
        assert_eq!(
            tokenizer.encode_special("a<end_of_turn>a"),
            [6, 7, 12, 6, 7]
        );
    }
}

#[test]
fn merges_apply_in_the_order_of_the_file() {
    let tokenizer = gemma4();
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(
            texts(&tokenizer, &tokenizer.encode(text)),
            expected,
            "{text:?}"
        );
    };
    check("", &[]);
    check("abcab", &["abc", "ab"]);
    check(" ab  ab", &[" ab", "  ", "ab"]);
    check("    a", &["    ", "a"]);
    check("a\n\n\n\nb", &["a", "\n\n\n\n", "b"]);
    check("\n\n\n", &["\n\n", "\n"]);
    check("cécé", &["cé", "cé"]);
}

#[test]
fn characters_without_a_token_become_bytes() {
    let tokenizer = gemma4();
    let bytes: Vec<TokenId> = "ö"
        .bytes()
        .map(|byte| BYTE_0 + TokenId::from(byte))
        .collect();
    assert_eq!(tokenizer.encode("ö"), bytes);
    assert_eq!(tokenizer.decode(&bytes), "ö");
    assert_eq!(tokenizer.token_bytes(bytes[0]), [0xC3]);
}

#[test]
fn control_tokens_in_plain_text_stay_text() {
    let tokenizer = gemma4();
    for text in [
        "<eos>",
        "a<eos>b",
        "<turn|>",
        "<|channel>",
        "<0x41>",
        "<bos>",
    ] {
        let tokens = tokenizer.encode(text);
        assert!(
            tokens.iter().all(|&token| !tokenizer.is_control(token)),
            "{text}: {tokens:?}"
        );
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}

#[test]
fn special_tokens_are_parsed_on_demand() {
    let tokenizer = gemma4();
    let ab = tokenizer.token_id("ab").expect("in the vocabulary");
    assert_eq!(
        tokenizer.encode_special("<bos>ab<turn|><eos>ab"),
        [2, ab, 5, 1, ab]
    );
    assert_eq!(tokenizer.encode_special("<|channel>"), [4]);
    assert_eq!(tokenizer.encode_special("ab"), [ab]);
    assert_eq!(tokenizer.decode(&[2, ab, 5, 1, ab]), "abab");
}

#[test]
fn roles_come_from_keys_and_names() {
    let tokenizer = gemma4();
    assert_eq!(tokenizer.bos(), Some(2));
    assert_eq!(tokenizer.end_of_generation(), [1, 5, 7, 8, 9]);
    assert_eq!(tokenizer.banned(), [6]);
    let fim = tokenizer.fim().expect("the file has the keys");
    assert_eq!((fim.prefix, fim.suffix, fim.middle), (7, 8, 9));
    assert_eq!((fim.separator, fim.pad, fim.repository), (None, None, None));
    assert_eq!(tokenizer.chat_template(), Some("{{ messages }}"));
    assert_eq!(tokenizer.token_id("<turn|>"), Some(5));
    assert_eq!(tokenizer.token_id("absent"), None);
    assert!(
        [0, 1, 2, 3, 4, 5, 9]
            .iter()
            .all(|&token| tokenizer.is_control(token))
    );
    assert!(!tokenizer.is_control(BYTE_0));
    assert!(
        tokenizer.is_control(TokenId::MAX),
        "what is not in the vocabulary is no text"
    );
    assert_eq!(tokenizer.token_bytes(TokenId::MAX), b"");
}

#[test]
fn suppressed_tokens_are_banned() {
    let writer = with_gemma4_vocabulary(Writer::new());
    let tokenizer = build(writer.i32s("tokenizer.ggml.suppress_tokens", &[12, 11, 99_999]));
    assert_eq!(tokenizer.banned(), [6, 11, 12]);
}

#[test]
fn old_vocabularies_merge_by_score() {
    let tokenizer = scored();
    assert_eq!(
        texts(&tokenizer, &tokenizer.encode("abc")),
        ["a", "bc"].map(str::to_owned)
    );
    assert_eq!(
        texts(&tokenizer, &tokenizer.encode("ab c")),
        ["ab", " ", "c"]
    );
    assert_eq!(
        tokenizer.encode("\t\t\t"),
        [5, 4],
        "the byte token of the tab takes part in merges"
    );
    assert_eq!(tokenizer.decode(&[5, 4]), "\t\t\t");
    assert_eq!(tokenizer.end_of_generation(), [1, 5, 6, 7, 12]);
    assert_eq!(tokenizer.fim().map(|fim| fim.suffix), Some(6));
}

#[test]
fn duplicate_tokens_keep_the_first_id() {
    let tokenizer = build(
        Writer::new()
            .string("tokenizer.ggml.model", "gemma4")
            .strings("tokenizer.ggml.tokens", &["<bos>", "a", "a", "b"])
            .strings("tokenizer.ggml.merges", &[""; 0]),
    );
    assert_eq!(tokenizer.encode("aab"), [1, 1, 3]);
    assert_eq!(tokenizer.decode(&[1, 2, 3]), "aab");
}

#[test]
fn half_a_character_is_not_streamed() {
    let tokenizer = gemma4();
    let mut stream = tokenizer.stream();
    let tokens = tokenizer.encode("a🦀b");
    let parts: Vec<String> = tokens
        .iter()
        .map(|&token| stream.push(token).to_owned())
        .collect();
    assert_eq!(parts, ["a", "", "", "", "🦀", "b"]);
    assert_eq!(stream.finish(), "");
    let mut stream = tokenizer.stream();
    assert_eq!(stream.push(BYTE_0 + 0xF0), "");
    assert_eq!(stream.finish(), "\u{FFFD}");
}

/// Text with many of the characters that the vocabulary merges, and some that it does not have.
fn source_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abc \n<>eos()é\t]{0,40}",
        "(<eos>|<turn\\||<0x41>|ab| |\n|🦀|\r|\0|x){0,20}",
        any::<String>().prop_map(|text| text.replace('▁', "_")),
    ]
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(text in source_text()) {
        let tokenizer = gemma4();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
    }

    #[test]
    fn encoding_by_score_is_undone_too(text in "[abc\t ]{0,40}") {
        let tokenizer = scored();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
    }

    #[test]
    fn a_stream_gives_what_decode_gives(tokens in prop::collection::vec(0_u32..300, 0..60)) {
        let tokenizer = gemma4();
        let mut stream = tokenizer.stream();
        let mut text: String = tokens.iter().map(|&token| stream.push(token).to_owned()).collect();
        text.push_str(&stream.finish());
        prop_assert_eq!(text, tokenizer.decode(&tokens));
    }

    #[test]
    fn text_without_special_tokens_encodes_the_same_both_ways(text in "[abc \n]{0,40}") {
        let tokenizer = gemma4();
        prop_assert_eq!(tokenizer.encode(&text), tokenizer.encode_special(&text));
    }
}
