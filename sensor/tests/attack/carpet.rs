//! Floods that are spread over the hosts of a network: one incident, that of the network.

use std::net::Ipv4Addr;

use sensor::{
    flow, pipeline,
    score::{Extent, Incident, Kind},
};

use crate::{
    MODEL,
    sensor_under_attack::{Attacked, learn},
    traffic::{Dice, SECOND, START, SYN, Tcp, VICTIM, epochs, merged, ordinary},
};

/// 10.9.8.0/24
const NETWORK: u32 = 0x0a09_0800;
/// A source of its own.
const SOURCE: u32 = 0xc612_0001;

/// `packets` SYNs, `rate` a second, each as `to` and `from` say for its number and a random number.
fn syns(
    packets: u64,
    rate: u64,
    each: impl Fn(u64, u64) -> ((u32, u16), (u32, u16)),
) -> Vec<(u64, Tcp)> {
    let mut dice = Dice(11);
    (0..packets)
        .map(|number| {
            let (from, to) = each(number, dice.next());
            let syn = Tcp {
                from,
                to,
                flags: SYN,
                payload: 0,
            };
            (START + 5 * SECOND + number * SECOND / rate, syn)
        })
        .collect()
}

/// Any unicast address and port.
fn invented(dice: u64) -> (u32, u16) {
    (
        (dice as u32 % 0xdf00_0000) + 0x0100_0000,
        (dice >> 40) as u16 | 1024,
    )
}

/// What a sensor made of these packets amid ordinary traffic.
fn seen(attack: Vec<(u64, Tcp)>) -> Attacked<'static> {
    seen_with(&pipeline::Settings::default(), attack)
}

fn seen_with(settings: &pipeline::Settings, attack: Vec<(u64, Tcp)>) -> Attacked<'static> {
    let model = MODEL.get_or_init(|| learn(settings));
    let seconds = (attack.last().expect("packets").0 - START) / SECOND + 10;
    let others = ordinary(3, START, seconds, 40);
    let mut sensor = Attacked::new(settings, model);
    let packets = merged(attack.into_iter(), others);
    epochs(packets, settings.epoch_flows, true, |epoch| {
        sensor.observe(epoch);
    });
    sensor.finish();
    assert_eq!(sensor.ledger().unaccounted(), 0);
    sensor
}

/// Incidents about more than single odd flows.
fn grave<'a>(sensor: &'a Attacked<'_>) -> Vec<&'a Incident> {
    let mut all = sensor.incidents();
    all.retain(|incident| !incident.kind.is_mild());
    all
}

/// The one incident that these packets are, which is a flood of the network.
fn one_flood(attack: Vec<(u64, Tcp)>, hosts: usize) {
    let packets = attack.len() as u64;
    let sensor = seen(attack);
    let found = grave(&sensor);
    let sentences: Vec<String> = found.iter().map(|one| one.sentence()).collect();
    let [flood] = found[..] else {
        panic!("{} incidents: {sentences:#?}", found.len());
    };
    println!("{}", sentences[0]);
    assert_eq!(
        (flood.kind, flood.subject.extent),
        (Kind::Flood, Extent::Network)
    );
    assert_eq!(flood.subject.to_string(), "10.9.8.0/24");
    assert!(
        sentences[0].starts_with("10.9.8.0/24 got "),
        "{}",
        sentences[0]
    );
    assert!(sentences[0].contains(&format!("{hosts} of its hosts")));
    assert!(sentences[0].contains(" a second"));
    // What came before it had a name is the rest: some two thousand flows.
    assert!(
        flood.flows + 2_500 >= packets,
        "{} of {packets}",
        flood.flows
    );
    assert!(flood.flows <= packets, "{} of {packets}", flood.flows);
    assert_eq!(flood.hosts.distinct(), hosts);
}

#[test]
fn from_invented_sources_it_is_one_incident_though_no_host_gets_much() {
    // Twenty a second to each of 200 hosts: a tenth of what is a flood of a host.
    let attack = syns(80_000, 4_000, |number, dice| {
        (invented(dice), (NETWORK + 20 + (number % 200) as u32, 443))
    });
    one_flood(attack, 200);
}

#[test]
fn from_one_source_it_is_one_incident_and_not_a_scan_too() {
    let attack = syns(60_000, 6_000, |number, dice| {
        let from = (SOURCE, 1024 + (dice % 60_000) as u16);
        (from, (NETWORK + (number % 256) as u32, 53))
    });
    one_flood(attack, 256);
}

#[test]
fn one_host_after_the_other_it_becomes_one_incident_with_those_before() {
    // Four thousand to each host in half a second: each of them is a flood of that host, until they are many.
    let attack = syns(160_000, 8_000, |number, dice| {
        (invented(dice), (NETWORK + (number / 4_000) as u32, 80))
    });
    one_flood(attack, 40);
}

#[test]
fn under_pressure_the_sums_by_prefix_are_part_of_it() {
    let attack = syns(600_000, 150_000, |number, dice| {
        (invented(dice), (NETWORK + (number % 250) as u32, 80))
    });
    let sensor = seen(attack);
    assert!(sensor.stats().aggregated.flows > 100_000, "it is pressed");
    let found = grave(&sensor);
    let sentences: Vec<String> = found.iter().map(|one| one.sentence()).collect();
    assert_eq!(found.len(), 1, "{sentences:#?}");
    assert_eq!(found[0].subject.to_string(), "10.9.8.0/24");
    assert!(found[0].flows > 570_000, "{sentences:?}");
}

#[test]
fn a_scan_of_all_its_hosts_and_ports_is_a_scan() {
    // As fast, by one source, each port of each host once.
    let attack = syns(30_000, 1_500, |number, _| {
        let port = 1 + (number / 256) as u16;
        ((SOURCE, 41_000), (NETWORK + (number % 256) as u32, port))
    });
    let sensor = seen(attack);
    let found = grave(&sensor);
    let kinds: Vec<Kind> = found.iter().map(|one| one.kind).collect();
    assert!(!kinds.contains(&Kind::Flood), "{kinds:?}");
    assert!(kinds.contains(&Kind::PortScanHorizontal), "{kinds:?}");
}

#[test]
fn few_hosts_of_a_network_are_floods_of_their_own() {
    let attack = syns(80_000, 4_000, |number, dice| {
        (invented(dice), (NETWORK + 7 + (number % 5) as u32, 443))
    });
    let sensor = seen(attack);
    let found = grave(&sensor);
    let of_hosts = |one: &&Incident| one.kind == Kind::Flood && one.subject.extent == Extent::Host;
    assert_eq!((found.len(), found.iter().all(of_hosts)), (5, true));
}

/// Other hosts of its network are talked to as well, so that only the share of this one tells its flood from one of the network. It gets more in an
/// epoch than 16 bits can count.
#[test]
fn a_flood_of_one_host_is_its_own_however_fast() {
    const PACKETS: u64 = 200_000;
    let capacity = 1 << 19;
    let settings = pipeline::Settings {
        flow: flow::Settings {
            capacity,
            // Every flow by itself, and none in a sum by prefix.
            emergency: Some(flow::Emergency {
                half_open: capacity / 2,
                ..flow::Emergency::of_capacity(capacity)
            }),
            ..flow::Settings::default()
        },
        ..pipeline::Settings::default()
    };
    let attack = syns(PACKETS, PACKETS, |_, dice| (invented(dice), (VICTIM, 80)));
    let sensor = seen_with(&settings, attack);
    assert_eq!(sensor.stats().aggregated.flows, 0);
    let found = grave(&sensor);
    let sentences: Vec<String> = found.iter().map(|one| one.sentence()).collect();
    let [flood] = found[..] else {
        panic!("{} incidents: {sentences:#?}", found.len());
    };
    assert_eq!(
        (flood.kind, flood.subject.extent),
        (Kind::Flood, Extent::Host),
        "{sentences:?}"
    );
    assert_eq!(flood.subject.address, Ipv4Addr::from_bits(VICTIM));
    assert!(flood.flows > PACKETS * 99 / 100, "{sentences:?}");
}
