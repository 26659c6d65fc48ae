//! Where the features that detectors look at stand, in a row and in the model.

use model::Model;

use crate::features::{Row, TABLE};

/// Position of a feature; a name that is none does not compile.
pub(super) const fn at(name: &str) -> usize {
    let wanted = name.as_bytes();
    let mut index = 0;
    while index < TABLE.len() {
        let name = TABLE[index].name.as_bytes();
        let mut same = name.len() == wanted.len();
        let mut byte = 0;
        while same && byte < wanted.len() {
            same = name[byte] == wanted[byte];
            byte += 1;
        }
        if same {
            return index;
        }
        index += 1;
    }
    panic!("no feature of this name")
}

/// A feature that the model knows the usual values of; another does not compile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) feature: usize,
    column: usize,
}

pub(super) const fn known(name: &str) -> Known {
    let feature = at(name);
    assert!(TABLE[feature].model, "the model does not see this feature");
    let (mut index, mut column) = (0, 0);
    while index < feature {
        column += TABLE[index].model as usize;
        index += 1;
    }
    Known { feature, column }
}

impl Known {
    /// Value in this row.
    #[inline]
    pub(super) fn of(self, row: &Row) -> f32 {
        row[self.feature]
    }

    /// p-value of the row's value by itself: share of the baseline with at least as much.
    pub(super) fn tail(self, model: &Model, row: &Row) -> f64 {
        self.tail_of(model, row[self.feature])
    }

    /// The same for another value.
    pub(super) fn tail_of(self, model: &Model, value: f32) -> f64 {
        model.upper_tail(self.column, value)
    }

    /// p-value of the row's category by itself: share of the baseline in categories at most as common.
    pub(super) fn rarity(self, model: &Model, row: &Row) -> f64 {
        model.category_tail(self.column, row[self.feature])
    }

    /// The row's value and the 99 % quantile of the baseline, for a sentence.
    pub(super) fn measure(self, model: &Model, row: &Row) -> Measure {
        Measure {
            feature: self.feature,
            value: row[self.feature],
            usual: model.usual(self.column)[2],
        }
    }
}

/// A number that spoke for an incident, with what is usual for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Position of the feature in [`TABLE`].
    pub feature: usize,
    /// Its value, raw unit.
    pub value: f32,
    /// 99 % quantile of the baseline, raw unit; NaN where it was never known.
    pub usual: f32,
}
