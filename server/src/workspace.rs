//! The folders of the user's work: what a file is called in them, and which files belong to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file_uri;
use crate::settings::Globs;

/// A folder whose files are remembered, and what their paths begin with in the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub root: PathBuf,
    /// Empty, or the folder's name and `/` where there are several folders.
    pub prefix: String,
    /// Files in it that the user leaves out.
    pub left_out: Arc<Globs>,
}

/// The folders that the client has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    roots: Vec<PathBuf>,
}

impl Folder {
    /// What a file is called in the memory; `None` if it lies elsewhere, or its path is no text.
    pub fn name_of(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.root).ok()?;
        let parts: Vec<&str> = inside
            .iter()
            .map(|part| part.to_str())
            .collect::<Option<_>>()?;
        Some(format!("{}{}", self.prefix, parts.join("/")))
    }
}

impl Workspace {
    /// A workspace of these folders.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// Its folders.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The client opened and closed folders.
    pub fn change(&mut self, added: Vec<PathBuf>, removed: &[PathBuf]) {
        self.roots.retain(|root| !removed.contains(root));
        self.roots.extend(added);
    }

    /// The folder that a file lies in, the innermost if there are several.
    pub fn root_of(&self, path: &Path) -> Option<&Path> {
        let around = self.roots.iter().filter(|root| path.starts_with(root));
        let innermost = around.max_by_key(|root| root.components().count());
        innermost.map(PathBuf::as_path)
    }

    /// Whether a file may be read for the sake of others: it belongs to the work, and no part of its
    /// path is hidden, as what holds secrets usually is.
    pub fn may_read(&self, path: &Path) -> bool {
        let hidden = |part: std::path::Component<'_>| {
            let name = part.as_os_str().to_string_lossy();
            name.starts_with('.')
        };
        let inside = self
            .root_of(path)
            .and_then(|root| path.strip_prefix(root).ok());
        inside.is_some_and(|path| !path.components().any(hidden))
    }

    /// What models are told a document is called: its path in the innermost folder that it lies in, with
    /// `/` between the parts; its name alone if it lies in none.
    pub fn shown(&self, uri: &str) -> String {
        let path = file_uri::path(uri);
        path.and_then(|path| self.shown_path(&path))
            .unwrap_or_else(|| file_uri::name(uri))
    }

    /// The folders whose files are remembered: those that lie in no other.
    pub fn folders(&self) -> Vec<Folder> {
        let inside = |root: &PathBuf| {
            let mut others = self.roots.iter();
            others.any(|other| root != other && root.starts_with(other))
        };
        let mut roots: Vec<&PathBuf> = self.roots.iter().filter(|root| !inside(root)).collect();
        roots.sort();
        roots.dedup();
        let mut folders: Vec<Folder> = Vec::new();
        for root in &roots {
            let name = root.file_name().unwrap_or_default().to_string_lossy();
            let same = folders.iter();
            let same = same.filter(|it| it.root.file_name() == root.file_name());
            folders.push(Folder {
                root: (*root).clone(),
                prefix: match (roots.len(), same.count()) {
                    (1, _) => String::new(),
                    (_, 0) => format!("{name}/"),
                    (_, same) => format!("{name}:{}/", same + 1),
                },
                left_out: Arc::default(),
            });
        }
        folders
    }

    /// What a document is called in the memory: no two have the same name.
    pub fn remembered_as(&self, uri: &str) -> String {
        let path = file_uri::path(uri);
        let folders = self.folders();
        let found = path.and_then(|path| folders.iter().find_map(|folder| folder.name_of(&path)));
        found.unwrap_or_else(|| uri.to_owned())
    }

    /// The same for an absolute path.
    pub fn shown_path(&self, path: &Path) -> Option<String> {
        let inside = self.root_of(path).map(|root| path.strip_prefix(root));
        let inside = match inside {
            Some(Ok(inside)) => inside,
            _ => Path::new(path.file_name()?),
        };
        let parts = inside.components();
        let parts: Vec<_> = parts
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        Some(parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        Workspace::new(vec!["/w".into(), "/w/inner".into(), "/other".into()])
    }

    #[test]
    fn a_document_is_called_by_its_path_in_the_innermost_folder() {
        let shown = |uri| workspace().shown(uri);
        assert_eq!(shown("file:///w/src/a%20b.rs"), "src/a b.rs");
        assert_eq!(shown("file:///w/inner/src/a.rs"), "src/a.rs");
        assert_eq!(shown("file:///wide/a.rs"), "a.rs");
        assert_eq!(shown("untitled:Untitled-1"), "Untitled-1");
        assert_eq!(Workspace::default().shown("file:///w/src/a.rs"), "a.rs");
    }

    #[test]
    fn a_document_is_remembered_by_a_name_that_no_other_has() {
        let of_one = Workspace::new(vec!["/w".into(), "/w/inner".into()]);
        assert_eq!(
            of_one.remembered_as("file:///w/inner/a%20b.rs"),
            "inner/a b.rs"
        );
        assert_eq!(of_one.remembered_as("file:///x/a.rs"), "file:///x/a.rs");
        let folders = vec!["/w/app".into(), "/x/app".into(), "/w/lib".into()];
        let several = Workspace::new(folders);
        let names: Vec<_> = ["/w/app/a.rs", "/x/app/a.rs", "/w/lib/a.rs"]
            .map(|path| several.remembered_as(&format!("file://{path}")))
            .into();
        assert_eq!(names, ["app/a.rs", "app:2/a.rs", "lib/a.rs"]);
    }

    #[test]
    fn folders_come_and_go() {
        let mut workspace = workspace();
        workspace.change(vec!["/new".into()], &["/w/inner".into()]);
        assert_eq!(
            workspace.shown("file:///w/inner/src/a.rs"),
            "inner/src/a.rs"
        );
        assert_eq!(workspace.shown("file:///new/a.rs"), "a.rs");
        assert_eq!(workspace.roots().len(), 3);
    }

    #[test]
    fn only_what_belongs_to_the_work_may_be_read() {
        let may = |path: &str| workspace().may_read(Path::new(path));
        assert!(may("/w/src/a.rs"));
        assert!(!may("/etc/passwd"));
        assert!(!may("/w/.env"));
        assert!(!may("/w/.git/config"));
        let hidden = Workspace::new(vec!["/w/.dotfiles".into()]);
        assert!(hidden.may_read(Path::new("/w/.dotfiles/a.rs")));
    }
}
