//! How much text around the caret goes into a prompt.
//!
//! Both ends of the window stay where they are while the user types, so that the engine's cache of
//! the prompt stays valid: they stand at line starts of a coarse grid and move in steps.

use super::Vocabulary;

/// Upper bounds of a prompt's parts, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptBudget {
    /// For the text before the caret.
    pub prefix_tokens: usize,
    /// For the text after the caret.
    pub suffix_tokens: usize,
    /// For what is told of other files.
    pub context_tokens: usize,
    /// Where the text before the caret does not fit, its begin moves in steps of so many bytes. After
    /// each, a model reads all of it anew.
    pub prefix_step_bytes: usize,
    /// The steps begin at this place, in bytes of the text; 0 is its begin. What is before is told only if
    /// the caret goes there.
    pub prefix_origin: usize,
}

impl Default for PromptBudget {
    /// Enough for most places, and little to read for a model of which no speed is known.
    fn default() -> Self {
        Self {
            prefix_tokens: 400,
            suffix_tokens: 120,
            context_tokens: 0,
            prefix_step_bytes: 400,
            prefix_origin: 0,
        }
    }
}

impl PromptBudget {
    /// The budget for a model that reads so many tokens in a second: what it reads in
    /// `READ_SECONDS`. It stays as it is while the speed says so only just: another one means to
    /// read everything anew.
    #[must_use]
    pub fn for_speed(self, tokens_per_second: f64) -> Self {
        Self {
            context_tokens: self.context_for_speed(tokens_per_second),
            ..self.file_for_speed(tokens_per_second)
        }
    }

    /// Other files get as much time as the own one: they are read while nobody waits, and less often.
    fn context_for_speed(self, tokens_per_second: f64) -> usize {
        let affordable = tokens_per_second * READ_SECONDS;
        let fits = |scale: f64| {
            let sizes = CONTEXT_TOTALS.iter().rev();
            let mut fitting = sizes.filter(|&&size| size as f64 * scale <= affordable);
            fitting.next().copied().unwrap_or(0)
        };
        let (least, most) = (fits(HEADROOM), fits(1.0 / HEADROOM));
        self.context_tokens.clamp(least, most)
    }

    fn file_for_speed(self, tokens_per_second: f64) -> Self {
        let affordable = tokens_per_second * READ_SECONDS;
        let current = (self.prefix_tokens + self.suffix_tokens) as f64;
        let fits = TOTALS
            .iter()
            .rev()
            .find(|&&total| total as f64 <= affordable);
        let total = *fits.unwrap_or(&TOTALS[0]);
        let (up, down) = (total as f64 > current, affordable < current);
        if (up && affordable < HEADROOM * total as f64) || (!up && !down) {
            return self;
        }
        if down && affordable * HEADROOM > current {
            return self;
        }
        self.with_own(total - total / SUFFIX_SHARE, total / SUFFIX_SHARE)
    }

    /// The same for another size of the own file; the steps keep their share of it.
    fn with_own(self, prefix_tokens: usize, suffix_tokens: usize) -> Self {
        Self {
            prefix_tokens,
            suffix_tokens,
            prefix_step_bytes: self.prefix_step_bytes * prefix_tokens / self.prefix_tokens.max(1),
            ..self
        }
    }

    /// Whether a prompt may have more than with `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.prefix_tokens + self.suffix_tokens > other.prefix_tokens + other.suffix_tokens
            || self.context_tokens > other.context_tokens
    }

    /// The same as it suits the embedded model, which reads thousands of tokens in a second: it was
    /// trained on texts of 256 to 1,024 tokens, answer included, and gains most by what stands behind the
    /// caret. Pieces of other files help it less, beside the echo, than their reading takes.
    #[must_use]
    pub fn for_embedded(self) -> Self {
        Self {
            prefix_tokens: 480,
            suffix_tokens: 320,
            prefix_step_bytes: 480,
            ..self
        }
    }

    /// The same as it suits a large model of which no speed is known: with other files, and moving
    /// rarely, since such a model reads slowly.
    #[must_use]
    pub fn for_large(self) -> Self {
        Self {
            context_tokens: CONTEXT_USUAL,
            prefix_step_bytes: self.prefix_tokens / 2 * TOKEN_BYTES,
            ..self
        }
    }

    /// The size of a document's first prompt for a model that reads so many tokens in a second: what it
    /// reads in `FIRST_SECONDS`, next to the caret, so that it can soon say something. `fixed` tokens
    /// are the same in every prompt. More is read when the user pauses.
    #[must_use]
    pub fn first(self, tokens_per_second: f64, fixed: usize) -> Self {
        let affordable = (tokens_per_second * FIRST_SECONDS) as usize;
        let total = affordable.saturating_sub(fixed).max(FIRST_TOTAL_MIN);
        if total >= self.prefix_tokens + self.suffix_tokens {
            return self;
        }
        let suffix_tokens = total / SUFFIX_SHARE;
        let told = total - suffix_tokens;
        Self {
            // Less than twice of it has room, or it would be filled at once.
            prefix_tokens: told + told * FIRST_ROOM.0 / FIRST_ROOM.1,
            suffix_tokens,
            context_tokens: 0,
            prefix_step_bytes: told * TOKEN_BYTES,
            ..self
        }
    }

    /// The size of a first prompt, as it suits a caret behind that text: it begins so that much can be
    /// typed before its begin moves.
    #[must_use]
    pub fn beginning_before(self, prefix: &str, vocabulary: &dyn Vocabulary) -> Self {
        let (with_room, told) = (FIRST_ROOM.0 + FIRST_ROOM.1, FIRST_ROOM.1);
        let told = self.prefix_tokens * told / with_room;
        let tail =
            &prefix[prefix.ceil_char_boundary(prefix.len().saturating_sub(told * TOKEN_BYTES))..];
        let tokens = vocabulary.encode(tail).len().max(1);
        let step = (told * tail.len()).div_ceil(tokens);
        Self {
            prefix_step_bytes: step,
            prefix_origin: prefix.len().saturating_sub(step),
            ..self
        }
    }

    /// The budget, or less where a model's context could not hold it together with an answer.
    #[must_use]
    pub fn within(self, context_tokens: usize) -> Self {
        let room = context_tokens - context_tokens / ANSWER_SHARE;
        let own = (self.prefix_tokens + self.suffix_tokens).max(1);
        // The own file goes first.
        let context_tokens = self.context_tokens.min(room.saturating_sub(own));
        if own <= room {
            return Self {
                context_tokens,
                ..self
            };
        }
        Self {
            context_tokens,
            ..self.with_own(
                self.prefix_tokens * room / own,
                self.suffix_tokens * room / own,
            )
        }
    }
}

/// How long a prompt may take that a model has read nothing of. It is read once, while the user looks
/// around; what is typed costs little.
const READ_SECONDS: f64 = 10.0;
/// How long the first prompt of a document may take, and the least it has, in tokens.
const FIRST_SECONDS: f64 = 8.0;
const FIRST_TOTAL_MIN: usize = 128;
/// The room that it has for what is typed, as a share of what it tells of the text before the caret.
const FIRST_ROOM: (usize, usize) = (2, 3);
/// Sizes of prompts, in tokens. Beyond, models find less and less of use in the same file.
const TOTALS: [usize; 7] = [512, 768, 1024, 1536, 2048, 2560, 3072];
/// Sizes of what is told of other files, in tokens, and the one before a speed is known.
const CONTEXT_TOTALS: [usize; 5] = [256, 512, 1024, 2048, 4096];
const CONTEXT_USUAL: usize = 512;
/// The part of a prompt that is for the text after the caret: one in so many.
const SUFFIX_SHARE: usize = 4;
/// How much faster, or slower, a model has to be than a size asks for before its prompts change.
const HEADROOM: f64 = 1.25;

/// Of a small context, a quarter is left for marks, fixed text and the answer.
const ANSWER_SHARE: usize = 4;

/// Bytes of a token of code, about.
const TOKEN_BYTES: usize = 4;

/// The shares move between the two sides in this many steps, so that a growing prefix changes the
/// end of the suffix rarely.
const SHARE_STEPS: usize = 8;

/// The text around the caret that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window<'a> {
    pub(super) prefix: &'a str,
    pub(super) suffix: &'a str,
}

/// Trims both sides toward the caret; what one side leaves unused, the other may use.
pub(super) fn window<'a>(
    prefix: &'a str,
    suffix: &'a str,
    budget: &PromptBudget,
    vocabulary: &dyn Vocabulary,
) -> Window<'a> {
    let total = budget.prefix_tokens + budget.suffix_tokens;
    // Neither length can matter beyond the whole budget, so no more than that is counted.
    let suffix_need = total - remaining_after(suffix, total, vocabulary);
    let spare = budget.suffix_tokens.saturating_sub(suffix_need);
    // A first prompt is to be short.
    let spare = if budget.prefix_origin > 0 { 0 } else { spare };
    let for_prefix = budget.prefix_tokens + spare;
    let cell = budget.prefix_step_bytes;
    let origin = budget.prefix_origin;
    let (kept, used) = trim_front(prefix, for_prefix, cell, origin, vocabulary);
    let step = (total / SHARE_STEPS).max(1);
    // What a trimmed prefix leaves free it will need before its start moves; a short one hands over
    // what it has no text for, in steps.
    let trimmed = kept.len() < prefix.len();
    let reserved = if trimmed {
        for_prefix
    } else {
        used.next_multiple_of(step).min(for_prefix)
    };
    let for_suffix = budget.suffix_tokens.max(total.saturating_sub(reserved));
    let for_suffix = for_suffix.min(total.saturating_sub(used));
    Window {
        prefix: kept,
        suffix: trim_back(suffix, for_suffix, vocabulary),
    }
}

/// What is left of `tokens` after the lines of `text`.
fn remaining_after(text: &str, tokens: usize, vocabulary: &dyn Vocabulary) -> usize {
    let mut left = tokens;
    for line in text.split_inclusive('\n') {
        // A line of more bytes than this need not be encoded: no token has less than one byte,
        // few have more than eight.
        if line.len() > left.saturating_mul(8) {
            return 0;
        }
        left = left.saturating_sub(vocabulary.encode(line).len());
        if left == 0 {
            return 0;
        }
    }
    left
}

/// The end of `text` that fits into `tokens`, and how many it takes.
///
/// It begins at the first line start in a cell of a grid over the whole document, which leads to
/// `origin`. Typing at its end leaves the grid alone, so the start holds until a whole cell of `cell`
/// bytes has to go.
fn trim_front<'a>(
    text: &'a str,
    tokens: usize,
    cell: usize,
    origin: usize,
    vocabulary: &dyn Vocabulary,
) -> (&'a str, usize) {
    let cell = cell.max(1);
    let phase = origin % cell;
    let (mut start, mut used) = (text.len(), 0);
    let mut grid = match text.len().checked_sub(phase) {
        Some(behind) => phase + behind / cell * cell,
        None => 0,
    };
    loop {
        let candidate = line_start_in_cell(text, grid, cell).min(start);
        let cost = vocabulary.encode(&text[candidate..start]).len();
        if used + cost > tokens {
            return (&text[start..], used);
        }
        (start, used) = (candidate, used + cost);
        // Before the origin nothing is told, unless the caret has gone there.
        if grid == 0 || grid == origin {
            return (&text[start..], used);
        }
        grid = grid.saturating_sub(cell);
    }
}

/// The first line start in the cell that begins at `grid`, else the first character.
fn line_start_in_cell(text: &str, grid: usize, cell: usize) -> usize {
    if grid == 0 {
        return 0;
    }
    let from = text.ceil_char_boundary(grid);
    let end = (grid + cell).min(text.len());
    let newline = text.as_bytes()[from - 1..end.max(from)]
        .iter()
        .position(|byte| *byte == b'\n');
    newline.map_or(from, |newline| from + newline)
}

/// The beginning of `text`, in whole lines, that fits into `tokens`.
fn trim_back<'a>(text: &'a str, tokens: usize, vocabulary: &dyn Vocabulary) -> &'a str {
    let (mut end, mut left) = (0, tokens);
    for line in text.split_inclusive('\n') {
        if line.len() > left.saturating_mul(8) {
            break;
        }
        let cost = vocabulary.encode(line).len();
        if cost > left {
            break;
        }
        (end, left) = (end + line.len(), left - cost);
    }
    if end == 0 {
        // The caret's own line is too long: as many bytes as tokens surely fit.
        end = text.floor_char_boundary(tokens.min(text.len()));
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(budget: PromptBudget) -> usize {
        budget.prefix_tokens + budget.suffix_tokens
    }

    #[test]
    fn prompts_are_as_long_as_a_model_reads_in_ten_seconds() {
        let usual = PromptBudget::default();
        for (speed, expected) in [(5.0, 512), (53.0, 520), (200.0, 1536), (5000.0, 3072)] {
            assert_eq!(
                total(usual.for_speed(speed)),
                expected,
                "{speed} tokens a second"
            );
        }
    }

    #[test]
    fn other_files_get_as_much_time_and_keep_it_while_the_speed_varies() {
        let context = |speed: f64, budget: PromptBudget| budget.for_speed(speed).context_tokens;
        let usual = PromptBudget::default();
        let of = |speed| context(speed, usual);
        assert_eq!(
            [of(5.0), of(40.0), of(140.0), of(5000.0)],
            [0, 256, 1024, 4096]
        );
        let budget = usual.for_large().for_speed(140.0);
        assert_eq!(budget.context_tokens, 1024);
        for speed in [90.0, 103.0, 140.0, 200.0] {
            assert_eq!(context(speed, budget), 1024, "{speed}");
        }
        assert_eq!(context(60.0, budget), 512);
        let small = budget.within(2000);
        assert_eq!((total(small), small.context_tokens), (1024, 1500 - 1024));
        assert_eq!(usual.within(400).context_tokens, 0);
    }

    #[test]
    fn first_prompts_are_what_a_model_reads_in_eight_seconds() {
        let usual = PromptBudget::default().for_large();
        for (speed, expected) in [(5.0, 128), (45.0, 260), (70.0, 460), (300.0, 520)] {
            let first = usual.first(speed, 100);
            let told = if first == usual {
                total(first)
            } else {
                first.prefix_step_bytes / TOKEN_BYTES + first.suffix_tokens
            };
            assert_eq!(told, expected, "{speed}: {first:?}");
            assert_eq!(first.context_tokens > 0, first == usual, "{speed}");
            assert_eq!(usual.exceeds(&first), first != usual, "{speed}");
        }
    }

    #[test]
    fn a_speed_that_varies_leaves_prompts_as_they_are() {
        let budget = PromptBudget::default().for_speed(140.0);
        assert_eq!(total(budget), 1024);
        for speed in [90.0, 103.0, 140.0, 180.0] {
            assert_eq!(budget.for_speed(speed), budget, "{speed}");
        }
        assert_eq!(total(budget.for_speed(60.0)), 512);
        assert_eq!(total(budget.for_speed(200.0)), 1536);
    }
}
