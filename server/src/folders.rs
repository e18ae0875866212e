//! Where the system's conventions keep what is Carat's own: models, and what is worth a look later.

use std::path::PathBuf;

/// The folder for data that is worth keeping. Not the roaming profile: models are large.
pub(crate) fn data() -> Option<PathBuf> {
    folder("XDG_DATA_HOME", ".local/share")
}

/// The folder for what a program remembers of its runs.
pub(crate) fn state() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

/// The folder for what can be made again.
pub(crate) fn cache() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return Some(std::env::home_dir()?.join("Library/Caches/carat"));
    }
    folder("XDG_CACHE_HOME", ".cache")
}

/// What the environment says, else the usual place below the home folder; `carat` in it.
fn folder(variable: &str, usual: &str) -> Option<PathBuf> {
    let set = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let folder = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else {
        // The specification says that relative paths are ignored.
        set(variable)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(std::env::home_dir()?.join(usual)))
    };
    Some(folder.filter(|path| path.is_absolute())?.join("carat"))
}
