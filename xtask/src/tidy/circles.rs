//! No circles between files: what a file uses stands below it.
//!
//! An arrow goes from a file to the one that defines what it names; names that a module only passes
//! on count as those of the file where they stand. A module and what lies inside of it are one room:
//! arrows between them are not looked at. The scan is of text, as all of tidy, and reads `use`
//! declarations and paths that begin with `crate`, `super` or `self`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::source::split;
use super::{File, Finding};

/// Circles that are still there: arrows that one has to look away from. The list only gets shorter.
const KNOWN: &[(&str, &str)] = &[
    ("engine/src/decoding.rs", "engine/src/model.rs"),
    ("engine/src/decoding.rs", "engine/src/session.rs"),
    ("engine/src/decoding.rs", "engine/src/speculation.rs"),
    ("engine/src/session.rs", "engine/src/decoding.rs"),
    ("engine/src/session.rs", "engine/src/speculation.rs"),
    ("engine/src/speculation.rs", "engine/src/session.rs"),
    (
        "engine/src/kernels/repacked.rs",
        "engine/src/kernels/matrix.rs",
    ),
    (
        "engine/src/kernels/matrix.rs",
        "engine/src/kernels/repacked.rs",
    ),
    ("engine/src/model.rs", "engine/src/session.rs"),
    ("engine/src/session.rs", "engine/src/model.rs"),
];

/// The crates that are looked at.
const CRATES: &[&str] = &["engine/src", "grammars/src", "server/src", "xtask/src"];

/// Names that a module passes on, each with its path from the crate's root.
type Exports = HashMap<String, HashMap<String, Vec<String>>>;

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    check_except(files, KNOWN)
}

fn check_except(files: &[File], known: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut all = BTreeSet::new();
    for root in CRATES {
        let arrows = arrows(files, root);
        for (from, to) in circular(&arrows) {
            let listed = known.contains(&(from.as_str(), to.as_str()));
            if !listed {
                let what = format!("uses `{to}`, which in the end uses it: a circle");
                findings.push(Finding::new(&from, 0, what));
            }
            all.insert((from, to));
        }
    }
    for (from, to) in known {
        if !all.contains(&((*from).to_owned(), (*to).to_owned())) {
            let what =
                format!("its circle with `{to}` is gone: take it from xtask/src/tidy/circles.rs");
            findings.push(Finding::new(from, 0, what));
        }
    }
    findings
}

/// The arrows that lie on a circle.
fn circular(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<(String, String)> {
    let reaches = |from: &str, wanted: &str| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            if file == wanted {
                return true;
            }
            if seen.insert(file) {
                left.extend(arrows.get(file).into_iter().flatten().map(String::as_str));
            }
        }
        false
    };
    let pairs = arrows
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| reaches(to, from))
        .map(|(from, to)| (from.clone(), to.clone()))
        .collect()
}

/// What every file of a crate uses.
fn arrows(files: &[File], root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let modules: HashMap<String, &File> = files
        .iter()
        .filter(|file| file.has_extension("rs") && !is_test(&file.path))
        .filter_map(|file| Some((module_of(&file.path, root)?, file)))
        .collect();
    let paths: HashMap<&str, Vec<Vec<String>>> = modules
        .iter()
        .map(|(module, file)| {
            let text = product(file.text.as_deref().unwrap_or_default());
            (module.as_str(), paths_of(&text, module))
        })
        .collect();
    let exports = exports(&modules);
    let mut arrows = BTreeMap::new();
    for (module, file) in &modules {
        let used = paths[module.as_str()]
            .iter()
            .filter_map(|path| home(path, &modules, &exports, 0))
            .filter(|used| !same_room(used, module))
            .map(|used| modules[&used].path.clone())
            .collect();
        arrows.insert(file.path.clone(), used);
    }
    arrows
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("tests") || name.ends_with("_tests.rs") || path.contains("/tests/")
}

/// `server/src/lsp/input.rs` is `lsp::input`; the root is empty.
fn module_of(path: &str, root: &str) -> Option<String> {
    let inner = path
        .strip_prefix(root)?
        .strip_prefix('/')?
        .strip_suffix(".rs")?;
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    Some(match inner {
        "lib" | "mod" => String::new(),
        inner => inner.replace('/', "::"),
    })
}

/// Whether one of the modules lies inside of the other.
fn same_room(a: &str, b: &str) -> bool {
    let inside = |inner: &str, outer: &str| {
        outer.is_empty() || inner == outer || inner.starts_with(&format!("{outer}::"))
    };
    inside(a, b) || inside(b, a)
}

/// The code of a file without its unit tests, comments and literals.
fn product(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let next = lines.peek().map_or("", |line| line.trim());
            if next.starts_with("mod ") && next.ends_with('{') {
                break;
            }
            if next.ends_with(';') {
                lines.next();
            }
            continue;
        }
        code.push_str(&split(line).code);
        code.push('\n');
    }
    code
}

/// All paths of this crate that the code names, from the crate's root.
fn paths_of(code: &str, module: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for statement in uses(code) {
        expand(statement.1, &[], &mut |path, _| {
            found.extend(absolute(path, module));
        });
    }
    for first in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(first) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                continue;
            }
            let end = code[at..]
                .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'))
                .map_or(code.len(), |length| at + length);
            let path: Vec<&str> = code[at..end]
                .split("::")
                .filter(|p| !p.is_empty())
                .collect();
            found.extend(absolute(&path, module));
        }
    }
    found
}

/// The `use` declarations: whether others see them, and what they say.
fn uses(code: &str) -> impl Iterator<Item = (bool, &str)> {
    code.match_indices("use ").filter_map(move |(at, word)| {
        let line = code[..at]
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .trim_start();
        let public = line.starts_with("pub") && line.ends_with([' ', ')']);
        if !line.is_empty() && !public {
            return None;
        }
        let rest = &code[at + word.len()..];
        Some((public, &rest[..rest.find(';')?]))
    })
}

/// Calls `on` with every path of a tree such as `a::{b, c as d}`, and the name that it gets.
fn expand<'a>(tree: &'a str, before: &[&'a str], on: &mut dyn FnMut(&[&'a str], &'a str)) {
    let tree = tree.trim();
    let (head, inner) = match tree.find('{') {
        Some(open) => (&tree[..open], tree[open + 1..].strip_suffix('}')),
        None => (tree, None),
    };
    let (head, alias) = match head.split_once(" as ") {
        Some((head, alias)) => (head.trim(), Some(alias.trim())),
        None => (head, None),
    };
    let mut path = before.to_vec();
    path.extend(
        head.split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty()),
    );
    let Some(inner) = inner else {
        let own = path.len() > 1 && path.last() == Some(&"self");
        path.truncate(path.len() - usize::from(own));
        let name = alias.or(path.last().copied()).unwrap_or_default();
        return on(&path, name);
    };
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&inner[start..at], &path, on);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// A path from the crate's root; nothing if it leads to another crate.
fn absolute(path: &[&str], module: &str) -> Option<Vec<String>> {
    let mut at: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let (first, mut rest) = path.split_first()?;
    match *first {
        "crate" => at.clear(),
        "self" => {}
        "super" => {
            at.pop();
            while let Some(("super", after)) = rest.split_first().map(|(f, r)| (*f, r)) {
                at.pop();
                rest = after;
            }
        }
        _ => return None,
    }
    at.extend(rest);
    Some(at.into_iter().map(str::to_owned).collect())
}

/// What every module passes on under which name.
fn exports(modules: &HashMap<String, &File>) -> Exports {
    let mut exports = Exports::new();
    for (module, file) in modules {
        let text = product(file.text.as_deref().unwrap_or_default());
        let names = exports.entry(module.clone()).or_default();
        for (_, tree) in uses(&text).filter(|(public, _)| *public) {
            expand(tree, &[], &mut |path, name| {
                // A path that begins with a module inside of this one needs no `self`.
                let path = absolute(path, module).or_else(|| {
                    let inner = absolute(&[&["self"], path].concat(), module)?;
                    let child = format!("{module}::{}", path.first()?);
                    modules
                        .contains_key(child.trim_start_matches("::"))
                        .then_some(inner)
                });
                if let Some(path) = path {
                    names.insert(name.to_owned(), path);
                }
            });
        }
    }
    exports
}

/// The module in which the thing at `path` stands.
fn home(
    path: &[String],
    modules: &HashMap<String, &File>,
    exports: &Exports,
    depth: usize,
) -> Option<String> {
    for length in (0..=path.len()).rev() {
        let module = path[..length].join("::");
        if !modules.contains_key(&module) {
            continue;
        }
        let target = path
            .get(length)
            .and_then(|name| exports.get(&module)?.get(name));
        return match target {
            Some(target) if depth < 8 => {
                let target = [target, &path[length + 1..]].concat();
                home(&target, modules, exports, depth + 1)
            }
            _ => Some(module),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], known: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| file(&format!("engine/src/{path}"), text))
            .collect();
        let found = check_except(&files, known);
        let found: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "use crate::b::{self, B};"),
            ("b.rs", "fn f() { super::a::g() }"),
        ];
        check_files(&files, &[], &["engine/src/a.rs", "engine/src/b.rs"]);
        let known = [
            ("engine/src/a.rs", "engine/src/b.rs"),
            ("engine/src/b.rs", "engine/src/a.rs"),
        ];
        check_files(&files, &known, &[]);
        check_files(&files[..2], &known[..1], &["engine/src/a.rs"]);
    }

    #[test]
    fn names_that_are_passed_on_count_where_they_stand() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::A;"),
            ("a/mod.rs", "mod c;\npub(crate) use c::A;"),
            ("a/c.rs", "use crate::b::B;"),
            ("b.rs", "use crate::A;"),
        ];
        check_files(&files, &[], &["engine/src/a/c.rs", "engine/src/b.rs"]);
    }

    #[test]
    fn a_module_and_what_lies_inside_of_it_are_one_room() {
        check_files(
            &[
                ("a.rs", "mod b;\nuse self::b::B;"),
                ("a/b.rs", "use super::A;"),
                ("a/d.rs", "// use crate::e::E;"),
                (
                    "e.rs",
                    "use crate::a::d::D;\n#[cfg(test)]\nmod tests {\n    use crate::f;\n}",
                ),
                ("f.rs", "use crate::e::E;"),
            ],
            &[],
            &[],
        );
    }
}
