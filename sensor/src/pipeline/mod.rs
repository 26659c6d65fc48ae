//! The one place that names the stages: capture, flow, context, features, score, sink. One thread does all packet
//! and flow work, without async.

mod coverage;
mod desk;
pub mod evidence;
mod foreign;
mod input;
mod labelled;
mod listener;
mod logs;
mod offline;
mod report;
mod retrain;
mod sample;
mod source;
mod stages;
mod table;
mod watch;

pub use self::{
    coverage::Coverage,
    desk::{Desk, Inbox, Post, Subscriptions},
    foreign::{Encoder, Foreign, ForeignError, some},
    input::{Spooled, check, is_table, spool},
    labelled::{LabelledTable, Labels, TalkColumns, is_attack},
    listener::{Both, Learning, Listener, News, Watched},
    logs::HostLogs,
    offline::{
        Error, Learned, Pass, Summary, Tick, Training, flows, score_capture, train_on_captures,
    },
    retrain::{Memory, Retraining},
    sample::Sample,
    source::{Health, LiveCapture, Seen, Source},
    stages::{Settings, Stages},
    table::{Table, TableError},
    watch::{Adjustment, Watch},
};
pub use crate::features::Batch;
