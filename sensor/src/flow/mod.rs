//! Bidirectional flows: the [`Table`] that merges epochs into [`FlowRecord`]s and decides when a flow is due for
//! scoring, and the names the field gives to what a flow did ([`FlowRecord::conn_state`], Community ID).

mod boundary;
pub mod community_id;
mod originator;
mod pressure;
mod progress;
mod record;
mod settings;
mod slot;
mod state;
mod table;

pub(crate) use boundary::end_of;
pub(crate) use pressure::network;
pub use pressure::{Aggregate, Aggregated, Prefix};
pub use progress::{Change, change};
pub use record::{
    ARP, FlowEndReason, FlowRecord, Note, ip_address, key_address, protocol_name, protocol_numbers,
};
pub use settings::{Emergency, Settings, Stats};
pub use state::ConnState;
pub use table::Table;
