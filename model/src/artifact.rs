//! The stored form of a model: a header that people can read, a binary body, and checks over both.
//!
//! ```text
//! anomaly-detect model 5\n
//! {"schema_digest":…,"schema":…,"info":…}\n
//! u64 length of the body, then the body:
//!     baseline:     per column 129 f32 quantiles, u32 n, n x (f32 value, u32 count)
//!     cuts:         per column u8 n, n x f32
//!     forest:       u8 shape, u32 trees, u32 rows per tree, then each tree
//!                     level-shared: 8 x u16 column, 255 x u8 threshold, 256 x u32 count
//!                     ordinary:     u32 nodes, each u16 column and u8 threshold, or u16 0xffff and u32 count
//!     calibration:  u32 rows, u32 n, n x (f32 score, u32 rank), u8 tail, then f32 and 3 x f64 if 1
//!     exemplars:    u32 n, at most 128, n rows of f32
//!     beside it:    u8 0, or 1 and the calibration of the forest alone, then
//!                   u8 0, or 1 and an autoencoder: u16 n, n x (u16 column, an f32 for each of its codes, f32 usual error),
//!                     u8 layers, each u16 inputs, u16 outputs, f32 weights input by input, f32 biases; its calibration
//!                   u8 n, n x u16 columns that tell a peer group; if n > 0 u8 groups, each 4 x u32 key, for each column of
//!                     the model an f32 for each of its codes (none without cuts), 3 x f32 (quantiles) for each column,
//!                     its calibration
//! u32 CRC-32 (IEEE) of everything before
//! 32 bytes SHA-256 of everything before: the model's digest
//! ```
//! All numbers are little-endian. A reader believes nothing: every length is compared with the bytes that are left
//! before memory is taken, and what is read must be what the same model would be written as.

use crate::baseline::Profile;
use crate::body::Body;
use crate::boost::Classifier;
use crate::calibrate::Calibration;
use crate::ensemble::Weights;
use crate::forest::{Node, Trees};
use crate::quantise::Cuts;
use crate::schema::hex;
use crate::train::MAX_COLUMNS;
use crate::{Info, Model, Schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// First bytes of every model.
const MAGIC: &[u8] = b"anomaly-detect model ";
/// Version this code writes, and the only one it reads.
const VERSION: u32 = 5;
/// Largest model read, in bytes.
const LARGEST: u64 = 1 << 30;
/// Marks a leaf where a split has its column.
pub(crate) const LEAF: u16 = u16::MAX;
/// Bytes of the two checks at the end.
const CHECKS: usize = 4 + 32;

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is larger than any model.
    #[error("larger than any model ({0} bytes)")]
    TooLarge(u64),
    /// The first line is not a model's.
    #[error("not a model of anomaly-detect")]
    NotAModel,
    /// A model of another version.
    #[error("a model of format version {found}; this program reads version {reads}")]
    Version {
        /// What the file says.
        found: String,
        /// What this program reads.
        reads: u32,
    },
    /// A classifier where a forest is due.
    #[error("a boosted classifier; only `predict` on tables and `model show` take one")]
    Classifier,
    /// A checksum does not fit.
    #[error("damaged: {0} does not match")]
    Checksum(&'static str),
    /// The header is not what this version writes.
    #[error("damaged header: {0}")]
    Header(String),
    /// The body ends early, goes on too long, or says something impossible.
    #[error("damaged body: {0}")]
    Body(&'static str),
}

/// Why a model cannot be saved.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema_digest: String,
    schema: Schema,
    info: Info,
}

impl Model {
    /// The stored form. Two trainings with one seed on the same rows give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            schema_digest: self.schema().digest(),
            schema: self.schema().clone(),
            info: self.info().clone(),
        };
        frame(MAGIC, VERSION, &header, &self.body())
    }

    /// SHA-256 of the stored form (without itself), in lower-case hexadecimal: the model's name wherever one must
    /// be sure which model is meant.
    pub fn digest(&self) -> String {
        let make = || {
            let bytes = self.to_bytes();
            hex(&bytes[bytes.len() - 32..])
        };
        self.digest_once().get_or_init(make).clone()
    }

    /// Reads a model back.
    ///
    /// # Errors
    /// [`LoadError`] if these are not the bytes of a whole, undamaged model of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        if Classifier::begins(bytes) {
            return Err(LoadError::Classifier);
        }
        let (header, body) = unframe(bytes, MAGIC, VERSION)?;
        Self::from_parts(header, body)
    }

    /// Reads header and body; apart from [`Model::from_bytes`] so that tests reach it with whatever bytes.
    fn from_parts(header: &[u8], rest: &[u8]) -> Result<Self, LoadError> {
        let header: Header =
            serde_json::from_slice(header).map_err(|error| LoadError::Header(error.to_string()))?;
        let columns = header.schema.len();
        if !(1..=MAX_COLUMNS).contains(&columns) {
            return Err(LoadError::Header(format!("{columns} columns")));
        }
        if header.schema_digest != header.schema.digest() {
            return Err(LoadError::Header("the schema's digest is another".into()));
        }
        if let Some(fault) = header.info.settings.fault() {
            return Err(LoadError::Header(fault.into()));
        }
        let mut body = Body(rest);
        if body.u64()? != body.0.len() as u64 {
            return Err(LoadError::Body("length is wrong"));
        }
        let profiles = header
            .schema
            .columns
            .iter()
            .map(|column| body.profile(column.transform))
            .collect::<Result<Vec<Profile>, LoadError>>()?;
        let cuts = (0..columns)
            .map(|_| body.cuts())
            .collect::<Result<Vec<Cuts>, LoadError>>()?;
        let forest = body.forest(columns)?;
        let calibration = body.calibration()?;
        let exemplars = body.exemplars(columns)?;
        let weights = Weights::of(&header.info.settings);
        let ensemble = body.ensemble(weights, &cuts)?;
        if !body.0.is_empty() {
            return Err(LoadError::Body("goes on after its end"));
        }
        if header.info.rows_per_tree != forest.rows_per_tree()
            || header.info.settings.shape != forest.shape()
            || header.info.settings.trees != forest.len()
            || header.info.calibration_rows != calibration.rows()
        {
            return Err(LoadError::Header("says other than the body".into()));
        }
        let info = header.info.clone();
        let model = Self::assemble(
            header.schema,
            header.info,
            profiles,
            cuts,
            forest,
            calibration,
            exemplars,
        )
        .with_ensemble(ensemble);
        if *model.info() != info {
            return Err(LoadError::Header("says other than the body".into()));
        }
        Ok(model)
    }

    /// Writes the model to a file: to a temporary one beside it first, so that no reader sees half a model.
    ///
    /// # Errors
    /// [`SaveError`] if the system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaveError> {
        write_file(path.as_ref(), &self.to_bytes())
    }

    /// Reads a model from a file.
    ///
    /// # Errors
    /// [`LoadError`] if the file cannot be read or does not hold a whole, undamaged model of this version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::from_bytes(&read_file(path.as_ref())?)
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for profile in self.profiles() {
            out.extend(profile.knots.iter().flat_map(|knot| knot.to_le_bytes()));
            out.extend((profile.categories.len() as u32).to_le_bytes());
            for category in &profile.categories {
                out.extend(category.value.to_le_bytes());
                out.extend(category.count.to_le_bytes());
            }
        }
        for cuts in self.cuts() {
            out.push(cuts.len() as u8);
            out.extend(cuts.iter().flat_map(|cut| cut.to_le_bytes()));
        }
        let forest = self.forest();
        out.push(u8::from(matches!(forest.trees(), Trees::Ordinary(_))));
        out.extend((forest.len() as u32).to_le_bytes());
        out.extend(forest.rows_per_tree().to_le_bytes());
        match forest.trees() {
            Trees::LevelShared(trees) => {
                for tree in trees {
                    out.extend(tree.columns.iter().flat_map(|column| column.to_le_bytes()));
                    out.extend(&tree.thresholds);
                    out.extend(tree.counts.iter().flat_map(|count| count.to_le_bytes()));
                }
            }
            Trees::Ordinary(trees) => {
                for nodes in trees {
                    out.extend((nodes.len() as u32).to_le_bytes());
                    for node in nodes {
                        match *node {
                            Node::Split { column, threshold } => {
                                out.extend(column.to_le_bytes());
                                out.push(threshold);
                            }
                            Node::Leaf { count } => {
                                out.extend(LEAF.to_le_bytes());
                                out.extend(count.to_le_bytes());
                            }
                        }
                    }
                }
            }
        }
        write_calibration(&mut out, self.calibration());
        let exemplars = self.exemplars().rows();
        out.extend((exemplars.len() as u32).to_le_bytes());
        out.extend(
            exemplars
                .values
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        out.push(u8::from(self.ensemble().is_some()));
        if let Some(ensemble) = self.ensemble() {
            ensemble.write(&mut out);
        }
        out
    }
}

/// Puts a header and a body into the frame that every artifact has: a line that says what it is, the header as a line
/// of JSON, length, body, and the checks.
pub(crate) fn frame(magic: &[u8], version: u32, header: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(format!("{version}\n").as_bytes());
    out.extend(serde_json::to_vec(header).expect("a header is numbers, strings and lists"));
    out.push(b'\n');
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(body);
    let check = crc32fast::hash(&out);
    out.extend(check.to_le_bytes());
    let digest = Sha256::digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// Header line, and the body with its length before it, of an artifact whose checks fit.
pub(crate) fn unframe<'a>(
    bytes: &'a [u8],
    magic: &[u8],
    reads: u32,
) -> Result<(&'a [u8], &'a [u8]), LoadError> {
    if bytes.len() as u64 > LARGEST {
        return Err(LoadError::TooLarge(bytes.len() as u64));
    }
    let rest = bytes.strip_prefix(magic).ok_or(LoadError::NotAModel)?;
    let (version, _) = line(rest).ok_or(LoadError::NotAModel)?;
    if version != reads.to_string().as_bytes() {
        let found = version
            .iter()
            .take(20)
            .map(|&byte| char::from(byte).escape_default().to_string())
            .collect();
        return Err(LoadError::Version { found, reads });
    }
    let at = bytes
        .len()
        .checked_sub(CHECKS)
        .ok_or(LoadError::Body("ends early"))?;
    let (checked, checks) = bytes.split_at(at);
    if crc32fast::hash(checked).to_le_bytes() != checks[..4] {
        return Err(LoadError::Checksum("CRC-32"));
    }
    if Sha256::digest(&bytes[..at + 4])[..] != checks[4..] {
        return Err(LoadError::Checksum("SHA-256"));
    }
    let (_, rest) = line(&checked[magic.len()..]).ok_or(LoadError::NotAModel)?;
    line(rest).ok_or(LoadError::Header("ends early".into()))
}

/// Writes a temporary file beside `path` first, so that no reader sees half an artifact.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|source| {
        // The first error is the one to tell; a part that cannot be removed is the smaller evil.
        let _ = std::fs::remove_file(&part);
        SaveError {
            path: path.into(),
            source,
        }
    })
}

/// The bytes of a file, and no more than any artifact has.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.into(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed, to tell "too large" from "just so"; devices have no length to ask for.
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST + 1), &mut bytes).map_err(failed)?;
    Ok(bytes)
}

pub(crate) fn write_calibration(out: &mut Vec<u8>, calibration: &Calibration) {
    out.extend(calibration.rows().to_le_bytes());
    out.extend((calibration.steps().len() as u32).to_le_bytes());
    for (score, rank) in calibration.steps() {
        out.extend(score.to_le_bytes());
        out.extend(rank.to_le_bytes());
    }
    out.push(u8::from(calibration.tail().is_some()));
    if let Some(tail) = calibration.tail() {
        let (start, rest) = tail.parts();
        out.extend(start.to_le_bytes());
        out.extend(rest.iter().flat_map(|part| part.to_le_bytes()));
    }
}

/// The bytes up to the first line feed, and those after it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
