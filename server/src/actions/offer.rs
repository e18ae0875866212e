//! Which actions there are to choose from at a place.

use std::ops::Range;

use carat_grammars::{Language, SyntaxTree};
use ropey::Rope;

use super::{CustomAction, CustomKind, unit};

/// Texts beyond this size are not parsed for a menu, which must open at once.
const PARSED_BYTES_MAX: usize = 512 * 1024;

/// The groups that editors sort menus by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Answers in prose.
    Explain,
    /// Rewrites.
    Rewrite,
    /// Writes documentation.
    Document,
    /// Writes tests.
    Tests,
    /// Repairs a diagnostic.
    Fix,
}

/// What an entry of the menu does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// See [`super::Action::Explain`].
    Explain,
    /// See [`super::Action::Refactor`], with the instruction that stands in the code.
    Refactor(Option<String>),
    /// See [`super::Action::Document`].
    Document,
    /// See [`super::Action::WriteTests`].
    WriteTests,
    /// See [`super::Action::Fix`]; the number of the diagnostic.
    Fix(usize),
    /// The action of this title in the settings.
    Custom(String),
}

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the menu shows.
    pub title: String,
    /// Where the menu shows it.
    pub group: Group,
    /// What it does.
    pub choice: Choice,
}

/// Where the menu opens.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The text.
    pub text: &'a Rope,
    /// Its language, where it is known.
    pub language: Option<&'static Language>,
    /// What is selected, in bytes.
    pub selection: Range<usize>,
    /// Messages of the diagnostics there.
    pub diagnostics: &'a [String],
    /// Whether the editor asks on its own, to show that there is a menu at all.
    pub automatic: bool,
    /// What the user has defined.
    pub custom: &'a [CustomAction],
}

/// How a comment begins that holds an instruction, such as `// carat: return an error instead`.
const MARK: &str = "carat:";

/// What is added to such an instruction, before the mark of the comment.
const THEN_DELETE: &str = "\nThen delete the comment that begins with";

/// The entries, most specific first.
pub fn offers(place: &Place<'_>) -> Vec<Offer> {
    let mut offers = Vec::new();
    let mut add = |title: String, group, choice| {
        offers.push(Offer {
            title,
            group,
            choice,
        });
    };
    for (number, message) in place.diagnostics.iter().enumerate() {
        add(
            format!("Fix: {}", brief(message)),
            Group::Fix,
            Choice::Fix(number),
        );
    }
    // A light bulb on every line would say nothing.
    if place.automatic && place.selection.is_empty() {
        return offers;
    }
    let small = place.text.len_bytes() <= PARSED_BYTES_MAX;
    let text = if small {
        place.text.to_string()
    } else {
        String::new()
    };
    let tree = place
        .language
        .filter(|_| small)
        .map(|language| SyntaxTree::parse(language, place.text));
    let selection = unit::trimmed(
        &text,
        &(place.selection.start.min(text.len())..place.selection.end.min(text.len())),
    );
    let item = tree
        .as_ref()
        .and_then(|tree| unit::item_at(&text, tree, &selection));
    let name = item.as_ref().and_then(|item| text.get(item.name.clone()?));
    let named = |verb: &str| match name {
        Some(name) => format!("{verb} `{}`", brief(name)),
        None if item.is_some() => format!("{verb} this code"),
        None => format!("{verb} the selection"),
    };
    let has_code = item.is_some() || !place.selection.is_empty();
    if has_code || tree.is_none() {
        add(
            if has_code {
                named("Explain")
            } else {
                "Explain this".to_owned()
            },
            Group::Explain,
            Choice::Explain,
        );
    }
    if has_code {
        let range = item.as_ref().map_or(selection, |item| item.range.clone());
        let instruction = text
            .get(range)
            .and_then(|piece| instruction(piece, place.language));
        let title = match &instruction {
            Some(words) => format!("Refactor: {}", brief(words)),
            None => named("Refactor"),
        };
        add(title, Group::Rewrite, Choice::Refactor(instruction));
    }
    if name.is_some() {
        add(named("Document"), Group::Document, Choice::Document);
        add(named("Write tests of"), Group::Tests, Choice::WriteTests);
    }
    for custom in place.custom.iter().filter(|_| has_code) {
        let group = match custom.kind {
            CustomKind::Rewrite => Group::Rewrite,
            CustomKind::Explain => Group::Explain,
        };
        add(
            custom.title.clone(),
            group,
            Choice::Custom(custom.title.clone()),
        );
    }
    offers
}

/// What a comment in the code asks for.
pub fn instruction(code: &str, language: Option<&Language>) -> Option<String> {
    let comment = language.map_or("//", |language| language.line_comment);
    code.lines().find_map(|line| {
        let words = line
            .split_once(comment)?
            .1
            .trim()
            .strip_prefix(MARK)?
            .trim();
        (!words.is_empty()).then(|| format!("{words}{THEN_DELETE} `{comment} {MARK}`."))
    })
}

/// An instruction without what [`instruction`] has added to it.
pub(super) fn own_words(instruction: &str) -> &str {
    let end = instruction.rfind(THEN_DELETE).unwrap_or(instruction.len());
    &instruction[..end]
}

/// The first line, short enough for a menu.
fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = text.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= CHARS_MAX {
        return line.to_owned();
    }
    line.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}
