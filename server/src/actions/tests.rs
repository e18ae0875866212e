//! Actions as data: a text with a selection and the model's answers in, the changed text out.

use std::ops::ControlFlow;

use carat_engine::{GenerationSummary, StopReason};
use carat_grammars::languages;
use ropey::Rope;

use super::offer::{self, Place};
use super::{
    Action, CustomAction, CustomKind, Instruct, Outcome, Refusal, Request, Run, Step, Turn,
};
use crate::prompt::{Bytes, PromptForm};
use crate::testing::{Case, cases, compare};

const MODEL: Instruct<'_> = Instruct {
    form: PromptForm::InstructGemma4 {
        thought_block: true,
    },
    vocabulary: &Bytes,
    context_tokens: 100_000,
};

/// Writes `answers` in turn, a few bytes at a time; is interrupted after `pause_after` pieces once.
struct Writer {
    answers: Vec<String>,
    pause_after: Option<usize>,
    stop: StopReason,
    turns: usize,
}

impl Writer {
    fn new(answers: &[&str]) -> Self {
        Self {
            answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
            pause_after: None,
            stop: StopReason::StopToken,
            turns: 0,
        }
    }

    fn write(
        &mut self,
        turn: &Turn<'_>,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> GenerationSummary {
        self.turns += 1;
        let answer = self.answers.get(turn.attempt).cloned().unwrap_or_default();
        let mut summary = GenerationSummary {
            tokens: Vec::new(),
            scores: Vec::new(),
            ends: Vec::new(),
            text: String::new(),
            prompt_tokens: turn.prompt.len(),
            reused_tokens: 0,
            prefill: std::time::Duration::ZERO,
            decode: std::time::Duration::ZERO,
            stop: self.stop,
        };
        for piece in answer.chars().skip(turn.written.len()) {
            if self
                .pause_after
                .is_some_and(|after| summary.tokens.len() == after)
            {
                self.pause_after = None;
                summary.stop = StopReason::Cancelled;
                return summary;
            }
            let piece = piece.to_string();
            summary.tokens.push(0);
            summary.text.push_str(&piece);
            if on_text(&piece).is_break() {
                summary.stop = StopReason::Callback;
                return summary;
            }
        }
        summary
    }
}

fn finish(run: &mut Run, writer: &mut Writer) -> Result<Outcome, String> {
    loop {
        let step = run.step(
            &mut |turn, on_text| Ok(writer.write(turn, on_text)),
            &mut |_| {},
        );
        match step.expect("the writer does not fail") {
            Step::Paused => {}
            Step::Done(result) => return result.map_err(|fault| fault.to_string()),
        }
    }
}

/// The request of a case: `<SEL>` and `</SEL>` around the selection, or `<CURSOR>`.
fn request_of(case: &Case) -> Request {
    let document = case.section("").unwrap_or_default();
    let (path, text) = document.split_once('\n').unwrap_or((document, ""));
    let path = path
        .strip_prefix("//- ")
        .unwrap_or_else(|| panic!("{}: no path", case.place()));
    let mut text = text.to_owned();
    if case.value("settings", "line_ends") == Some("crlf") {
        text = text.replace('\n', "\r\n");
    }
    if case.value("settings", "final_line_end") == Some("yes") {
        text.push('\n');
    }
    let mut take = |mark: &str| {
        let at = text.find(mark)?;
        text.replace_range(at..at + mark.len(), "");
        Some(at)
    };
    let selection = if let Some(caret) = take("<CURSOR>") {
        caret..caret
    } else {
        let start = take("<SEL>").expect("a caret or a selection");
        start..take("</SEL>").expect("the selection's end")
    };
    let words = case.value("settings", "instruction").map(str::to_owned);
    let custom = |kind| CustomAction {
        title: "Mine".to_owned(),
        prompt: words.clone().expect("an instruction"),
        kind,
    };
    let action = match case.value("settings", "action").expect("an action") {
        "explain" => Action::Explain,
        "refactor" => Action::Refactor {
            instruction: words.clone(),
        },
        "document" => Action::Document,
        "tests" => Action::WriteTests,
        "fix" => Action::Fix {
            message: words.clone().expect("a message"),
            at: selection.clone(),
        },
        "custom" => Action::Custom(custom(CustomKind::Rewrite)),
        "custom-explain" => Action::Custom(custom(CustomKind::Explain)),
        other => panic!("no action `{other}`"),
    };
    Request {
        action,
        path: path.to_owned(),
        language: languages::by_path(path.as_ref()),
        text: Rope::from_str(&text),
        selection,
    }
}

fn result_of(case: &Case) -> String {
    let request = request_of(case);
    let mut run = match Run::new(&request, &MODEL) {
        Ok(run) => run,
        Err(refusal) => return format!("refused: {refusal}"),
    };
    let answers: Vec<&str> = ["answer", "answer 2"]
        .iter()
        .filter_map(|title| case.section(title))
        .collect();
    let mut writer = Writer::new(&answers);
    let result = finish(&mut run, &mut writer);
    // However often it is interrupted, the same comes out.
    for pause_after in [0, 1, 7] {
        let mut run = Run::new(&request, &MODEL).expect("it began before");
        let mut paused = Writer {
            pause_after: Some(pause_after),
            ..Writer::new(&answers)
        };
        assert_eq!(finish(&mut run, &mut paused), result, "{}", case.place());
        assert_eq!(
            paused.turns,
            writer.turns + usize::from(paused.pause_after.is_none())
        );
    }
    let text = match result {
        Ok(Outcome::Change(change)) => {
            let mut text = request.text.to_string();
            text.replace_range(change.range, &change.text);
            text
        }
        Ok(Outcome::Prose(prose)) => format!("prose: {prose}"),
        Ok(Outcome::NewFile { name, text }) => format!("//- {name}\n{text}"),
        Ok(Outcome::Unchanged) => "unchanged".to_owned(),
        Err(fault) => format!("after {} answers: {fault}", writer.turns),
    };
    text.replace('\r', "␍")
}

#[test]
fn actions_do_what_is_written() {
    compare(&cases("actions"), |case, title| match title {
        "result" => Some(result_of(case)),
        "prompt" => Some(
            Run::new(&request_of(case), &MODEL)
                .map_or_else(|refusal| refusal.to_string(), |run| run.prompt().to_owned()),
        ),
        _ => None,
    });
}

#[test]
fn the_second_attempt_is_sampled_and_knows_nothing_of_the_first() {
    let request = request(
        "fn f() {\n    g();\n}\n",
        12..12,
        Action::Refactor { instruction: None },
    );
    let mut run = Run::new(&request, &MODEL).expect("a unit");
    let mut turns = Vec::new();
    let mut writer = Writer::new(&["() {\n    (\n}\n```", "() {}\n```"]);
    let step = run.step(
        &mut |turn, on_text| {
            turns.push((turn.prompt.to_vec(), turn.request.sampling.clone()));
            Ok(writer.write(turn, on_text))
        },
        &mut |_| {},
    );
    assert!(
        matches!(step, Ok(Step::Done(Ok(Outcome::Change(_))))),
        "{step:?}"
    );
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[0].0, turns[1].0);
    assert!(turns[0].1.temperature < 0.1 && turns[1].1.temperature > 0.5);
}

#[test]
fn the_model_sees_no_secret_and_what_it_writes_has_it_again() {
    let token = "ghp_a8Kd93kfLs0Qm2Zx7Vb1Nc5Hj6Tg4RwEy9uP";
    let text = format!("fn f() {{\n    g(\"{token}\");\n    h();\n}}\n");
    let begin = |action| {
        let request = request(&text, 12..12, action);
        Run::new(&request, &MODEL).expect("a unit")
    };
    for action in [Action::Explain, Action::Document] {
        let run = begin(action);
        assert!(!run.prompt().contains(token), "{}", run.prompt());
    }
    let mut run = begin(Action::Refactor { instruction: None });
    assert!(!run.prompt().contains(token), "{}", run.prompt());
    assert!(run.prompt().contains("g(\"HIDDEN_VALUE_1_\");"));
    let answer = "() {\n    h();\n    g(\"HIDDEN_VALUE_1_\");\n}\n```";
    let mut writer = Writer::new(&[answer]);
    let step = run.step(
        &mut |turn, on_text| Ok(writer.write(turn, on_text)),
        &mut |_| {},
    );
    let Ok(Step::Done(Ok(Outcome::Change(change)))) = step else {
        panic!("{step:?}");
    };
    assert!(
        change.text.contains(&format!("g(\"{token}\");")),
        "{}",
        change.text
    );
}

fn request(text: &str, selection: std::ops::Range<usize>, action: Action) -> Request {
    Request {
        action,
        path: "a.rs".to_owned(),
        language: languages::by_id("rust"),
        text: Rope::from_str(text),
        selection,
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_the_model_runs() {
    let begin = |text: &str, at: usize, action: Action, model: &Instruct<'_>| {
        Run::new(&request(text, at..at, action), model).err()
    };
    let refactor = || Action::Refactor { instruction: None };
    let completes = Instruct {
        form: PromptForm::FimSuffixFirst,
        ..MODEL
    };
    assert_eq!(
        begin("fn f() {}", 8, refactor(), &completes),
        Some(Refusal::NoInstructions)
    );
    assert_eq!(
        begin("use a;\n", 7, refactor(), &MODEL),
        Some(Refusal::NoItem)
    );
    assert_eq!(
        begin("use a;\n", 3, Action::Document, &MODEL),
        Some(Refusal::NoItem)
    );
    assert_eq!(begin("", 0, Action::Explain, &MODEL), Some(Refusal::NoItem));
    let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(200));
    assert_eq!(
        begin(&long, 30, refactor(), &MODEL),
        Some(Refusal::TooLong {
            what: "`f`".to_owned(),
            lines: 202,
            max: 120
        })
    );
    assert_eq!(
        begin(&long, 30, Action::Explain, &MODEL),
        None,
        "a part of it"
    );
    let fits = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(60));
    let small = Instruct {
        context_tokens: 900,
        ..MODEL
    };
    assert!(matches!(
        begin(&fits, 30, refactor(), &small),
        Some(Refusal::TooManyTokens { .. })
    ));
}

#[test]
fn prose_that_was_cut_off_ends_with_a_sentence() {
    let request = request("fn f() {}", 4..4, Action::Explain);
    let mut run = Run::new(&request, &MODEL).expect("a unit");
    let mut writer = Writer {
        stop: StopReason::MaxTokens,
        ..Writer::new(&["It does a thing. It al"])
    };
    assert_eq!(
        finish(&mut run, &mut writer),
        Ok(Outcome::Prose("It does a thing.".to_owned()))
    );
}

/// Titles of what is offered at `<SEL>` … `</SEL>`.
fn titles(path: &str, text: &str, diagnostics: &[&str], automatic: bool) -> Vec<String> {
    let start = text.find("<SEL>").expect("a selection");
    let text = text.replace("<SEL>", "");
    let end = text.find("</SEL>").expect("its end");
    let text = Rope::from_str(&text.replace("</SEL>", ""));
    let diagnostics: Vec<String> = diagnostics
        .iter()
        .map(|&message| message.to_owned())
        .collect();
    let custom = [CustomAction {
        title: "Review".to_owned(),
        prompt: "Find mistakes.".to_owned(),
        kind: CustomKind::Explain,
    }];
    let place = Place {
        text: &text,
        language: languages::by_path(path.as_ref()),
        selection: start..end,
        diagnostics: &diagnostics,
        automatic,
        custom: &custom,
    };
    offer::offers(&place)
        .into_iter()
        .map(|offer| offer.title)
        .collect()
}

#[test]
fn the_menu_names_what_it_is_about() {
    assert_eq!(
        titles(
            "a.rs",
            "fn main() { <SEL></SEL>x(); }",
            &["cannot find `x`\nhelp: y"],
            false
        ),
        [
            "Fix: cannot find `x`",
            "Explain `main`",
            "Refactor `main`",
            "Document `main`",
            "Write tests of `main`",
            "Review"
        ]
    );
    assert_eq!(
        titles(
            "a.rs",
            "fn main() {\n    // carat: say hello\n    <SEL></SEL>x();\n}",
            &[],
            false
        )[1],
        "Refactor: say hello"
    );
    assert_eq!(
        titles("a.txt", "some <SEL>words</SEL>", &[], false),
        ["Explain the selection", "Refactor the selection", "Review"]
    );
    assert_eq!(titles("a.rs", "use <SEL></SEL>a;", &[], false), [""; 0]);
}

#[test]
fn an_instruction_in_a_comment_begins_the_answer_like_any_other() {
    let text = "fn main() {\n    // carat: say hello\n    x();\n}\n";
    let instruction = offer::instruction(text, languages::by_id("rust")).expect("one");
    assert!(instruction.contains("delete the comment"), "{instruction}");
    let action = Action::Refactor {
        instruction: Some(instruction),
    };
    let run = Run::new(&request(text, 3..3, action), &MODEL).expect("a unit");
    assert!(run.prompt().ends_with("fn main"), "{}", run.prompt());
}

#[test]
fn an_editor_that_asks_on_its_own_hears_of_diagnostics_only() {
    assert_eq!(
        titles("a.rs", "fn main() { <SEL></SEL>x(); }", &["no x"], true),
        ["Fix: no x"]
    );
    assert_eq!(
        titles("a.rs", "fn main() { <SEL></SEL>x(); }", &[], true),
        [""; 0]
    );
    assert_eq!(
        titles("a.rs", "fn main() { <SEL>x();</SEL> }", &[], true).len(),
        5
    );
}
