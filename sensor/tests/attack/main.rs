//! A SYN flood from invented sources: memory stays bounded, every packet is accounted for, a scan in its middle is told, and
//! all is as before once it is over.

mod carpet;
mod sensor_under_attack;
mod traffic;

use std::sync::OnceLock;

use model::Model;
use sensor::{
    config::{Config, Layers},
    context, flow, pipeline,
    score::Kind,
};

use crate::{
    sensor_under_attack::{Attacked, learn},
    traffic::{Flood, SCANNER, SECOND, START, VICTIM, epochs, merged, ordinary, scan},
};

/// Memory that a sensor is told to keep to, and this process with its generator of packets does.
const MEMORY_BYTES: u64 = 1 << 30;
static MODEL: OnceLock<Model> = OnceLock::new();

/// As a configuration with this `limits.memory` says.
fn within(memory_bytes: u64) -> pipeline::Settings {
    let mut layers = Layers::default();
    layers
        .flag("limits.memory", &memory_bytes.to_string(), "--set")
        .expect("a key");
    let limits = Config::from_layers(&layers).expect("valid").limits;
    pipeline::Settings {
        flow: flow::Settings {
            capacity: limits.flows,
            emergency: Some(flow::Emergency::of_capacity(limits.flows)),
            ..flow::Settings::default()
        },
        context: context::Settings {
            hosts: limits.hosts,
            conversations: limits.conversations,
        },
        epoch_flows: limits.epoch_flows as usize,
        ..pipeline::Settings::default()
    }
}

/// A minute of ordinary traffic with a flood of `packets` from its fifth second, in which a scan is hidden. Answers what a
/// sensor made of it and when the flood ended.
fn attacked(
    settings: &pipeline::Settings,
    packets: u64,
    rate: u64,
    answers: u64,
    live: bool,
) -> (Attacked<'static>, u64, u64) {
    let model = MODEL.get_or_init(|| learn(settings));
    let flood = Flood::new(START + 5 * SECOND, packets, rate, answers);
    let end = flood.end();
    let middle = START + 5 * SECOND + (end - START - 5 * SECOND) / 2;
    let mut others = ordinary(3, START, (end - START) / SECOND + 10, 40);
    others.extend(scan(VICTIM, middle, 400, 200));
    others.sort_by_key(|(time, _)| *time);
    let mut sensor = Attacked::new(settings, model);
    let sent = epochs(merged(flood, others), settings.epoch_flows, live, |epoch| {
        sensor.observe(epoch);
    });
    sensor.finish();
    (sensor, sent, end)
}

fn check(settings: &pipeline::Settings, sensor: &Attacked<'_>, sent: u64, end: u64) {
    // Every packet is in the ledger, and every packet of a flow is in a record or in an aggregate.
    assert_eq!(sensor.ledger().seen, sent);
    assert_eq!(sensor.ledger().unaccounted(), 0);
    assert_eq!(sensor.ledger().overflow(), 0);
    let stats = sensor.stats();
    assert_eq!(
        sensor.packets_in_records + stats.aggregated.packets,
        sensor.ledger().counted
    );
    assert_eq!(sensor.packets_in_aggregates, stats.aggregated.packets);
    assert!(stats.aggregated.flows > 0 && stats.pressed > 0);
    // The table never held more half-open flows than its share and what one epoch may let in.
    let emergency = settings
        .flow
        .emergency
        .expect("half-open flows are bounded");
    let share = emergency.half_open;
    assert!(
        sensor.half_open_most <= share + share / 4,
        "{}",
        sensor.half_open_most
    );
    // Nobody who talks was ended for want of room.
    assert_eq!(sensor.cut_short, 0, "ordinary flows ended for want of room");
    // One incident for the flood, with all of it, and the scan is told apart.
    let floods = sensor.incidents_of(Kind::Flood);
    assert_eq!(floods.len(), 1, "{floods:?}");
    assert_eq!(floods[0].0, VICTIM);
    let scans = sensor.incidents_of(Kind::PortScanVertical);
    assert_eq!(
        scans.iter().map(|scan| scan.0).collect::<Vec<_>>(),
        [SCANNER],
        "{scans:?}"
    );
    // Over when the flood is over.
    let relieved = sensor.relieved.expect("the pressure ends");
    assert!(
        relieved <= (end >> 29) + 2,
        "{} epochs late",
        relieved - (end >> 29)
    );
}

#[test]
fn a_flood_is_bounded_told_once_and_over_when_it_ends() {
    let settings = pipeline::Settings::default();
    let (sensor, sent, end) = attacked(&settings, 1_000_000, 200_000, 0, false);
    check(&settings, &sensor, sent, end);
    let [(_, flows)] = sensor.incidents_of(Kind::Flood)[..] else {
        panic!()
    };
    assert!(flows > 990_000, "{flows}");
}

#[test]
fn also_where_the_victim_answers() {
    let settings = pipeline::Settings::default();
    let (sensor, sent, end) = attacked(&settings, 500_000, 150_000, 1, false);
    check(&settings, &sensor, sent, end);
}

/// Live sources hand over empty epochs too; the decisions are the same, and two runs of one traffic are.
#[test]
fn live_and_replay_decide_alike() {
    let settings = pipeline::Settings::default();
    let (replay, ..) = attacked(&settings, 300_000, 200_000, 0, false);
    let (live, ..) = attacked(&settings, 300_000, 200_000, 0, true);
    assert_eq!(replay.digest(), live.digest());
}

/// The size that the sensor is built for: a hundred million packets at a million a second, in bounded memory. By itself, as
/// memory is that of the process:
///
/// `cargo test --release -p sensor --test attack -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn a_hundred_million_packets_in_bounded_memory() {
    let settings = within(MEMORY_BYTES);
    let packets: u64 = 100_000_000;
    let begun = std::time::Instant::now();
    let (sensor, sent, end) = attacked(&settings, packets, 1_000_000, 0, true);
    check(&settings, &sensor, sent, end);
    let [(_, flows)] = sensor.incidents_of(Kind::Flood)[..] else {
        panic!("one flood");
    };
    let resident = resident_most_bytes();
    println!(
        "{sent} packets in {:.0?}: at most {} MiB resident; {} flow records, {} packets by prefix, {flows} flows in the incident, \
         relieved {} epochs after the end",
        begun.elapsed(),
        resident >> 20,
        sensor.stats().begun,
        sensor.stats().aggregated.packets,
        sensor.relieved.unwrap_or_default() - (end >> 29),
    );
    assert!(flows > packets * 99 / 100);
    assert!(resident < MEMORY_BYTES, "{resident} bytes resident");
}

/// The most memory this process ever had resident (proc_pid_status(5), `VmHWM`).
fn resident_most_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .expect("Linux says how much memory a process had")
        << 10
}
