//! The sensor. Data runs one way:
//!
//! ```text
//! capture ──Epoch──▶ flow ──Due──▶ context ──▶ features ──Row──▶ score ──Scored──▶ sink
//! ```
//!
//! A stage knows the type it consumes and not the stage it came from; [`pipeline`] alone names more than two of
//! them. [`attack`], [`config`], [`metrics`] and [`time`] are leaves.

pub mod attack;
mod bounded;
#[cfg(target_os = "linux")]
mod capabilities;
pub mod capture;
pub mod cli;
pub mod config;
pub mod context;
pub mod features;
pub mod flow;
pub mod intel;
pub mod learn;
mod lines;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod pipeline;
pub mod resources;
pub mod score;
pub mod serve;
pub mod sink;
pub mod time;
pub mod zeek;
