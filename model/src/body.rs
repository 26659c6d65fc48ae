//! Reading the binary body of an artifact, believing nothing.

use crate::artifact::{LEAF, LoadError};
use crate::autoencoder::{Autoencoder, Layer, MAX_LAYERS};
use crate::baseline::{INTERVALS, MAX_CATEGORIES, Profile};
use crate::calibrate::{Calibration, Tail};
use crate::ensemble::{Ensemble, Weights};
use crate::forest::{Forest, LEAVES, LEVELS, LevelTree, Node, Trees};
use crate::groups::{Group, Groups, MOST_COLUMNS};
use crate::quantise::{Cuts, MAX_CUTS};

/// What is left of a body.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl Body<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or(LoadError::Body("ends early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, LoadError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, LoadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, LoadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, LoadError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, LoadError> {
        self.array().map(f32::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, LoadError> {
        self.array().map(f64::from_le_bytes)
    }

    /// `count` items of at least `size` bytes each; refused before memory is taken if they cannot all be there.
    pub(crate) fn list<T>(
        &mut self,
        count: usize,
        size: usize,
        item: impl Fn(&mut Self) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        if count
            .checked_mul(size)
            .is_none_or(|bytes| bytes > self.0.len())
        {
            return Err(LoadError::Body("ends early"));
        }
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) fn profile(&mut self, transform: crate::Transform) -> Result<Profile, LoadError> {
        let knots = self.list(INTERVALS + 1, 4, Self::f32)?;
        let count = self.u32()? as usize;
        if count > MAX_CATEGORIES {
            return Err(LoadError::Body("too many categories"));
        }
        let counts = self.list(count, 8, |body| Ok((body.f32()?, body.u32()?)))?;
        Profile::assemble(transform, knots, &counts).ok_or(LoadError::Body("impossible baseline"))
    }

    pub(crate) fn cuts(&mut self) -> Result<Cuts, LoadError> {
        let count = usize::from(self.u8()?);
        let cuts = self.list(count, 4, Self::f32)?;
        let sound = cuts.len() <= MAX_CUTS
            && cuts.iter().all(|cut| cut.is_finite())
            && cuts.windows(2).all(|pair| pair[0] < pair[1]);
        sound
            .then_some(cuts)
            .ok_or(LoadError::Body("impossible cuts"))
    }

    pub(crate) fn forest(&mut self, columns: usize) -> Result<Forest, LoadError> {
        let shape = self.u8()?;
        let trees = self.u32()? as usize;
        let rows_per_tree = self.u32()?;
        let trees = match shape {
            0 => Trees::LevelShared(self.list(
                trees,
                LEVELS * 2 + LEAVES - 1 + LEAVES * 4,
                Self::level_tree,
            )?),
            1 => Trees::Ordinary(self.list(trees, 4 + 6, |body| {
                let nodes = body.u32()? as usize;
                body.list(nodes, 3, Self::node)
            })?),
            _ => return Err(LoadError::Body("unknown form of trees")),
        };
        Forest::new(trees, columns, rows_per_tree).ok_or(LoadError::Body("impossible trees"))
    }

    fn level_tree(&mut self) -> Result<LevelTree, LoadError> {
        let mut columns = [0; LEVELS];
        for column in &mut columns {
            *column = self.u16()?;
        }
        let thresholds = self.list(LEAVES - 1, 1, Self::u8)?;
        let counts = self.list(LEAVES, 4, Self::u32)?;
        Ok(LevelTree {
            columns,
            thresholds,
            counts,
        })
    }

    fn node(&mut self) -> Result<Node, LoadError> {
        Ok(match self.u16()? {
            LEAF => Node::Leaf { count: self.u32()? },
            column => Node::Split {
                column,
                threshold: self.u8()?,
            },
        })
    }

    pub(crate) fn calibration(&mut self) -> Result<Calibration, LoadError> {
        let rows = self.u32()?;
        let count = self.u32()? as usize;
        let steps = self.list(count, 8, |body| Ok((body.f32()?, body.u32()?)))?;
        let tail = match self.u8()? {
            0 => None,
            1 => Some(Tail::from_parts(
                self.f32()?,
                [self.f64()?, self.f64()?, self.f64()?],
            )),
            _ => return Err(LoadError::Body("unknown form of tail")),
        };
        Calibration::assemble(rows, steps, tail).ok_or(LoadError::Body("impossible calibration"))
    }

    pub(crate) fn exemplars(&mut self, columns: usize) -> Result<crate::Rows, LoadError> {
        let count = self.u32()? as usize;
        if count > crate::exemplars::MOST {
            return Err(LoadError::Body("too many exemplars"));
        }
        let values = self.list(count * columns, 4, Self::f32)?;
        Ok(crate::Rows { values, columns })
    }

    /// What stands beside a forest with these cuts.
    pub(crate) fn ensemble(
        &mut self,
        weights: Weights,
        cuts: &[Cuts],
    ) -> Result<Option<Ensemble>, LoadError> {
        if !self.flag()? {
            return Ok(None);
        }
        let forest = self.calibration()?;
        let autoencoder = match self.flag()? {
            true => Some((self.autoencoder(cuts)?, self.calibration()?)),
            false => None,
        };
        Ok(Some(Ensemble {
            forest,
            autoencoder,
            groups: self.groups(cuts)?,
            weights,
        }))
    }

    fn flag(&mut self) -> Result<bool, LoadError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(LoadError::Body("unknown form of ensemble")),
        }
    }

    fn autoencoder(&mut self, cuts: &[Cuts]) -> Result<Autoencoder, LoadError> {
        const IMPOSSIBLE: LoadError = LoadError::Body("impossible autoencoder");
        let count = usize::from(self.u16()?);
        let columns = self.list(count, 10, |body| {
            let column = body.u16()?;
            let codes = cuts.get(usize::from(column)).ok_or(IMPOSSIBLE)?.len() + 1;
            Ok((column, body.list(codes, 4, Self::f32)?, body.f32()?))
        })?;
        let layers = usize::from(self.u8()?);
        if layers > MAX_LAYERS {
            return Err(IMPOSSIBLE);
        }
        let layers = self.list(layers, 8, |body| {
            let (inputs, outputs) = (usize::from(body.u16()?), usize::from(body.u16()?));
            let weights = body.list(inputs * outputs, 4, Self::f32)?;
            let bias = body.list(outputs, 4, Self::f32)?;
            Layer::new(inputs, outputs, &weights, &bias).ok_or(IMPOSSIBLE)
        })?;
        let (mut names, mut places, mut spread) = (Vec::new(), Vec::new(), Vec::new());
        for (column, of, usual) in columns {
            names.push(column);
            places.push(of);
            spread.push(usual);
        }
        Autoencoder::assemble(names, places, spread, layers, cuts).ok_or(IMPOSSIBLE)
    }

    fn groups(&mut self, cuts: &[Cuts]) -> Result<Option<Groups>, LoadError> {
        let columns = usize::from(self.u8()?);
        if columns == 0 {
            return Ok(None);
        }
        let columns = self.list(columns, 2, Self::u16)?;
        let count = usize::from(self.u8()?);
        let groups = self.list(count, 16 + cuts.len() * 12, |body| {
            let key: Vec<u32> = body.list(MOST_COLUMNS, 4, Self::u32)?;
            let of = |cuts: &Cuts| if cuts.is_empty() { 0 } else { cuts.len() + 1 };
            let surprisals = cuts
                .iter()
                .map(|cuts| body.list(of(cuts), 4, Self::f32))
                .collect::<Result<_, _>>()?;
            let usual = body.list(cuts.len(), 12, |body| {
                Ok([body.f32()?, body.f32()?, body.f32()?])
            })?;
            Ok(Group {
                key: std::array::from_fn(|at| key[at]),
                surprisals,
                usual,
                calibration: body.calibration()?,
            })
        })?;
        Groups::assemble(columns, groups, cuts)
            .map(Some)
            .ok_or(LoadError::Body("impossible peer groups"))
    }
}
