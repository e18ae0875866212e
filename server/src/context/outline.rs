//! What the files of a workspace define, learnt file by file by the tags of their languages.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;
use std::path::Path;

use carat_grammars::{Definition, DefinitionKind, Tagger, languages};

use super::nearest;
use crate::echo::Index;

/// Definitions that are known at most, of the files nearest to where the user works: about 20 MB.
const DEFINITIONS_MAX: usize = 100_000;

/// Lines of a type that is told as a whole.
const TYPE_LINES_MAX: usize = 12;

/// Lines and bytes of what is told of anything else.
const SIGNATURE_LINES_MAX: usize = 6;
const SIGNATURE_BYTES_MAX: usize = 400;

/// Something that a file defines, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defined {
    name: String,
    /// Where its name stands in the file.
    pub(super) at: usize,
    /// A function without its body, a short type as a whole.
    pub(super) signature: String,
}

#[derive(Debug, Default)]
struct File {
    /// Differs where the text does.
    version: u64,
    defined: Vec<Defined>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Outline {
    taggers: HashMap<&'static str, Tagger>,
    files: HashMap<String, File>,
    /// The files that define a name.
    by_name: HashMap<String, Vec<String>>,
    definitions: usize,
}

impl Outline {
    /// Learns what is new in an index, what is near `path` first, until `go_on` ends it, which is asked
    /// while a file is parsed, too. False if there is more to learn.
    pub fn learn(
        &mut self,
        index: &Index,
        path: &str,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> bool {
        let mut paths = nearest(index, path);
        // What the own file defines needs no telling.
        paths.insert(0, path);
        let there: HashSet<&str> = paths.iter().copied().collect();
        let gone = self
            .files
            .keys()
            .filter(|path| !there.contains(path.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        for path in gone {
            self.forget(&path);
        }
        for path in paths {
            let Some(version) = version(index, path) else {
                continue;
            };
            if self
                .files
                .get(path)
                .is_some_and(|file| file.version == version)
            {
                continue;
            }
            if go_on().is_break() {
                return false;
            }
            self.forget(path);
            if self.definitions >= DEFINITIONS_MAX {
                continue;
            }
            let Some(defined) = self.defined_in(index.text(path).unwrap_or_default(), path, go_on)
            else {
                return false;
            };
            self.definitions += defined.len();
            for one in &defined {
                let paths = self.by_name.entry(one.name.clone()).or_default();
                if paths.last().is_none_or(|last| last != path) {
                    paths.push(path.to_owned());
                }
            }
            self.files
                .insert(path.to_owned(), File { version, defined });
        }
        true
    }

    /// What is defined under a name, and in which files.
    pub(super) fn of_name<'a>(&'a self, name: &str) -> Vec<(&'a str, &'a Defined)> {
        let paths = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        for path in paths {
            let of_file = self.of_file(path).filter(|one| one.name == name);
            found.extend(of_file.map(|one| (path.as_str(), one)));
        }
        found
    }

    /// What a file defines, in its order.
    pub(super) fn of_file(&self, path: &str) -> impl Iterator<Item = &Defined> {
        self.files
            .get(path)
            .into_iter()
            .flat_map(|file| &file.defined)
    }

    /// The names that a file defines.
    pub(super) fn names_in(&self, path: &str) -> impl Iterator<Item = &str> {
        self.of_file(path).map(|one| one.name.as_str())
    }

    /// The files that are known.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn forget(&mut self, path: &str) {
        let Some(file) = self.files.remove(path) else {
            return;
        };
        self.definitions -= file.defined.len();
        for one in file.defined {
            if let Some(paths) = self.by_name.get_mut(&one.name) {
                paths.retain(|known| known != path);
                if paths.is_empty() {
                    self.by_name.remove(&one.name);
                }
            }
        }
    }

    fn defined_in(
        &mut self,
        text: &str,
        path: &str,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Option<Vec<Defined>> {
        let Some(language) = languages::by_path(Path::new(path)) else {
            return Some(Vec::new());
        };
        let tagger = self.taggers.entry(language.id);
        let tagger = tagger.or_insert_with(|| Tagger::new(language));
        let found = tagger.definitions(text, go_on)?;
        let defined = found.iter().map(|one| Defined {
            name: text[one.name.clone()].to_owned(),
            at: one.name.start,
            signature: signature(text, one),
        });
        Some(defined.collect())
    }
}

/// A number that differs where the text of a file does; `None` if it is not known.
fn version(index: &Index, path: &str) -> Option<u64> {
    if let Some(stamp) = index.stamp(path) {
        return Some(stamp);
    }
    let mut hasher = DefaultHasher::new();
    index.text(path)?.hash(&mut hasher);
    Some(hasher.finish())
}

/// What is told of a definition: from the begin of its line on, without the indentation.
fn signature(text: &str, one: &Definition) -> String {
    let line = text[..one.range.start].rfind('\n').map_or(0, |at| at + 1);
    let indentation = text[line..].len() - text[line..].trim_start_matches([' ', '\t']).len();
    let whole = &text[line + indentation..one.range.end.max(line + indentation)];
    let is_short =
        whole.lines().count() <= TYPE_LINES_MAX && whole.len() <= 2 * SIGNATURE_BYTES_MAX;
    let kept = if one.kind == DefinitionKind::Type && is_short {
        whole
    } else {
        let body = one
            .body
            .and_then(|body| body.checked_sub(line + indentation));
        let head = body.and_then(|body| whole.get(..body)).unwrap_or(whole);
        // Without a body in the tree, as some grammars have it: up to the line that opens one.
        let opens = head.find("{\n").filter(|_| one.body.is_none());
        let head = opens.map_or(head, |at| &head[..at]);
        head.trim_end()
            .trim_end_matches("=>")
            .trim_end_matches(['{', '='])
            .trim_end()
    };
    let unindented = |line: &str| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        line[blank.min(indentation)..].trim_end().to_owned()
    };
    let most = if kept.len() == whole.len() {
        TYPE_LINES_MAX
    } else {
        SIGNATURE_LINES_MAX
    };
    let lines: Vec<String> = kept.lines().take(most).map(unindented).collect();
    let mut told = lines.join("\n");
    told.truncate(told.floor_char_boundary(2 * SIGNATURE_BYTES_MAX));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(files: &[(&str, &str)]) -> (Outline, Index) {
        let mut index = Index::default();
        for (path, text) in files {
            index.set(path, text);
        }
        let mut outline = Outline::default();
        assert!(outline.learn(&index, "own.rs", &mut || ControlFlow::Continue(())));
        (outline, index)
    }

    fn told(outline: &Outline, name: &str) -> Vec<String> {
        let found = outline.of_name(name).into_iter();
        found
            .map(|(path, one)| format!("{path}: {}", one.signature))
            .collect()
    }

    #[test]
    fn functions_are_told_without_their_bodies_and_short_types_as_they_are() {
        let (outline, _) = outline(&[
            (
                "a.rs",
                "impl A {\n    pub fn b(\n        &self,\n        c: u8,\n    ) -> u8 {\n        c\n    }\n}\npub struct D {\n    e: u8,\n}\n",
            ),
            ("f.py", "class G:\n    def h(self, i):\n        return i\n"),
            (
                "j.ts",
                "export const k = (l: number) => {\n  return l;\n};\n",
            ),
            ("m.c", "static int n(int o)\n{\n    return o;\n}\n"),
        ]);
        assert_eq!(
            told(&outline, "b"),
            ["a.rs: pub fn b(\n    &self,\n    c: u8,\n) -> u8"]
        );
        assert_eq!(told(&outline, "D"), ["a.rs: pub struct D {\n    e: u8,\n}"]);
        assert_eq!(told(&outline, "h"), ["f.py: def h(self, i):"]);
        assert_eq!(told(&outline, "k"), ["j.ts: export const k = (l: number)"]);
        assert_eq!(told(&outline, "n"), ["m.c: static int n(int o)"]);
        assert_eq!(told(&outline, "zz"), Vec::<String>::new());
    }

    #[test]
    fn what_changes_is_learnt_again_and_what_is_gone_forgotten() {
        let (mut outline, mut index) = outline(&[("a.rs", "fn a() {}"), ("b.rs", "fn b() {}")]);
        index.set("a.rs", "fn c() {}");
        index.remove("b.rs");
        let mut go_on = || ControlFlow::Continue(());
        assert!(outline.learn(&index, "own.rs", &mut go_on));
        assert_eq!(told(&outline, "c"), ["a.rs: fn c()"]);
        assert!(told(&outline, "a").is_empty() && told(&outline, "b").is_empty());
        assert_eq!((outline.definitions, outline.by_name.len()), (1, 1));
    }

    #[test]
    fn learning_goes_on_where_it_was_interrupted() {
        let texts: Vec<(String, String)> = (0..20)
            .map(|n| (format!("f{n}.rs"), format!("fn name_{n}() {{}}")))
            .collect();
        let files: Vec<(&str, &str)> = texts
            .iter()
            .map(|(p, t)| (p.as_str(), t.as_str()))
            .collect();
        let mut index = Index::default();
        for (path, text) in &files {
            index.set(path, text);
        }
        let mut outline = Outline::default();
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut asked = 0;
            let done = outline.learn(&index, "own.rs", &mut || {
                asked += 1;
                if asked > 8 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if done {
                break;
            }
            assert!(rounds < 10);
        }
        assert!(rounds > 1);
        assert_eq!(outline.definitions, 20);
    }
}
