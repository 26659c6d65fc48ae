//! Bidirectional flows: the [`Table`] that merges epochs into [`FlowRecord`]s and decides when a flow is due for
//! scoring, and the names the field gives to what a flow did ([`FlowRecord::conn_state`], Community ID).

mod address;
mod boundary;
pub mod community_id;
mod originator;
mod pressure;
mod progress;
mod protocol;
mod record;
mod settings;
mod slot;
mod state;
mod table;

pub(crate) use address::v4;
pub use address::{ip_address, is_group, is_private, key_address};
pub(crate) use boundary::end_of;
pub(crate) use pressure::network;
pub use pressure::{Aggregate, Aggregated, Prefix};
pub use progress::{Change, change};
pub use protocol::{
    ARP, has_ports, is_icmp, protocol_name, protocol_number, protocol_numbers, protocol_text,
    service_text,
};
pub use record::{FlowEndReason, FlowRecord, Note};
pub use settings::{Emergency, Settings, Stats};
pub use state::ConnState;
pub use table::Table;
