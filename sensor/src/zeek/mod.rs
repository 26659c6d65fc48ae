//! Zeek's connection logs: reading them in all their shapes, and what they tell about a connection.

mod beside;
mod columns;
mod conn;
mod digest;
mod files;
mod header;
pub mod history;
mod log;
mod losses;
mod memory;
mod record;
mod service;
mod stream;
mod table;
mod verdict;

use model::{Column, Schema};

pub use self::{
    beside::Application,
    conn::{Conn, Endpoint},
    digest::{Content, content},
    files::{conn_logs, is_conn_log, is_in_use},
    history::History,
    log::{ConnLog, LogError},
    losses::{Loss, Losses},
    stream::{Featured, Stream},
    table::{COUNT, TABLE},
    verdict::{Judge, Reason, Verdict, explain},
};

/// One value for each feature of [`TABLE`], in its order; raw units, NaN where missing.
pub type Row = [f32; COUNT];

/// The columns that the model sees, in order.
pub fn schema() -> Schema {
    let seen = TABLE.iter().filter(|feature| feature.model);
    let column = |feature: &crate::features::Feature| {
        Column::new(feature.name, feature.unit, feature.transform)
    };
    Schema::new(seen.map(column).collect())
}

/// Appends the values of [`schema`]'s columns.
pub fn push_model_row(row: &Row, values: &mut Vec<f32>) {
    let seen = TABLE.iter().zip(row).filter(|(feature, _)| feature.model);
    values.extend(seen.map(|(_, value)| *value));
}

/// How a model of connection logs is grown unless somebody says otherwise: as the commands' configuration has it.
pub fn model_settings() -> model::Settings {
    model::Settings {
        shape: model::Shape::Ordinary,
        ..model::Settings::default()
    }
}
