//! Sinks against real receivers, and against receivers that fail: over real sockets and real processes.

#[cfg(unix)]
mod datagrams;
mod forms;
mod made;
#[cfg(target_os = "linux")]
#[path = "../support/ports.rs"]
mod ports;
#[cfg(target_os = "linux")]
#[path = "../support/program.rs"]
mod program;
mod receiver;
#[cfg(target_os = "linux")]
mod rsyslog;
#[cfg(target_os = "linux")]
mod stdout;
mod survives;
mod under_load;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Sender, bounded};
use made::alert;
use sensor::{
    metrics::Metrics,
    score::Severity,
    sink::{
        message::{Message, Wants},
        outlet::{Bounds, Deliver, Encode, OutletSpec, Outlets, Settings},
        syslog::{Format, Syslog},
    },
};

/// Only a hang takes so long.
const HANGING: Duration = Duration::from_secs(120);

/// The number in a syslog message.
fn number(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" id=\"")?;
    u64::from_str_radix(rest.get(..16)?, 16).ok()
}

fn format() -> Format {
    Format {
        facility: 16,
        hostname: "sensor-1".to_owned(),
        longest_bytes: 2048,
        least: Severity::Low,
    }
}

fn outlets(folder: &Path, metrics: &Metrics) -> Outlets {
    let settings = Settings {
        folder: Some(folder.to_owned()),
        bounds: Bounds {
            memory_bytes: 1 << 20,
            disk_bytes: 256 << 20,
        },
        first_retry: Duration::from_millis(10),
        longest_retry: Duration::from_millis(200),
        ..Settings::default()
    };
    Outlets::new(settings, metrics, Arc::new(|_: &str| ()))
}

/// Starts a sink of incidents.
fn start(
    outlets: &mut Outlets,
    name: &'static str,
    encode: Box<dyn Encode>,
    deliver: Box<dyn Deliver>,
) -> Sender<Message> {
    let (queue, inbox) = bounded(64);
    let spec = OutletSpec {
        name,
        folder: name.to_owned(),
        target: "a test".to_owned(),
        wants: Wants::ALERTS,
        encode,
        deliver,
        batch: 2048,
        gather: Duration::from_millis(20),
    };
    outlets.start(spec, inbox).expect("starts");
    queue
}

fn syslog() -> Box<dyn Encode> {
    Box::new(Syslog(format()))
}

fn pause(time: Duration) {
    let (_end, never) = bounded::<()>(0);
    let _ = never.recv_timeout(time);
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < HANGING, "never: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Fails unless each number below `count` came, and says which did not.
fn expect_each(came: &BTreeMap<u64, u32>, count: u64) {
    let missing: Vec<_> = (0..count).filter(|one| !came.contains_key(one)).collect();
    assert!(
        missing.is_empty() && came.len() as u64 == count,
        "{} of {count} are missing: {:?}; {} came",
        missing.len(),
        &missing[..missing.len().min(10)],
        came.len()
    );
}
