//! The stored form of a classifier: the frame of every artifact ([`crate::artifact`]) around a body of its own.
//!
//! ```text
//! anomaly-detect boosting 1\n
//! {"schema_digest":…,"schema":…,"info":…}\n
//! u64 length of the body, then the body:
//!     bins:         per column u8 form (0 ordered, 1 named), u8 n, n x f32
//!     base:         u16 n, n x f64
//!     trees:        u32 n, each: u16 nodes, u16 sets,
//!                     nodes x (u16 column, u8 kind, u8 threshold, 2 x u16 child, u16 set, f32 mean),
//!                     sets x 4 x u64, (nodes + 1) x f32
//!     calibration:  as the forest's
//! u32 CRC-32, 32 bytes SHA-256
//! ```

use super::bins::{Bins, MOST};
use super::tree::{Node, Tree};
use super::{BoostInfo, Classifier, MAX_CLASSES, outputs};
use crate::artifact::{
    LoadError, SaveError, frame, read_file, unframe, write_calibration, write_file,
};
use crate::baseline::ordered;
use crate::body::Body;
use crate::schema::hex;
use crate::train::MAX_COLUMNS;
use crate::{Schema, Transform};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// First bytes of every classifier.
const MAGIC: &[u8] = b"anomaly-detect boosting ";
/// Version this code writes, and the only one it reads.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema_digest: String,
    schema: Schema,
    info: BoostInfo,
}

impl Classifier {
    /// Whether these are the first bytes of a classifier, as opposed to a forest's or anything else's.
    pub fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// The stored form. Two trainings with one seed on the same rows give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            schema_digest: self.schema.digest(),
            schema: self.schema.clone(),
            info: self.info.clone(),
        };
        frame(MAGIC, VERSION, &header, &self.body())
    }

    /// SHA-256 of the stored form (without itself), in lower-case hexadecimal.
    pub fn digest(&self) -> String {
        let make = || {
            let bytes = self.to_bytes();
            hex(&bytes[bytes.len() - 32..])
        };
        self.digest.get_or_init(make).clone()
    }

    /// Writes the classifier to a file; no reader sees half of one.
    ///
    /// # Errors
    /// [`SaveError`] if the system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaveError> {
        write_file(path.as_ref(), &self.to_bytes())
    }

    /// Reads a classifier from a file.
    ///
    /// # Errors
    /// [`LoadError`] if the file cannot be read or does not hold a whole, undamaged classifier of this version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::from_bytes(&read_file(path.as_ref())?)
    }

    /// Reads a classifier back.
    ///
    /// # Errors
    /// [`LoadError`] if these are not the bytes of a whole, undamaged classifier of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        let (header, body) = unframe(bytes, MAGIC, VERSION)?;
        Self::from_parts(header, body)
    }

    /// Reads header and body; apart from [`Classifier::from_bytes`] so that tests reach it with whatever bytes.
    pub(super) fn from_parts(header: &[u8], body: &[u8]) -> Result<Self, LoadError> {
        let Header {
            schema_digest,
            schema,
            info,
        } = serde_json::from_slice(header).map_err(|error| LoadError::Header(error.to_string()))?;
        let columns = schema.len();
        if !(1..=MAX_COLUMNS).contains(&columns) {
            return Err(LoadError::Header(format!("{columns} columns")));
        }
        if schema_digest != schema.digest() {
            return Err(LoadError::Header("the schema's digest is another".into()));
        }
        if let Some(fault) = info.settings.fault() {
            return Err(LoadError::Header(fault.into()));
        }
        let sound = (2..=MAX_CLASSES).contains(&info.classes.len())
            && info.class_rows.len() == info.classes.len()
            && (info.words.is_empty() || info.words.len() == columns)
            && info.importance.len() == columns
            && info.sureness.is_sound();
        if !sound {
            return Err(LoadError::Header(
                "impossible classes, words or sureness".into(),
            ));
        }
        let mut body = Body(body);
        if body.u64()? != body.0.len() as u64 {
            return Err(LoadError::Body("length is wrong"));
        }
        let bins = schema
            .columns
            .iter()
            .map(|column| bins(&mut body, column.transform))
            .collect::<Result<Vec<Bins>, LoadError>>()?;
        let base = usize::from(body.u16()?);
        let base = body.list(base, 8, Body::f64)?;
        let count = body.u32()? as usize;
        let trees = body.list(count, 4 + 4, tree)?;
        let calibration = body.calibration()?;
        if !body.0.is_empty() {
            return Err(LoadError::Body("goes on after its end"));
        }
        let outputs = outputs(info.classes.len());
        if base.len() != outputs
            || base.iter().any(|logit| !logit.is_finite())
            || Some(trees.len()) != info.rounds.checked_mul(outputs)
            || !trees.iter().all(|tree| tree.is_sound(columns))
        {
            return Err(LoadError::Body("impossible trees"));
        }
        Ok(Self::assemble(schema, info, bins, base, trees, calibration))
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for bins in &self.bins {
            let (form, values) = match bins {
                Bins::Ordered(cuts) => (0, cuts),
                Bins::Named(names) => (1, names),
            };
            out.extend([form, values.len() as u8]);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        out.extend((self.base.len() as u16).to_le_bytes());
        out.extend(self.base.iter().flat_map(|logit| logit.to_le_bytes()));
        out.extend((self.trees.len() as u32).to_le_bytes());
        for tree in &self.trees {
            out.extend((tree.nodes.len() as u16).to_le_bytes());
            out.extend((tree.sets.len() as u16).to_le_bytes());
            for (node, mean) in tree.nodes.iter().zip(&tree.means) {
                out.extend(node.column.to_le_bytes());
                out.extend([node.kind, node.threshold]);
                out.extend(node.children.iter().flat_map(|child| child.to_le_bytes()));
                out.extend(node.set.to_le_bytes());
                out.extend(mean.to_le_bytes());
            }
            out.extend(
                tree.sets
                    .iter()
                    .flatten()
                    .flat_map(|part| part.to_le_bytes()),
            );
            out.extend(tree.leaves.iter().flat_map(|leaf| leaf.to_le_bytes()));
        }
        write_calibration(&mut out, &self.calibration);
        out
    }
}

fn bins(body: &mut Body<'_>, transform: Transform) -> Result<Bins, LoadError> {
    let form = body.u8()?;
    let count = usize::from(body.u8()?);
    let values = body.list(count, 4, Body::f32)?;
    let ascending = values
        .windows(2)
        .all(|pair| ordered(pair[0]) < ordered(pair[1]));
    let sound = count <= MOST && ascending && values.iter().all(|value| !value.is_nan());
    match (form, transform) {
        (1, Transform::Categorical) if sound => Ok(Bins::Named(values)),
        // One less: the code after the last cut must be a byte too.
        (0, Transform::Linear | Transform::SignedLog | Transform::Time)
            if sound && count < MOST =>
        {
            Ok(Bins::Ordered(values))
        }
        _ => Err(LoadError::Body("impossible bins")),
    }
}

fn tree(body: &mut Body<'_>) -> Result<Tree, LoadError> {
    let (nodes, sets) = (usize::from(body.u16()?), usize::from(body.u16()?));
    let both = body.list(nodes, 14, |body| {
        let node = Node {
            column: body.u16()?,
            kind: body.u8()?,
            threshold: body.u8()?,
            children: [body.u16()? as i16, body.u16()? as i16],
            set: body.u16()?,
        };
        Ok((node, body.f32()?))
    })?;
    let (nodes, means): (Vec<Node>, Vec<f32>) = both.into_iter().unzip();
    let sets = body.list(sets, 32, |body| {
        Ok([body.u64()?, body.u64()?, body.u64()?, body.u64()?])
    })?;
    let leaves = body.list(nodes.len() + 1, 4, Body::f32)?;
    Ok(Tree {
        nodes,
        means,
        sets,
        leaves,
    })
}
