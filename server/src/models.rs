//! Which model a name means, and which layouts of prompts its file tells of.
//!
//! `catalogue` knows models by name and `store` knows which of them are on this machine; `download`
//! brings one here over `http`, for the command line alone.

pub mod catalogue;
pub mod digest;
pub mod download;
pub mod http;
pub mod store;

use std::path::{Path, PathBuf};

use carat_engine::{LoadError, LoadOptions, Model};

use self::catalogue::{Catalogue, CatalogueError, Entry};
use self::store::{NoFolder, State, Store};
use crate::prompt::{ModelTraits, PromptForm};

/// The name of the embedded model.
pub const DEFAULT_NAME: &str = "default";

/// The embedded model, which is compiled into the program.
///
/// The engine reads weights where they lie, as it does in a mapped file; quantized blocks and floats
/// must not straddle the alignment that a map would have.
#[cfg(feature = "embedded-model")]
static EMBEDDED: Option<&Aligned<[u8]>> = Some(&Aligned(*include_bytes!(
    "../../models/default/carat-default.gguf"
)));

#[cfg(not(feature = "embedded-model"))]
static EMBEDDED: Option<&Aligned<[u8]>> = None;

/// Bytes that begin where a cache line does.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The default model was asked for and this program has none.
    #[error("this build of carat has no embedded model; give a GGUF file with --model PATH")]
    NotEmbedded,
    /// There is no such name and no such file.
    #[error(
        "no model and no file is called `{name}`; give the path of a GGUF file, or a name that `carat model list` shows"
    )]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// The catalogue knows it and this machine does not have it.
    #[error("the model `{name}` is not on this machine; get it with: carat model pull {name}")]
    NotPulled {
        /// Its name in the catalogue.
        name: String,
    },
    /// A download of it was interrupted.
    #[error(
        "the model `{name}` is on this machine only in part; get the rest with: carat model pull {name}"
    )]
    Incomplete {
        /// Its name in the catalogue.
        name: String,
    },
    /// The user's own catalogue cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// There is no place for models.
    #[error(transparent)]
    NoFolder(#[from] NoFolder),
    /// The embedded model lies in the program, not in a file.
    #[error("the model `{DEFAULT_NAME}` is part of the carat program and has no file of its own")]
    NoFile,
    /// The file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// In the program.
    Embedded,
    /// In a file.
    File(PathBuf),
    /// In a file that was pulled.
    Pulled {
        /// The file.
        path: PathBuf,
        /// What the catalogue says of it.
        entry: Box<Entry>,
    },
}

impl ModelSource {
    /// What `name` means: a name of the catalogue, else a path. Nothing means the embedded model.
    pub fn find(name: Option<&str>) -> Result<Self, ModelError> {
        let name = name.unwrap_or(DEFAULT_NAME);
        let path = Path::new(name);
        if name == DEFAULT_NAME {
            return if EMBEDDED.is_some() {
                Ok(Self::Embedded)
            } else {
                Err(ModelError::NotEmbedded)
            };
        }
        if let Some(entry) = Catalogue::of_user()?.find(name) {
            return Self::pulled(entry, &Store::of_user()?);
        }
        if path.is_file() {
            Ok(Self::File(path.to_owned()))
        } else {
            Err(ModelError::NotFound {
                name: name.to_owned(),
            })
        }
    }

    fn pulled(entry: &Entry, store: &Store) -> Result<Self, ModelError> {
        let name = entry.name.clone();
        match store.state(&name) {
            State::Present { .. } => Ok(Self::Pulled {
                path: store.file(&name),
                entry: Box::new(entry.clone()),
            }),
            State::Partial { .. } => Err(ModelError::Incomplete { name }),
            State::Absent => Err(ModelError::NotPulled { name }),
        }
    }

    /// The file.
    pub fn path(&self) -> Result<&Path, ModelError> {
        match self {
            Self::Embedded => Err(ModelError::NoFile),
            Self::File(path) | Self::Pulled { path, .. } => Ok(path),
        }
    }

    /// A name for messages: of the catalogue, or of the file without its folder and extension.
    pub fn name(&self) -> String {
        match self {
            Self::Pulled { entry, .. } => entry.name.clone(),
            Self::Embedded => DEFAULT_NAME.to_owned(),
            Self::File(path) => path
                .file_stem()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// The languages that it was trained on, by their LSP identifiers: as its file says, else the
    /// catalogue; nothing where neither does.
    pub fn languages(&self, model: &Model) -> Option<Vec<String>> {
        let listed = || match self {
            Self::Pulled { entry, .. } => entry.languages.clone(),
            Self::Embedded | Self::File(_) => None,
        };
        model.info().languages.clone().or_else(listed)
    }

    /// Bytes that the model takes on the disk, or in the program.
    pub fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Embedded => EMBEDDED.map(|model| model.0.len() as u64),
            Self::File(path) | Self::Pulled { path, .. } => {
                path.metadata().ok().map(|metadata| metadata.len())
            }
        }
    }

    /// Maps the model and checks it.
    pub fn load(&self, options: &LoadOptions) -> Result<Model, ModelError> {
        match self {
            Self::Embedded => {
                let embedded = EMBEDDED.ok_or(ModelError::NotEmbedded)?;
                Ok(Model::from_static(DEFAULT_NAME, &embedded.0, options)?)
            }
            Self::File(path) | Self::Pulled { path, .. } => Ok(Model::load(path, options)?),
        }
    }

    /// The layout of prompts: what the catalogue says if the model can have it, else what its file tells.
    pub fn prompt_form(&self, model: &Model) -> PromptForm {
        let stated = match self {
            Self::Pulled { entry, .. } => entry.form(),
            Self::Embedded | Self::File(_) => None,
        };
        let tokenizer = model.tokenizer();
        let possible = |form: &PromptForm| match form {
            PromptForm::Plain => true,
            form if form.is_fill_in_the_middle() => tokenizer.fim().is_some(),
            _ => tokenizer.chat_template().is_some(),
        };
        stated
            .filter(possible)
            .unwrap_or_else(|| form_of_file(model))
    }
}

/// The layout that a model was trained for, as far as its file tells.
fn form_of_file(model: &Model) -> PromptForm {
    PromptForm::of(&traits(model), model.tokenizer())
}

/// The form in which it takes instructions, if it was tuned for them.
pub fn instruct_form(model: &Model) -> Option<PromptForm> {
    PromptForm::instruct(&traits(model), model.tokenizer())
}

fn traits(model: &Model) -> ModelTraits<'_> {
    let info = model.info();
    ModelTraits {
        name: &info.name,
        has_untrained_fim: info.has_untrained_fim,
        chat_template: model.tokenizer().chat_template(),
        has_per_layer_embeddings: info.has_per_layer_embeddings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        assert!(matches!(
            ModelSource::find(Some("no-such-model")),
            Err(ModelError::NotFound { .. })
        ));
        assert!(matches!(
            ModelSource::find(Some("/")),
            Err(ModelError::NotFound { .. })
        ));
        let here =
            ModelSource::find(Some(file!())).or_else(|_| ModelSource::find(Some("src/models.rs")));
        assert_eq!(
            here.map(|source| source.name()).ok().as_deref(),
            Some("models")
        );
        assert_eq!(
            ModelSource::find(None).is_ok(),
            cfg!(feature = "embedded-model")
        );
        assert_eq!(
            ModelSource::find(Some(DEFAULT_NAME)).is_ok(),
            cfg!(feature = "embedded-model")
        );
    }

    /// A model file with one more entry in its metadata. The entry has 64 bytes, so that tensors stay aligned.
    fn with_languages(file: &str) -> Vec<u8> {
        const ENTRIES_AT: usize = 16;
        const HEADER_BYTES: usize = 24;
        let mut bytes = std::fs::read(file).expect("a fixture");
        let entries = &mut bytes[ENTRIES_AT..HEADER_BYTES];
        let count = u64::from_le_bytes(entries.try_into().expect("8 bytes"));
        entries.copy_from_slice(&(count + 1).to_le_bytes());
        let mut entry = Vec::new();
        let string = |text: &str, to: &mut Vec<u8>| {
            to.extend((text.len() as u64).to_le_bytes());
            to.extend(text.as_bytes());
        };
        string("carat.languages", &mut entry);
        // An array of strings.
        entry.extend(9u32.to_le_bytes());
        entry.extend(8u32.to_le_bytes());
        entry.extend(2u64.to_le_bytes());
        string("python", &mut entry);
        string("lua", &mut entry);
        assert_eq!(entry.len(), 64);
        bytes.splice(HEADER_BYTES..HEADER_BYTES, entry);
        bytes
    }

    #[test]
    fn a_file_says_which_languages_its_model_knows() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-thin.f32.gguf"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("two-languages.gguf");
        std::fs::write(&path, with_languages(file)).expect("a file");
        let languages = |path: &Path| {
            let source = ModelSource::File(path.to_owned());
            let model = source.load(&LoadOptions::default()).expect("a model");
            source.languages(&model)
        };
        let known = ["python".to_owned(), "lua".to_owned()];
        assert_eq!(languages(&path), Some(known.to_vec()));
        assert_eq!(languages(Path::new(file)), None);
    }

    #[test]
    fn the_embedded_model_is_aligned() {
        if let Some(model) = EMBEDDED {
            assert_eq!(model.0.as_ptr().align_offset(64), 0);
        }
    }
}
