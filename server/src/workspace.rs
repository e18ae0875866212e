//! The folders of the user's work: what a file is called in them, and which files belong to them.

use std::path::{Path, PathBuf};

use crate::file_uri;

/// The folders that the client has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    roots: Vec<PathBuf>,
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
