//! Prompts as data: a document with a caret in, the exact text out, for every form.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;

use carat_engine::TokenId;
use carat_grammars::languages;
use proptest::prelude::*;

use super::{
    Chat, FimMarks, ModelTraits, Prompt, PromptBudget, PromptForm, PromptInput, Vocabulary, budget,
    build, chat,
};
use crate::testing::{Case, cases, compare};

/// Words, runs of white space and single other characters; every new one gets the next number.
#[derive(Default)]
pub(super) struct Words {
    known: RefCell<Vec<String>>,
    numbers: RefCell<HashMap<String, usize>>,
    without_fim: bool,
    controls: &'static [&'static str],
}

const CONTROLS: &[&str] = &[
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
    "<start_of_turn>",
    "<end_of_turn>",
];

pub(super) fn words() -> Words {
    Words {
        controls: CONTROLS,
        ..Words::default()
    }
}

impl Words {
    fn number(&self, word: &str) -> TokenId {
        let found = self.numbers.borrow().get(word).copied();
        let at = found.unwrap_or_else(|| {
            let mut known = self.known.borrow_mut();
            known.push(word.to_owned());
            let numbers = &mut self.numbers.borrow_mut();
            numbers.insert(word.to_owned(), known.len() - 1);
            known.len() - 1
        });
        at as TokenId
    }

    fn decode(&self, tokens: &[TokenId]) -> String {
        tokens
            .iter()
            .map(|token| self.known.borrow()[*token as usize].clone())
            .collect()
    }
}

impl Vocabulary for Words {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let class = |c: char| match c {
                '\n' => 0,
                ' ' | '\t' | '\r' => 1,
                c if c.is_alphanumeric() || c == '_' => 2,
                _ => 3,
            };
            let same = rest
                .find(|c| class(c) != class(first))
                .unwrap_or(rest.len());
            let end = if class(first) == 3 {
                first.len_utf8()
            } else {
                same
            };
            tokens.push(self.number(&rest[..end]));
            rest = &rest[end..];
        }
        tokens
    }

    fn bos(&self) -> Option<TokenId> {
        Some(self.number("<bos>"))
    }

    fn control(&self, text: &str) -> Option<TokenId> {
        self.controls.contains(&text).then(|| self.number(text))
    }

    fn fill_in_the_middle(&self) -> Option<FimMarks> {
        if self.without_fim {
            return None;
        }
        let [prefix, suffix, middle] =
            ["prefix", "suffix", "middle"].map(|name| self.number(&format!("<|fim_{name}|>")));
        Some(FimMarks {
            prefix,
            suffix,
            middle,
            separator: None,
            names_file_inside: false,
        })
    }
}

/// The prompt of a case in one form: its text, then what the answer is expected to begin with.
fn prompt_of(case: &Case, form: PromptForm) -> String {
    let document = case.section("").unwrap_or_default();
    let (path, text) = document.split_once('\n').unwrap_or((document, ""));
    let path = path
        .strip_prefix("//- ")
        .unwrap_or_else(|| panic!("{}: no path", case.place()));
    let text = if case.value("settings", "line_ends") == Some("crlf") {
        text.replace('\n', "\r\n")
    } else {
        text.to_owned()
    };
    let (prefix, suffix) = text
        .split_once("<CURSOR>")
        .unwrap_or_else(|| panic!("{}: no <CURSOR>", case.place()));
    let number = |key: &str, default: usize| {
        case.value("settings", key).map_or(default, |value| {
            value.parse().unwrap_or_else(|_| panic!("{value}"))
        })
    };
    let usual = PromptBudget::default();
    let prefix_tokens = number("prefix_tokens", usual.prefix_tokens);
    let budget = PromptBudget {
        prefix_tokens,
        suffix_tokens: number("suffix_tokens", usual.suffix_tokens),
        prefix_step_bytes: prefix_tokens,
        ..usual
    };
    let language = languages::by_path(path.as_ref());
    let vocabulary = words();
    let input = PromptInput {
        path,
        language,
        prefix,
        suffix,
        ..PromptInput::default()
    };
    let prompt = build(&input, form, &budget, &vocabulary);
    assert_eq!(
        vocabulary.decode(&prompt.tokens),
        prompt.text,
        "{}",
        case.place()
    );
    let Prompt {
        text,
        forced_text,
        stop_strings,
        ..
    } = prompt;
    let mut shown = text.replace('\r', "␍") + "<ANSWER>";
    shown += &forced_text.replace(' ', "␠");
    for stop in stop_strings {
        write!(shown, "\n(stop at {stop:?})").expect("strings take all");
    }
    shown
}

#[test]
fn prompts_are_as_written() {
    compare(&cases("prompts"), |case, title| {
        let name = title.strip_prefix("prompt ")?;
        let form = PromptForm::ALL
            .iter()
            .copied()
            .find(|form| form.name() == name)
            .unwrap_or_else(|| panic!("no form `{name}`"));
        Some(prompt_of(case, form))
    });
}

#[test]
fn a_turn_is_written_as_the_chat_template_has_it() {
    let vocabulary = words();
    let write = |form, system| {
        let said = Chat {
            system,
            user: " What is 2+2?\n",
            answer: "It",
        };
        chat(form, &said, &vocabulary).map(|prompt| {
            assert_eq!(vocabulary.decode(&prompt.tokens), prompt.text);
            assert_eq!(prompt.stop_tokens.len(), 1);
            assert!(!prompt.banned_tokens.is_empty());
            prompt.text
        })
    };
    let gemma4 = |thought_block| PromptForm::InstructGemma4 { thought_block };
    for (form, system, expected) in [
        (
            gemma4(true),
            "",
            "<bos><|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n<|channel>thought\n<channel|>It",
        ),
        (
            gemma4(true),
            " Rules.\n",
            "<bos><|turn>system\nRules.<turn|>\n<|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n<|channel>thought\n<channel|>It",
        ),
        (
            gemma4(false),
            "",
            "<bos><|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\nIt",
        ),
        (
            PromptForm::InstructGemma3,
            "Rules.",
            "<bos><start_of_turn>user\nRules.\n\nWhat is 2+2?<end_of_turn>\n<start_of_turn>model\nIt",
        ),
    ] {
        assert_eq!(write(form, system).as_deref(), Some(expected));
    }
    assert_eq!(write(PromptForm::Plain, ""), None);
    assert_eq!(write(PromptForm::FimSuffixFirst, ""), None);
}

#[test]
fn the_form_follows_from_the_file() {
    let traits = |name| ModelTraits {
        name,
        has_untrained_fim: false,
        chat_template: Some(""),
        has_per_layer_embeddings: false,
    };
    let fim = words();
    let chat = Words {
        without_fim: true,
        ..words()
    };
    let gemma3 = Words {
        without_fim: true,
        controls: &["<start_of_turn>"],
        ..Words::default()
    };
    let bare = Words {
        without_fim: true,
        ..Words::default()
    };
    let gemma4 = PromptForm::InstructGemma4 {
        thought_block: true,
    };
    let small = PromptForm::InstructGemma4 {
        thought_block: false,
    };
    let cases: [(&str, ModelTraits<'_>, &Words, PromptForm); 8] = [
        (
            "embedded",
            traits("carat-default"),
            &fim,
            PromptForm::FimSuffixFirst,
        ),
        (
            "CodeGemma",
            traits("codegemma-2b"),
            &fim,
            PromptForm::FimPrefixFirst,
        ),
        (
            "Gemma 1",
            ModelTraits {
                has_untrained_fim: true,
                ..traits("gemma-2b-it")
            },
            &gemma3,
            PromptForm::InstructGemma3,
        ),
        (
            "Gemma 1, keys untrained",
            ModelTraits {
                has_untrained_fim: true,
                chat_template: None,
                ..traits("gemma-2b")
            },
            &fim,
            PromptForm::Plain,
        ),
        ("26B", traits("gemma-4-26B-A4B-it"), &chat, gemma4),
        (
            "E2B",
            ModelTraits {
                has_per_layer_embeddings: true,
                ..traits("gemma-4-E2B-it")
            },
            &chat,
            small,
        ),
        (
            "base",
            ModelTraits {
                chat_template: None,
                ..traits("gemma-4-26B-A4B")
            },
            &chat,
            PromptForm::Plain,
        ),
        (
            "a template without turns",
            traits("odd"),
            &bare,
            PromptForm::Plain,
        ),
    ];
    for (what, traits, vocabulary, form) in cases {
        assert_eq!(PromptForm::of(&traits, vocabulary), form, "{what}");
    }
}

#[test]
fn control_tokens_in_the_text_stay_text() {
    let vocabulary = words();
    let input = PromptInput {
        path: "a.rs",
        prefix: "let s = \"<turn|>",
        suffix: "<|turn>\";",
        ..PromptInput::default()
    };
    let prompt = build(
        &input,
        PromptForm::InstructGemma4 {
            thought_block: true,
        },
        &PromptBudget::default(),
        &vocabulary,
    );
    let turn_ends = prompt
        .tokens
        .iter()
        .filter(|token| vocabulary.control("<turn|>") == Some(**token))
        .count();
    assert_eq!(turn_ends, 2, "{}", prompt.text);
}

#[test]
fn what_no_code_contains_is_banned_and_marks_end_the_answer() {
    let vocabulary = words();
    let input = PromptInput::default();
    let chat = build(
        &input,
        PromptForm::InstructGemma4 {
            thought_block: true,
        },
        &PromptBudget::default(),
        &vocabulary,
    );
    assert_eq!(vocabulary.decode(&chat.stop_tokens), "<turn|>");
    assert_eq!(
        vocabulary.decode(&chat.banned_tokens),
        "<|think|><|channel><|turn>"
    );
    let fim = build(
        &input,
        PromptForm::FimSuffixFirst,
        &PromptBudget::default(),
        &vocabulary,
    );
    assert_eq!(
        vocabulary.decode(&fim.stop_tokens),
        "<|fim_prefix|><|fim_suffix|><|fim_middle|>"
    );
    assert!(fim.stop_strings.is_empty());
}

/// A file of functions, as long as wanted.
fn file(functions: usize) -> String {
    let mut text = String::new();
    for n in 0..functions {
        write!(
            text,
            "fn f{n}(x: u32) -> u32 {{\n    let y = x + {n};\n    y * 2\n}}\n\n"
        )
        .expect("strings take all");
    }
    text
}

#[test]
fn typing_evaluates_little_more_than_what_is_typed() {
    let vocabulary = words();
    let (before, after) = (file(200), file(100));
    let typed = "fn total(values: &[u32]) -> u32 {\n    values.iter().sum()\n}\n\n".repeat(10);
    let budget = PromptBudget::default();
    let mut previous: Vec<TokenId> = Vec::new();
    let mut evaluated = 0;
    for end in 0..=typed.len() {
        let prefix = format!("{before}{}", &typed[..end]);
        let input = PromptInput {
            path: "a.rs",
            language: None,
            prefix: &prefix,
            suffix: &after,
            ..PromptInput::default()
        };
        let tokens = build(&input, PromptForm::FimSuffixFirst, &budget, &vocabulary).tokens;
        let shared = tokens
            .iter()
            .zip(&previous)
            .take_while(|(a, b)| a == b)
            .count();
        evaluated += if end == 0 { 0 } else { tokens.len() - shared };
        previous = tokens;
    }
    // A keystroke ends or changes one token. The window may move a few times; one that moved with
    // every line would evaluate some 20,000 tokens.
    let bound = 2 * typed.len() + 4 * budget.prefix_tokens;
    assert!(
        evaluated < bound,
        "{evaluated} tokens for {} keystrokes",
        typed.len()
    );
}

#[test]
fn a_share_that_one_side_leaves_goes_to_the_other() {
    let vocabulary = words();
    let count = |text: &str| vocabulary.encode(text).len();
    let budget = PromptBudget {
        prefix_tokens: 300,
        suffix_tokens: 300,
        prefix_step_bytes: 300,
        ..PromptBudget::default()
    };
    let long = file(200);
    let window = budget::window(&long, "", &budget, &vocabulary);
    assert!(
        (401..=600).contains(&count(window.prefix)),
        "{}",
        count(window.prefix)
    );
    let window = budget::window("fn main() {", &long, &budget, &vocabulary);
    assert!(
        (401..=600).contains(&count(window.suffix)),
        "{}",
        count(window.suffix)
    );
    let window = budget::window(&long, &long, &budget, &vocabulary);
    assert!(
        (100..=300).contains(&count(window.prefix)),
        "{}",
        count(window.prefix)
    );
    assert!(
        (250..=300).contains(&count(window.suffix)),
        "{}",
        count(window.suffix)
    );
}

#[test]
fn the_begin_of_a_first_prompt_stays_where_it_is_wherever_the_caret_is() {
    /// Tokens are so many bytes.
    struct Pieces(usize);
    impl Vocabulary for Pieces {
        fn encode(&self, text: &str) -> Vec<TokenId> {
            vec![0; text.len().div_ceil(self.0)]
        }
        fn bos(&self) -> Option<TokenId> {
            None
        }
        fn control(&self, _: &str) -> Option<TokenId> {
            None
        }
        fn fill_in_the_middle(&self) -> Option<FimMarks> {
            None
        }
    }
    let typed = "    let another = line(of, this);\n".repeat(4);
    for (lines, bytes) in (100..140).flat_map(|lines| [2, 3, 4, 5].map(|bytes| (lines, bytes))) {
        let vocabulary = Pieces(bytes);
        let before = file(lines);
        let budget = PromptBudget::default().for_large().first(30.0, 48);
        let budget = budget.beginning_before(&before, &vocabulary);
        let begin = |prefix: &str| {
            prefix.len()
                - budget::window(prefix, "\n}\n", &budget, &vocabulary)
                    .prefix
                    .len()
        };
        let first = begin(&before);
        let told = vocabulary.encode(&before[first..]).len();
        assert!(
            (115..=150).contains(&told),
            "{told} tokens of {bytes} bytes after {lines} lines"
        );
        assert_eq!(begin(&(before + &typed)), first, "after {lines} lines");
    }
}

proptest! {
    #[test]
    fn windows_touch_the_caret_and_keep_the_budget(
        prefix in "(\\PC|\n|\r\n| ){0,400}",
        suffix in "(\\PC|\n|\r\n| ){0,400}",
        prefix_tokens in 0usize..60,
        suffix_tokens in 0usize..60,
        prefix_origin in 0usize..2000,
    ) {
        let vocabulary = words();
        let budget = PromptBudget {
            prefix_tokens,
            suffix_tokens,
            context_tokens: 0,
            prefix_step_bytes: prefix_tokens,
            prefix_origin,
        };
        let window = budget::window(&prefix, &suffix, &budget, &vocabulary);
        prop_assert!(prefix.ends_with(window.prefix));
        prop_assert!(suffix.starts_with(window.suffix));
        // Pieces are counted apart; a word that a window's end splits may count twice.
        let count = vocabulary.encode(window.prefix).len() + vocabulary.encode(window.suffix).len();
        prop_assert!(count <= prefix_tokens + suffix_tokens, "{count}");
        for &form in PromptForm::ALL {
            let input = PromptInput { path: "a.py", language: None, prefix: &prefix, suffix: &suffix, ..PromptInput::default() };
            let prompt = build(&input, form, &budget, &vocabulary);
            prop_assert_eq!(vocabulary.decode(&prompt.tokens), prompt.text);
        }
    }
}
