//! What a person does to get a text into a document: the keys, and what the editor adds to them.
//!
//! The editor indents the line after Enter, and closes round, square and curly brackets; Enter between
//! a pair puts the closer on a line of its own. Where the text has a bracket's closer, the person goes
//! over the one that stands there already. None of that counts as a key.

use std::ops::{ControlFlow, Range};

use carat_grammars::{Language, Lexer, Mark, Place};

/// A text that is put into a document from its beginning to its end, parts of it key by key.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    /// The document before it.
    pub before: String,
    /// The text.
    pub text: String,
    /// The document behind it.
    pub after: String,
    /// The parts of the text that are typed, in order, in bytes; the rest is pasted.
    pub typed: Vec<Range<usize>>,
}

/// How text comes into the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A key is pressed, and the editor asks for a completion.
    Key,
    /// The caret goes over a closer on its line that the editor has put there; the editor asks too.
    Over,
    /// It is pasted, or the caret goes to the line of a closer; the editor asks for nothing.
    Silent,
}

/// Something that happens to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The part of the passage's text that it adds.
    pub adds: Range<usize>,
    /// What stands between the caret and the rest of the document afterwards: closers of the editor.
    pub closers: String,
    /// How.
    pub how: How,
    /// Whether it begins a part that is typed.
    pub begins: bool,
    /// Whether it stands on a line with code.
    pub is_code: bool,
}

/// A pair of brackets in a text.
#[derive(Clone, Copy, Debug)]
struct Pair {
    open: usize,
    close: usize,
    closer: &'static str,
    /// The line end and the white space before the closer, if it is the first on its line.
    own_line: Option<usize>,
}

impl Passage {
    /// A whole text that is new.
    pub fn new(text: String) -> Self {
        let typed = std::iter::once(0..text.len()).collect();
        Self {
            text,
            typed,
            ..Self::default()
        }
    }

    /// Everything that happens, in order.
    pub fn steps(&self, language: Option<&'static Language>) -> Vec<Step> {
        let pairs = self.pairs(language);
        let code = self.lines_of_code(language);
        let mut typist = Typist {
            text: &self.text,
            pairs: &pairs,
            next_pair: 0,
            open: Vec::new(),
            at: 0,
            steps: Vec::new(),
            code: &code,
        };
        for part in &self.typed {
            typist.paste(part.start);
            typist.type_to(part.end);
        }
        typist.paste(self.text.len());
        typist.steps
    }

    /// The brackets whose closers are in the text as well.
    fn pairs(&self, language: Option<&'static Language>) -> Vec<Pair> {
        let mut lexer = Lexer::new(language);
        lexer.scan(&self.before, &mut |_, _| ControlFlow::Continue(()));
        let (mut open, mut pairs) = (Vec::new(), Vec::new());
        lexer.resumed().scan(&self.text, &mut |at, mark| {
            match mark {
                Mark::Open(closer) => open.push((at, closer)),
                Mark::Close(closer) => match open.pop() {
                    Some((start, expected)) if expected == closer => pairs.push(Pair {
                        open: start,
                        close: at,
                        closer,
                        own_line: own_line(&self.text, start, at),
                    }),
                    // Brackets that cross are nothing that an editor closes.
                    _ => open.clear(),
                },
            }
            ControlFlow::Continue(())
        });
        pairs.sort_unstable_by_key(|pair| pair.open);
        pairs
    }

    /// The beginnings of the lines that hold more than a comment.
    fn lines_of_code(&self, language: Option<&'static Language>) -> Vec<usize> {
        let mut lexer = Lexer::new(language);
        lexer.scan(&self.before, &mut |_, _| ControlFlow::Continue(()));
        let comment = language.map_or("#", |language| language.line_comment);
        let (mut at, mut code) = (0, Vec::new());
        for line in self.text.split_inclusive('\n') {
            let in_comment = lexer.place() == Place::Comment;
            let is_comment = in_comment
                || line.trim_start().starts_with(comment)
                || line.trim_start().starts_with("/*");
            if !is_comment && !line.trim().is_empty() {
                code.push(at);
            }
            lexer.scan(line, &mut |_, _| ControlFlow::Continue(()));
            at += line.len();
        }
        code
    }
}

/// Where the line end stands before a closer that is the first on its line; nothing if it is not, or if
/// its opener stands on the same line or has nothing between.
fn own_line(text: &str, open: usize, close: usize) -> Option<usize> {
    let newline = text[..close].rfind('\n')?;
    let blank = text[newline..close].trim().is_empty();
    let newline = newline - usize::from(text[..newline].ends_with('\r'));
    (blank && newline > open).then_some(newline)
}

struct Typist<'a> {
    text: &'a str,
    pairs: &'a [Pair],
    next_pair: usize,
    /// Pairs whose openers are in the document, the innermost last.
    open: Vec<Pair>,
    at: usize,
    steps: Vec<Step>,
    code: &'a [usize],
}

impl Typist<'_> {
    /// What the editor has put behind the caret.
    fn closers(&self) -> String {
        let mut closers = String::new();
        for pair in self.open.iter().rev() {
            match pair.own_line {
                // Once Enter was pressed between the two.
                Some(newline) if self.text[pair.open..self.at].contains('\n') => {
                    closers += &self.text[newline..pair.close];
                    closers += pair.closer;
                }
                _ => closers += pair.closer,
            }
        }
        closers
    }

    /// Takes the brackets up to the caret into account.
    fn settle(&mut self) {
        while let Some(pair) = self.pairs.get(self.next_pair)
            && pair.open < self.at
        {
            // A paste passes pairs as a whole.
            if pair.close >= self.at {
                self.open.push(*pair);
            }
            self.next_pair += 1;
        }
        while self.open.last().is_some_and(|pair| pair.close < self.at) {
            self.open.pop();
        }
    }

    fn step(&mut self, end: usize, how: How, begins: bool) {
        let adds = self.at..end;
        self.at = end;
        self.settle();
        let line = self.text[..adds.end].rfind('\n').map_or(0, |at| at + 1);
        self.steps.push(Step {
            closers: self.closers(),
            how,
            begins,
            is_code: self.code.binary_search(&line).is_ok(),
            adds,
        });
    }

    fn paste(&mut self, end: usize) {
        if end > self.at {
            self.step(end, How::Silent, false);
        }
    }

    fn type_to(&mut self, end: usize) {
        let mut begins = true;
        while self.at < end {
            let rest = &self.text[self.at..end];
            if let Some(over) = self.over_closer().filter(|over| *over <= end) {
                // The caret moves; where a line is left that way, nothing is typed.
                let how = if self.text[self.at..over].contains('\n') {
                    How::Silent
                } else {
                    How::Over
                };
                self.step(over, how, begins);
            } else if let Some(line) = rest.strip_prefix("\r\n").or(rest.strip_prefix('\n')) {
                let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
                // Trailing white space of a blank line is nothing that anybody types.
                self.step(end - line.len() + blank, How::Key, begins);
            } else if self.text[..self.at].ends_with('\n') || self.at == 0 {
                let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                let first = rest[blank..]
                    .chars()
                    .next()
                    .filter(|c| !"\r\n".contains(*c));
                let end = self.at + blank + first.map_or(0, char::len_utf8);
                let how = first.map_or(How::Silent, |_| How::Key);
                self.step(end.max(self.at + 1), how, begins);
            } else {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                self.step(self.at + length, How::Key, begins);
            }
            begins = false;
        }
    }

    /// Where the caret is once it has moved over the innermost closer, if that comes next.
    fn over_closer(&self) -> Option<usize> {
        let pair = self.open.last()?;
        let stands_alone =
            pair.own_line == Some(self.at) && self.text[pair.open..self.at].contains('\n');
        (pair.close == self.at || stands_alone).then_some(pair.close + pair.closer.len())
    }
}

#[cfg(test)]
mod tests {
    use carat_grammars::languages;

    use super::*;

    /// The documents after each step, with `|` for the caret; closers that the caret moves over are
    /// marked by `>`, pasted text by `+`.
    fn documents(passage: &Passage) -> Vec<String> {
        let steps = passage.steps(languages::by_id("rust"));
        let mut found = Vec::new();
        for step in steps {
            let mark = match step.how {
                How::Key => "",
                How::Over => ">",
                How::Silent => "+",
            };
            let before = &passage.text[..step.adds.end];
            found.push(format!(
                "{mark}{}{before}|{}{}",
                passage.before, step.closers, passage.after
            ));
        }
        found
    }

    #[test]
    fn brackets_are_closed_by_the_editor_and_moved_over() {
        let found = documents(&Passage::new("f(a);".to_owned()));
        assert_eq!(found, ["f|", "f(|)", "f(a|)", ">f(a)|", "f(a);|"]);
    }

    #[test]
    fn enter_indents_and_puts_the_closer_on_a_line_of_its_own() {
        let found = documents(&Passage::new("x {\n    y\n}\nz".to_owned()));
        assert_eq!(
            found,
            [
                "x|",
                "x |",
                "x {|}",
                "x {\n    |\n}",
                "x {\n    y|\n}",
                "+x {\n    y\n}|",
                "x {\n    y\n}\n|",
                "x {\n    y\n}\nz|",
            ]
        );
    }

    #[test]
    fn brackets_that_a_paste_has_closed_are_not_closed_again() {
        let passage = Passage {
            text: "f(a)\n{ g(b)\nc }".to_owned(),
            typed: std::iter::once(12..13).collect(),
            ..Passage::default()
        };
        let found = documents(&passage);
        assert_eq!(found[..2], ["+f(a)\n{ g(b)\n|}", "f(a)\n{ g(b)\nc|}"]);
    }

    #[test]
    fn what_is_not_typed_is_pasted_and_its_brackets_are_known() {
        let text = "a {\nbcd\nef\n}\n";
        let passage = Passage {
            before: "0\n".to_owned(),
            text: text.to_owned(),
            after: "9\n".to_owned(),
            typed: std::iter::once(7..10).collect(),
        };
        assert_eq!(
            documents(&passage),
            [
                "+0\na {\nbcd|\n}9\n",
                "0\na {\nbcd\n|\n}9\n",
                "0\na {\nbcd\ne|\n}9\n",
                "0\na {\nbcd\nef|\n}9\n",
                "+0\na {\nbcd\nef\n}\n|9\n",
            ]
        );
    }

    #[test]
    fn closers_that_are_not_in_the_text_are_nobodys() {
        assert_eq!(documents(&Passage::new("f(".to_owned())), ["f|", "f(|"]);
        assert_eq!(documents(&Passage::new("\")".to_owned())), ["\"|", "\")|"]);
    }

    #[test]
    fn every_text_comes_out_as_it_is() {
        for text in [
            "fn a(b: &[u8]) -> C {\n    d(|e| {\n        f(e)\n    })\n}\n",
            "a = [\n  1,\n\n]\n",
            "x(\r\n  y)\r\n",
            "é(\"漢)\")\n",
        ] {
            let passage = Passage::new(text.to_owned());
            let steps = passage.steps(languages::by_id("rust"));
            let mut at = 0;
            for step in &steps {
                assert_eq!(step.adds.start, at, "{text:?}");
                at = step.adds.end;
                let rest = &text[at..];
                let mut rest = rest.chars();
                assert!(
                    step.closers.chars().all(|c| rest.any(|other| other == c)),
                    "{text:?}: {step:?}"
                );
            }
            assert_eq!(at, text.len());
            assert_eq!(steps.last().map(|step| step.closers.as_str()), Some(""));
        }
    }
}
