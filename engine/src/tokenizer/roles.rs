//! Which tokens begin and end text, which frame a gap to fill, and which must never be generated.

use super::ids::TokenIds;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::TokenId;
use crate::gguf::Metadata;

/// Tokens after which a model has nothing more to say, by name.
///
/// `</s>` is not among them: it is an HTML tag in Gemma vocabularies.
const END_NAMES: [&str; 5] = [
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<end_of_turn>",
    "<|file_separator|>",
];

/// The same of other families; text may spell them too, so they count only where they are control
/// tokens.
const END_MARKS: [&str; 12] = [
    "</s>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|EOT|>",
    "\u{2581}<EOT>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<|file_sep|>",
    "<file_sep>",
];

/// The tokens around a gap, one row a family: before the text before it, before the text after it,
/// before what fills it.
const FIM_NAMES: [[&str; 3]; 6] = [
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    [
        "<\u{ff5c}fim\u{2581}begin\u{ff5c}>",
        "<\u{ff5c}fim\u{2581}hole\u{ff5c}>",
        "<\u{ff5c}fim\u{2581}end\u{ff5c}>",
    ],
    ["\u{2581}<PRE>", "\u{2581}<SUF>", "\u{2581}<MID>"],
    ["[PREFIX]", "[SUFFIX]", "[MIDDLE]"],
    ["<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"],
];

/// What stands between files, in vocabularies that were trained on whole repositories.
const SEPARATOR_NAMES: [&str; 3] = ["<|file_separator|>", "<|file_sep|>", "<file_sep>"];

/// What stands before a repository's name there.
const REPOSITORY_NAMES: [&str; 2] = ["<|repo_name|>", "<repo_name>"];

/// What fills unused room there.
const PAD_NAMES: [&str; 2] = ["<|fim_pad|>", "<fim_pad>"];

/// Places for images and sound. A text model sometimes picks them, and they mean nothing in text.
const PLACEHOLDER_NAMES: [&str; 10] = [
    "<|image>",
    "<|audio>",
    "<|image|>",
    "<|audio|>",
    "<image|>",
    "<audio|>",
    "<|video|>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
];

/// The tokens of a model that was trained to fill a gap in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FimTokens {
    /// Stands before the text before the gap.
    pub prefix: TokenId,
    /// Stands before the text after the gap.
    pub suffix: TokenId,
    /// Stands before the text that fills the gap.
    pub middle: TokenId,
    /// Stands between files.
    pub separator: Option<TokenId>,
    /// Fills unused room; ends generated text.
    pub pad: Option<TokenId>,
    /// Stands before the name of a repository.
    pub repository: Option<TokenId>,
}

/// The tokens with a role.
pub(super) struct Roles {
    pub(super) bos: Option<TokenId>,
    pub(super) end_of_generation: Vec<TokenId>,
    pub(super) banned: Vec<TokenId>,
    pub(super) fim: Option<FimTokens>,
}

impl Roles {
    /// Looks roles up in the metadata, then by name. Ids outside of the vocabulary count as missing.
    /// `begins`: whether texts begin with a token of their own.
    pub(super) fn read(
        metadata: &Metadata,
        ids: &TokenIds,
        vocabulary: &Vocabulary,
        begins: bool,
    ) -> Result<Self, String> {
        let n_tokens = vocabulary.len();
        let by_key = |keys: &[&str]| {
            keys.iter()
                .find_map(|key| metadata.u32(&format!("tokenizer.ggml.{key}")))
                .filter(|&id| (id as usize) < n_tokens)
        };
        let by_name = |name: &str| ids.get(name);
        let find = |keys: &[&str], names: &[&str]| {
            by_key(keys).or_else(|| names.iter().find_map(|name| by_name(name)))
        };

        let bos = find(&["bos_token_id"], &["<bos>"]).filter(|_| begins);
        if begins && bos.is_none() {
            return Err(
                "neither `tokenizer.ggml.bos_token_id` nor a token `<bos>` is there".to_owned(),
            );
        }

        let part = |keys: [&str; 2], part: usize| {
            by_key(&keys).or_else(|| FIM_NAMES.iter().find_map(|names| by_name(names[part])))
        };
        let prefix = part(["fim_pre_token_id", "prefix_token_id"], 0);
        let suffix = part(["fim_suf_token_id", "suffix_token_id"], 1);
        let middle = part(["fim_mid_token_id", "middle_token_id"], 2);
        let fim = match (prefix, suffix, middle) {
            (Some(prefix), Some(suffix), Some(middle)) => Some(FimTokens {
                prefix,
                suffix,
                middle,
                separator: find(&["fim_sep_token_id"], &SEPARATOR_NAMES),
                pad: find(&["fim_pad_token_id"], &PAD_NAMES),
                repository: find(&["fim_rep_token_id"], &REPOSITORY_NAMES),
            }),
            _ => None,
        };

        let mut end_of_generation: Vec<TokenId> = ["eos_token_id", "eot_token_id", "eom_token_id"]
            .iter()
            .filter_map(|&key| by_key(&[key]))
            .collect();
        end_of_generation.extend(END_NAMES.iter().filter_map(|name| by_name(name)));
        let is_control = |id: &TokenId| vocabulary.kind(*id) == TokenKind::Control;
        let marks = END_MARKS.iter().filter_map(|name| by_name(name));
        end_of_generation.extend(marks.filter(is_control));
        // A model that fills a gap is done when it begins another part of the text.
        end_of_generation.extend(fim.iter().flat_map(|fim| {
            let parts = [Some(fim.prefix), Some(fim.suffix), Some(fim.middle)];
            parts
                .into_iter()
                .chain([fim.separator, fim.pad, fim.repository])
                .flatten()
        }));

        let mut banned: Vec<TokenId> = PLACEHOLDER_NAMES
            .iter()
            .filter_map(|name| by_name(name))
            .collect();
        let suppressed = metadata
            .u32_array("tokenizer.ggml.suppress_tokens")
            .unwrap_or_default();
        banned.extend(
            suppressed
                .into_iter()
                .filter(|&id| (id as usize) < n_tokens),
        );

        for list in [&mut end_of_generation, &mut banned] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(Self {
            bos,
            end_of_generation,
            banned,
            fim,
        })
    }
}
