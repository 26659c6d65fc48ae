//! The frame parser against `etherparse`, and against the truth of frames made here: no disagreement on any frame
//! that both understand. How the two are compared is written in [`reference`].

#[path = "../support/captures.rs"]
mod captures;
mod generate;
mod reference;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use proptest::{prelude::*, test_runner::Config};
use reference::{Verdict, ours};
use sensor::capture::{input, link, link::LinkType};
use sensor_ebpf::{
    bounds::Cursor,
    frame::{IPV6_EXTENSIONS_MAX, parse_ethernet},
};

fn parse(frame: &[u8]) -> Verdict {
    ours(parse_ethernet(Cursor::from_slice(frame)))
}

fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(cases(100_000))]

    /// Three opinions on every well-formed frame: ours, `etherparse`'s, and that of who made it.
    #[test]
    fn well_formed_frames_are_understood(plan in generate::plans()) {
        let frame = plan.frame();
        let truth = Verdict::Flow(plan.facts());
        prop_assert_eq!(parse(&frame), truth);
        let reference = reference::ethernet(&frame);
        if !matches!(reference, Verdict::Silent(_)) {
            prop_assert_eq!(reference, truth);
        }
    }

    #[test]
    fn damaged_frames_are_judged_alike(frame in generate::mutated()) {
        let reference = reference::ethernet(&frame.0);
        if !matches!(reference, Verdict::Silent(_)) {
            prop_assert_eq!(parse(&frame.0), reference);
        }
    }

    #[test]
    fn arp_is_judged_alike(frame in generate::arp()) {
        let reference = reference::ethernet(&frame.0);
        if !matches!(reference, Verdict::Silent(_)) {
            prop_assert_eq!(parse(&frame.0), reference);
        }
    }

    #[test]
    fn random_bytes_are_judged_alike(frame in proptest::collection::vec(any::<u8>(), 0..80), kind in 0usize..5) {
        let mut frame = frame;
        if frame.len() > 15 {
            frame[12..14].copy_from_slice(&[[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0x88, 0xa8], [0x08, 0x06]][kind]);
            frame[14] = [0x45, 0x60, 0x00, 0x40, 0x4f][kind];
        }
        let reference = reference::ethernet(&frame);
        if !matches!(reference, Verdict::Silent(_)) {
            prop_assert_eq!(parse(&frame), reference);
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// A snap length takes packets away or leaves them as they were; it never turns one into another. Once one cut
    /// is understood, every longer one is.
    #[test]
    fn cut_frames_count_like_whole_ones(plan in generate::plans()) {
        let frame = plan.frame();
        let whole = parse(&frame);
        let mut understood = false;
        for length in 0..frame.len() {
            let cut = parse(&frame[..length]);
            if cut == whole {
                understood = true;
            } else {
                prop_assert_eq!(cut, Verdict::Malformed, "cut to {}", length);
                prop_assert!(!understood, "cut to {}", length);
            }
        }
        prop_assert!(understood);
    }
}

/// Eight extension headers are followed. A ninth is refused, but for one that ends the chain: behind the fragment header
/// of a later fragment is payload, whatever its bytes look like.
#[test]
fn the_ninth_extension_header_is_judged_alike() {
    let max = IPV6_EXTENSIONS_MAX;
    let (first, later) = (Some((true, 0)), Some((false, 185)));
    for (fragment, count_max) in [(None, max), (first, max), (later, max + 1)] {
        for count in 1..=max + 3 {
            let plan = generate::chained(count, fragment);
            let truth = if count <= count_max {
                Verdict::Flow(plan.facts())
            } else {
                Verdict::Malformed
            };
            let frame = plan.frame();
            let both = [parse(&frame), reference::ethernet(&frame)];
            assert_eq!(both, [truth; 2], "{count} headers, {fragment:?}");
        }
    }
}

/// What a frame of a capture is compared with: `etherparse` behind the link header, which is taken off by hand here.
fn reference_of(link: LinkType, frame: &[u8]) -> Verdict {
    let behind = |at: usize| frame.get(at..);
    match link.0 {
        1 => reference::ethernet(frame),
        12 | 14 | 101 | 228 | 229 => reference::ip(frame),
        0 => match (frame.first_chunk::<4>(), behind(4)) {
            (Some([2 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 2 | 24 | 28 | 30]), Some(packet)) => {
                reference::ip(packet)
            }
            _ => Verdict::Silent("unusual loopback family"),
        },
        113 => match (frame.get(14..16), behind(16)) {
            (Some(kind), Some(rest)) => {
                reference::behind_ether_type(u16::from_be_bytes([kind[0], kind[1]]), rest)
            }
            _ => Verdict::Malformed,
        },
        _ => Verdict::Silent("link type that etherparse does not know"),
    }
}

#[test]
fn shared_frames_are_judged_alike() {
    let Some(folder) = support::shared("") else {
        return;
    };
    let endings = ["pcap", "pcapng", "cap", "bin", "dmp", "zst"];
    let captures = captures::below(&folder, &endings);
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut differing = Vec::new();
    let mut readable = 0;
    for capture in &captures {
        let mut number = 0;
        let read = input::frames(capture, |record| {
            number += 1;
            let got = ours(link::parse(record.link, record.frame));
            let expected = reference_of(record.link, record.frame);
            let kind = match expected {
                Verdict::Flow(_) => "flow",
                Verdict::NotIp => "not IP",
                Verdict::Malformed => "malformed",
                Verdict::Silent(why) => why,
            };
            *tally.entry(kind).or_default() += 1;
            if got != expected && !matches!(expected, Verdict::Silent(_)) && differing.len() < 20 {
                differing.push(format!(
                    "{} frame {number}: ours {got:?}, etherparse {expected:?}",
                    capture.display()
                ));
            }
        });
        readable += u32::from(read.is_ok());
    }
    println!("{readable} captures: {tally:#?}");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    // The comparison is no empty one.
    let all: u64 = tally.values().sum();
    assert!(
        readable > 500 && all > 300_000,
        "{readable} captures, {all} frames"
    );
    assert!(
        tally["flow"] + tally["not IP"] > all / 100 * 98,
        "{tally:?}"
    );
}
