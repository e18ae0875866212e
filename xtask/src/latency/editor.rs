//! A document in the hands of someone who types, with what an editor does on its own.

/// How an editor helps, and asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Brackets and quotes are closed by themselves and typed over; what waits is cancelled by the next
    /// key: VS Code.
    Pairs,
    /// Every character is typed, nothing is cancelled: Neovim.
    Plain,
}

impl Manner {
    /// The name of an editor of that manner.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pairs => "vscode",
            Self::Plain => "neovim",
        }
    }
}

/// A change of a document: what is deleted behind the caret, what is inserted before and behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Bytes behind the caret that go.
    pub(super) deleted: usize,
    /// Text that comes before the new caret.
    pub(super) before: String,
    /// Text that comes behind it.
    pub(super) behind: String,
    /// How much of the text to type it has written.
    pub(super) typed: usize,
}

/// A document, its caret, and what the editor has closed.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) before: String,
    pub(super) after: String,
    manner: Manner,
    /// Closers right behind the caret that the editor has inserted.
    closers: usize,
    /// Closing brackets on a line of their own below, which the editor has inserted.
    below: usize,
}

impl Document {
    pub(super) fn new(before: String, after: String, manner: Manner) -> Self {
        Self {
            before,
            after,
            manner,
            closers: 0,
            below: 0,
        }
    }

    /// The caret's line and column, in characters; the files are ASCII.
    pub(super) fn caret(&self) -> (u32, u32) {
        position(&self.before)
    }

    /// Types the next key of `text`; what it changes.
    pub(super) fn key(&mut self, text: &str) -> Key {
        let key = self.next(text);
        self.after.replace_range(..key.deleted, &key.behind);
        self.before.push_str(&key.before);
        key
    }

    fn next(&mut self, text: &str) -> Key {
        let Some(c) = text.chars().next() else {
            return Key::default();
        };
        if c == '\n' {
            return self.line_break(text);
        }
        let mut key = Key {
            before: c.to_string(),
            typed: c.len_utf8(),
            ..Key::default()
        };
        if self.manner == Manner::Plain {
            return key;
        }
        if self.closers > 0 && self.after.starts_with(c) && ")]}\"".contains(c) {
            self.closers -= 1;
            key.deleted = c.len_utf8();
            return key;
        }
        let closer = "([{\"".find(c).map(|at| [")", "]", "}", "\""][at]);
        let next = self.after.chars().next();
        let is_free = next.is_none_or(|next| next.is_whitespace() || ")]}".contains(next));
        if let Some(closer) = closer.filter(|_| is_free) {
            closer.clone_into(&mut key.behind);
            self.closers += 1;
        }
        key
    }

    /// A line break, with the indentation of the next line.
    fn line_break(&mut self, text: &str) -> Key {
        let line = text[1..].split('\n').next().unwrap_or("");
        let indentation = &line[..line.len() - line.trim_start().len()];
        let mut key = Key {
            before: format!("\n{indentation}"),
            typed: 1 + indentation.len(),
            ..Key::default()
        };
        let closes = line.trim_start().starts_with(['}', ')', ']']);
        if self.below > 0
            && closes
            && let Some(at) = self.after.find(['}', ')', ']'])
        {
            // It is there already: the caret goes down, past it.
            self.below -= 1;
            key.deleted = at + 1;
            self.after[..=at].clone_into(&mut key.before);
            key.typed += 1;
        } else if self.closers > 0 && self.before.ends_with(['{', '(', '[']) {
            self.closers -= 1;
            self.below += 1;
            let outer = self.before.rsplit('\n').next().unwrap_or("");
            let outer = &outer[..outer.len() - outer.trim_start().len()];
            key.behind = format!("\n{outer}");
        }
        key
    }
}

/// The place behind a text.
pub(super) fn position(text: &str) -> (u32, u32) {
    let line = text.matches('\n').count();
    let column = text.len() - text.rfind('\n').map_or(0, |newline| newline + 1);
    (line as u32, column as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types `text` between the parts; the document with `|` at the caret, and how many keys it took.
    fn typed(manner: Manner, text: &str) -> (String, usize) {
        let mut document = Document::new("fn f() ".to_owned(), "\n\nend\n".to_owned(), manner);
        let (mut rest, mut keys) = (text, 0);
        while !rest.is_empty() {
            let typed = document.key(rest).typed;
            rest = &rest[typed.min(rest.len())..];
            keys += 1;
        }
        (format!("{}|{}", document.before, document.after), keys)
    }

    #[test]
    fn both_manners_write_the_same_text() {
        let text = "{\n    g(\"a\", [1]);\n}";
        let expected = format!("fn f() {text}|\n\nend\n");
        assert_eq!(typed(Manner::Plain, text), (expected.clone(), 16));
        let (pairs, _) = typed(Manner::Pairs, text);
        assert_eq!(pairs, expected);
    }

    #[test]
    fn pairs_are_closed_at_once() {
        assert_eq!(typed(Manner::Pairs, "{ g(").0, "fn f() { g(|)}\n\nend\n");
        assert_eq!(typed(Manner::Plain, "{ g(").0, "fn f() { g(|\n\nend\n");
        assert_eq!(
            typed(Manner::Pairs, "{\n    ").0,
            "fn f() {\n    |\n}\n\nend\n"
        );
    }
}
