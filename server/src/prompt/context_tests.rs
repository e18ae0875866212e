//! Other files in prompts, form by form.

use carat_engine::TokenId;
use carat_grammars::languages;

use super::tests::{Words, words};
use super::{Excerpt, FimMarks, Prompt, PromptBudget, PromptForm, PromptInput, Vocabulary, build};

fn excerpts() -> Vec<Excerpt> {
    let of = |path: &str, text: &str| Excerpt {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    vec![
        of("src/a.rs", "pub fn a()\npub struct A;"),
        of("b.py", "def b(): ```"),
    ]
}

fn prompt(form: PromptForm, context: &[Excerpt], vocabulary: &dyn Vocabulary) -> Prompt {
    let input = PromptInput {
        path: "src/own.rs",
        language: languages::by_id("rust"),
        prefix: "fn own() {\n    ",
        suffix: "\n}\n",
        context,
    };
    build(&input, form, &PromptBudget::default(), vocabulary)
}

/// A vocabulary that parts files.
struct Parting(Words);

impl Vocabulary for Parting {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        self.0.encode(text)
    }

    fn bos(&self) -> Option<TokenId> {
        self.0.bos()
    }

    fn control(&self, text: &str) -> Option<TokenId> {
        self.0.control(text)
    }

    fn fill_in_the_middle(&self) -> Option<FimMarks> {
        let separator = self.0.encode("SEPARATOR").first().copied();
        let marks = self.0.fill_in_the_middle()?;
        Some(FimMarks { separator, ..marks })
    }
}

#[test]
fn instruct_models_read_them_before_the_question() {
    let form = PromptForm::InstructGemma4 {
        thought_block: true,
    };
    let text = prompt(form, &excerpts(), &words()).text;
    // The fence is longer than any in the excerpts.
    let told = "From other files of the project:\n\nsrc/a.rs\n````rust\npub fn a()\npub struct A;\n````\n\n\
        b.py\n````python\ndef b(): ```\n````\n\nFile: src/own.rs<turn|>\n";
    assert!(text.contains(told), "{text}");
    assert!(!prompt(form, &[], &words()).text.contains("other files"));
}

#[test]
fn models_that_know_files_read_them_as_files() {
    let vocabulary = Parting(words());
    let prompt = prompt(PromptForm::FimPrefixFirst, &excerpts(), &vocabulary);
    let begin = "<bos><|file_separator|>src/a.rs\npub fn a()\npub struct A;\n<|file_separator|>b.py\ndef b(): ```\n\
        <|file_separator|>src/own.rs\n<|fim_prefix|>";
    assert!(prompt.text.starts_with(begin), "{}", prompt.text);
    let separator = vocabulary.fill_in_the_middle().and_then(|m| m.separator);
    let parts = prompt
        .tokens
        .iter()
        .filter(|token| Some(**token) == separator);
    assert_eq!(parts.count(), 3, "as tokens, not as text");
    assert_eq!(prompt.told_of, ["src/a.rs", "b.py"]);
}

#[test]
fn others_read_them_as_comments() {
    let comments =
        "// From src/a.rs:\n// pub fn a()\n// pub struct A;\n// From b.py:\n// def b(): ```\n\n";
    for (form, before) in [
        (PromptForm::FimPrefixFirst, "<|fim_prefix|>"),
        (PromptForm::FimSuffixThenPrefix, "<|fim_prefix|>"),
        (PromptForm::FimCodestral, "<|fim_prefix|>"),
        (PromptForm::Plain, "<bos>"),
    ] {
        let text = prompt(form, &excerpts(), &words()).text;
        assert!(text.contains(&format!("{before}{comments}")), "{text}");
    }
}
