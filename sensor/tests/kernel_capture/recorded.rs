//! What is counted live is what a recording of the same traffic gives.
//!
//! ```text
//!   namespace a             namespace b
//!   clients, veth-a ──────▶ veth-b, servers
//!                             ├ flow_ingress, flow_egress
//!                             └ tcpdump -w
//! ```
//!
//! Both sides go through the same flow table. A packet gets its time twice, from the program and, some microseconds
//! away, from the tap: so times agree within a millisecond, and so do the gaps, which are differences of times. All else is
//! equal. Where two CPUs counted one flow in overlapping spans (ingress is counted where the packet arrives and
//! egress where the program runs that sends) the gaps are approximate, as the record says, and are not compared.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sensor::{
    capture::{
        Capture, Epoch, Progress,
        replay::{self, Replay},
        xdp::{Settings, Xdp},
    },
    flow::{self, FlowRecord},
    pipeline::{self, Stages},
};
use sensor_ebpf::flow::{FlowCounters, quality};

use crate::{
    netns::{Namespace, Offload, Pair, Serial, pause},
    sockets, verdicts,
};

const MILLISECOND: u64 = 1_000_000;

/// `tcpdump -w` on an interface; stopped when dropped.
pub(crate) struct Recorder {
    child: Child,
    path: PathBuf,
}

impl Recorder {
    pub(crate) fn start(namespace: &Namespace, interface: &str, path: &Path) -> Self {
        let errors = path.with_extension("log");
        let log = File::create(&errors).expect("log file");
        let recorder = Self {
            child: namespace.within(|| {
                Command::new("tcpdump")
                    .args(["-i", interface, "-s", "256", "-B", "32768", "-n"])
                    .args([
                        "-U",
                        "--immediate-mode",
                        "--time-stamp-precision=nano",
                        "-Z",
                        "root",
                        "-w",
                    ])
                    .arg(path)
                    .stderr(Stdio::from(log))
                    .spawn()
                    .expect("tcpdump")
            }),
            path: path.to_owned(),
        };
        // It says so once the tap is open.
        for _ in 0..500 {
            let text = BufReader::new(File::open(&errors).expect("log"));
            if text
                .lines()
                .map_while(Result::ok)
                .any(|line| line.contains("listening on"))
            {
                return recorder;
            }
            pause(Duration::from_millis(10));
        }
        panic!(
            "tcpdump does not listen: {}",
            fs::read_to_string(errors).unwrap_or_default()
        );
    }

    /// Ends it once it has written all: what waits in its ring when it is interrupted, it throws away.
    pub(crate) fn finish(mut self) {
        let size = || fs::metadata(&self.path).expect("the recording").len();
        let mut last = 0;
        while last != size() {
            last = size();
            pause(Duration::from_millis(500));
        }
        self.interrupt();
        assert!(self.child.wait().expect("tcpdump").success());
    }

    fn interrupt(&self) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        let _ = unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}

/// All epochs of a capture.
pub(crate) fn epochs(capture: &mut impl Capture) -> Vec<Epoch> {
    let mut all = Vec::new();
    let mut epoch = Epoch::default();
    while capture.next_epoch(&mut epoch).expect("capture") == Progress::Epoch {
        all.push(epoch.clone());
    }
    all
}

/// Records of the flows between the two hosts, by key and start. Flows of link-local and multicast addresses are the
/// kernel's own business and may be older than the recording.
pub(crate) fn records(epochs: &[Epoch], until: u64) -> Vec<FlowRecord> {
    let mut stages = Stages::new(&pipeline::Settings {
        flow: flow::Settings {
            checkpoints: false,
            ..flow::Settings::default()
        },
        ..pipeline::Settings::default()
    });
    let mut batch = pipeline::Batch::new();
    let end = Epoch {
        index: until,
        ..Epoch::default()
    };
    for epoch in epochs
        .iter()
        .chain((epochs.last().is_none_or(|last| last.index < until)).then_some(&end))
    {
        stages.observe(epoch, &mut batch);
    }
    stages.finish(&mut batch);
    let mut records: Vec<FlowRecord> = batch
        .drain(..)
        .map(|(record, _)| record)
        .filter(ours)
        .collect();
    records.sort_by_key(|record| (record.key, record.start()));
    records
}

/// Whether a flow is between the two hosts of a [`Pair`].
pub(crate) fn ours(record: &FlowRecord) -> bool {
    record.key.addresses.iter().all(|address| {
        address.starts_with(&[0xfd, 0x77])
            || address[..15] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, 0]
    })
}

/// Tries ports behind which nobody listens.
fn scan(pair: &Pair) {
    pair.a.within(|| {
        for port in 20_000..20_200 {
            let refused = std::net::TcpStream::connect(("10.77.0.2", port));
            assert!(refused.is_err(), "port {port} is open");
        }
    });
}

/// Without the times, and without what only a live capture knows.
pub(crate) fn timeless(counters: &FlowCounters) -> FlowCounters {
    let mut counters = *counters;
    for half in &mut counters.halves {
        (half.first, half.last) = (0, 0);
        (half.gap_min, half.gap_max, half.gap_square_sum) = (0, 0, 0);
    }
    (counters.gap_min, counters.gap_max, counters.gap_square_sum) = (0, 0, 0);
    counters.interface = 0;
    // The recording is cut, which changes no counter: all headers are in it.
    counters.quality &= !(quality::INTERLEAVED | quality::INTERLEAVED_FLOW | quality::SNAPPED);
    counters
}

/// The widest that two times of the same packet are apart, in nanoseconds.
fn widest(live: &FlowRecord, recorded: &FlowRecord) -> u64 {
    live.counters
        .halves
        .iter()
        .zip(&recorded.counters.halves)
        .flat_map(|(a, b)| [a.first.abs_diff(b.first), a.last.abs_diff(b.last)])
        .max()
        .unwrap_or(0)
}

/// The widest that two gaps between the same packets are apart, in nanoseconds.
fn widest_gap(live: &FlowRecord, recorded: &FlowRecord) -> u64 {
    if (live.counters.quality & quality::INTERLEAVED) != 0 {
        return 0;
    }
    live.counters
        .halves
        .iter()
        .zip(&recorded.counters.halves)
        .flat_map(|(a, b)| [a.gap_min.abs_diff(b.gap_min), a.gap_max.abs_diff(b.gap_max)])
        .map(|ticks| u64::from(ticks) << sensor_ebpf::flow::TICK_SHIFT)
        .max()
        .unwrap_or(0)
}

pub(crate) fn replayed(path: &Path) -> Vec<Epoch> {
    let mut replay =
        Replay::open(&[PathBuf::from(path)], replay::Settings::default()).expect("open");
    let epochs = epochs(&mut replay);
    assert_eq!(replay.report().losses, []);
    epochs
}

#[test]
#[ignore = "kernel: needs root"]
fn live_flows_are_those_of_a_recording_made_beside() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("beside.pcap");
    for which in [Offload::Tso, Offload::Gso] {
        pair.a.offload("veth-a", which, false);
        pair.b.offload("veth-b", which, false);
    }
    let mut capture = pair
        .b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"));
    // veth switches it on for XDP.
    pair.b.offload("veth-b", Offload::Gro, false);
    let stop = capture.stop_handle();
    let live = thread::scope(|scope| {
        let live = scope.spawn(|| epochs(&mut capture));
        let recorder = Recorder::start(&pair.b, "veth-b", &path);
        for _ in 0..3 {
            sockets::converse(&pair);
        }
        scan(&pair);
        recorder.finish();
        stop.stop();
        live.join().expect("drainer")
    });
    let until = live.last().expect("an epoch").index;
    let replayed = replayed(&path);
    verdicts::agree(&live, &replayed);
    let (live, recorded) = (records(&live, until), records(&replayed, until));
    let packets: u64 = live.iter().map(|record| record.counters.packets()).sum();
    assert!(
        live.len() >= 60 && packets > 1_000,
        "{} flows, {packets} packets",
        live.len()
    );
    let keys = |records: &[FlowRecord]| records.iter().map(|record| record.key).collect::<Vec<_>>();
    assert_eq!(keys(&live), keys(&recorded));
    let (mut time_apart, mut gap_apart) = (0, 0);
    for (live, recorded) in live.iter().zip(&recorded) {
        assert_eq!(
            timeless(&live.counters),
            timeless(&recorded.counters),
            "{live:#?} {recorded:#?}"
        );
        assert_eq!(
            (
                live.originator,
                live.end,
                live.conn_state(),
                live.history(),
                live.community_id()
            ),
            (
                recorded.originator,
                recorded.end,
                recorded.conn_state(),
                recorded.history(),
                recorded.community_id()
            ),
            "{live:#?} {recorded:#?}"
        );
        time_apart = time_apart.max(widest(live, recorded));
        gap_apart = gap_apart.max(widest_gap(live, recorded));
    }
    println!(
        "{} flows, {packets} packets; times at most {time_apart} ns apart, gaps {gap_apart} ns",
        live.len()
    );
    assert!(time_apart < MILLISECOND, "{time_apart} ns");
    assert!(gap_apart < 2 * MILLISECOND, "{gap_apart} ns");
}

/// Egress sees super-packets before the stack cuts them; what is counted is what the other end receives.
#[test]
#[ignore = "kernel: needs root"]
fn super_packets_are_counted_as_the_packets_on_the_wire() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("wire.pcap");
    let mut capture = pair
        .b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"));
    pair.a.offload("veth-a", Offload::Gro, false);
    pair.b.offload("veth-b", Offload::Tso, false);
    pair.b.offload("veth-b", Offload::Gso, true);
    let stop = capture.stop_handle();
    let live = thread::scope(|scope| {
        let live = scope.spawn(|| epochs(&mut capture));
        let recorder = Recorder::start(&pair.a, "veth-a", &path);
        for (_, server) in sockets::ENDS {
            sockets::tcp(&pair, server, &[(10, 3_000_000), (10, 100_001)]);
        }
        recorder.finish();
        stop.stop();
        live.join().expect("drainer")
    });
    let until = live.last().expect("an epoch").index;
    let (live, recorded) = (records(&live, until), records(&replayed(&path), until));
    let tcp = |records: Vec<FlowRecord>| -> Vec<FlowRecord> {
        records
            .into_iter()
            .filter(|record| record.key.protocol == 6)
            .collect()
    };
    let (live, recorded) = (tcp(live), tcp(recorded));
    assert_eq!((live.len(), recorded.len()), (4, 4));
    for (live, recorded) in live.iter().zip(&recorded) {
        assert_eq!(live.key, recorded.key);
        assert_eq!(
            timeless(&live.counters),
            timeless(&recorded.counters),
            "{live:#?} {recorded:#?}"
        );
        // Segments of one super-packet have one time: the proof that there were some.
        assert_eq!(live.resp().gap_min, 0);
        println!(
            "{} packets of at most {} bytes",
            live.resp().packets,
            live.resp().length_max
        );
    }
}
