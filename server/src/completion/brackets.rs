//! Brackets and quotes around the caret: which of them the answer may close.
//!
//! The work is linear in the window, however the brackets lie: what is looked for in a list of open
//! brackets is counted first.

use std::ops::ControlFlow;

use carat_grammars::{Language, Lexer, Mark, Place};

/// How far from the caret brackets are looked for. Functions and classes are shorter than this; a
/// larger window would only cost time.
const WINDOW_BYTES: usize = 32 * 1024;

/// Where an opener that encloses the caret is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Nowhere: the answer may close it.
    Missing,
    /// On the caret's line, where nothing but closers follows; the answer may write it anew.
    OnLine,
    /// Further down, or behind other text.
    Below,
}

/// The brackets and quotes that enclose a caret.
#[derive(Clone, Debug)]
pub(super) struct Enclosing {
    /// From the innermost to the outermost: what closes it, and where.
    pairs: Vec<(&'static str, Closed)>,
    lexer: Lexer,
    /// What follows on the caret's line, without white space at its end.
    rest: String,
    /// The lexer where that begins.
    rest_lexer: Lexer,
}

/// How much of an answer fits between what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// This much of the answer may stay.
    pub(super) keep: usize,
    /// This much of the text after the caret the answer has written anew.
    pub(super) replace: usize,
    /// Whether nothing that the model might still write could stay.
    pub(super) finished: bool,
}

impl Enclosing {
    /// Looks at the text around a caret.
    pub(super) fn new(prefix: &str, suffix: &str, language: Option<&'static Language>) -> Self {
        let (mut lexer, window) = window(prefix, language);
        let mut open = OpenBrackets::default();
        lexer.scan(window, &mut |_, mark| {
            match mark {
                Mark::Open(closer) => open.push(closer),
                Mark::Close(closer) => {
                    open.pop_through(closer);
                }
            }
            ControlFlow::Continue(())
        });
        let lexer = lexer.resumed();
        if let Some(quote) = lexer.began_in() {
            open.push(quote);
        }
        let near = &suffix[..suffix.floor_char_boundary(suffix.len().min(WINDOW_BYTES))];
        let rest = near.split(['\n', '\r']).next().unwrap_or("").trim_end();
        // A string that begins on the caret's line is taken to end there; the user has yet to close it. So
        // they have where nothing closes it further down.
        let line = prefix.rsplit('\n').next().unwrap_or("");
        let yet_to_close =
            |quote| line.contains(quote) || near.len() == suffix.len() && !suffix.contains(quote);
        let string_on_line = lexer.began_in().is_some_and(yet_to_close);
        // Editors close brackets before their user closes the string in them.
        let lexer_of_rest = if string_on_line && only_brackets(rest) {
            lexer.in_code()
        } else {
            lexer
        };
        let (closers, complete) = closers_after(suffix, rest, lexer_of_rest, string_on_line);
        Self {
            pairs: pair_up(open, &closers, complete),
            lexer,
            rest: rest.to_owned(),
            rest_lexer: lexer_of_rest,
        }
    }

    /// Whether the caret is inside a string or a comment.
    pub(super) fn in_text(&self) -> bool {
        self.lexer.in_text()
    }

    /// How much of `text`, put at the caret, closes nothing that is closed already.
    pub(super) fn fit(&self, text: &str) -> Fit {
        let mut lexer = self.lexer;
        let mut inner: Vec<&'static str> = Vec::new();
        let mut outer = self.pairs.iter();
        let mut rewritten = 0;
        let mut first_rewritten = None;
        let mut cut = None;
        lexer.scan(text, &mut |at, mark| {
            match mark {
                Mark::Open(closer) => inner.push(closer),
                Mark::Close(closer) if !inner.is_empty() => {
                    // Brackets that cross are no code of anybody's.
                    if !inner.pop().is_some_and(|open| same(open, closer)) {
                        cut = Some(at);
                        return ControlFlow::Break(());
                    }
                }
                Mark::Close(closer) => match outer.next() {
                    Some((expected, Closed::Missing)) if same(expected, closer) => {}
                    Some((expected, Closed::OnLine)) if same(expected, closer) => {
                        rewritten += 1;
                        first_rewritten.get_or_insert(at);
                    }
                    _ => {
                        cut = Some(at);
                        return ControlFlow::Break(());
                    }
                },
            }
            ControlFlow::Continue(())
        });
        let end = cut.unwrap_or(text.len());
        let fit = Fit {
            keep: end,
            replace: 0,
            finished: cut.is_some(),
        };
        let Some(first) = first_rewritten else {
            return fit;
        };
        let tail = text[first..end].trim_end();
        if !self.rest.starts_with(tail)
            && let Some(replace) = self.rewritten_by(tail, rewritten)
        {
            return Fit { replace, ..fit };
        }
        Fit { keep: first, ..fit }
    }

    /// The longest beginning of the rest of the line whose characters `tail` has in the same order,
    /// if it holds exactly the closers that `tail` wrote anew.
    fn rewritten_by(&self, tail: &str, closers: usize) -> Option<usize> {
        let mut written = tail.chars();
        let mut replace = 0;
        for wanted in self.rest.chars() {
            if !written.any(|c| c == wanted) {
                break;
            }
            replace += wanted.len_utf8();
        }
        let mut count = 0;
        let mut lexer = self.rest_lexer;
        lexer.scan(&self.rest[..replace], &mut |_, mark| {
            count += usize::from(matches!(mark, Mark::Close(_)));
            ControlFlow::Continue(())
        });
        (count == closers).then_some(replace)
    }
}

/// The lines before a caret in which brackets are looked for, and the lexer where they begin: which may be
/// within a string or a comment.
fn window<'p>(prefix: &'p str, language: Option<&'static Language>) -> (Lexer, &'p str) {
    let mut start = prefix.ceil_char_boundary(prefix.len().saturating_sub(WINDOW_BYTES));
    if start > 0 {
        start += prefix[start..].find('\n').map_or(0, |newline| newline + 1);
    }
    let (before, window) = prefix.split_at(start);
    let mut lexer = Lexer::new(language);
    lexer.scan(before, &mut |_, _| ControlFlow::Continue(()));
    (lexer, window)
}

/// What a caret behind `prefix` stands in; documentation in a string that spans lines is a comment.
pub fn place(prefix: &str, language: Option<&'static Language>) -> Place {
    let (mut lexer, window) = window(prefix, language);
    lexer.scan(window, &mut |_, _| ControlFlow::Continue(()));
    lexer.place()
}

/// Whether a text has nothing but what editors close by themselves and what ends statements.
pub(super) fn only_closers(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || ")]}>\"'`;,:?".contains(c))
}

/// Whether a text has nothing but brackets that close, and what ends statements.
pub(super) fn only_brackets(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || ")]};,".contains(c))
}

/// Whether two closers are the same text. Nearly always their place or their first byte tells, which
/// saves a call for each of the thousands of brackets around a caret.
fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || (a.as_bytes().first() == b.as_bytes().first() && a == b)
}

/// Brackets and quotes that are open, the outermost first, each known by what closes it.
#[derive(Debug, Default)]
struct OpenBrackets {
    closers: Vec<&'static str>,
    counts: Counts,
}

impl OpenBrackets {
    fn push(&mut self, closer: &'static str) {
        self.closers.push(closer);
        self.counts.add(closer);
    }

    fn pop(&mut self) -> Option<&'static str> {
        let closer = self.closers.pop()?;
        self.counts.remove(closer);
        Some(closer)
    }

    /// Takes the innermost one of this kind, and those inside it, which nothing closed; false if
    /// there is none.
    fn pop_through(&mut self, closer: &str) -> bool {
        if !self.counts.has(closer) {
            return false;
        }
        while let Some(open) = self.pop() {
            work::add(1);
            if same(open, closer) {
                break;
            }
        }
        true
    }
}

/// How many there are of each kind; a language has a handful.
#[derive(Debug, Default)]
struct Counts(Vec<(&'static str, usize)>);

impl Counts {
    fn add(&mut self, closer: &'static str) {
        match self.0.iter_mut().find(|(kind, _)| same(kind, closer)) {
            Some((_, count)) => *count += 1,
            None => self.0.push((closer, 1)),
        }
    }

    fn remove(&mut self, closer: &str) {
        if let Some((_, count)) = self.0.iter_mut().find(|(kind, _)| same(kind, closer)) {
            *count -= 1;
        }
    }

    fn has(&self, closer: &str) -> bool {
        work::add(1);
        self.0
            .iter()
            .any(|(kind, count)| same(kind, closer) && *count > 0)
    }
}

impl FromIterator<&'static str> for Counts {
    fn from_iter<I: IntoIterator<Item = &'static str>>(closers: I) -> Self {
        let mut counts = Self::default();
        for closer in closers {
            counts.add(closer);
        }
        counts
    }
}

/// The closers after the caret whose openers stand before it, in order, and whether all of the text
/// was seen.
fn closers_after(
    suffix: &str,
    rest: &str,
    mut lexer: Lexer,
    string_on_line: bool,
) -> (Vec<(&'static str, Closed)>, bool) {
    let on_line = if only_closers(rest) {
        Closed::OnLine
    } else {
        Closed::Below
    };
    let mut inner = OpenBrackets::default();
    let mut closers = Vec::new();
    let mut collect = |closed: Closed, mark: Mark| {
        match mark {
            Mark::Open(closer) => inner.push(closer),
            Mark::Close(closer) => {
                if !inner.pop_through(closer) {
                    closers.push((closer, closed));
                }
            }
        }
        ControlFlow::Continue(())
    };
    lexer.scan(rest, &mut |_, mark| collect(on_line, mark));
    if string_on_line && lexer.began_in().is_some() {
        lexer = lexer.in_code();
    }
    let end = suffix.floor_char_boundary(suffix.len().min(rest.len() + WINDOW_BYTES));
    lexer.scan(&suffix[rest.len()..end], &mut |_, mark| {
        collect(Closed::Below, mark)
    });
    (closers, end == suffix.len())
}

/// Finds for every opener (outermost first) its closer (nearest first); gives the innermost first.
fn pair_up(
    open: OpenBrackets,
    closers: &[(&'static str, Closed)],
    complete: bool,
) -> Vec<(&'static str, Closed)> {
    if complete {
        pair_from_outside(&open.closers, closers)
    } else {
        pair_from_inside(open, closers)
    }
}

/// Where all of the text was seen, the outermost pairs are sure, and where closers are too few it is
/// the innermost openers that lack theirs: the user is writing there.
fn pair_from_outside(
    open: &[&'static str],
    closers: &[(&'static str, Closed)],
) -> Vec<(&'static str, Closed)> {
    let mut left = closers;
    let mut kinds: Counts = closers.iter().map(|(closer, _)| *closer).collect();
    let mut pairs = Vec::with_capacity(open.len());
    for opener in open {
        let mut closed = Closed::Missing;
        while kinds.has(opener)
            && let Some(((closer, place), rest)) = left.split_last()
        {
            work::add(1);
            kinds.remove(closer);
            left = rest;
            if same(closer, opener) {
                closed = *place;
                break;
            }
        }
        pairs.push((*opener, closed));
    }
    pairs.reverse();
    pairs
}

/// Where the text goes on unseen, the nearest closers are sure; blocks may end beyond it, brackets
/// and quotes do not.
fn pair_from_inside(
    mut open: OpenBrackets,
    closers: &[(&'static str, Closed)],
) -> Vec<(&'static str, Closed)> {
    let mut left = closers;
    let mut pairs = Vec::with_capacity(open.closers.len());
    while let Some(&opener) = open.closers.last() {
        // A closer that no opener waits for is a mistake of the document.
        while left
            .first()
            .is_some_and(|(closer, _)| !open.counts.has(closer))
        {
            work::add(1);
            left = &left[1..];
        }
        let closed = match left.first() {
            Some((closer, closed)) if same(closer, opener) => {
                left = &left[1..];
                *closed
            }
            None if opener == "}" => Closed::Below,
            _ => Closed::Missing,
        };
        pairs.push((opener, closed));
        open.pop();
    }
    pairs
}

/// Counts comparisons in tests, which bound them; nothing elsewhere.
mod work {
    #[cfg(test)]
    std::thread_local! {
        static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[cfg(test)]
    pub(super) fn add(n: usize) {
        DONE.with(|done| done.set(done.get() + n));
    }

    #[cfg(not(test))]
    #[inline]
    pub(super) fn add(_: usize) {}

    /// What `f` did.
    #[cfg(test)]
    pub(super) fn of(f: impl FnOnce()) -> usize {
        DONE.with(|done| done.set(0));
        f();
        DONE.with(std::cell::Cell::get)
    }
}

#[cfg(test)]
mod tests;
