//! The sinks that tell people and fleets, against receivers that answer as real ones do, and as broken ones do: an HTTP
//! receiver of our own, aiosmtpd and redis-server.

#![cfg(target_os = "linux")]

#[path = "../cli_support/mod.rs"]
mod cli_support;
#[path = "../support/nobody.rs"]
mod nobody;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/program.rs"]
mod program;

mod command;
mod made;
mod mail;
mod receiver;
mod redis_server;
mod through;
mod webhook;
