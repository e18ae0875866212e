//! The projects that cases are from: a case's whole file, and the other files beside it.
//!
//! `cargo xtask projects FOLDER` fetches them to `FOLDER/PROJECT/PACKAGE-VERSION`. A case is found
//! again by its text, byte for byte, so nothing has to be known of how it was drawn.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Case, CaseError};

/// Longer files are left out, as a workspace's index leaves them out.
const FILE_BYTES_MAX: usize = 400_000;

/// What is taken away from the projects, to see how much depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Hidden {
    /// All other files.
    Others,
    /// Half of the other files, drawn by the digest of their path.
    Half,
    /// Other files that share many lines with the case's own.
    Copies,
}

/// A source file of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the project: `PACKAGE-VERSION/src/lib.rs`.
    pub path: String,
    /// With `\n` at the ends of lines.
    pub text: String,
}

/// A case in its whole file, among the other files of its project.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The case with all text before and after its hole.
    pub case: Case,
    /// Where its file lies in the project.
    pub path: String,
    /// What else the user has on disk.
    pub others: Vec<Arc<SourceFile>>,
}

impl Placed {
    /// A case that is all that is known.
    pub fn alone(case: Case) -> Self {
        Self {
            path: case.path.clone(),
            case,
            others: Vec::new(),
        }
    }
}

/// A folder of projects; the files of the last one stay in memory.
#[derive(Debug)]
pub struct Projects {
    root: PathBuf,
    name: String,
    files: Vec<Arc<SourceFile>>,
}

impl Projects {
    /// Checks that the folder can be read.
    pub fn open(root: &Path) -> Result<Self, CaseError> {
        fs::read_dir(root).map_err(|source| CaseError::Io {
            path: root.to_owned(),
            source,
        })?;
        Ok(Self {
            root: root.to_owned(),
            name: String::new(),
            files: Vec::new(),
        })
    }

    /// The cases that are found again, in the order that they came in.
    pub fn place_all(&mut self, cases: &[Case], hidden: &[Hidden]) -> Vec<Placed> {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        // Every project is read once.
        order.sort_by_key(|&index| cases[index].project.as_deref());
        let mut placed: Vec<(usize, Placed)> = order
            .into_iter()
            .filter_map(|index| Some((index, self.place(&cases[index], hidden)?)))
            .collect();
        placed.sort_by_key(|&(index, _)| index);
        placed.into_iter().map(|(_, placed)| placed).collect()
    }

    /// Finds the case's file again; `None` if no file of its project holds exactly this text.
    pub fn place(&mut self, case: &Case, hidden: &[Hidden]) -> Option<Placed> {
        let name = case.project.as_deref()?;
        if self.name != name {
            self.files = read_sources(&self.root.join(name));
            name.clone_into(&mut self.name);
        }
        let text = format!("{}{}{}", case.prefix, case.middle, case.suffix);
        let (own, start) = self.files.iter().find_map(|file| {
            let ends = file.path.strip_suffix(case.path.as_str())?;
            let start = (ends.is_empty() || ends.ends_with('/')).then(|| file.text.find(&text))?;
            Some((file, start?))
        })?;
        let hole = start + case.prefix.len()..start + case.prefix.len() + case.middle.len();
        let lines = lines_that_tell(&own.text);
        let is_seen = |file: &&Arc<SourceFile>| {
            !Arc::ptr_eq(file, own)
                && file.text.len() <= FILE_BYTES_MAX
                && !hidden.iter().any(|hidden| match hidden {
                    Hidden::Others => true,
                    Hidden::Half => digest(&file.path).is_multiple_of(2),
                    Hidden::Copies => is_near_copy(&lines, &lines_that_tell(&file.text)),
                })
        };
        Some(Placed {
            case: Case {
                prefix: own.text[..hole.start].to_owned(),
                suffix: own.text[hole.end..].to_owned(),
                ..case.clone()
            },
            path: own.path.clone(),
            others: self.files.iter().filter(is_seen).cloned().collect(),
        })
    }
}

/// All files below a folder in the order of their paths; what is no UTF-8 is made UTF-8.
fn read_sources(root: &Path) -> Vec<Arc<SourceFile>> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let text = String::from_utf8_lossy(&bytes)
                    .replace("\r\n", "\n")
                    .replace('\r', "\n");
                let path = path.strip_prefix(root).unwrap_or(&path);
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                files.push(Arc::new(SourceFile {
                    path: parts.join("/"),
                    text: text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
                }));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The same in every run and on every machine (FNV-1a).
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) >> 7
}

/// Lines with at least this many letters or digits tell one file from another.
const TELLING_SIGNS: usize = 6;

fn lines_that_tell(text: &str) -> HashSet<&str> {
    let tells = |line: &&str| line.chars().filter(|c| c.is_alphanumeric()).count() >= TELLING_SIGNS;
    text.lines().map(str::trim).filter(tells).collect()
}

/// Whether at least 30% of the smaller file's lines stand in the other.
fn is_near_copy(a: &HashSet<&str>, b: &HashSet<&str>) -> bool {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let shared = small.iter().filter(|line| large.contains(*line)).count();
    !small.is_empty() && shared * 10 >= small.len() * 3
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn case() -> Case {
        Case {
            path: "lib.rs".to_owned(),
            language: "rust".to_owned(),
            kind: Kind::Line,
            prefix: "fn second() {\n    ".to_owned(),
            middle: "two();".to_owned(),
            suffix: "\n}\n".to_owned(),
            project: Some("things".to_owned()),
        }
    }

    #[test]
    fn a_case_is_found_again_with_its_file_and_its_project() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = "fn first_of_all() {}\r\nfn second() {\r\n    two();\r\n}\r\n";
        write(folder.path(), "things/a-1/src/lib.rs", own);
        write(folder.path(), "things/a-1/src/copy.rs", own);
        write(
            folder.path(),
            "things/b-1/src/lib.rs",
            "fn something_else() {}\n",
        );
        write(folder.path(), "others/c-1/src/lib.rs", own);
        let mut projects = Projects::open(folder.path()).expect("projects");
        let placed = projects.place(&case(), &[]).expect("a place");
        assert_eq!(placed.path, "a-1/src/lib.rs");
        assert_eq!(
            placed.case.prefix,
            "fn first_of_all() {}\nfn second() {\n    "
        );
        assert_eq!(placed.case.suffix, "\n}\n");
        let others = |placed: &Placed| -> Vec<String> {
            let others = placed.others.iter();
            others.map(|file| file.path.clone()).collect()
        };
        assert_eq!(others(&placed), ["a-1/src/copy.rs", "b-1/src/lib.rs"]);
        let placed = projects.place(&case(), &[Hidden::Copies]).expect("a place");
        assert_eq!(others(&placed), ["b-1/src/lib.rs"]);
        let placed = projects.place(&case(), &[Hidden::Others]).expect("a place");
        assert!(placed.others.is_empty());

        let other_text = Case {
            middle: "three();".to_owned(),
            ..case()
        };
        assert!(projects.place(&other_text, &[]).is_none());
    }

    #[test]
    fn half_of_the_files_are_the_same_half_each_time() {
        let hidden = |n: usize| digest(&format!("package-1.0.0/src/{n}.rs")).is_multiple_of(2);
        let half = (0..200).filter(|&n| hidden(n)).count();
        assert!((70..130).contains(&half), "{half}");
    }
}
