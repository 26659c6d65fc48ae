//! Flow records as rows of numbers. One declared table ([`TABLE`]) says what each number is; the schema, the CSV
//! header, the documentation and the extraction all come from it.
//!
//! A feature that cannot be known is NaN ("missing"), never 0: the gap between packets of a flow with one packet,
//! the TCP flags of a UDP flow, the neighbourhood of a host that the context had to forget.

mod batch;
mod calendar;
mod doc;
mod input;
mod table;

use model::{Column, Schema};

pub(crate) use self::calendar::{day, week};
use self::input::Input;
pub use self::{
    batch::Batch,
    doc::markdown,
    table::{COUNT, TABLE},
};
use crate::{context::ContextView, flow::FlowRecord, logs::View};

/// One value for each feature of [`TABLE`], in its order; raw units, NaN where missing.
pub type Row = [f32; COUNT];

/// What a feature is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Who talks to whom, by which service.
    Identity,
    /// How much, how fast, in which direction.
    Volume,
    /// Packet lengths.
    Length,
    /// Times between packets.
    Timing,
    /// TCP flags, windows and states; TTL.
    Protocol,
    /// Time of day and of the week.
    Calendar,
    /// What the originator did lately.
    Source,
    /// What was done to the responder lately.
    Destination,
    /// What went on before between these two about this service.
    Conversation,
    /// What the logs of the two hosts say.
    Log,
}

impl Family {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Identity,
        Self::Volume,
        Self::Length,
        Self::Timing,
        Self::Protocol,
        Self::Calendar,
        Self::Source,
        Self::Destination,
        Self::Conversation,
        Self::Log,
    ];

    /// Name as a heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Volume => "Volume",
            Self::Length => "Packet lengths",
            Self::Timing => "Timing",
            Self::Protocol => "Protocol behaviour",
            Self::Calendar => "Calendar",
            Self::Source => "Source host",
            Self::Destination => "Destination host",
            Self::Conversation => "Conversation",
            Self::Log => "Host logs",
        }
    }
}

/// How the model places a raw value on an axis; see [`model::Transform`].
pub use model::Transform;

/// One line of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feature {
    /// Column name, unique.
    pub name: &'static str,
    /// Unit of the raw value, `1` for a number without one.
    pub unit: &'static str,
    /// What it is about.
    pub family: Family,
    /// Axis along which the model cuts.
    pub transform: Transform,
    /// Whether the model sees it. The others are for people and for other models: a raw port number or the hour
    /// of a capture that lasts ten minutes would only teach a forest where the training traffic happened to be.
    pub model: bool,
    /// Whether the model only knows what is usual for it, and its trees do not cut it: what a behaviour detector tests.
    pub aside: bool,
    /// Where the definition comes from.
    pub source: &'static str,
    /// What it is, and when it is missing.
    pub about: &'static str,
}

/// Number of features that the model sees.
pub const MODEL_COUNT: usize = {
    let mut count = 0;
    let mut at = 0;
    while at < COUNT {
        count += TABLE[at].model as usize;
        at += 1;
    }
    count
};

/// Index in [`TABLE`] of each column that the model sees.
pub const MODEL_COLUMNS: [usize; MODEL_COUNT] = {
    let mut columns = [0; MODEL_COUNT];
    let (mut at, mut column) = (0, 0);
    while at < COUNT {
        if TABLE[at].model {
            columns[column] = at;
            column += 1;
        }
        at += 1;
    }
    columns
};

/// Columns that tell which flows are peers: the kind of service, and the roles of the two hosts as far as addresses tell.
pub const PEERS: [&str; 3] = ["service_class", "src_private", "dst_private"];

/// Position of the IP protocol in [`TABLE`].
pub const PROTOCOL: usize = {
    let mut at = 0;
    while !matches!(TABLE[at].name.as_bytes(), b"protocol") {
        at += 1;
    }
    at
};

/// Whether models are asked about this row. They learn what IP flows are like; a flow of another protocol ([`crate::flow::ARP`])
/// has no IP protocol, and would teach them that a missing number is nothing unusual.
#[inline]
pub fn is_judged(row: &Row) -> bool {
    !row[PROTOCOL].is_nan()
}

/// The columns that the model sees, in order: what it is trained on and what it must be given.
pub fn schema() -> Schema {
    let column = |at: &usize| {
        let Feature {
            name,
            unit,
            transform,
            aside,
            ..
        } = TABLE[*at];
        let column = Column::new(name, unit, transform);
        if aside { column.aside() } else { column }
    };
    Schema::new(MODEL_COLUMNS.iter().map(column).collect())
}

/// The values of [`schema`]'s columns.
#[inline]
pub fn model_row(row: &Row) -> [f32; MODEL_COUNT] {
    std::array::from_fn(|column| row[MODEL_COLUMNS[column]])
}

/// Position of a feature in [`TABLE`].
pub fn position(name: &str) -> Option<usize> {
    TABLE.iter().position(|feature| feature.name == name)
}

/// Computes every feature of `record`, given what the context knows around it.
pub fn extract(record: &FlowRecord, context: &ContextView) -> Row {
    let mut row = [0.0; COUNT];
    extract_into(record, context, &mut row);
    row
}

/// As [`extract`], to where the row stays.
pub(crate) fn extract_into(record: &FlowRecord, context: &ContextView, row: &mut Row) {
    table::fill::<true>(&Input::new(record, context), row);
}

/// Values that the context tells, in a [`Row`].
pub type Around = [f32; AROUND_END - AROUND_FROM];

/// First feature that the context tells, not the flow itself; all behind it are the context's too, but for what logs say.
const AROUND_FROM: usize = {
    let mut at = 0;
    while !matches!(TABLE[at].family, Family::Source) {
        at += 1;
    }
    at
};
const AROUND_END: usize = LOG_FROM;

/// What the context told when this row was computed.
pub(crate) fn around(row: &Row) -> &Around {
    row[AROUND_FROM..AROUND_END]
        .first_chunk()
        .expect("all of it")
}

/// As [`extract_into`], with what the context told earlier.
pub(crate) fn extract_again(record: &FlowRecord, around: &Around, row: &mut Row) {
    table::fill::<false>(&Input::new(record, &ContextView::UNKNOWN), row);
    row[AROUND_FROM..AROUND_END].copy_from_slice(around);
}

/// Where [`Family::Log`] begins in a [`Row`].
const LOG_FROM: usize = COUNT - View::COUNT;

/// Puts into a row what logs say of the flow; until then these features are missing.
pub fn fill_log(row: &mut Row, view: &View) {
    row[LOG_FROM..].copy_from_slice(&view.values());
}

#[cfg(test)]
mod tests;
