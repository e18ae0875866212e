//! A project's own settings: `.carat.toml` in a folder of the workspace.
//!
//! The file comes with code that others wrote. It can switch completion off and set deadlines and
//! limits; it names no file, starts nothing, and cannot undo what the user switched off.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::options::{self, Options, USER_ONLY};

/// The file's name.
pub const FILE_NAME: &str = ".carat.toml";

/// A settings file is a few lines.
const BYTES_MAX: u64 = 64 * 1024;

/// What was read of a folder's file.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectFile {
    pub(super) project: Option<Project>,
    /// What is wrong with it.
    pub(super) complaints: Vec<String>,
}

impl ProjectFile {
    /// Reads a folder's file. May take as long as the disk does.
    pub fn read(folder: &Path) -> Self {
        let mut complaints = Vec::new();
        let project = Project::read(folder, &mut complaints);
        Self {
            project,
            complaints,
        }
    }
}

/// The settings of one folder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) options: Options,
}

impl Project {
    /// Reads a folder's file; `None` if there is none.
    pub(super) fn read(folder: &Path, complaints: &mut Vec<String>) -> Option<Self> {
        let path = folder.join(FILE_NAME);
        let mut complain = |what: &str| complaints.push(format!("{}: {what}", path.display()));
        let metadata = path.symlink_metadata().ok()?;
        // A link could lead to any file of the user, a device or a pipe would block the server.
        if !metadata.is_file() {
            complain("ignored, since it is not a regular file");
            return None;
        }
        if metadata.len() > BYTES_MAX {
            complain("ignored, since it is larger than 64 KiB");
            return None;
        }
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        if let Err(error) = read {
            complain(&format!("ignored: {error}"));
            return None;
        }
        let mut found = Vec::new();
        let options = parse(&text, &mut found);
        for what in found {
            complain(&what);
        }
        Some(Self {
            folder: folder.to_owned(),
            options,
        })
    }
}

/// The settings in the text of a project's file.
fn parse(text: &str, complaints: &mut Vec<String>) -> Options {
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| {
                1 + text[..span.start.min(text.len())].matches('\n').count()
            });
            complaints.push(format!("ignored: line {line}: {}", error.message()));
            return Options::default();
        }
    };
    let mut table: Map<String, Value> = match serde_json::to_value(table) {
        Ok(Value::Object(table)) => table,
        _ => return Options::default(),
    };
    for key in USER_ONLY {
        if table.remove(*key).is_some() {
            complaints.push(format!(
                "setting `{key}` is ignored: a project cannot set it, only your editor can"
            ));
        }
    }
    let usable = options::usable(&Value::Object(table), complaints);
    serde_json::from_value(Value::Object(usable)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_sets_what_it_may() {
        let mut complaints = Vec::new();
        let options = parse(
            "deadlineMs = 300\nmodel = \"/etc/shadow\"\nthreads = 1\ncolour = 1\n\n[languages]\nmarkdown = false\n",
            &mut complaints,
        );
        assert_eq!(options.deadline_ms, Some(300));
        assert_eq!(options.model, None);
        assert_eq!(options.threads, None);
        assert_eq!(options.languages.map(|l| l["markdown"]), Some(false));
        assert_eq!(complaints.len(), 3, "{complaints:?}");
    }

    #[test]
    fn a_syntax_error_gives_its_line_and_no_text() {
        let mut complaints = Vec::new();
        assert_eq!(
            parse("enable = true\nsecret token\n", &mut complaints),
            Options::default()
        );
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("line 2"), "{complaints:?}");
        assert!(!complaints[0].contains("secret"), "{complaints:?}");
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        let mut complaints = Vec::new();
        assert_eq!(Project::read(folder.path(), &mut complaints), None);
        assert!(complaints.is_empty(), "no file is no fault");

        std::fs::create_dir(&path).expect("a folder");
        assert_eq!(Project::read(folder.path(), &mut complaints), None);
        std::fs::remove_dir(&path).expect("an empty folder");
        std::fs::write(&path, vec![b'#'; BYTES_MAX as usize + 1]).expect("a file");
        assert_eq!(Project::read(folder.path(), &mut complaints), None);
        std::fs::write(&path, b"\xff").expect("a file");
        assert_eq!(Project::read(folder.path(), &mut complaints), None);
        assert_eq!(complaints.len(), 3, "{complaints:?}");

        std::fs::write(&path, "enable = false").expect("a file");
        let project = Project::read(folder.path(), &mut complaints).expect("a project");
        assert_eq!(project.options.enable, Some(false));
        assert_eq!(complaints.len(), 3, "{complaints:?}");
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other.toml");
        std::fs::write(&other, "enable = false").expect("a file");
        std::os::unix::fs::symlink(&other, folder.path().join(FILE_NAME)).expect("a link");
        let mut complaints = Vec::new();
        assert_eq!(Project::read(folder.path(), &mut complaints), None);
        assert_eq!(complaints.len(), 1);
    }
}
