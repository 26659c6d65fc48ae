//! Flows as IPFIX (RFC 7011), both directions in one record (RFC 5103) or one record for each.
//!
//! Data runs `FlowRecord -> Encoder -> parcel -> Session -> message -> Courier -> collector`. A *parcel* is Data Sets without a
//! message around them: which sequence number and export time they go out with is known only when they go, and those that wait
//! on disk for a collector to come back belong to no transport session yet.
//!
//! All elements are IANA's, and those of [`REVERSE_PEN`]. There is none for an anomaly score, and this project has no enterprise
//! number to define one under, so scores are not exported here.

mod courier;
mod encoder;
mod field;
mod outlet;
mod session;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(not(target_os = "linux"))]
#[path = "socket_other.rs"]
mod socket;
mod template;

pub use self::{
    courier::{Courier, SendError, Sent},
    encoder::{Encoder, Form},
    outlet::outlet,
    session::{Damaged, Refresh, Session},
    template::{Element, REVERSE_PEN, Shape},
};

/// Bytes of a message's header (RFC 7011 §3.1).
pub const HEADER_BYTES: usize = 16;
/// Bytes of a set's header (RFC 7011 §3.3.2).
pub const SET_HEADER_BYTES: usize = 4;
/// Set id of templates (RFC 7011 §3.3.2).
pub const TEMPLATE_SET: u16 = 2;
/// Version in a message's header (RFC 7011 §3.1).
pub const VERSION: u16 = 10;
