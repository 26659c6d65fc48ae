//! Windows Security events: what hosts say of logons, processes, services and shares, beside what the network shows.
//!
//! ```text
//! file ──▶ read ──Event──▶ context ──Row──▶ logs.csv
//!                             └──▶ rules ──Finding──▶ incidents
//! ```
//!
//! Logs come as EVTX, as JSON lines of several shippers and as CSV of several exports; all end up as [`Event`]s. Damaged
//! files give what was readable, and [`Losses`] say what was not.

mod clock;
mod connections;
mod context;
mod csv;
mod doc;
mod event;
mod evtx;
mod follow;
mod hosts;
mod join;
mod json;
mod kind;
mod losses;
mod message;
mod read;
mod recent;
mod rules;
mod stamp;
mod tail;
mod techniques;
mod view;
mod words;

pub use self::{
    clock::Offset,
    connections::Process,
    context::{COLUMNS, Column, Context, Row},
    doc::markdown,
    event::{Event, Field},
    follow::Follow,
    hosts::Hosts,
    join::{Join, JoinReport},
    kind::Kind,
    losses::{Loss, Losses},
    read::{Format, ReadError, Report, inputs, read},
    rules::{Finding, Findings},
    view::View,
};
