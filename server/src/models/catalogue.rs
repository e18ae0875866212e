//! The models that Carat knows by name: data of `models/catalogue.toml`, and of a file of the user's own.

use std::path::PathBuf;

use serde::Deserialize;

use super::DEFAULT_NAME;
use crate::prompt::PromptForm;

/// The environment variable that names a catalogue of the user's own.
pub const CATALOGUE_VARIABLE: &str = "CARAT_CATALOGUE";

/// Where files of the catalogue are, unless `HF_ENDPOINT` names a mirror.
pub const HUGGING_FACE: &str = "https://huggingface.co";

const BUILT_IN: &str = include_str!("../../../models/catalogue.toml");

/// Memory that the system and an editor need beside a model.
const RESERVE_BYTES: u64 = 2 << 30;

/// A catalogue that cannot be used; only one of the user's own can be.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}; correct it or unset {CATALOGUE_VARIABLE}", .path.display())]
pub struct CatalogueError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and where.
    pub what: String,
}

/// One model. `models/catalogue.toml` says what the fields mean and where the numbers are from.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name on the command line, in settings, and of its file on the disk.
    pub name: String,
    /// Shorter names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it is, for readers.
    pub title: String,
    /// The repository at Hugging Face.
    pub repository: Option<String>,
    /// The commit or branch of the repository.
    pub revision: Option<String>,
    /// The file in the repository.
    pub file: Option<String>,
    /// Where the file is, if not at Hugging Face.
    pub url: Option<String>,
    /// Digest of the file, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Length of the file.
    pub size_bytes: Option<u64>,
    /// Memory that it holds while it runs.
    pub memory_bytes: u64,
    /// Weights that are read for each token it writes.
    pub token_bytes: u64,
    /// The languages that it was trained on, by their LSP identifiers; all, if it does not say.
    pub languages: Option<Vec<String>>,
    /// The licence of the weights.
    pub license: String,
    /// Where the licence can be read.
    pub license_url: Option<String>,
    /// The name of the layout of its prompts.
    pub prompt_form: Option<String>,
    /// Whether it is named to a user whose machine is too small for another.
    #[serde(default)]
    pub suggested: bool,
}

impl Entry {
    /// Where the file is, with `endpoint` in the place of Hugging Face and another `revision` if one is given.
    pub fn url(&self, endpoint: &str, revision: Option<&str>) -> String {
        if let Some(url) = &self.url {
            return url.clone();
        }
        // `check` has seen to it that repository and file are there.
        let (repository, file) = (self.repository.as_deref(), self.file.as_deref());
        let revision = revision.or(self.revision.as_deref()).unwrap_or("main");
        format!(
            "{}/{}/resolve/{revision}/{}",
            endpoint.trim_end_matches('/'),
            repository.unwrap_or_default(),
            file.unwrap_or_default()
        )
    }

    /// The page where a person can look at the model.
    pub fn page(&self) -> String {
        self.repository.as_ref().map_or_else(
            || self.url.clone().unwrap_or_default(),
            |repository| format!("{HUGGING_FACE}/{repository}"),
        )
    }

    /// The layout of its prompts.
    pub fn form(&self) -> Option<PromptForm> {
        let name = self.prompt_form.as_deref()?;
        PromptForm::ALL
            .iter()
            .copied()
            .find(|form| form.name() == name)
    }

    /// Whether it runs on a machine with `total_bytes` of memory beside the system and an editor.
    pub fn fits(&self, total_bytes: u64) -> bool {
        self.memory_bytes + RESERVE_BYTES <= total_bytes
    }

    /// Tokens per second that memory allows at most.
    pub fn tokens_per_s_max(&self, bandwidth_bytes_per_s: f64) -> f64 {
        bandwidth_bytes_per_s / self.token_bytes as f64
    }

    fn is_called(&self, name: &str) -> bool {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .any(|own| own.eq_ignore_ascii_case(name))
    }

    /// What is wrong with the entry.
    fn check(&self) -> Result<(), String> {
        let plain = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let wrong = |what: &str| Err(format!("model `{}`: {what}", self.name));
        if !plain(&self.name) || self.name == DEFAULT_NAME {
            return wrong("a name is letters, digits, `-`, `.` and `_`, and not `default`");
        }
        if self.url.is_none() && (self.repository.is_none() || self.file.is_none()) {
            return wrong("it needs `repository` and `file`, or `url`");
        }
        if let Some(digest) = &self.sha256
            && !is_digest(digest)
        {
            return wrong("`sha256` is 64 lower-case hexadecimal digits");
        }
        if self.token_bytes == 0 {
            return wrong("`token_bytes` is not 0");
        }
        if self.prompt_form.is_some() && self.form().is_none() {
            return wrong(&format!(
                "`prompt_form` is one of {}",
                PromptForm::ALL
                    .iter()
                    .map(|form| form.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        Ok(())
    }
}

/// Whether `text` is a SHA-256 digest as Carat writes it.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The models that are known by name, in the order in which they are listed.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    model: Vec<Entry>,
}

impl Catalogue {
    /// The built-in catalogue, behind the user's own if `CARAT_CATALOGUE` names one.
    pub fn of_user() -> Result<Self, CatalogueError> {
        let mut catalogue = Self::built_in();
        if let Some(path) = std::env::var_os(CATALOGUE_VARIABLE).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let parsed = std::fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| parse(&text));
            let mut entries = parsed.map_err(|what| CatalogueError { path, what })?;
            entries.append(&mut catalogue.entries);
            catalogue.entries = entries;
        }
        Ok(catalogue)
    }

    /// The models that this program was built with.
    pub(crate) fn built_in() -> Self {
        // A test of this file parses it: it cannot fail in a program that was tested.
        let entries = parse(BUILT_IN).unwrap_or_default();
        Self { entries }
    }

    /// The entries, the first of each name only.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let first = |(index, entry): &(usize, &Entry)| {
            !self.entries[..*index]
                .iter()
                .any(|earlier| earlier.name == entry.name)
        };
        self.entries
            .iter()
            .enumerate()
            .filter(first)
            .map(|(_, entry)| entry)
    }

    /// The model that is called `name`, or has it for an alias.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_called(name))
    }

    /// The suggested models that run on a machine with `total_bytes` of memory, the best first.
    pub fn suggestions(&self, total_bytes: u64) -> impl Iterator<Item = &Entry> {
        self.entries()
            .filter(move |entry| entry.suggested && entry.fits(total_bytes))
    }

    /// The first of them.
    pub fn suggestion(&self, total_bytes: u64) -> Option<&Entry> {
        self.suggestions(total_bytes).next()
    }
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let read = toml::from_str::<CatalogueFile>(text);
    let file = read.map_err(|error| error.to_string().trim().replace('\n', " "))?;
    file.model.iter().try_for_each(Entry::check)?;
    Ok(file.model)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "[[model]]\nname = \"own\"\ntitle = \"x\"\nurl = \"https://example.org/x.gguf\"\nmemory_bytes = 1\ntoken_bytes = 1\nlicense = \"MIT\"\n";

    #[test]
    fn the_built_in_catalogue_has_what_is_promised() {
        let entries = parse(BUILT_IN).expect("a catalogue");
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "gemma-4-26b-a4b",
                "gemma-4-e4b",
                "gemma-4-e2b",
                "gemma-4-12b",
                "gemma-4-31b",
                "codegemma-2b",
                "codegemma-7b",
                "qwen2.5-coder-0.5b",
                "qwen2.5-coder-1.5b",
                "qwen2.5-coder-3b",
                "qwen2.5-coder-7b",
                "qwen3-coder-30b-a3b",
                "deepseek-coder-1.3b",
                "deepseek-coder-6.7b",
                "starcoder2-3b"
            ]
        );
        let mut called: Vec<_> = entries
            .iter()
            .flat_map(|entry| std::iter::once(&entry.name).chain(&entry.aliases))
            .collect();
        called.sort();
        let count = called.len();
        called.dedup();
        assert_eq!(called.len(), count, "no name means two models");
        for entry in &entries {
            assert!(entry.form().is_some(), "{}", entry.name);
            assert!(entry.token_bytes < entry.memory_bytes, "{}", entry.name);
            let size = entry.size_bytes.unwrap_or(entry.token_bytes);
            assert!(size < entry.memory_bytes, "{}", entry.name);
        }
    }

    #[test]
    fn names_and_aliases_are_found_in_any_case() {
        let catalogue = Catalogue::built_in();
        let name = |asked: &str| catalogue.find(asked).map(|entry| entry.name.as_str());
        assert_eq!(name("26b"), Some("gemma-4-26b-a4b"));
        assert_eq!(name("Gemma-4-26B-A4B"), Some("gemma-4-26b-a4b"));
        assert_eq!(name("e4b"), Some("gemma-4-e4b"));
        assert_eq!(name("gemma"), None);
    }

    #[test]
    fn urls_follow_endpoint_and_revision() {
        let catalogue = Catalogue::built_in();
        let entry = catalogue.find("codegemma-2b").expect("it is there");
        assert_eq!(
            entry.url("http://127.0.0.1:1/", None),
            "http://127.0.0.1:1/bartowski/codegemma-2b-GGUF/resolve/main/codegemma-2b-Q4_K_M.gguf"
        );
        assert!(
            entry
                .url(HUGGING_FACE, Some("abc"))
                .contains("/resolve/abc/")
        );
    }

    #[test]
    fn a_small_machine_gets_a_small_model() {
        let catalogue = Catalogue::built_in();
        let name = |gib: f64| {
            let bytes = (gib * f64::from(1 << 30)) as u64;
            catalogue.suggestion(bytes).map(|entry| entry.name.as_str())
        };
        // What Linux reports of 32, 16, 8 and 4 GB.
        assert_eq!(name(31.2), Some("gemma-4-26b-a4b"));
        assert_eq!(name(15.5), Some("gemma-4-e4b"));
        assert_eq!(name(7.6), Some("gemma-4-e2b"));
        assert_eq!(name(3.7), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse(OWN).is_ok());
        for (wrong, said) in [
            (OWN.replace("\"own\"", "\"../own\""), "a name is letters"),
            (OWN.replace("\"own\"", "\"default\""), "not `default`"),
            (OWN.replace("url =", "file ="), "`repository` and `file`"),
            (OWN.to_owned() + "sha256 = \"ABC\"\n", "64 lower-case"),
            (OWN.to_owned() + "prompt_form = \"x\"\n", "fim-prefix-first"),
            (OWN.to_owned() + "colour = 1\n", "colour"),
            (OWN.replace("token_bytes = 1", "token_bytes = 0"), "not 0"),
            ("model = 3".to_owned(), "line 1"),
        ] {
            let error = parse(&wrong).expect_err(&wrong);
            assert!(error.contains(said), "{error}");
        }
    }
}
