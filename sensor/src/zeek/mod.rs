//! Zeek's connection logs: reading them in all their shapes, and what they tell about a connection.

mod conn;
mod files;
mod header;
pub mod history;
mod lines;
mod log;
mod losses;
mod record;

pub use self::{
    conn::{Conn, Endpoint},
    files::{conn_logs, is_conn_log, is_in_use},
    history::History,
    log::{ConnLog, LogError},
    losses::{Losses, Reason},
};
