//! What is typed: files from top to bottom, or the lines that commits added.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use carat_grammars::{Language, languages};
use ignore::WalkBuilder;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use similar::{DiffOp, TextDiff};

use super::disk::Disk;
use super::git::git;
use super::typist::Passage;

/// Larger files are data.
const FILE_BYTES_MAX: usize = 400_000;

/// What git calls a folder without files.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Lines that are typed in one go where not all are.
const PIECE_LINES: usize = 8;

/// A document, and what is put into it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The folder of the project.
    pub root: PathBuf,
    /// Below it, with `/` between the parts.
    pub path: String,
    /// The language's LSP identifier.
    pub language_id: String,
    /// The language.
    pub language: Option<&'static Language>,
    /// Where the project's other files are.
    pub disk: Disk,
    /// One after another.
    pub passages: Vec<Passage>,
}

impl Scene {
    /// A file that is typed from top to bottom; `None` if no language of Carat's table has it.
    fn of_text(root: &Path, path: &str, text: &str) -> Option<Self> {
        let language = languages::by_path(Path::new(path))?;
        let text = with_newlines(text);
        (text.len() <= FILE_BYTES_MAX).then(|| Self {
            root: root.to_owned(),
            path: path.to_owned(),
            language_id: language.id.to_owned(),
            language: Some(language),
            disk: Disk::Folder,
            passages: vec![Passage::new(text)],
        })
    }

    /// A file that was changed from `old` to `new`.
    fn of_change(root: &Path, path: &str, old: &str, new: &str) -> Option<Self> {
        let mut scene = Self::of_text(root, path, new)?;
        let (old, new) = (with_newlines(old), with_newlines(new));
        if old.len() > FILE_BYTES_MAX {
            return None;
        }
        if !old.is_empty() {
            scene.passages = hunks(&old, &new);
        }
        (!scene.passages.is_empty()).then_some(scene)
    }

    /// The bytes that are typed, indentation aside.
    pub fn size(&self) -> usize {
        let passages = self.passages.iter();
        let parts = passages.flat_map(|passage| {
            let parts = passage.typed.iter();
            parts.map(|part| cost(&passage.text[part.clone()]))
        });
        parts.sum()
    }
}

fn with_newlines(text: &str) -> String {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}

/// The lines that are new, each run of them in the document as it is when a person works from top to
/// bottom: what it replaces has been deleted, what is further down is as it was.
fn hunks(old: &str, new: &str) -> Vec<Passage> {
    let starts = |text: &str| -> Vec<usize> {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let mut starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
        // The end of the text is where the line behind the last one would begin.
        if !text.ends_with('\n') {
            starts.push(text.len());
        }
        starts
    };
    let (old_starts, new_starts) = (starts(old), starts(new));
    let diff = TextDiff::from_lines(old, new);
    let added = diff.ops().iter().filter_map(|op| match *op {
        DiffOp::Insert {
            old_index,
            new_index,
            new_len,
        } => Some((old_index, new_index..new_index + new_len)),
        DiffOp::Replace {
            old_index,
            old_len,
            new_index,
            new_len,
        } => Some((old_index + old_len, new_index..new_index + new_len)),
        DiffOp::Equal { .. } | DiffOp::Delete { .. } => None,
    });
    let passages = added.map(|(old_line, lines)| {
        let added = new_starts[lines.start]..new_starts[lines.end];
        let before = &new[..added.start];
        let (text, after) = (&new[added], &old[old_starts[old_line]..]);
        // Enter at the end of the line above comes first.
        match (before.strip_suffix('\n'), text.strip_suffix('\n')) {
            (Some(before), Some(text)) => {
                passage(before, format!("\n{text}"), format!("\n{after}"))
            }
            (None, Some(text)) => passage(before, text.to_owned(), format!("\n{after}")),
            _ => passage(before, text.to_owned(), after.to_owned()),
        }
    });
    passages.collect()
}

fn passage(before: &str, text: String, after: String) -> Passage {
    Passage {
        before: before.to_owned(),
        after,
        ..Passage::new(text)
    }
}

/// Types about so many keys of all scenes and pastes the rest: pieces that are drawn by chance, always the
/// same ones, as evenly over the scenes as these allow.
pub fn draw(scenes: &mut Vec<Scene>, keys_max: usize) {
    if scenes.iter().map(Scene::size).sum::<usize>() <= keys_max {
        return;
    }
    let mut random = StdRng::seed_from_u64(1);
    let mut pieces: Vec<Vec<(usize, Range<usize>)>> = Vec::new();
    for scene in &*scenes {
        let mut of_scene = Vec::new();
        for (index, passage) in scene.passages.iter().enumerate() {
            of_scene.extend(
                pieces_of(&passage.text)
                    .into_iter()
                    .map(|piece| (index, piece)),
            );
        }
        of_scene.shuffle(&mut random);
        pieces.push(of_scene);
    }
    for passage in scenes.iter_mut().flat_map(|scene| &mut scene.passages) {
        passage.typed.clear();
    }
    let mut order: Vec<usize> = (0..scenes.len()).collect();
    order.shuffle(&mut random);
    let mut keys = 0;
    while keys < keys_max && pieces.iter().any(|pieces| !pieces.is_empty()) {
        for &scene in &order {
            if keys < keys_max
                && let Some((passage, piece)) = pieces[scene].pop()
            {
                let passage = &mut scenes[scene].passages[passage];
                keys += cost(&passage.text[piece.clone()]);
                passage.typed.push(piece);
            }
        }
    }
    for scene in &mut *scenes {
        scene.passages.retain(|passage| !passage.typed.is_empty());
        for passage in &mut scene.passages {
            passage.typed.sort_unstable_by_key(|piece| piece.start);
        }
    }
    scenes.retain(|scene| !scene.passages.is_empty());
}

/// Runs of lines, each beginning with Enter on the line before. Blank runs are none.
fn pieces_of(text: &str) -> Vec<Range<usize>> {
    let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let mut starts: Vec<usize> = newlines.chunks(PIECE_LINES).map(|lines| lines[0]).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let pieces = starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end);
    pieces
        .filter(|piece| !text[piece.clone()].trim().is_empty())
        .collect()
}

/// About how many keys a text is.
fn cost(text: &str) -> usize {
    let lines = text.split('\n');
    lines.map(|line| line.trim().chars().count() + 1).sum()
}

/// The files of these paths and below them that are code, in the order of their paths.
pub fn of_paths(paths: &[PathBuf]) -> Result<Vec<Scene>> {
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in paths {
        let path = path
            .canonicalize()
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        if path.is_file() {
            let root = path.parent().unwrap_or(&path).to_owned();
            files.insert(path, root);
            continue;
        }
        for entry in WalkBuilder::new(&path).build().flatten() {
            if entry.path().is_file() {
                files.insert(entry.into_path(), path.clone());
            }
        }
    }
    let scenes = files.iter().filter_map(|(file, root)| {
        let text = String::from_utf8(std::fs::read(file).ok()?).ok()?;
        Scene::of_text(root, &below(file, root), &text)
    });
    Ok(scenes.collect())
}

/// The files of a list of published packages that `cargo xtask projects` has fetched to `projects`.
///
/// A line of the list is the registry, the package, its version and the path inside of it; `#` begins
/// a comment.
pub fn of_list(list: &Path, projects: &Path) -> Result<Vec<Scene>> {
    let text = std::fs::read_to_string(list)
        .with_context(|| format!("{}: cannot be read", list.display()))?;
    let mut scenes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, name, version, path] = words[..] else {
            ensure!(
                line.is_empty(),
                "{}:{}: expected a registry, a package, its version and a path",
                list.display(),
                index + 1
            );
            continue;
        };
        let package = format!("{}-{version}", name.replace('/', "__"));
        let (root, file) = find_package(projects, &package, path).with_context(|| {
            format!(
                "{package}/{path} is not in {}; get it with: cargo xtask projects {} rust python npm debian",
                projects.display(),
                projects.display()
            )
        })?;
        let text = std::fs::read(&file)?;
        let scene = Scene::of_text(&root, &below(&file, &root), &String::from_utf8_lossy(&text));
        scenes.push(scene.with_context(|| format!("{}: no code", file.display()))?);
    }
    Ok(scenes)
}

/// `PROJECTS/PROJECT`, and the file in it.
fn find_package(projects: &Path, package: &str, path: &str) -> Option<(PathBuf, PathBuf)> {
    let projects = std::fs::read_dir(projects).ok()?.flatten();
    let found = projects.map(|project| (project.path(), project.path().join(package).join(path)));
    let mut found = found.filter(|(_, file)| file.is_file());
    found.next()
}

fn below(file: &Path, root: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap_or(file);
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// The lines that the last commits of a repository added, the oldest first; merges are left out.
pub fn of_commits(repository: &Path, count: usize) -> Result<Vec<Scene>> {
    let root = git(repository, &["rev-parse", "--show-toplevel"])?;
    let root = PathBuf::from(String::from_utf8_lossy(&root).trim_end());
    let limit = format!("--max-count={count}");
    let log = git(&root, &["log", "--no-merges", "--format=%H", &limit])?;
    let log = String::from_utf8_lossy(&log).into_owned();
    let mut scenes = Vec::new();
    for commit in log.lines().rev() {
        // The first commit was written into an empty folder.
        let before = format!("{commit}^");
        let before = match git(&root, &["rev-parse", "--quiet", "--verify", &before]) {
            Ok(_) => before,
            Err(_) => EMPTY_TREE.to_owned(),
        };
        let arguments = [
            "diff-tree",
            "--no-commit-id",
            "--root",
            "-r",
            "-M",
            "-z",
            commit,
        ];
        let changes = String::from_utf8_lossy(&git(&root, &arguments)?).into_owned();
        let mut fields = changes.split('\0');
        while let Some(change) = fields.next().filter(|change| !change.is_empty()) {
            let columns: Vec<&str> = change.trim_start_matches(':').split(' ').collect();
            let [_, mode, old, new, status] = columns[..] else {
                bail!("git says {change:?}, which is no change");
            };
            let mut path = fields.next().unwrap_or("");
            if status.starts_with(['R', 'C']) {
                path = fields.next().unwrap_or("");
            }
            let is_code = languages::by_path(Path::new(path)).is_some();
            // Links and submodules are no texts.
            if status == "D" || !mode.starts_with("100") || !is_code {
                continue;
            }
            let (Some(old), Some(new)) = (blob(&root, old)?, blob(&root, new)?) else {
                continue;
            };
            let scene = Scene::of_change(&root, path, &old, &new);
            scenes.extend(scene.map(|scene| Scene {
                disk: Disk::Revision(root.clone(), before.clone()),
                ..scene
            }));
        }
    }
    Ok(scenes)
}

/// A text of the repository; empty for the one that is none, nothing if it is no text.
fn blob(root: &Path, id: &str) -> Result<Option<String>> {
    if id.bytes().all(|b| b == b'0') {
        return Ok(Some(String::new()));
    }
    let bytes = git(root, &["cat-file", "blob", id])?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(text: &str) -> Scene {
        Scene::of_text(Path::new("/p"), "a.rs", text).expect("a scene")
    }

    #[test]
    fn added_lines_begin_with_enter_on_the_line_above() {
        let scene = Scene::of_change(
            Path::new("/p"),
            "a.rs",
            "a\nb\nc\nd\n",
            "a\nB\nB2\nc\nd\ne\n",
        );
        let found: Vec<_> = scene.expect("a scene").passages;
        let texts: Vec<_> = found
            .iter()
            .map(|passage| {
                (
                    passage.before.as_str(),
                    passage.text.as_str(),
                    passage.after.as_str(),
                )
            })
            .collect();
        assert_eq!(
            texts,
            [
                ("a", "\nB\nB2", "\nc\nd\n"),
                ("a\nB\nB2\nc\nd", "\ne", "\n")
            ]
        );
        let first = hunks("b\n", "a\nb\n");
        assert_eq!(
            (&*first[0].before, &*first[0].text, &*first[0].after),
            ("", "a", "\nb\n")
        );
        assert!(hunks("a\nb\n", "b\n").is_empty());
        assert_eq!(hunks("a", "a\nb").len(), 1);
    }

    #[test]
    fn pieces_are_drawn_evenly_and_always_the_same() {
        let long = "let value = compute(first);\n".repeat(400);
        let drawn = |keys| {
            let mut scenes = vec![scene(&long), scene("short();\n"), scene(&long)];
            draw(&mut scenes, keys);
            scenes
        };
        let (once, again) = (drawn(3000), drawn(3000));
        let typed = |scenes: &[Scene]| -> Vec<Vec<Range<usize>>> {
            let scenes = scenes.iter();
            scenes
                .map(|scene| scene.passages[0].typed.clone())
                .collect()
        };
        assert_eq!(typed(&once), typed(&again));
        let sizes: Vec<usize> = once.iter().map(Scene::size).collect();
        assert!(sizes[0].abs_diff(sizes[2]) < 300, "{sizes:?}");
        assert!(
            (3000..3500).contains(&sizes.iter().sum::<usize>()),
            "{sizes:?}"
        );
        let all = drawn(usize::MAX);
        assert_eq!(all[0].passages[0].typed[0], 0..long.len());
    }

    #[test]
    fn a_list_names_packages_that_were_fetched() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = folder.path().join("things/@a__b-1.0");
        std::fs::create_dir_all(package.join("src")).expect("a folder");
        std::fs::write(package.join("src/x.ts"), "let a;\r\n").expect("a file");
        let list = folder.path().join("list");
        std::fs::write(&list, "# files\nnpm @a/b 1.0 src/x.ts # one\n").expect("a list");
        let scenes = of_list(&list, folder.path()).expect("scenes");
        assert_eq!(
            (scenes[0].path.as_str(), scenes[0].passages[0].text.as_str()),
            ("@a__b-1.0/src/x.ts", "let a;\n")
        );
        std::fs::write(&list, "npm c 1.0 x.ts\n").expect("a list");
        let error = of_list(&list, folder.path()).expect_err("it is not there");
        assert!(
            error.to_string().contains("cargo xtask projects"),
            "{error}"
        );
        std::fs::write(&list, "npm c\n").expect("a list");
        assert!(of_list(&list, folder.path()).is_err());
    }
}
