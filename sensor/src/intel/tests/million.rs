//! A million entries, as feeds have them together: what they cost. Prints; what is asserted is that each is found.
//!
//! `cargo test -p sensor --release --lib intel::tests::million -- --ignored --nocapture`

use std::{
    hint::black_box,
    io::{BufWriter, Write as _},
    time::Instant,
};

use super::*;

/// Of a million: single addresses of IPv4, prefixes of 24 bits, addresses of IPv6, domains.
const PARTS: [u32; 4] = [700_000, 100_000, 100_000, 100_000];
const LOOKS: usize = 1 << 20;

/// Numbers without order, each once: an odd factor is a permutation of 2^32 (Knuth, TAOCP 3.2.1.2).
const fn scattered(at: u32) -> u32 {
    at.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995
}

/// A unicast address of the Internet; the first bits of each are of 32 to 95, where little is reserved.
const fn v4(at: u32) -> u32 {
    let number = scattered(at);
    (32 + (number >> 24) % 64) << 24 | number & 0xff_ffff
}

fn line(at: u32) -> String {
    let [single, nets, v6, _] = PARTS;
    if at < single {
        std::net::Ipv4Addr::from(v4(at)).to_string()
    } else if at < single + nets {
        format!("{}/24", std::net::Ipv4Addr::from(v4(at) & 0xffff_ff00))
    } else if at < single + nets + v6 {
        let number = 0x2600_u128 << 112 | u128::from(scattered(at)) << 64 | u128::from(at);
        std::net::Ipv6Addr::from(number).to_string()
    } else {
        format!("host-{:x}.example-{}.test", scattered(at), at % 977)
    }
}

/// Resident memory, bytes; nothing where that cannot be read.
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Nanoseconds of a look-up, each waiting for the one before; and how many were found.
fn look_up<T>(subjects: &[T], mut find: impl FnMut(&T) -> usize) -> (f64, usize) {
    let begun = Instant::now();
    let mut found = 0;
    for at in 0..LOOKS {
        // The next subject depends on the answer, as for a caller who waits.
        let next = (at * 7919 + (found & 1)) % subjects.len();
        found += usize::from(find(black_box(&subjects[next])) > 0);
    }
    (begun.elapsed().as_nanos() as f64 / LOOKS as f64, found)
}

#[test]
#[ignore = "at size: a million entries, and times that are worth something in a release only"]
fn a_million_entries_at_size() {
    let all: u32 = PARTS.iter().sum();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("million.txt");
    let mut out = BufWriter::new(fs::File::create(&path).expect("a file"));
    let mut text = (0..all).map(line);
    text.try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush())
        .expect("written");
    drop(out);
    let before = resident();
    let begun = Instant::now();
    let (keeper, events) = Keeper::open(&[path], &[], Limits::default(), NOW);
    let took = begun.elapsed();
    let lists = keeper.current();
    let grown = before.zip(resident());
    let info = &lists.lists()[0];
    println!(
        "{} entries ({} not used: {}) read in {took:.2?}; {:.1} MB counted, resident {}",
        lists.entries(),
        info.losses.total(),
        info.losses,
        lists.bytes() as f64 / 1e6,
        grown.map_or_else(
            || "unknown".to_owned(),
            |(before, after)| format!(
                "grown by {:.1} MB",
                (after.saturating_sub(before)) as f64 / 1e6
            )
        ),
    );
    assert!(matches!(events[..], [Event::Read { .. }]), "{events:?}");
    assert_eq!(lists.entries() as u64 + info.losses.total(), u64::from(all));
    let [single, nets, v6, _] = PARTS;
    let address = |at: u32| -> IpAddr {
        let line = line(at);
        let host = line.split('/').next().unwrap_or(&line);
        host.parse().expect("an address")
    };
    let listed: Vec<IpAddr> = (0..single + nets).map(address).collect();
    let listed_v6: Vec<IpAddr> = (single + nets..single + nets + v6).map(address).collect();
    let others: Vec<IpAddr> = (0..1 << 20)
        .map(|at| IpAddr::V4((100_u32 << 24 | scattered(at) >> 8).into()))
        .collect();
    let names: Vec<String> = (single + nets + v6..all).map(line).collect();
    for (what, (nanoseconds, found), every) in [
        (
            "IPv4, listed",
            look_up(&listed, |one| lists.of_address(*one).count()),
            true,
        ),
        (
            "IPv4, not listed",
            look_up(&others, |one| lists.of_address(*one).count()),
            false,
        ),
        (
            "IPv6, listed",
            look_up(&listed_v6, |one| lists.of_address(*one).count()),
            true,
        ),
        (
            "domains, listed",
            look_up(&names, |one| lists.of_domain(one).len()),
            true,
        ),
        (
            "flows, neither side listed",
            look_up(&others, |one| lists.of_flow([*one, *one]).len()),
            false,
        ),
        (
            "flows, both sides listed",
            look_up(&listed, |one| lists.of_flow([*one, *one]).len()),
            true,
        ),
    ] {
        println!("{what}: {nanoseconds:.0} ns");
        assert_eq!(found, if every { LOOKS } else { 0 }, "{what}");
    }
}
