//! Taps: what a mirror port brings is counted to the packet, by AF_XDP or in the kernel, and never reaches the stack.
//!
//! ```text
//!   namespace a               namespace b
//!   veth-a  ───────────────▶  veth-b  [flow_tap] ─▶ sockets, one for each of two queues
//!     ▲
//!     └ live frames, or ordinary sockets beside tcpdump
//! ```

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use sensor::{
    capture::{
        Capture as _, Epoch, Progress,
        xdp::{Mode, Settings, Xdp, bpf},
        xsk::{self, AfXdp, Binding, Losses},
    },
    config::{self, CaptureMode},
    pipeline::Source,
};
use sensor_ebpf::{flow::FlowKey, maps::Ledger};

use crate::{
    exact::dropped_before_xdp,
    netns::{Namespace, Offload, Pair, Serial, pause, pin},
    program, recorded,
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

/// Nobody but the test is to send.
fn silence(pair: &Pair) {
    for namespace in [&pair.a, &pair.b] {
        namespace.exec(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    }
    pause(Duration::from_millis(100));
}

#[derive(Default)]
struct Counted {
    per_flow: HashMap<FlowKey, u64>,
    interfaces: Vec<u32>,
    ledger: Ledger,
    losses: Losses,
    unaccounted: i64,
}

/// Takes all epochs until the end.
fn take(mut capture: AfXdp) -> Counted {
    let (mut counted, mut epoch) = (Counted::default(), Epoch::default());
    let mut last = 0;
    while capture.next_epoch(&mut epoch).expect("capture") == Progress::Epoch {
        assert!(epoch.index > last, "epochs follow one another");
        last = epoch.index;
        assert_eq!(epoch.ledger.unaccounted(), 0, "epoch {last}");
        assert!(
            epoch
                .flows
                .is_sorted_by(|a, b| (a.1.first(), &a.0) < (b.1.first(), &b.0))
        );
        counted.unaccounted += capture.report().unaccounted.abs();
        counted.ledger.add(&epoch.ledger);
        for (key, counters) in &epoch.flows {
            *counted.per_flow.entry(*key).or_default() += counters.packets();
            counted.interfaces.push(counters.interface);
        }
    }
    counted.losses = capture.losses();
    counted
}

/// To everybody, so that a stack that got it would count it.
fn frame() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x02, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 77, 1, 0, 10, 77, 0, 2]);
    frame.extend([4, 0, 0, 9, 0, 26, 0, 0]);
    frame.resize(14 + 46, 0);
    frame
}

const FLOWS: u32 = 4_000;
const LANES: u32 = 2;

/// Sends `rounds` packets of each flow, from both CPUs into both queues, `burst` at a time with pauses.
fn inject(pair: &Pair, rounds: u32, burst: u32, rest: Duration) -> u64 {
    let interface = pair.a.index("veth-a");
    thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || {
                pair.a.within(|| {
                    pin(lane as usize);
                    let own = FLOWS / LANES;
                    let program = program::flow_maker(interface, own, lane, LANES).expect("load");
                    for _ in 0..own * rounds / burst {
                        bpf::inject(program.as_fd(), &frame(), burst).expect("inject");
                        pause(rest);
                    }
                });
            });
        }
    });
    u64::from(FLOWS * rounds)
}

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

/// Counts all that is injected on a tap; gives it with what was sent.
fn counted_on_tap(
    sockets: Option<&xsk::Settings>,
    rounds: u32,
    burst: u32,
    rest: Duration,
) -> (Pair, Counted, u64) {
    let pair = Pair::new();
    silence(&pair);
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
    let (counted, sent) = thread::scope(|scope| {
        let taker = scope.spawn(|| take(capture));
        let sent = inject(&pair, rounds, burst, rest);
        pause(Duration::from_millis(200));
        stop.stop();
        (taker.join().expect("taker"), sent)
    });
    println!(
        "sent {sent}; {} flows; {:?}; {:?}",
        counted.per_flow.len(),
        counted.ledger,
        counted.losses
    );
    assert_eq!(
        received_by_stack(&pair.b),
        before,
        "the stack saw a packet of the tap"
    );
    assert_eq!(counted.unaccounted, 0);
    let in_flows: u64 = counted.per_flow.values().sum();
    assert_eq!(in_flows, counted.ledger.counted);
    assert_eq!(counted.ledger.handed_over, counted.losses.sum());
    (pair, counted, sent)
}

fn each_flow_has(counted: &Counted, rounds: u32) {
    assert_eq!(counted.per_flow.len(), FLOWS as usize);
    for (key, packets) in &counted.per_flow {
        assert_eq!(*packets, u64::from(rounds), "{key:?}");
    }
}

#[test]
#[ignore = "kernel: needs root"]
fn af_xdp_sees_exactly_what_was_sent() {
    const ROUNDS: u32 = 20;
    let _serial = Serial::take();
    let (pair, counted, sent) = counted_on_tap(
        Some(&xsk::Settings::default()),
        ROUNDS,
        500,
        Duration::from_millis(5),
    );
    assert_eq!(counted.losses, Losses::default());
    assert_eq!(counted.ledger.seen, sent);
    each_flow_has(&counted, ROUNDS);
    let interface = pair.b.index("veth-b");
    assert!(counted.interfaces.iter().all(|seen| *seen == interface));
}

#[test]
#[ignore = "kernel: needs root"]
fn a_tap_without_sockets_counts_in_the_kernel_and_drops() {
    const ROUNDS: u32 = 20;
    let _serial = Serial::take();
    let (_pair, counted, sent) = counted_on_tap(None, ROUNDS, 500, Duration::from_millis(5));
    assert_eq!(counted.ledger.seen, sent);
    each_flow_has(&counted, ROUNDS);
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
    let (pair, counted, sent) = counted_on_tap(Some(&small), 50, 1_000, Duration::ZERO);
    assert!(counted.losses.sum() > 0, "{:?}", counted.losses);
    assert_eq!(counted.losses.other, 0, "{:?}", counted.losses);
    // veth counts a redirect that fails as dropped, as it does a frame that found its own ring full.
    let dropped = dropped_before_xdp(&pair);
    assert!(dropped >= counted.losses.sum());
    assert_eq!(counted.ledger.counted + dropped, sent);
    assert_eq!(
        counted.ledger.seen,
        counted.ledger.counted + counted.losses.sum()
    );
}

/// Datagrams of all sizes, in fragments too, and connections that nobody answers.
pub(crate) fn talk_to_nobody(pair: &Pair) {
    let address = pair.b.exec(&["cat", "/sys/class/net/veth-b/address"]);
    for host in ["10.77.0.2", "fd77::2"] {
        pair.a.ip(&[
            "neighbour",
            "replace",
            host,
            "lladdr",
            address.trim(),
            "dev",
            "veth-a",
            "nud",
            "permanent",
        ]);
    }
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
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("other-side.pcap");
    for which in [Offload::Tso, Offload::Gso] {
        pair.a.offload("veth-a", which, false);
    }
    let mut capture = tap(&pair, Some(&xsk::Settings::default()));
    let stop = capture.stop_handle();
    let live = thread::scope(|scope| {
        let live = scope.spawn(|| recorded::epochs(&mut capture));
        let recorder = recorded::Recorder::start(&pair.a, "veth-a", &path);
        talk_to_nobody(&pair);
        recorder.finish();
        stop.stop();
        live.join().expect("taker")
    });
    assert_eq!(capture.losses(), Losses::default());
    let until = live.last().expect("an epoch").index;
    let replayed = recorded::replayed(&path);
    let (live, replayed) = (
        recorded::records(&live, until),
        recorded::records(&replayed, until),
    );
    let packets: u64 = live.iter().map(|record| record.counters.packets()).sum();
    println!("{} flows, {packets} packets", live.len());
    assert!(live.len() >= 160 && packets >= 480, "{} flows", live.len());
    assert_eq!(live.len(), replayed.len());
    for (live, replayed) in live.iter().zip(&replayed) {
        assert_eq!(live.key, replayed.key);
        assert_eq!(
            recorded::timeless(&live.counters),
            recorded::timeless(&replayed.counters),
            "{live:#?} {replayed:#?}"
        );
        assert_eq!(live.community_id(), replayed.community_id());
        // Stamped by the program, a queue of veth away from where tcpdump was.
        let apart = live.start().abs_diff(replayed.start());
        assert!(apart < 50_000_000, "{apart} ns: {live:#?}");
    }
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
