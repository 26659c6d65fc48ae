//! Models on disk: a folder of numbered versions and a pointer to the one in use.
//!
//! ```text
//! model_outputs/
//!     0001-3f9a1c2b.model     version and the first digits of the model's digest
//!     0002-a41be077.model
//!     current                 a text file: the name of the version in use
//!     previous                the name that `current` held before, for `rollback`
//! ```
//! Files are written beside their place and renamed, so that a crash leaves the old or the new one and never half.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model::{Classifier, LoadError, Model, SaveError};

use crate::features;

/// Ending of a model's file.
const ENDING: &str = ".model";

/// Why the store, or a model in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The model cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// No such file.
    #[error("{}: no such model; train one with `anomaly-detect train`, or see `anomaly-detect model list`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is no whole model.
    #[error("{}: {what}; train it again, or choose another with `anomaly-detect model list`", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: LoadError,
    },
    /// The model speaks of other features.
    #[error("{}: model with another schema: {what}; train one with this version", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The first difference.
        what: model::SchemaMismatch,
    },
    /// No version of this name or number.
    #[error("no model `{name}` in {}; there is {known}", folder.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The store.
        folder: PathBuf,
        /// What is there.
        known: String,
    },
    /// The store has no model in use.
    #[error("no model in {} yet; train one with `anomaly-detect train` or `anomaly-detect run`", folder.display())]
    Empty {
        /// The store.
        folder: PathBuf,
    },
    /// Nothing was in use before.
    #[error("nothing to roll back to in {}: no other model was in use before", folder.display())]
    NothingBefore {
        /// The store.
        folder: PathBuf,
    },
}

impl StoreError {
    /// Whether what was asked for is not there, as opposed to there and bad.
    pub const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Unknown { .. } | Self::Empty { .. }
        )
    }
}

/// Reads a model and refuses one that was trained on other features than this program's.
///
/// # Errors
/// Missing, damaged, or of another schema.
pub fn load(path: &Path) -> Result<Model, StoreError> {
    let model = load_any(path)?;
    model
        .accepts(&features::schema())
        .map_err(|what| StoreError::Schema {
            path: path.to_owned(),
            what,
        })?;
    Ok(model)
}

/// Reads a model, whatever its schema.
///
/// # Errors
/// Missing or damaged.
pub fn load_any(path: &Path) -> Result<Model, StoreError> {
    Model::load(path).map_err(|error| fault(path, error))
}

/// Reads a classifier, whatever its schema.
///
/// # Errors
/// Missing or damaged, or another kind of model.
pub fn load_classifier(path: &Path) -> Result<Classifier, StoreError> {
    Classifier::load(path).map_err(|error| fault(path, error))
}

fn fault(path: &Path, error: LoadError) -> StoreError {
    let path = path.to_owned();
    match error {
        LoadError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            StoreError::Missing { path }
        }
        LoadError::Read { source, .. } => StoreError::Io { path, source },
        what => StoreError::Unusable { path, what },
    }
}

/// A folder of models.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in this folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names of the versions, oldest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_at(&self.folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_at(&self.folder))?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ENDING))
                && number(name).is_some()
            {
                names.push(name.to_owned());
            }
        }
        names.sort_by_key(|name| (number(name), name.clone()));
        Ok(names)
    }

    /// Name of the version in use, if any.
    ///
    /// # Errors
    /// A pointer that cannot be read.
    pub fn current(&self) -> Result<Option<String>, StoreError> {
        self.pointer("current")
    }

    /// File of the version in use.
    ///
    /// # Errors
    /// [`StoreError::Empty`] if there is none.
    pub fn current_path(&self) -> Result<PathBuf, StoreError> {
        match self.current()? {
            Some(name) => Ok(self.path(&name)),
            None => Err(StoreError::Empty {
                folder: self.folder.clone(),
            }),
        }
    }

    /// File of a version.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{ENDING}"))
    }

    /// Keeps a model as the next version, puts it in use, and answers its name. A model that is in the store
    /// already is put in use and not kept twice.
    ///
    /// # Errors
    /// What the system said.
    pub fn add(&self, model: &Model) -> Result<String, StoreError> {
        let name = self.keep(model)?;
        self.switch(&name)?;
        Ok(name)
    }

    /// Keeps a model as the next version and answers its name; which one is in use stays. A model that is in the store already is
    /// not kept twice.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep(&self, model: &Model) -> Result<String, StoreError> {
        fs::create_dir_all(&self.folder).map_err(io_at(&self.folder))?;
        let digest = model.digest();
        let names = self.names()?;
        let kept = names
            .iter()
            .find(|name| name.ends_with(&digest[..8]))
            .cloned();
        let name = match kept {
            Some(name) => name,
            None => {
                let next = names.last().and_then(|name| number(name)).unwrap_or(0) + 1;
                let name = format!("{next:04}-{}", &digest[..8]);
                self.write(&format!("{name}{ENDING}"), &model.to_bytes())?;
                name
            }
        };
        Ok(name)
    }

    /// Puts a version in use: by its full name, its number, or the beginning of its digest.
    ///
    /// # Errors
    /// No such version, or it is damaged or of another schema: then nothing changes.
    pub fn use_version(&self, wanted: &str) -> Result<String, StoreError> {
        let name = self.find(wanted)?;
        load(&self.path(&name))?;
        self.switch(&name)?;
        Ok(name)
    }

    /// Puts the version in use that was in use before.
    ///
    /// # Errors
    /// There is none, or it is damaged: then nothing changes.
    pub fn rollback(&self) -> Result<String, StoreError> {
        let name = self
            .pointer("previous")?
            .ok_or_else(|| StoreError::NothingBefore {
                folder: self.folder.clone(),
            })?;
        load(&self.path(&name))?;
        self.switch(&name)?;
        Ok(name)
    }

    /// Full name of a version.
    ///
    /// # Errors
    /// No such version.
    pub fn find(&self, wanted: &str) -> Result<String, StoreError> {
        let names = self.names()?;
        let wanted_number = wanted.parse::<u64>().ok();
        let matches = |name: &&String| {
            name.as_str() == wanted
                || wanted_number.is_some_and(|wanted| number(name) == Some(wanted))
                || (wanted.len() >= 4
                    && name
                        .split_once('-')
                        .is_some_and(|(_, digest)| digest.starts_with(wanted)))
        };
        names
            .iter()
            .find(matches)
            .cloned()
            .ok_or_else(|| StoreError::Unknown {
                name: wanted.to_owned(),
                folder: self.folder.clone(),
                known: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            })
    }

    fn switch(&self, name: &str) -> Result<(), StoreError> {
        let before = self.current()?;
        if before.as_deref() == Some(name) {
            return Ok(());
        }
        if let Some(before) = before {
            self.write("previous", format!("{before}\n").as_bytes())?;
        }
        self.write("current", format!("{name}\n").as_bytes())
    }

    fn pointer(&self, file: &str) -> Result<Option<String>, StoreError> {
        let path = self.folder.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let name = text.trim();
                // A name that leads out of the folder was not written by this program.
                let sound = number(name).is_some() && !name.contains(['/', '\\']);
                Ok(sound.then(|| name.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn write(&self, file: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(file);
        let beside = self
            .folder
            .join(format!(".{file}.{}.new", std::process::id()));
        fs::write(&beside, content).map_err(io_at(&beside))?;
        fs::rename(&beside, &path).map_err(io_at(&path))
    }
}

fn number(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}
