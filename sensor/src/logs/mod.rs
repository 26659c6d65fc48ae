//! Windows Security events: what hosts say of logons, processes, services and shares, beside what the network shows.
//!
//! ```text
//! file ──▶ read ──Event──▶ context ──Row──▶ logs.csv
//!                             └──▶ rules ──Finding──▶ incidents
//! ```
//!
//! Logs come as EVTX, as JSON lines of several shippers and as CSV of several exports; all end up as [`Event`]s. Damaged
//! files give what was readable, and [`Losses`] say what was not.

mod context;
mod csv;
mod event;
mod evtx;
mod json;
mod losses;
mod message;
mod read;
mod recent;
mod rules;
mod stamp;
mod words;

pub use self::{
    context::{COLUMNS, Column, Context, Row},
    event::{Event, Field},
    losses::{Loss, Losses},
    read::{Format, ReadError, Report, inputs, read},
    rules::{Finding, Findings, Kind},
};
