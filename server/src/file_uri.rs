//! From `file:` URIs to paths and back: the one place that knows their form.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands for itself in the path of a URI; editors compare the rest as text.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The path that a URI names; `None` for other schemes and for what is no path.
pub fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let encoded = rest.split(['?', '#']).next()?;
    let text = percent_decode_str(encoded).decode_utf8().ok()?;
    if !text.starts_with('/') || text.contains('\0') {
        return None;
    }
    let drive = cfg!(windows) && has_drive(&text[1..]);
    Some(PathBuf::from(if drive { &text[1..] } else { &text }))
}

/// The file that a document is or is a part of: a cell is one of its notebook, which may be elsewhere.
pub fn file(uri: &str) -> Option<PathBuf> {
    let Some(cell) = uri.strip_prefix("vscode-notebook-cell:") else {
        return path(uri);
    };
    let place = match cell.strip_prefix("//") {
        Some(rest) => &rest[rest.find('/')?..],
        None => cell,
    };
    path(&format!("file://{place}"))
}

/// The URI of an absolute path.
pub fn uri(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = if cfg!(windows) {
        path.replace('\\', "/")
    } else {
        path.into_owned()
    };
    let (drive, rest) = if cfg!(windows) && has_drive(&path) {
        path.split_at(2)
    } else {
        ("", path.as_str())
    };
    let root = if drive.is_empty() { "" } else { "/" };
    format!("file://{root}{drive}{}", utf8_percent_encode(rest, PATH))
}

/// The URI of a file in the same folder as another one, whose client wrote the folder in its own way.
pub fn sibling(uri: &str, name: &str) -> Option<String> {
    path(uri)?;
    let (folder, _) = uri.split(['?', '#']).next()?.rsplit_once('/')?;
    Some(format!("{folder}/{}", utf8_percent_encode(name, PATH)))
}

/// The last part of a URI's path, whatever its scheme, with what is encoded as it is meant.
pub fn name(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let name = path.rsplit(['/', ':']).next().unwrap_or(path);
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

/// `C:/folder` is a path of Windows.
fn has_drive(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    matches!(first.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_file_uris_and_nothing_else() {
        let read = |uri| path(uri).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(read("file:///a/b%20c.rs").as_deref(), Some("/a/b c.rs"));
        assert_eq!(read("file:///%C3%A9%3A#x").as_deref(), Some("/é:"));
        assert_eq!(read("file://localhost/a?x").as_deref(), Some("/a"));
        for uri in [
            "untitled:a",
            "git:/a",
            "file://host/a",
            "file:///%FF",
            "file:///%00",
            "",
        ] {
            assert_eq!(read(uri), None, "{uri}");
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn a_colon_is_no_drive_where_there_are_none() {
        assert_eq!(path("file:///C:/a.py"), Some("/C:/a.py".into()));
    }

    #[test]
    #[cfg(not(windows))]
    fn paths_survive_the_way_there_and_back() {
        for file in ["/tmp/a b/é.md", "/%41", "/a?b#c", "/C:/x", "/x:y&z"] {
            let uri = uri(Path::new(file));
            assert_eq!(path(&uri).as_deref(), Some(Path::new(file)), "{uri}");
        }
        assert_eq!(uri(Path::new("/a b/é")), "file:///a%20b/%C3%A9");
    }

    #[test]
    #[cfg(not(windows))]
    fn a_cell_is_in_the_file_of_its_notebook() {
        let read = |uri| file(uri).map(|path| path.to_string_lossy().into_owned());
        for uri in [
            "file:///w/a%20b.ipynb",
            "vscode-notebook-cell:/w/a%20b.ipynb#W0sZmlsZQ%3D%3D",
            "vscode-notebook-cell://wsl%2Bdebian/w/a%20b.ipynb#W0",
        ] {
            assert_eq!(read(uri).as_deref(), Some("/w/a b.ipynb"), "{uri}");
        }
        for uri in [
            "untitled:a",
            "vscode-notebook-cell:Untitled-1.ipynb#W0",
            "vscode-notebook-cell://x",
        ] {
            assert_eq!(read(uri), None, "{uri}");
        }
    }

    #[test]
    fn siblings_are_of_files_only() {
        let found = sibling("file:///a%20b/c.py", "test_c.py");
        assert_eq!(found.as_deref(), Some("file:///a%20b/test_c.py"));
        assert_eq!(sibling("untitled:Untitled-1", "x"), None);
    }

    #[test]
    fn names_files_of_all_schemes() {
        assert_eq!(name("file:///home/u/src/main.rs"), "main.rs");
        assert_eq!(name("file:///home/u/a%20b.rs"), "a b.rs");
        assert_eq!(name("untitled:Untitled-1"), "Untitled-1");
        assert_eq!(name("git:/a/b.c?ref=HEAD"), "b.c");
        assert_eq!(name("vscode-notebook-cell:/x.ipynb#W0s"), "x.ipynb");
        assert_eq!(name(""), "");
    }
}
