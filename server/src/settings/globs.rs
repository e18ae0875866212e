//! Files that the user leaves out, by patterns of their paths.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// More patterns than this are no list that somebody wrote.
const PATTERNS_MAX: usize = 256;

/// Longer patterns name no file.
const PATTERN_BYTES_MAX: usize = 300;

/// Patterns of files, as in `.gitignore`: one without `/` means a name in any folder, one with `/` the
/// end of a path; `*` stands for any characters but `/`, `**` for any folders. A pattern that names a
/// folder means all that is in it. Case does not count.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    /// As they were written, in the order of `set`.
    patterns: Vec<String>,
    set: GlobSet,
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Globs {}

impl Globs {
    /// The patterns that can be used, and what is wrong with the others.
    pub(super) fn new(patterns: &[String]) -> (Self, Vec<String>) {
        let (mut complaints, mut usable) = (Vec::new(), Vec::new());
        let mut set = GlobSetBuilder::new();
        for (at, pattern) in patterns.iter().enumerate() {
            let mut refuse =
                |why: &str| complaints.push(format!("disabledGlobs[{at}] is ignored: {why}"));
            if usable.len() == PATTERNS_MAX {
                refuse(&format!("there are {PATTERNS_MAX} already"));
                break;
            }
            let bare = pattern.trim().trim_end_matches('/');
            if bare.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
                refuse("it is empty, or too long");
                continue;
            }
            if bare.starts_with('!') {
                refuse("no pattern takes back what another one names (`!`)");
                continue;
            }
            let anywhere = match bare.strip_prefix('/') {
                Some(_) => bare.to_owned(),
                None => format!("**/{bare}"),
            };
            // What it names may be a folder.
            let within = format!("{anywhere}/**");
            let globs: Result<Vec<_>, _> = [&anywhere, &within]
                .map(|glob| glob_of(glob))
                .into_iter()
                .collect();
            match globs {
                Ok(globs) => {
                    for glob in globs {
                        set.add(glob);
                    }
                    usable.push(pattern.clone());
                }
                Err(error) => refuse(&error.kind().to_string()),
            }
        }
        let set = set.build().unwrap_or_default();
        (
            Self {
                patterns: usable,
                set,
            },
            complaints,
        )
    }

    /// The pattern that leaves the file at `path` out; the path is absolute, or a name alone.
    pub fn find(&self, path: &str) -> Option<&str> {
        if self.patterns.is_empty() {
            return None;
        }
        let first = self.set.matches(path).into_iter().min()?;
        // There are two globs for each pattern.
        self.patterns.get(first / 2).map(String::as_str)
    }
}

fn glob_of(glob: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .case_insensitive(true)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, in_it: &[&str], outside: &[&str]) {
        let (globs, complaints) = Globs::new(&[pattern.to_owned()]);
        assert_eq!(complaints, Vec::<String>::new());
        for path in in_it {
            assert_eq!(globs.find(path), Some(pattern), "{path}");
        }
        for path in outside {
            assert_eq!(globs.find(path), None, "{path}");
        }
    }

    #[test]
    fn patterns_name_files_and_folders() {
        check(
            "*.tex",
            &["/w/a.tex", "a.tex", "/w/b/A.TEX"],
            &["/w/a.tex.rs"],
        );
        check(
            "private",
            &["/w/private/a/b.rs", "/w/private"],
            &["/w/privately.rs"],
        );
        check(
            "infra/*.yml",
            &["/w/infra/a.yml"],
            &["/w/infra/b/a.yml", "/w/a.yml"],
        );
        check("infra/**/*.yml", &["/w/infra/b/a.yml"], &["/w/b/a.yml"]);
        check("/w/only/", &["/w/only/a.rs"], &["/v/w/only/a.rs"]);
    }

    #[test]
    fn a_mistake_costs_one_pattern() {
        let patterns = ["[", "", "!a.tex", "*.tex"].map(str::to_owned);
        let (globs, complaints) = Globs::new(&patterns);
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert_eq!(globs.find("a.tex"), Some("*.tex"));
        let many: Vec<String> = (0..PATTERNS_MAX + 9).map(|n| format!("{n}")).collect();
        assert_eq!(Globs::new(&many).1.len(), 1);
        assert_eq!(Globs::default().find("a"), None);
    }
}
