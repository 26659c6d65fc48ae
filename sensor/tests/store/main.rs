//! The store while a sensor writes: what is told arrives, what people do is heeded, a crash or a full disk takes no more than it must.

#[path = "../learning/made.rs"]
mod made;

#[path = "../cli_support/mod.rs"]
mod cli_support;

mod bounded;
mod commands;
mod crash;
mod muted;
mod queries;
mod sensor;
mod untold;
mod written;
