//! What lies on the disk while a scene is typed: the project without what is yet to be written.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use carat_engine::CancelToken;

use super::git::git;
use crate::echo::{Index, SegmentBuilder};
use crate::memory::{FILE_BYTES_MAX, Limits, Memory, may_be_read, text_of};
use crate::workspace::Folder;

/// Lines with at least this many letters or digits tell one file from another.
const TELLING_SIGNS: usize = 6;

/// A file of the same name that shares this part of the lines of the smaller one is made from it.
const COPY_PERCENT: usize = 30;

/// Where the files of a project are read.
#[derive(Clone, Debug)]
pub enum Disk {
    /// In its folder, which holds the finished file as well.
    Folder,
    /// In a repository, as a revision has them.
    Revision(PathBuf, String),
}

impl Disk {
    /// What a server remembers of the folders while `path` is written to become `text`: neither that
    /// file nor what is made from it, such as a module that was built from it.
    pub fn remembered(
        &self,
        folders: &[Folder],
        bytes_max: u64,
        (path, text): (&str, &str),
    ) -> Result<Index> {
        let mut files = match self {
            Self::Folder => of_folders(folders, bytes_max),
            Self::Revision(root, revision) => of_revision(root, revision)?,
        };
        if matches!(self, Self::Folder) {
            let lines = lines_that_tell(text);
            files.retain(|(other, text)| {
                *other != path && !(stem(other) == stem(path) && is_copy(&lines, text))
            });
        }
        // The same order on every machine.
        files.sort();
        let mut index = Index::default();
        let mut builder = SegmentBuilder::default();
        for (path, text) in &files {
            if !builder.push(path, 0, text) {
                index.adopt(std::mem::take(&mut builder).build());
                builder.push(path, 0, text);
            }
        }
        index.adopt(builder.build());
        Ok(index)
    }
}

fn of_folders(folders: &[Folder], bytes_max: u64) -> Vec<(String, String)> {
    let mut memory = Memory::of(folders.to_vec());
    let limits = Limits {
        bytes_max,
        work_percent: 100,
    };
    memory.fill(None, &limits, &CancelToken::new(), &mut |_| {});
    let index = memory.index();
    let text = |path: &str| Some((path.to_owned(), index.text(path)?.to_owned()));
    index.paths().filter_map(text).collect()
}

fn of_revision(root: &Path, revision: &str) -> Result<Vec<(String, String)>> {
    let tree = git(root, &["ls-tree", "-r", "-l", "-z", revision])?;
    let tree = String::from_utf8_lossy(&tree);
    let mut files = Vec::new();
    for entry in tree.split('\0') {
        let Some((facts, path)) = entry.split_once('\t') else {
            continue;
        };
        let [mode, _, id, size] = facts.split_whitespace().collect::<Vec<_>>()[..] else {
            continue;
        };
        let size: u64 = size.parse().unwrap_or(u64::MAX);
        // Links and submodules are no texts.
        if mode.starts_with("100") && size <= FILE_BYTES_MAX && may_be_read(path) {
            files.push((path.to_owned(), id.to_owned()));
        }
    }
    let ids: Vec<&str> = files.iter().map(|(_, id)| id.as_str()).collect();
    let texts = blobs(root, &ids)?;
    let named = files.into_iter().zip(texts);
    Ok(named
        .filter_map(|((path, _), bytes)| Some((path, text_of(&bytes)?)))
        .collect())
}

/// The contents of blobs, in their order.
fn blobs(root: &Path, ids: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("git cannot be started")?;
    let stdin = child.stdin.take();
    let order = ids.join("\n") + "\n";
    // Git answers while it is asked: both at once, or both wait for each other.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(order.as_bytes())));
        child.wait_with_output()
    })?;
    ensure!(output.status.success(), "git cat-file failed");
    let mut rest = output.stdout.as_slice();
    let mut all = Vec::new();
    for id in ids {
        let head = rest.iter().position(|&byte| byte == b'\n');
        let (head, body) = rest.split_at(head.with_context(|| format!("git has no {id}"))?);
        let size = String::from_utf8_lossy(head);
        let size = size.rsplit(' ').next().and_then(|size| size.parse().ok());
        let size: usize = size.with_context(|| format!("git has no {id}"))?;
        ensure!(body.len() > size + 1, "git cat-file ended early");
        all.push(body[1..=size].to_vec());
        rest = &body[size + 2..];
    }
    Ok(all)
}

/// A file's name up to its first dot.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

fn lines_that_tell(text: &str) -> HashSet<&str> {
    let tells = |line: &&str| line.chars().filter(|c| c.is_alphanumeric()).count() >= TELLING_SIGNS;
    text.lines().map(str::trim).filter(tells).collect()
}

fn is_copy(lines: &HashSet<&str>, text: &str) -> bool {
    let others = lines_that_tell(text);
    let smaller = lines.len().min(others.len());
    let shared = lines.intersection(&others).count();
    smaller > 0 && shared * 100 >= smaller * COPY_PERCENT
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_folder_is_remembered_without_the_file_and_what_was_built_from_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        let text = "export const first = make(1);\nexport const second = make(2);\n";
        write("src/a.ts", text);
        write("lib/a.js", text);
        write("src/b.ts", text);
        let folders = [Folder {
            root: folder.path().to_owned(),
            prefix: String::new(),
            left_out: Arc::default(),
        }];
        let index = Disk::Folder.remembered(&folders, 1 << 20, ("src/a.ts", text));
        let index = index.expect("an index");
        assert_eq!(index.paths().collect::<Vec<_>>(), ["src/b.ts"]);
    }

    #[test]
    fn a_revision_has_the_texts_of_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let run = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@b"];
            git(root, &[&who[..], arguments].concat()).expect("git works");
        };
        run(&["init", "-q"]);
        std::fs::write(root.join("a.rs"), "fn first() {}\n").expect("a file");
        std::fs::write(root.join("b.rs"), "fn other() {}\n").expect("a file");
        run(&["add", "."]);
        run(&["commit", "-qm", "one"]);
        std::fs::write(root.join("a.rs"), "fn second() {}\n").expect("a file");
        run(&["commit", "-qam", "two"]);
        let disk = Disk::Revision(root.to_owned(), "HEAD^".to_owned());
        let index = disk.remembered(&[], 0, ("a.rs", "fn second() {}\n"));
        let index = index.expect("an index");
        assert_eq!(index.text("a.rs"), Some("fn first() {}\n"));
        assert_eq!(index.text("b.rs"), Some("fn other() {}\n"));
    }
}
