//! What leaves the program: CSV, JSON, the terminal, the HTML report, the embedded store, conn.log, IPFIX. Names outside are chosen only here.

pub mod alert;
pub mod bundle;
pub mod conn_log;
pub mod csv;
pub mod ecs;
pub mod escape;
pub mod evaluation;
pub mod eve;
pub mod flows;
pub mod ipfix;
pub mod json;
pub mod mail;
pub mod message;
pub mod notify;
pub mod outlet;
pub mod plot;
pub mod redis_stream;
pub mod report;
pub mod rollup;
pub mod store;
pub mod summary;
pub mod syslog;
pub mod table;
pub mod told;
pub mod webhook;
pub mod zeek;
