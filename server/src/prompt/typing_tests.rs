//! What typing costs: a user writes pieces of real files anew, and every prompt is compared with the
//! one before it. An engine evaluates what follows their common beginning.

use carat_engine::TokenId;
use carat_grammars::languages;

use super::tests::words;
use super::{PromptBudget, PromptForm, Vocabulary};
use crate::completion::{self, Knowledge, Manners, Parts, Query};

/// Two files of this crate as they were on one day, so that the bounds are about prompts and not about them.
const FILES: [(&str, &str); 2] = [
    (
        "src/layout.rs",
        include_str!("../../testdata/typed/layout.rs"),
    ),
    (
        "src/brackets.rs",
        include_str!("../../testdata/typed/brackets.rs"),
    ),
];

/// One of each layout.
const FORMS: [PromptForm; 6] = [
    PromptForm::FimSuffixFirst,
    PromptForm::FimPrefixFirst,
    PromptForm::FimSuffixThenPrefix,
    PromptForm::FimCodestral,
    PromptForm::InstructGemma4 {
        thought_block: true,
    },
    PromptForm::Plain,
];

/// How an editor helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Brackets and quotes are closed by themselves, and typed over: VS Code.
    Pairs,
    /// Every character is typed: Neovim.
    Plain,
}

/// A document and its caret, in the hands of someone who types.
struct Typist {
    before: String,
    after: String,
    manner: Manner,
    /// Closers right behind the caret that the editor has inserted.
    closers: usize,
    /// Closing brackets that stand alone on a later line, which the editor has inserted.
    below: usize,
}

impl Typist {
    /// Types the next key of `text`; returns how many bytes of it that were.
    fn key(&mut self, text: &str) -> usize {
        let c = text.chars().next().expect("something is left to type");
        if c == '\n' {
            return self.new_line(text);
        }
        if self.manner == Manner::Pairs {
            if self.closers > 0 && self.after.starts_with(c) && ")]}\"".contains(c) {
                self.closers -= 1;
                self.after.remove(0);
                self.before.push(c);
                return c.len_utf8();
            }
            let closer = "([{\"".find(c).map(|at| [')', ']', '}', '"'][at]);
            let free = self
                .after
                .chars()
                .next()
                .is_none_or(|next| next.is_whitespace() || ")]}".contains(next));
            if let Some(closer) = closer.filter(|_| free) {
                self.after.insert(0, closer);
                self.closers += 1;
            }
        }
        self.before.push(c);
        c.len_utf8()
    }

    /// A line break with the indentation of the next line; a bracket that the editor has closed right
    /// behind the caret gets a line of its own.
    fn new_line(&mut self, text: &str) -> usize {
        let line = text[1..].split('\n').next().unwrap_or("");
        let indentation = line.len() - line.trim_start().len();
        if self.below > 0 && line.trim_start().starts_with(['}', ')', ']']) {
            // It is there already: the caret goes down, past it.
            let at = self.after.find(['}', ')', ']']).expect("it was inserted");
            self.before.extend(self.after.drain(..=at));
            self.below -= 1;
            return 1 + indentation + 1;
        }
        if self.closers > 0 && self.before.ends_with(['{', '(', '[']) {
            self.closers -= 1;
            self.below += 1;
            let outer = self.before.rsplit('\n').next().unwrap_or("");
            let outer = &outer[..outer.len() - outer.trim_start().len()];
            self.after.insert_str(0, &format!("\n{outer}"));
        }
        self.before.push('\n');
        self.before.push_str(&line[..indentation]);
        1 + indentation
    }
}

/// What the prompts of a session came to.
#[derive(Debug, Default)]
struct Costs {
    keys: usize,
    /// Tokens that an engine evaluates for the keys.
    tokens: usize,
    lines: usize,
    /// The same for line breaks alone.
    line_tokens: usize,
    /// The same for the caret going down three lines, then up one.
    moves: usize,
    move_tokens: usize,
}

/// An engine's cache, as far as tokens go.
struct Reader<'a> {
    form: PromptForm,
    budget: PromptBudget,
    vocabulary: &'a dyn Vocabulary,
    cached: Vec<TokenId>,
    manners: Manners,
}

impl Reader<'_> {
    /// Tokens that are evaluated for a prompt at the caret.
    fn read(&mut self, path: &str, prefix: &str, suffix: &str) -> usize {
        let query = Query {
            path,
            language: languages::by_path(path.as_ref()),
            prefix,
            suffix,
            document_bytes: 0,
            context: &[],
            // Whatever would not be shown is read as well.
            explicit: true,
            language_id: "rust",
            manners: &self.manners,
            max_tokens: None,
            texts: None,
        };
        let plan = completion::plan(
            &query,
            self.form,
            &self.budget,
            &Parts::default(),
            self.vocabulary,
            &Knowledge::default(),
        );
        assert_eq!(plan.silence, None, "{path}: nothing is read");
        let tokens = plan.prompt.tokens;
        let pairs = tokens.iter().zip(&self.cached);
        let shared = pairs.take_while(|(a, b)| a == b).count();
        let evaluated = (tokens.len() - shared).max(1);
        self.cached = tokens;
        evaluated
    }
}

/// Writes four of every 23 lines of the files anew, and moves on.
fn session(form: PromptForm, manner: Manner, vocabulary: &dyn Vocabulary) -> Costs {
    let mut costs = Costs::default();
    let budget = PromptBudget::default();
    let mut reader = Reader {
        form,
        budget,
        vocabulary,
        cached: Vec::new(),
        manners: Manners::default(),
    };
    for (path, text) in FILES {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for first in (10..lines.len() - 10).step_by(23) {
            let piece = lines[first..first + 3].concat();
            let mut typist = Typist {
                before: lines[..first].concat(),
                after: format!("\n{}", lines[first + 3..].concat()),
                manner,
                closers: 0,
                below: 0,
            };
            // Arriving there is no key.
            reader.read(path, &typist.before, &typist.after);
            let mut rest = piece.trim_end();
            while !rest.is_empty() {
                let is_line = rest.starts_with('\n');
                rest = &rest[typist.key(rest).min(rest.len())..];
                let tokens = reader.read(path, &typist.before, &typist.after);
                costs.keys += 1;
                costs.tokens += tokens;
                if is_line {
                    costs.lines += 1;
                    costs.line_tokens += tokens;
                }
            }
            let all = typist.before.clone() + &typist.after;
            for down in [1, 2, 3, 2] {
                let caret = typist.before.len();
                let newlines = all[caret..].match_indices('\n').nth(down - 1);
                let at = newlines.map_or(all.len(), |(at, _)| caret + at + 1);
                costs.moves += 1;
                costs.move_tokens += reader.read(path, &all[..at], &all[at..]);
            }
        }
    }
    costs
}

fn per(tokens: usize, events: usize) -> f64 {
    tokens as f64 / events.max(1) as f64
}

/// At most so many tokens for a key and 40 for a line, in these forms and every manner.
fn check(forms: &[PromptForm], vocabulary: &dyn Vocabulary, most: f64) {
    for &form in forms {
        for manner in [Manner::Plain, Manner::Pairs] {
            let costs = session(form, manner, vocabulary);
            let (key, line) = (
                per(costs.tokens, costs.keys),
                per(costs.line_tokens, costs.lines),
            );
            let what = format!(
                "{}, {manner:?}: {key:.2} tokens a key, {line:.1} a line, {:.0} a move: {costs:?}",
                form.name(),
                per(costs.move_tokens, costs.moves)
            );
            eprintln!("{what}");
            assert!(key <= most && line <= 40.0, "{what}");
        }
    }
}

#[test]
fn a_key_costs_what_was_typed_and_little_more() {
    check(&FORMS, &words(), 3.5);
}

/// Large models read slowly: what is written at a stretch is read once, and what stands around it rarely again.
#[test]
fn lines_at_a_stretch_are_read_by_a_large_model_about_twice() {
    let vocabulary = words();
    for form in &FORMS[3..] {
        let mut reader = Reader {
            form: *form,
            budget: PromptBudget::default().for_large(),
            vocabulary: &vocabulary,
            cached: Vec::new(),
            manners: Manners::default(),
        };
        let (path, text) = FILES[0];
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let after = format!("\n{}", lines[220..].concat());
        let (mut own, mut read) = (0, 0);
        for (at, line) in lines.iter().enumerate().take(220).skip(60) {
            let before = lines[..=at].concat();
            let tokens = reader.read(path, &before, &after);
            if at > 60 {
                (own, read) = (own + vocabulary.encode(line).len(), read + tokens);
            }
        }
        let (own, read) = (per(own, 159), per(read, 159));
        let what = format!("{}: {read:.1} tokens a line of {own:.1}", form.name());
        eprintln!("{what}");
        assert!(read <= 3.0 * own, "{what}");
    }
}

#[cfg(feature = "embedded-model")]
#[test]
fn so_it_does_in_the_words_of_the_embedded_model() {
    let options = carat_engine::LoadOptions { threads: Some(1) };
    let model = crate::generator::CodeModel::load(None, &options).expect("it is embedded");
    check(&FORMS[..1], model.model.tokenizer(), 3.0);
}
