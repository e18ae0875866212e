//! What every model of the catalogue is shown, token for token, with the control tokens of its own
//! vocabulary: goldens in `testdata/catalogue`; and models that bring their own file, in `testdata/forms`.
//! Their forms follow from what their files say.

use std::fmt::Write as _;

use carat_engine::{ModelFile, TokenId, Tokenizer};
use carat_grammars::languages;

use super::{
    Chat, Excerpt, ModelTraits, Prompt, PromptBudget, PromptForm, PromptInput, build, chat,
};
use crate::models::catalogue::Catalogue;
use crate::testing::{Case, cases, compare};

#[path = "../../../engine/tests/gguf_writer/mod.rs"]
mod gguf_writer;

use gguf_writer::{Writer, with_bytes, with_chat_template};

/// A vocabulary with the control tokens of a model, and its bytes in the place of its words.
struct Words<'a> {
    tokenizer: Tokenizer,
    /// The control tokens, which come first.
    controls: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(case: &'a Case) -> Self {
        let fact = |key| case.value("file", key);
        let controls: Vec<&str> = fact("controls").expect("controls").split(' ').collect();
        let kind = fact("vocabulary").expect("a kind");
        let begins = fact("begins") == Some("true");
        let mut writer = with_bytes(Writer::new(), kind, fact("pre"), &controls, begins);
        writer = match fact("template") {
            None | Some("false") => writer,
            Some("true") => with_chat_template(writer, "{{ messages }}"),
            Some(template) => with_chat_template(writer, template),
        };
        let file = ModelFile::from_bytes(&case.name, &writer.finish()).expect("a correct file");
        let tokenizer = Tokenizer::from_model_file(&file).expect("a correct vocabulary");
        Self {
            tokenizer,
            controls,
        }
    }

    fn traits(&self, case: &'a Case) -> ModelTraits<'_> {
        ModelTraits {
            name: case.value("file", "name").expect("a name"),
            has_untrained_fim: false,
            chat_template: self.tokenizer.chat_template(),
            has_per_layer_embeddings: case.value("file", "embeddings_per_layer") == Some("true"),
        }
    }

    /// Tokens as the file spells them.
    fn spell(&self, tokens: &[TokenId]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            match self.controls.get(token as usize) {
                Some(control) => bytes.extend(control.as_bytes()),
                None => bytes.extend(self.tokenizer.token_bytes(token)),
            }
        }
        String::from_utf8(bytes).expect("text")
    }

    /// A prompt, what its answer is held to, and what ends it.
    fn shown(&self, prompt: &Prompt) -> String {
        let mut shown = self.spell(&prompt.tokens) + "<ANSWER>";
        shown += &prompt.forced_text;
        let mut stops = self.tokenizer.end_of_generation().to_vec();
        stops.extend(&prompt.stop_tokens);
        stops.sort_unstable();
        stops.dedup();
        write!(shown, "\n(stops at {}", self.spell(&stops)).expect("strings take all");
        for stop in &prompt.stop_strings {
            write!(shown, " {stop:?}").expect("strings take all");
        }
        shown + ")"
    }
}

fn completion(case: &Case, words: &Words<'_>, context: &[Excerpt]) -> String {
    let document = case.section("").expect("a document");
    let (path, text) = document.split_once('\n').expect("a path");
    let path = path.strip_prefix("//- ").expect("a path");
    let (prefix, suffix) = text.split_once("<CURSOR>").expect("a caret");
    let input = PromptInput {
        path,
        language: languages::by_path(path.as_ref()),
        prefix,
        suffix,
        context,
    };
    let form = PromptForm::of(&words.traits(case), &words.tokenizer);
    words.shown(&build(
        &input,
        form,
        &PromptBudget::default(),
        &words.tokenizer,
    ))
}

fn turn(case: &Case, words: &Words<'_>) -> String {
    let said = Chat {
        system: "Explain code.",
        user: "What is PI?",
        answer: "",
    };
    let form = PromptForm::instruct(&words.traits(case), &words.tokenizer);
    form.and_then(|form| chat(form, &said, &words.tokenizer))
        .map_or_else(
            || "(takes no instructions)".to_owned(),
            |prompt| words.shown(&prompt),
        )
}

#[test]
fn every_model_of_the_catalogue_is_shown_what_it_was_trained_for() {
    let cases = cases("catalogue");
    let catalogue = Catalogue::built_in();
    for row in catalogue.entries() {
        let case = cases.iter().find(|case| case.name == row.name);
        let case = case.unwrap_or_else(|| panic!("{}: no golden in testdata/catalogue", row.name));
        let words = Words::of(case);
        let of_file = PromptForm::of(&words.traits(case), &words.tokenizer);
        assert_eq!(row.form(), Some(of_file), "{}", row.name);
    }
    assert_eq!(
        catalogue.entries().count(),
        cases.len(),
        "a golden without a row"
    );
    compare_shown(&cases);
}

/// Compares what the models of `cases` are shown with their goldens.
fn compare_shown(cases: &[Case]) {
    let excerpt = Excerpt {
        path: "src/square.rs".to_owned(),
        text: "struct Square(f64);\n".to_owned(),
    };
    compare(cases, |case, title| {
        let words = Words::of(case);
        match title {
            "fills a gap" => Some(completion(case, &words, &[])),
            "knows another file" => Some(completion(case, &words, std::slice::from_ref(&excerpt))),
            "is told what to do" => Some(turn(case, &words)),
            _ => None,
        }
    });
}

#[test]
fn every_form_has_a_model_with_a_golden() {
    let others = cases("forms");
    compare_shown(&others);
    let catalogue = cases("catalogue");
    let shown: Vec<PromptForm> = catalogue
        .iter()
        .chain(&others)
        .flat_map(|case| {
            let words = Words::of(case);
            let traits = words.traits(case);
            let turns = PromptForm::instruct(&traits, &words.tokenizer);
            turns
                .into_iter()
                .chain([PromptForm::of(&traits, &words.tokenizer)])
        })
        .collect();
    for form in PromptForm::ALL {
        assert!(shown.contains(form), "{}: no golden", form.name());
    }
}
