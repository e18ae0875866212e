//! The layouts as tables of parts, and the one loop that writes a prompt from them.

use carat_engine::TokenId;

use super::budget::Window;
use super::{FimMarks, Prompt, PromptForm, PromptInput, Vocabulary};

/// One part of a layout.
#[derive(Clone, Copy)]
enum Part {
    /// The token that begins every text.
    Bos,
    /// A control token by its text.
    Control(&'static str),
    /// A fill-in-the-middle mark, which the model file names.
    Mark(Mark),
    /// Fixed text.
    Text(&'static str),
    /// The file's path.
    Path,
    /// The text before the caret.
    Prefix,
    /// The text before the caret up to the start of its line.
    LinesBefore,
    /// What the user typed on the caret's line.
    Typed,
    /// The text after the caret.
    Suffix,
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
        Part::Mark(Mark::Prefix),
        Part::Prefix,
        Part::Mark(Mark::Suffix),
        Part::Suffix,
        Part::Mark(Mark::Middle),
    ],
    stops: &["<end_of_turn>"],
    banned: &[],
};

const PLAIN: Layout = Layout {
    parts: &[Part::Bos, Part::Prefix],
    stops: &[],
    banned: &[],
};

/// The role of an instruct model. It is the same for every request, so it stays in the cache.
const ROLE: &str = "You are the completion engine of a code editor. You are shown one file in two parts: first what \
    stands after the caret, then what stands before the line of the caret. Write the code that belongs at <CARET>, \
    beginning with the line of the caret as far as it is typed. Stop where the code after the caret goes on. Repeat \
    nothing of the code around it, explain nothing.";

pub(super) const GEMMA4_BANNED: &[&str] = &[
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|\"|>",
    "<|think|>",
    "<|channel>",
    "<|turn>",
];

/// The question: what changes least stands first, so that typing leaves most of it in the cache.
macro_rules! question {
    (before: [$($before:expr),*], after: [$($after:expr),*]) => {
        &[
            $($before,)*
            Part::Text("File: "),
            Part::Path,
            Part::Text("\n\nAfter the caret:\n"),
            Part::Fence,
            Part::FenceTag,
            Part::Text("\n"),
            Part::Suffix,
            Part::Text("\n"),
            Part::Fence,
            Part::Text("\n\nBefore the caret:\n"),
            Part::Fence,
            Part::FenceTag,
            Part::Text("\n"),
            Part::LinesBefore,
            Part::Text("<CARET>\n"),
            Part::Fence,
            $($after,)*
            Part::Fence,
            Part::FenceTag,
            Part::Text("\n"),
            Part::Typed,
        ]
    };
}

const GEMMA4: Layout = Layout {
    parts: question!(
        before: [
            Part::Bos,
            Part::Control("<|turn>"),
            Part::Text("system\n"),
            Part::Text(ROLE),
            Part::Control("<turn|>"),
            Part::Text("\n"),
            Part::Control("<|turn>"),
            Part::Text("user\n")
        ],
        after: [
            Part::Control("<turn|>"),
            Part::Text("\n"),
            Part::Control("<|turn>"),
            Part::Text("model\n"),
            Part::Control("<|channel>"),
            Part::Text("thought\n"),
            Part::Control("<channel|>")
        ]
    ),
    stops: &["<turn|>"],
    banned: GEMMA4_BANNED,
};

const GEMMA4_SMALL: Layout = Layout {
    parts: question!(
        before: [
            Part::Bos,
            Part::Control("<|turn>"),
            Part::Text("system\n"),
            Part::Text(ROLE),
            Part::Control("<turn|>"),
            Part::Text("\n"),
            Part::Control("<|turn>"),
            Part::Text("user\n")
        ],
        after: [Part::Control("<turn|>"), Part::Text("\n"), Part::Control("<|turn>"), Part::Text("model\n")]
    ),
    stops: &["<turn|>"],
    banned: GEMMA4_BANNED,
};

/// The older template has no system turn: the role opens the user's.
const GEMMA3: Layout = Layout {
    parts: question!(
        before: [
            Part::Bos,
            Part::Control("<start_of_turn>"),
            Part::Text("user\n"),
            Part::Text(ROLE),
            Part::Text("\n\n")
        ],
        after: [
            Part::Control("<end_of_turn>"),
            Part::Text("\n"),
            Part::Control("<start_of_turn>"),
            Part::Text("model\n")
        ]
    ),
    stops: &["<end_of_turn>"],
    banned: &["<start_of_turn>"],
};

fn layout_of(form: PromptForm) -> &'static Layout {
    match form {
        PromptForm::FimSuffixFirst => &FIM_SUFFIX_FIRST,
        PromptForm::FimPrefixFirst => &FIM_PREFIX_FIRST,
        PromptForm::InstructGemma4 {
            thought_block: true,
        } => &GEMMA4,
        PromptForm::InstructGemma4 {
            thought_block: false,
        } => &GEMMA4_SMALL,
        PromptForm::InstructGemma3 => &GEMMA3,
        PromptForm::Plain => &PLAIN,
    }
}

/// Collects a prompt as tokens and as text; text between two control tokens is encoded in one piece.
pub(super) struct Writer<'a> {
    vocabulary: &'a dyn Vocabulary,
    pub(super) tokens: Vec<TokenId>,
    pub(super) text: String,
    /// Where in `text` the part begins that is not in `tokens` yet.
    pending: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(vocabulary: &'a dyn Vocabulary) -> Self {
        Self {
            vocabulary,
            tokens: Vec::new(),
            text: String::new(),
            pending: 0,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn flush(&mut self) {
        let text = &self.text[self.pending..];
        if !text.is_empty() {
            self.tokens.extend(self.vocabulary.encode(text));
        }
        self.pending = self.text.len();
    }

    /// A control token; without one in the vocabulary, its text is all that the model can be shown.
    pub(super) fn control(&mut self, spelling: &str, token: Option<TokenId>) {
        let Some(token) = token else {
            return self.push(spelling);
        };
        self.flush();
        self.tokens.push(token);
        self.text.push_str(spelling);
        self.pending = self.text.len();
    }
}

/// Writes the prompt for `window` in the layout of `form`.
pub(super) fn write(
    form: PromptForm,
    input: &PromptInput<'_>,
    window: &Window<'_>,
    vocabulary: &dyn Vocabulary,
) -> Prompt {
    let layout = layout_of(form);
    let fenced = layout.parts.iter().any(|part| matches!(part, Part::Fence));
    let line_start = window.prefix.rfind('\n').map_or(0, |newline| newline + 1);
    let (lines_before, line) = window.prefix.split_at(line_start);
    let (typed, forced_text) = if fenced {
        split_forced(line)
    } else {
        (line, "")
    };
    let fence = fence_for(window);
    let marks = vocabulary.fill_in_the_middle();
    let mut writer = Writer::new(vocabulary);
    for part in layout.parts {
        match *part {
            Part::Bos => writer.control("<bos>", Some(vocabulary.bos())),
            Part::Control(spelling) => writer.control(spelling, vocabulary.control(spelling)),
            Part::Mark(mark) => {
                let (spelling, token) = mark_of(mark, marks);
                writer.control(spelling, token);
            }
            Part::Text(text) => writer.push(text),
            Part::Path => writer.push(input.path),
            Part::Prefix => writer.push(window.prefix),
            Part::LinesBefore => writer.push(lines_before),
            Part::Typed => writer.push(typed),
            Part::Suffix => writer.push(window.suffix),
            Part::Fence => writer.push(&fence),
            Part::FenceTag => writer.push(input.language.map_or("", |language| language.name)),
        }
    }
    writer.flush();
    let control = |names: &[&str]| -> Vec<TokenId> {
        names
            .iter()
            .filter_map(|name| vocabulary.control(name))
            .collect()
    };
    let mut stop_tokens = control(layout.stops);
    if layout
        .parts
        .iter()
        .any(|part| matches!(part, Part::Mark(_)))
    {
        let marks = marks
            .into_iter()
            .flat_map(|m| [Some(m.prefix), Some(m.suffix), Some(m.middle), m.separator]);
        stop_tokens.extend(marks.flatten());
    }
    Prompt {
        tokens: writer.tokens,
        text: writer.text,
        stop_tokens,
        stop_strings: if fenced {
            vec![format!("\n{fence}")]
        } else {
            Vec::new()
        },
        banned_tokens: control(layout.banned),
        forced_text: forced_text.to_owned(),
        fenced,
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

/// Splits a line before the single space that it ends with.
///
/// Chat models have hardly seen a text that ends so: their tokens carry the space in front of the
/// next word. Longer runs are indentation or alignment, which are tokens of their own.
fn split_forced(line: &str) -> (&str, &str) {
    match line.strip_suffix(' ') {
        Some(rest) if rest.ends_with(|last: char| !last.is_whitespace()) => (rest, " "),
        _ => (line, ""),
    }
}

/// Backticks, more of them than stand in a row anywhere in the text.
fn fence_for(window: &Window<'_>) -> String {
    let longest = [window.prefix, window.suffix]
        .iter()
        .flat_map(|text| text.split(|c| c != '`'))
        .map(str::len)
        .max()
        .unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}
