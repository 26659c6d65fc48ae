//! Taps: what a mirror port brings is counted to the packet, by AF_XDP or in the kernel, and never reaches the stack.
//!
//! ```text
//!   namespace a               namespace b
//!   veth-a  ───────────────▶  veth-b  [flow_tap] ─▶ sockets, one for each of two queues
//!     ▲
//!     └ live frames, or ordinary sockets beside tcpdump
//! ```

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use sensor::{
    capture::{
        Capture as _, Epoch, Progress, replay,
        xdp::{Mode, Settings, Xdp},
        xsk::{self, AfXdp, Binding, Losses},
    },
    config::{self, CaptureMode},
    pipeline::Source,
};

use crate::{
    beside::{Beside, timeless, undisturbed},
    counted::{Counted, StopOnDrop},
    live_frames::{EVERYBODY, Sending, frame},
    netns::{Namespace, Offload, Pair, Serial},
    process::soon,
};

/// A tap on veth-b, with sockets or without.
pub(crate) fn tap(pair: &Pair, sockets: Option<&xsk::Settings>) -> AfXdp {
    pair.b.within(|| {
        let settings = Settings {
            taps: vec!["veth-b".to_owned()],
            ..Settings::on(["veth-b"])
        };
        AfXdp::start(Xdp::start(&settings).expect("attach"), sockets).expect("sockets")
    })
}

/// What was counted on a tap.
#[derive(Default)]
struct Taken {
    counted: Counted,
    interfaces: BTreeSet<u32>,
    losses: Losses,
}

/// Takes all epochs until the end; `seen` is how many packets were in those that it has taken.
fn take(mut capture: AfXdp, seen: &AtomicU64) -> Taken {
    let (mut taken, mut epoch) = (Taken::default(), Epoch::default());
    let mut last = 0;
    while capture.next_epoch(&mut epoch).expect("capture") == Progress::Epoch {
        assert!(epoch.index > last, "epochs follow one another");
        last = epoch.index;
        assert_eq!(epoch.ledger.unaccounted(), 0, "epoch {last}");
        taken.counted.add(&epoch, capture.report());
        let interfaces = epoch.flows.iter().map(|(_, counters)| counters.interface);
        taken.interfaces.extend(interfaces);
        seen.store(taken.counted.ledger.seen, Ordering::SeqCst);
    }
    taken.losses = capture.losses();
    taken
}

const FLOWS: u32 = 4_000;

/// IP packets the stack of a namespace has received (/proc/net/snmp).
fn received_by_stack(namespace: &Namespace) -> u64 {
    let text = namespace.exec(&["cat", "/proc/net/snmp"]);
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names
        .split_whitespace()
        .position(|name| name == "InReceives")
        .expect("a column");
    let value = values.split_whitespace().nth(at).expect("a value");
    value.parse().expect("a number")
}

/// Counts all that is injected on a tap, round by round, and each when the one before is counted; all of it arrives but what was lost by veth, which is
/// the number given.
fn counted_on_tap(
    sockets: Option<&xsk::Settings>,
    rounds: u32,
    round: Sending,
) -> (Pair, Taken, u64) {
    let pair = Pair::new();
    pair.hush();
    let capture = tap(&pair, sockets);
    assert_eq!(capture.kernel().attached()[0].egress, Mode::Tap);
    if sockets.is_some() {
        let bound = &capture.bound()[0];
        assert_eq!(bound.queues, 2);
        // veth has no zero-copy.
        assert!(matches!(bound.binding, Ok(Binding::Copy(_))), "{bound:?}");
    }
    let stop = capture.stop_handle();
    let before = received_by_stack(&pair.b);
    let seen = AtomicU64::new(0);
    let (taken, sent) = thread::scope(|scope| {
        let taker = scope.spawn(|| take(capture, &seen));
        let _stop = StopOnDrop(stop.clone());
        let mut sent = 0;
        for _ in 0..rounds {
            sent += round.send(&pair, &frame(EVERYBODY));
            let all = || seen.load(Ordering::SeqCst) + pair.lost_before_hook() >= sent;
            assert!(soon(all), "{seen:?} packets of {sent} were counted");
        }
        stop.stop();
        (taker.join().expect("taker"), sent)
    });
    let (
        Taken {
            counted, losses, ..
        },
        lost,
    ) = (&taken, pair.lost_before_hook());
    println!(
        "sent {sent}, {lost} of them lost by veth before the hook; {} flows; {:?}; {losses:?}",
        counted.per_flow.len(),
        counted.ledger,
    );
    assert_eq!(
        received_by_stack(&pair.b),
        before,
        "the stack saw a packet of the tap"
    );
    assert_eq!(counted.packets(), counted.ledger.counted);
    assert_eq!(counted.ledger.handed_over, losses.sum());
    assert_eq!(counted.ledger.seen, counted.ledger.counted + losses.sum());
    assert_eq!(counted.ledger.seen + lost, sent);
    (pair, taken, lost)
}

/// Packets of each flow in a round: all of them find room in the frames of one socket, if its worker is held up for as long as they come.
const OF_A_ROUND: u32 = 4;
const ROUNDS: u32 = 5;

/// A round at a pace.
fn round() -> Sending {
    Sending {
        burst: 500,
        every: Duration::from_millis(20),
        ..Sending::at_once(FLOWS, OF_A_ROUND)
    }
}

#[test]
#[ignore = "kernel: needs root"]
fn af_xdp_sees_exactly_what_was_sent() {
    let _serial = Serial::take();
    let settings = xsk::Settings::default();
    assert!(FLOWS * OF_A_ROUND < settings.frames);
    let (pair, taken, lost) = counted_on_tap(Some(&settings), ROUNDS, round());
    assert_eq!(taken.losses, Losses::default());
    taken.counted.has_flows(9, FLOWS, ROUNDS * OF_A_ROUND, lost);
    assert_eq!(taken.interfaces, [pair.b.index("veth-b")].into());
}

#[test]
#[ignore = "kernel: needs root"]
fn a_tap_without_sockets_counts_in_the_kernel_and_drops() {
    let _serial = Serial::take();
    let (_pair, taken, lost) = counted_on_tap(None, ROUNDS, round());
    taken.counted.has_flows(9, FLOWS, ROUNDS * OF_A_ROUND, lost);
}

/// Sixty-four frames of memory for bursts of a thousand: most are lost, and the socket says how many.
#[test]
#[ignore = "kernel: needs root"]
fn what_a_socket_loses_has_a_name_and_adds_up() {
    let _serial = Serial::take();
    let small = xsk::Settings {
        frames: 64,
        ..xsk::Settings::default()
    };
    let round = Sending {
        burst: 1_000,
        ..Sending::at_once(FLOWS, 50)
    };
    let (pair, taken, lost) = counted_on_tap(Some(&small), 1, round);
    let losses = taken.losses;
    assert!(losses.sum() > 0, "{losses:?}");
    assert_eq!(losses.other, 0, "{losses:?}");
    // The interface knows of both: a redirect that fails counts as dropped, as does a live frame for which there was no room.
    let dropped = pair.b.counter("veth-b", "rx_dropped");
    assert_eq!(dropped, losses.sum() + lost);
}

/// What such sockets capture on a tap of talk to nobody, losing none, and the recording of it made on the other side.
///
/// # Errors
/// As [`Beside::same_traffic`].
pub(crate) fn beside_nobody(sockets: &xsk::Settings) -> Result<Beside, String> {
    let pair = &Pair::new();
    for which in [Offload::Tso, Offload::Gso] {
        pair.a.offload("veth-a", which, false);
    }
    let capture = &mut tap(pair, Some(sockets));
    let stop = capture.stop_handle();
    let beside = Beside::of(capture, &stop, (pair, "veth-a"), || talk_to_nobody(pair));
    beside.same_traffic()?;
    assert_eq!(capture.losses(), Losses::default());
    Ok(beside)
}

/// Datagrams of all sizes, in fragments too, and connections that nobody answers.
fn talk_to_nobody(pair: &Pair) {
    pair.introduce();
    pair.a.within(|| {
        for (own, host) in [("10.77.0.1:0", "10.77.0.2"), ("[fd77::1]:0", "fd77::2")] {
            for port in 6_000..6_040 {
                let socket = UdpSocket::bind(own).expect("bind");
                for size in [0, 1, 40, 1_200, 4_000] {
                    socket.send_to(&vec![7; size], (host, port)).expect("send");
                }
                let server = SocketAddr::new(host.parse().expect("an address"), port);
                let tried = TcpStream::connect_timeout(&server, Duration::from_millis(5));
                assert!(tried.is_err(), "nobody is there");
            }
        }
    });
}

#[test]
#[ignore = "kernel: needs root"]
fn flows_of_a_tap_are_those_of_a_recording_made_on_the_other_side() {
    let _serial = Serial::take();
    undisturbed(tap_beside_recording);
}

fn tap_beside_recording() -> Result<(), String> {
    let beside = beside_nobody(&xsk::Settings::default())?;
    let replayed = beside.replayed(replay::Settings::default());
    let [live, replayed] = beside.records(&replayed);
    let packets: u64 = live.iter().map(|record| record.counters.packets()).sum();
    println!("{} flows, {packets} packets", live.len());
    assert!(live.len() >= 160 && packets >= 480, "{} flows", live.len());
    assert_eq!(live.len(), replayed.len());
    for (live, replayed) in live.iter().zip(&replayed) {
        assert_eq!(live.key, replayed.key);
        assert_eq!(
            timeless(&live.counters),
            timeless(&replayed.counters),
            "{live:#?} {replayed:#?}"
        );
        assert_eq!(live.community_id(), replayed.community_id());
        // Stamped by the program, a queue of veth away from where tcpdump was.
        let apart = live.start().abs_diff(replayed.start());
        if apart >= 50_000_000 {
            return Err(format!("{apart} ns apart: {live:#?}"));
        }
    }
    Ok(())
}

#[test]
#[ignore = "kernel: needs root"]
fn each_way_that_was_passed_over_is_named_with_its_reason() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let wanted = |mode| config::Capture {
        interfaces: Vec::new(),
        taps: vec!["veth-b".to_owned()],
        mode,
        frames: 1_024,
        busy_poll: false,
        decap: false,
        count: config::Count::FirstHook,
        epoch_flows: 1 << 20,
        fragments: config::FragmentsBy::Pair,
        table_bytes: None,
    };
    type Way = (&'static str, Option<String>);
    fn ways(source: &Source) -> Vec<Way> {
        let steps = source.steps.iter();
        steps
            .map(|step| (step.mode, step.passed_over.clone()))
            .collect()
    }
    let passed_over = |why: &str| Some(why.to_owned());
    let open = |capture: config::Capture| {
        pair.b
            .within(|| Source::open(&capture, None).map_err(|error| error.to_string()))
    };
    let source = open(wanted(CaptureMode::Auto)).expect("open");
    assert_eq!(
        ways(&source),
        [
            ("af_xdp_zero_copy", passed_over("the driver cannot")),
            ("af_xdp_copy", None)
        ]
    );
    drop(source);
    let source = open(wanted(CaptureMode::Xdp)).expect("open");
    assert_eq!(ways(&source), [("xdp_native", None)]);
    // Its program stays: the next one has to do without XDP.
    let second = open(wanted(CaptureMode::Auto)).expect("open");
    let occupied = "another program has the hook";
    let no_xdp = "there is no XDP here";
    assert_eq!(
        ways(&second),
        [
            ("af_xdp_zero_copy", passed_over(no_xdp)),
            ("af_xdp_copy", passed_over(no_xdp)),
            ("xdp_native", passed_over(occupied)),
            ("xdp_generic", passed_over(occupied)),
            ("tcx", None)
        ]
    );
    let refused = open(wanted(CaptureMode::AfXdp)).err().expect("refused");
    assert!(refused.contains("veth-b"), "{refused}");
}
