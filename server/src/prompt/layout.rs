//! The layouts of completions as tables of parts, and the one loop that writes a prompt from them.

use std::path::Path;

use carat_engine::TokenId;
use carat_grammars::languages;

use super::budget::Window;
use super::pieces::{self, Pieces};
use super::template;
use super::writer::Writer;
use super::{Excerpt, FimMarks, Prompt, PromptForm, PromptInput, Vocabulary};
use crate::markdown::fence_for;

/// One part of a layout.
#[derive(Clone, Copy)]
enum Part {
    /// The token that begins every text.
    Bos,
    /// A fill-in-the-middle mark, which the model file names.
    Mark(Mark),
    /// Fixed text.
    Text(&'static str),
    /// What is told of other files, quoted in a question.
    Quotations,
    /// The same as files before this one, where the vocabulary parts files.
    Files,
    /// The same as comments, where it does not; the file's path, where it belongs here.
    Comments,
    /// The file's path.
    Path,
    /// The text before the caret.
    Prefix,
    /// The text before the caret up to the begin of the gap that it stands in.
    Head,
    /// The text from the begin of the gap to the caret.
    Middle,
    /// The text after the caret.
    Suffix,
    /// The text from the caret to the end of the gap, in whole lines.
    Near,
    /// The text behind the gap.
    Far,
    /// A Markdown fence longer than any in the text.
    Fence,
    /// The language, as the tag of a fence.
    FenceTag,
}

/// The three marks of a fill-in-the-middle layout.
#[derive(Clone, Copy)]
enum Mark {
    Prefix,
    Suffix,
    Middle,
}

/// A form, spelled out.
struct Layout {
    parts: &'static [Part],
    /// Control tokens that end the answer.
    stops: &'static [&'static str],
    /// Control tokens that have no place in code.
    banned: &'static [&'static str],
}

const FIM_SUFFIX_FIRST: Layout = Layout {
    parts: &[
        Part::Bos,
        Part::Mark(Mark::Prefix),
        Part::Mark(Mark::Suffix),
        Part::Suffix,
        Part::Mark(Mark::Middle),
        Part::Prefix,
    ],
    stops: &[],
    banned: &[],
};

const FIM_PREFIX_FIRST: Layout = Layout {
    parts: &[
        Part::Bos,
        Part::Files,
        Part::Mark(Mark::Prefix),
        Part::Comments,
        Part::Head,
        Part::Mark(Mark::Suffix),
        Part::Suffix,
        Part::Mark(Mark::Middle),
        Part::Middle,
    ],
    stops: &["<end_of_turn>"],
    banned: &[],
};

const FIM_SUFFIX_THEN_PREFIX: Layout = Layout {
    parts: &[
        Part::Bos,
        Part::Mark(Mark::Suffix),
        Part::Suffix,
        Part::Mark(Mark::Prefix),
        Part::Comments,
        Part::Head,
        Part::Mark(Mark::Middle),
        Part::Middle,
    ],
    stops: &[],
    banned: &[],
};

const FIM_CODESTRAL: Layout = Layout {
    parts: &[
        Part::Bos,
        Part::Mark(Mark::Suffix),
        Part::Suffix,
        Part::Mark(Mark::Prefix),
        Part::Comments,
        Part::Prefix,
    ],
    stops: &[],
    banned: &[],
};

const PLAIN: Layout = Layout {
    parts: &[Part::Bos, Part::Comments, Part::Prefix],
    stops: &[],
    banned: &[],
};

/// The role of an instruct model. It is the same for every request, so it stays in the cache.
const ROLE: &str = "You are the completion engine of a code editor. You are shown one file that has a gap: what \
    stands before the gap and what stands after it, where there is something. Write the code that belongs into the \
    gap. Its begin is written already: your answer begins with it and goes on from there. Stop where the code after \
    it goes on. Repeat nothing of the code around the gap, explain nothing.";

/// The question that an instruct model is asked. What changes least stands first, so that typing and
/// moving by some lines leave most of it in the cache.
const QUESTION: &[Part] = &[Part::Quotations, Part::Text("File: "), Part::Path];

/// What is shown where lines stand before the gap.
const BEFORE_GAP: &[Part] = &[
    Part::Text("\n\nBefore the gap:\n"),
    Part::Fence,
    Part::FenceTag,
    Part::Text("\n"),
    Part::Head,
    Part::Fence,
];

/// What is shown where lines stand after the gap.
const AFTER_GAP: &[Part] = &[
    Part::Text("\n\nAfter the gap:\n"),
    Part::Fence,
    Part::FenceTag,
    Part::Text("\n"),
    Part::Far,
    Part::Fence,
];

/// What is shown where the gap has text behind the caret.
const END_OF_GAP: &[Part] = &[
    Part::Text("\n\nThe gap ends with:\n"),
    Part::Fence,
    Part::FenceTag,
    Part::Text("\n"),
    Part::Near,
    Part::Fence,
];

/// How its answer begins.
const ANSWER: &[Part] = &[Part::Fence, Part::FenceTag, Part::Text("\n"), Part::Middle];

/// The layout of a form without turns.
fn layout_of(form: PromptForm) -> &'static Layout {
    match form {
        PromptForm::FimSuffixFirst => &FIM_SUFFIX_FIRST,
        PromptForm::FimSuffixThenPrefix => &FIM_SUFFIX_THEN_PREFIX,
        PromptForm::FimPrefixFirst => &FIM_PREFIX_FIRST,
        PromptForm::FimCodestral => &FIM_CODESTRAL,
        _ => &PLAIN,
    }
}

/// Writes the prompt for `window` in the layout of `form`.
pub(super) fn write(
    form: PromptForm,
    input: &PromptInput<'_>,
    window: &Window<'_>,
    vocabulary: &dyn Vocabulary,
) -> Prompt {
    let turns = template::of(form);
    let grid = if turns.is_some() {
        pieces::ASKED_GRID
    } else {
        pieces::TRAINED_GRID
    };
    let pieces = Pieces::new(window, input.prefix, input.suffix, grid);
    let (middle, forced_text) = if turns.is_some() {
        split_forced(pieces.middle)
    } else {
        (pieces.middle, "")
    };
    let mut texts = vec![window.prefix, window.suffix];
    texts.extend(input.context.iter().map(|excerpt| excerpt.text.as_str()));
    let fence = fence_for(&texts);
    let marks = vocabulary.fill_in_the_middle();
    // Only this form is known to read several files.
    let separator = marks.and_then(|marks| marks.separator);
    let separator = separator.filter(|_| form == PromptForm::FimPrefixFirst);
    let names_file_inside = marks.is_some_and(|marks| marks.names_file_inside);
    let mut writer = Writer::new(vocabulary);
    let write = |writer: &mut Writer<'_>, parts: &[Part]| {
        for part in parts {
            match *part {
                Part::Bos => writer.bos(),
                Part::Mark(mark) => {
                    let (spelling, token) = mark_of(mark, marks);
                    writer.token(spelling, token);
                }
                Part::Text(text) => writer.push(text),
                Part::Quotations => push_quotations(writer, input.context, &fence),
                Part::Files => push_files(writer, input, separator, !names_file_inside),
                Part::Comments if separator.is_none() => push_comments(writer, input),
                Part::Comments if names_file_inside && !input.context.is_empty() => {
                    writer.push(&format!("{}\n", input.path));
                }
                Part::Comments => {}
                Part::Path => writer.push(input.path),
                Part::Prefix => writer.push(window.prefix),
                Part::Head => writer.push(pieces.head),
                Part::Middle => writer.push(middle),
                Part::Suffix => writer.push(window.suffix),
                Part::Near => push_lines(writer, pieces.near),
                Part::Far => push_lines(writer, pieces.far),
                Part::Fence => writer.push(&fence),
                Part::FenceTag => writer.push(input.language.map_or("", |language| language.name)),
            }
        }
    };
    let (stops, banned) = if let Some(turns) = turns {
        turns.open(&mut writer, ROLE);
        write(&mut writer, QUESTION);
        for (text, parts) in [
            (pieces.head, BEFORE_GAP),
            (pieces.far, AFTER_GAP),
            (pieces.near, END_OF_GAP),
        ] {
            if !text.trim().is_empty() {
                write(&mut writer, parts);
            }
        }
        turns.answer(&mut writer);
        write(&mut writer, ANSWER);
        (turns.stops, turns.banned)
    } else {
        let layout = layout_of(form);
        write(&mut writer, layout.parts);
        (layout.stops, layout.banned)
    };
    writer.flush();
    let mut stop_tokens = template::tokens(vocabulary, stops);
    if form.is_fill_in_the_middle() {
        let marks = marks
            .into_iter()
            .flat_map(|m| [Some(m.prefix), Some(m.suffix), Some(m.middle), m.separator]);
        stop_tokens.extend(marks.flatten());
    }
    Prompt {
        tokens: writer.tokens,
        text: writer.text,
        stop_tokens,
        stop_strings: if turns.is_some() {
            vec![format!("\n{fence}")]
        } else {
            Vec::new()
        },
        banned_tokens: template::tokens(vocabulary, banned),
        forced_text: forced_text.to_owned(),
        fenced: turns.is_some(),
        told_of: input.context.iter().map(|one| one.path.clone()).collect(),
    }
}

fn push_quotations(writer: &mut Writer<'_>, context: &[Excerpt], fence: &str) {
    if !context.is_empty() {
        writer.push("From other files of the project:\n\n");
    }
    for excerpt in context {
        let language = languages::by_path(Path::new(&excerpt.path));
        let tag = language.map_or("", |language| language.name);
        writer.push(&format!("{}\n{fence}{tag}\n", excerpt.path));
        push_lines(writer, &excerpt.text);
        writer.push(&format!("{fence}\n\n"));
    }
}

fn push_files(
    writer: &mut Writer<'_>,
    input: &PromptInput<'_>,
    separator: Option<TokenId>,
    names_own: bool,
) {
    if separator.is_none() || input.context.is_empty() {
        return;
    }
    for excerpt in input.context {
        writer.token(SEPARATOR, separator);
        writer.push(&format!("{}\n", excerpt.path));
        push_lines(writer, &excerpt.text);
    }
    writer.token(SEPARATOR, separator);
    if names_own {
        writer.push(&format!("{}\n", input.path));
    }
}

fn push_comments(writer: &mut Writer<'_>, input: &PromptInput<'_>) {
    for excerpt in input.context {
        writer.push(&excerpt.commented(input.language));
    }
    if !input.context.is_empty() {
        writer.push("\n");
    }
}

/// How the token between files is spelled for readers.
const SEPARATOR: &str = "<|file_separator|>";

/// Whole lines: without the line break of the caret's own, and with one at the end.
fn push_lines(writer: &mut Writer<'_>, text: &str) {
    let text = text.strip_prefix("\r\n").unwrap_or(text);
    let text = text.strip_prefix('\n').unwrap_or(text);
    writer.push(text);
    if !text.is_empty() && !text.ends_with('\n') {
        writer.push("\n");
    }
}

/// How a mark is spelled for readers, and its token.
fn mark_of(mark: Mark, marks: Option<FimMarks>) -> (&'static str, Option<TokenId>) {
    match mark {
        Mark::Prefix => ("<|fim_prefix|>", marks.map(|marks| marks.prefix)),
        Mark::Suffix => ("<|fim_suffix|>", marks.map(|marks| marks.suffix)),
        Mark::Middle => ("<|fim_middle|>", marks.map(|marks| marks.middle)),
    }
}

/// Splits a text before the single space that it ends with.
///
/// Chat models have hardly seen a text that ends so: their tokens carry the space in front of the
/// next word. Longer runs are indentation or alignment, which are tokens of their own.
fn split_forced(text: &str) -> (&str, &str) {
    match text.strip_suffix(' ') {
        Some(rest) if rest.ends_with(|last: char| !last.is_whitespace()) => (rest, " "),
        _ => (text, ""),
    }
}
