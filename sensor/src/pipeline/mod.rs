//! The one place that names the stages: capture, flow, context, features, score, sink. One thread does all packet
//! and flow work, without async.

mod input;
mod offline;
mod sample;
mod source;
mod stages;
mod table;
mod watch;

pub use self::{
    input::{Spooled, check, is_table, spool},
    offline::{
        Error, Learned, Pass, Summary, Tick, Training, flows, score_capture, train_on_captures,
    },
    sample::Sample,
    source::{Health, Seen, Source},
    stages::{Batch, Settings, Stages},
    table::{Table, TableError},
    watch::{Learning, Listener, Watch, Watched},
};
