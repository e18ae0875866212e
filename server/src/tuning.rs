//! What was measured of this processor: where it is kept, and whether it holds here.
//!
//! The engine measures how weights are read fastest, and the server lets it when nobody waits. What
//! comes of it is kept in the cache folder, by processor, version and level of kernels.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use carat_engine::{Choice, Model, Tuner, Tuning};

use crate::{folders, machine};

/// The environment variable: `off`, or the file to use.
pub const VARIABLE: &str = "CARAT_TUNE";

/// Files are shorter; what is longer is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What choices are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    processor: String,
    version: String,
    level: String,
}

impl Origin {
    fn here() -> Self {
        Self {
            processor: machine::processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: carat_engine::cpu_level().to_owned(),
        }
    }

    /// Choices of this origin, made now.
    fn sign(&self, choices: Vec<Choice>) -> Tuning {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Tuning {
            processor: self.processor.clone(),
            version: self.version.clone(),
            level: self.level.clone(),
            measured_unix_s: now.unwrap_or_default().as_secs(),
            choices,
        }
    }

    fn is_of(&self, tuning: &Tuning) -> bool {
        // As the file has it: with single spaces.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        tuning.processor == words(&self.processor)
            && tuning.version == self.version
            && tuning.level == self.level
    }

    /// A file name: several machines may share a home folder.
    fn file_name(&self) -> String {
        let all = format!("{} {} {}", self.processor, self.version, self.level);
        let plain = |c: char| {
            let is_plain = c.is_ascii_alphanumeric() || c == '.';
            if is_plain {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let name: String = all.chars().map(plain).take(120).collect();
        format!("{name}.txt")
    }
}

/// Where choices are, and whether more are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    place: Place,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing is measured or used.
    Off,
    /// The user's file, which is used as it is.
    Fixed(PathBuf),
    /// What is missing in this file is measured.
    Cache(PathBuf),
    /// There is no folder for it.
    Nowhere,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is switched off.
    Off,
    /// Nothing was measured yet.
    Nothing,
    /// Choices that hold here.
    Tuning(Tuning),
    /// A file that cannot be used.
    Refused(Refused),
}

/// A file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    file: PathBuf,
    why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl Kept {
    /// As the environment says: [`VARIABLE`], else the cache folder.
    pub fn of_user() -> Self {
        let origin = Origin::here();
        let place = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) if value == "off" => Place::Off,
            // What is measured beside other tests is nothing to keep.
            _ if cfg!(test) => Place::Off,
            Some(file) => Place::Fixed(file.into()),
            None => match folders::cache() {
                Some(folder) => Place::Cache(folder.join("tuning").join(origin.file_name())),
                None => Place::Nowhere,
            },
        };
        Self { place, origin }
    }

    /// The file, if there is one to be.
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::Fixed(file) | Place::Cache(file) => Some(file),
            Place::Off | Place::Nowhere => None,
        }
    }

    /// Reads what is kept.
    pub fn find(&self) -> Found {
        let Some(file) = self.file() else {
            return match self.place {
                Place::Off => Found::Off,
                _ => Found::Nothing,
            };
        };
        let is_fixed = matches!(self.place, Place::Fixed(_));
        let refused = |why: String| {
            let file = file.to_owned();
            Found::Refused(Refused { file, why })
        };
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_fixed => {
                return Found::Nothing;
            }
            Err(error) => return refused(error.to_string()),
        };
        match Tuning::parse(&text) {
            Err(error) => refused(error.to_string()),
            // What a user wrote, or brought along, is theirs to answer for.
            Ok(tuning) if is_fixed || self.origin.is_of(&tuning) => Found::Tuning(tuning),
            Ok(tuning) => refused(format!(
                "measured on {} by version {} with {} kernels",
                tuning.processor, tuning.version, tuning.level
            )),
        }
    }

    /// Lets a model read its weights as is known.
    pub fn apply(&self, model: &Model) {
        match self.find() {
            Found::Off | Found::Nothing => {}
            Found::Tuning(tuning) => model.tune(&tuning),
            Found::Refused(refused) => {
                tracing::warn!("choices of kernels are not used: {refused}");
            }
        }
    }

    /// What measures how a model's weights are read, if something is to be measured.
    pub fn tuner(&self, model: &Model) -> Option<Tuner> {
        if !matches!(self.place, Place::Cache(_)) {
            return None;
        }
        let known = match self.find() {
            Found::Tuning(tuning) => Some(tuning),
            _ => None,
        };
        let tuner = model.tuner(known.as_ref());
        (!tuner.is_done()).then_some(tuner)
    }

    /// Adds choices to what is kept, in one step; another process may do the same, and the last one wins.
    pub fn store(&self, choices: &[Choice]) -> io::Result<()> {
        let Place::Cache(file) = &self.place else {
            return Ok(());
        };
        let mut tuning = match self.find() {
            Found::Tuning(tuning) => tuning,
            _ => Tuning::default(),
        };
        tuning.update(choices);
        let tuning = self.origin.sign(tuning.choices);
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(tuning.to_string().as_bytes())?;
        new.persist(file)?;
        Ok(())
    }
}

/// Choices that were just made here, as a file has them.
pub fn text(choices: &[Choice]) -> String {
    Origin::here().sign(choices.to_vec()).to_string()
}

fn read(file: &Path) -> io::Result<String> {
    let bytes = fs::metadata(file)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{bytes} bytes are too many")));
    }
    fs::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use carat_engine::gguf::TensorType;
    use carat_engine::{LoadOptions, ModelSize, Order, Reading, Step, Subject};
    use std::time::Duration;

    use super::*;

    fn origin() -> Origin {
        Origin {
            processor: "A  Processor (TM) @ 3 GHz".to_owned(),
            version: "1.2.3".to_owned(),
            level: "avx2".to_owned(),
        }
    }

    fn cache(folder: &Path, origin: Origin) -> Kept {
        let place = Place::Cache(folder.join("tuning").join(origin.file_name()));
        Kept { place, origin }
    }

    fn choice(tensor_type: TensorType, rows: u8) -> Choice {
        Choice {
            subject: Subject {
                size: ModelSize::Small,
                order: Order::Rows,
                tensor_type,
                threads: 2,
            },
            reading: Reading { rows, ahead: 512 },
            gain: 1.25,
        }
    }

    fn choices(found: Found) -> Vec<Choice> {
        match found {
            Found::Tuning(tuning) => tuning.choices,
            other => panic!("no choices: {other:?}"),
        }
    }

    #[test]
    fn what_is_stored_is_found_and_added_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = cache(folder.path(), origin());
        assert_eq!(kept.find(), Found::Nothing);
        let (first, second) = (choice(TensorType::Q4K, 1), choice(TensorType::Q6K, 2));
        kept.store(&[first]).expect("it is written");
        kept.store(&[second]).expect("it is written");
        assert_eq!(choices(kept.find()), [first, second]);
        let name = kept.file().and_then(Path::file_name).expect("a name");
        assert_eq!(name, "a--processor--tm----3-ghz-1.2.3-avx2.txt");
    }

    #[test]
    fn another_processor_version_or_level_has_its_own_file_and_does_not_take_this_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = cache(folder.path(), origin());
        here.store(&[choice(TensorType::Q4K, 1)])
            .expect("it is written");
        let others = [
            Origin {
                processor: "Another".to_owned(),
                ..origin()
            },
            Origin {
                version: "1.2.4".to_owned(),
                ..origin()
            },
            Origin {
                level: "avx512_vnni".to_owned(),
                ..origin()
            },
        ];
        for other in others {
            assert_eq!(cache(folder.path(), other.clone()).find(), Found::Nothing);
            // Also not where the file is copied.
            let there = Kept {
                origin: other,
                ..here.clone()
            };
            let Found::Refused(why) = there.find() else {
                panic!("it was measured elsewhere");
            };
            assert!(
                why.to_string()
                    .contains("measured on A Processor (TM) @ 3 GHz by version 1.2.3")
            );
            // It is measured anew, in the place of the other.
            there
                .store(&[choice(TensorType::Q4K, 2)])
                .expect("it is written");
            assert_eq!(choices(there.find()), [choice(TensorType::Q4K, 2)]);
            here.store(&[choice(TensorType::Q4K, 1)])
                .expect("it is written");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = cache(folder.path(), origin());
        kept.store(&[choice(TensorType::Q4K, 1)])
            .expect("it is written");
        let file = kept.file().expect("a file").to_owned();
        let whole = fs::read(&file).expect("it is there");
        for damaged in [
            &whole[..whole.len() / 2],
            b"",
            b"\xff\xfe\x00",
            &vec![b'x'; 2 << 20],
        ] {
            fs::write(&file, damaged).expect("it is written");
            assert!(
                matches!(kept.find(), Found::Refused(_)),
                "{} bytes",
                damaged.len()
            );
        }
        kept.store(&[choice(TensorType::Q6K, 2)])
            .expect("it is written");
        assert_eq!(choices(kept.find()), [choice(TensorType::Q6K, 2)]);
    }

    #[test]
    fn off_and_a_file_of_the_user_are_final() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mine.txt");
        let model = model();
        let kept = |place| Kept {
            place,
            origin: origin(),
        };
        let off = kept(Place::Off);
        assert_eq!(off.find(), Found::Off);
        assert!(off.tuner(&model).is_none());
        let fixed = kept(Place::Fixed(file.clone()));
        assert!(
            matches!(fixed.find(), Found::Refused(_)),
            "there is no such file"
        );
        fixed.apply(&model);
        assert!(fixed.tuner(&model).is_none());
        // Of whatever processor.
        let tuning = Tuning {
            processor: "another".to_owned(),
            choices: vec![choice(TensorType::Q4K, 1)],
            ..Tuning::default()
        };
        fs::write(&file, tuning.to_string()).expect("it is written");
        assert_eq!(choices(fixed.find()), tuning.choices);
        fixed.apply(&model);
        assert!(fixed.tuner(&model).is_none());
        fixed
            .store(&[choice(TensorType::Q6K, 1)])
            .expect("nothing to do");
        assert_eq!(choices(fixed.find()), tuning.choices, "nothing is added");
        assert!(kept(Place::Nowhere).tuner(&model).is_none());
    }

    #[test]
    fn the_second_start_measures_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = cache(folder.path(), Origin::here());
        let Some(mut tuner) = kept.tuner(&model()) else {
            return; // The kernels of this processor have no choice.
        };
        let mut now = Duration::ZERO;
        let mut clock = || {
            now += Duration::from_micros(100);
            now
        };
        while tuner.step(&mut clock) != Step::Done {}
        kept.store(tuner.choices()).expect("it is written");
        kept.apply(&model());
        assert!(kept.tuner(&model()).is_none());
    }

    fn model() -> Model {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/parity/moe-wide.q4_0_q6k.gguf"
        );
        let options = LoadOptions { threads: Some(1) };
        Model::load(file.as_ref(), &options).expect("a fixture")
    }
}
