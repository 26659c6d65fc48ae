//! The peers: scikit-learn's isolation forest and LightGBM, by `bench/python/peers.py`, on the very rows ours gets.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use model::Rows;

/// A Python that has the peers.
pub(crate) struct Peer {
    python: String,
    versions: String,
}

/// Why a peer gave no scores.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The program cannot be started.
    #[error("{python}: {source}")]
    Start {
        /// Which.
        python: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("{python} peers.py: {said}")]
    Failed {
        /// Which.
        python: String,
        /// The last line it printed.
        said: String,
    },
    /// A file that goes to it or comes from it.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It gave another number of scores than there are rows and seeds.
    #[error("the peer gave {0} scores, {1} were due")]
    Scores(usize, usize),
}

/// Rows with their classes, for a peer that learns from labels.
pub(crate) struct Supervised<'a> {
    /// Rows to learn from.
    pub(crate) train: &'a Rows,
    /// Class of each, 0 for ordinary.
    pub(crate) classes: &'a [u32],
    /// Rows to score.
    pub(crate) test: &'a Rows,
    /// Columns that hold names as numbers.
    pub(crate) categorical: &'a [usize],
}

impl Peer {
    /// Looks whether this Python has what the script needs.
    ///
    /// # Errors
    /// [`PeerError`] if it does not start or lacks a package.
    pub(crate) fn find(python: &str) -> Result<Self, PeerError> {
        let mut peer = Self {
            python: python.to_owned(),
            versions: String::new(),
        };
        peer.versions = peer.call(&["versions"])?;
        Ok(peer)
    }

    /// Names and versions of the packages.
    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    /// Scores of `test` by scikit-learn's isolation forest (100 trees of 256 rows) trained on `train`, for each seed; higher is more
    /// anomalous. Missing values become the median of the training rows, the forest takes none.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) fn isolation_forest(
        &self,
        train: &Rows,
        test: &Rows,
        seeds: u32,
    ) -> Result<Vec<Vec<f32>>, PeerError> {
        let folder = Folder::new()?;
        folder.write("train.f32", &train.values)?;
        folder.write("test.f32", &test.values)?;
        let seeds_text = seeds.to_string();
        self.call(&[
            "forest",
            folder.text(),
            &train.columns.to_string(),
            &seeds_text,
        ])?;
        folder.scores(test.len(), seeds as usize)
    }

    /// Probability of an attack (any class but 0) by LightGBM with its own settings but for the number of trees, and
    /// nanoseconds a row.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) fn boosting(
        &self,
        rows: &Supervised<'_>,
        trees: u32,
    ) -> Result<(Vec<f32>, f64), PeerError> {
        let folder = Folder::new()?;
        folder.write("train.f32", &rows.train.values)?;
        folder.write("test.f32", &rows.test.values)?;
        let classes: Vec<f32> = rows.classes.iter().map(|class| *class as f32).collect();
        folder.write("classes.f32", &classes)?;
        let categorical: Vec<String> = rows.categorical.iter().map(ToString::to_string).collect();
        let said = self.call(&[
            "boosting",
            folder.text(),
            &rows.train.columns.to_string(),
            "1",
            &trees.to_string(),
            &categorical.join(","),
        ])?;
        let scores = folder.scores(rows.test.len(), 1)?.concat();
        Ok((scores, said.parse().unwrap_or(f64::NAN)))
    }

    fn call(&self, arguments: &[&str]) -> Result<String, PeerError> {
        let output = Command::new(&self.python)
            .args(["-c", include_str!("../../python/peers.py")])
            .args(arguments)
            .output()
            .map_err(|source| PeerError::Start {
                python: self.python.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(PeerError::Failed {
            python: self.python.clone(),
            said: said.trim().lines().last().unwrap_or("").to_owned(),
        })
    }
}

/// A folder of numbers that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, PeerError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anomaly-detect-quality-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|source| PeerError::File {
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn write(&self, name: &str, values: &[f32]) -> Result<(), PeerError> {
        let path = self.0.join(name);
        let write = || {
            let mut file = io::BufWriter::new(fs::File::create(&path)?);
            for value in values {
                file.write_all(&value.to_le_bytes())?;
            }
            file.flush()
        };
        write().map_err(|source| PeerError::File {
            path: path.clone(),
            source,
        })
    }

    /// What the script left: the scores of all rows for the first seed, then those for the next.
    fn scores(&self, rows: usize, seeds: usize) -> Result<Vec<Vec<f32>>, PeerError> {
        let path = self.0.join("scores.f32");
        let bytes = fs::read(&path).map_err(|source| PeerError::File { path, source })?;
        let scores: Vec<f32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if scores.len() != rows * seeds {
            return Err(PeerError::Scores(scores.len(), rows * seeds));
        }
        Ok(scores.chunks(rows.max(1)).map(<[f32]>::to_vec).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
