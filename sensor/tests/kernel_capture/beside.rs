//! A capture, and tcpdump's recording of the same packets beside it.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sensor::{
    capture::{
        Capture, Epoch, Progress, Stop,
        replay::{self, Replay},
    },
    flow::{self, FlowRecord},
    pipeline::{self, Stages},
};
use sensor_ebpf::flow::{FlowCounters, FlowKey, quality};
use tempfile::TempDir;

use crate::{
    counted::StopOnDrop,
    netns::{Pair, pause},
    process::soon,
};

/// What was captured while something happened, and what was recorded of it.
pub(crate) struct Beside {
    pub(crate) live: Vec<Epoch>,
    folder: TempDir,
    /// Packets lost between the two hosts, and by the recorder.
    lost: [u64; 2],
}

/// Tries until the machine lets capture and recording see the same, five times at most: whatever is wrong with the capture is wrong
/// each time.
pub(crate) fn undisturbed(mut attempt: impl FnMut() -> Result<(), String>) {
    let mut reasons = Vec::new();
    for _ in 0..5 {
        match attempt() {
            Ok(()) => return,
            Err(reason) => {
                println!("once more: {reason}");
                reasons.push(reason);
            }
        }
    }
    panic!("each time something came between: {reasons:#?}");
}

impl Beside {
    /// Captures, and records on an interface of the pair, while `traffic` happens; `stop` is the capture's.
    pub(crate) fn of(
        capture: &mut (impl Capture + Send),
        stop: &Stop,
        (pair, interface): (&Pair, &str),
        traffic: impl FnOnce(),
    ) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let before = pair.lost_under_way();
        let (live, unrecorded) = thread::scope(|scope| {
            let live = scope.spawn(|| epochs(capture));
            // Also where something fails: the drainer must end for the failure to be seen.
            let stopped = StopOnDrop(stop.clone());
            let recorder = Recorder::start(pair, interface, &Self::path(&folder));
            traffic();
            let unrecorded = recorder.finish(pair);
            drop(stopped);
            (live.join().expect("drainer"), unrecorded)
        });
        Self {
            live,
            folder,
            lost: [pair.lost_under_way() - before, unrecorded],
        }
    }

    /// Fails where the machine, and not the capture, is the reason that the two did not see the same.
    ///
    /// # Errors
    /// Packets that were lost on the way from one to the other, or by the recorder; packets counted an epoch late, since the drainer did not get
    /// its turn.
    pub(crate) fn same_traffic(&self) -> Result<(), String> {
        if self.lost != [0, 0] {
            let [under_way, unrecorded] = self.lost;
            return Err(format!(
                "{under_way} packets lost under way, {unrecorded} by tcpdump"
            ));
        }
        let flows = self.live.iter().flat_map(|epoch| &epoch.flows);
        match flows
            .filter(|(_, counters)| counters.quality & quality::LATE != 0)
            .count()
        {
            0 => Ok(()),
            late => Err(format!("{late} flows of an epoch that was drained late")),
        }
    }

    fn path(folder: &TempDir) -> PathBuf {
        folder.path().join("beside.pcap")
    }

    /// The recording, replayed without a loss.
    pub(crate) fn replayed(&self, settings: replay::Settings) -> Vec<Epoch> {
        let mut replay = Replay::open(&[Self::path(&self.folder)], settings).expect("open");
        let epochs = epochs(&mut replay);
        assert_eq!(replay.report().losses, []);
        epochs
    }

    /// What went between the two hosts as captured, and as replayed for as long. Packets of link-local and multicast addresses
    /// are the kernel's own business, and may be older than the recording.
    pub(crate) fn between_hosts(&self, replayed: &[Epoch]) -> [Vec<Epoch>; 2] {
        let until = self.live.last().expect("an epoch").index;
        [&self.live, replayed].map(|epochs| {
            let mut ours = epochs.to_vec();
            if ours.last().is_none_or(|last| last.index < until) {
                ours.push(Epoch {
                    index: until,
                    ..Epoch::default()
                });
            }
            for epoch in &mut ours {
                epoch.flows.retain(|(key, _)| is_ours(key));
            }
            ours
        })
    }

    /// Records of the flows between the two hosts as captured, and as replayed for as long.
    pub(crate) fn records(&self, replayed: &[Epoch]) -> [Vec<FlowRecord>; 2] {
        self.between_hosts(replayed).map(|epochs| records(&epochs))
    }
}

/// `tcpdump -w` on an interface of a pair; stopped when dropped.
struct Recorder {
    child: Child,
    path: PathBuf,
    errors: PathBuf,
}

/// Last words of the two ends, to all hosts of the link: once they are in the recording, so is all that came before.
const LAST_WORDS: [&[u8]; 2] = [b"that was all from a", b"that was all from b"];

impl Recorder {
    fn start(pair: &Pair, interface: &str, path: &Path) -> Self {
        let namespace = if interface == "veth-a" {
            &pair.a
        } else {
            &pair.b
        };
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
            errors,
        };
        // It says so once the tap is open.
        recorder.wait_for("tcpdump to listen", || {
            recorder.said().contains("listening on")
        });
        recorder
    }

    /// Ends it once it has written all: what waits in its ring when it is interrupted, it throws away. How many packets were lost to it.
    fn finish(mut self, pair: &Pair) -> u64 {
        for (namespace, words) in [(&pair.a, LAST_WORDS[0]), (&pair.b, LAST_WORDS[1])] {
            namespace.within(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
                socket.set_broadcast(true).expect("allowed");
                let sent = socket.send_to(words, "10.77.0.255:9");
                assert_eq!(sent.expect("send"), words.len());
            });
        }
        let holds = |recording: &[u8], words: &[u8]| {
            recording.windows(words.len()).any(|window| window == words)
        };
        self.wait_for("the last words to be recorded", || {
            let recording = fs::read(&self.path).expect("the recording");
            LAST_WORDS.iter().all(|words| holds(&recording, words))
        });
        // Each end has several queues, and one may be behind the one of the last words.
        let size = || fs::metadata(&self.path).expect("the recording").len();
        let mut last = 0;
        while last != size() {
            last = size();
            pause(Duration::from_millis(300));
        }
        self.interrupt();
        assert!(self.child.wait().expect("tcpdump").success());
        let said = self.said();
        let dropped = said
            .lines()
            .find_map(|line| line.strip_suffix(" packets dropped by kernel"));
        let dropped = dropped.unwrap_or_else(|| panic!("tcpdump counts: {said}"));
        dropped.trim().parse().expect("a number")
    }

    /// All it has said.
    fn said(&self) -> String {
        fs::read_to_string(&self.errors).expect("log")
    }

    fn wait_for(&self, what: &str, happened: impl FnMut() -> bool) {
        assert!(soon(happened), "waited in vain for {what}: {}", self.said());
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
fn epochs(capture: &mut impl Capture) -> Vec<Epoch> {
    let mut all = Vec::new();
    let mut epoch = Epoch::default();
    while capture.next_epoch(&mut epoch).expect("capture") == Progress::Epoch {
        all.push(epoch.clone());
    }
    all
}

/// Records of flows, by key and start.
fn records(epochs: &[Epoch]) -> Vec<FlowRecord> {
    let mut stages = Stages::new(&pipeline::Settings {
        flow: flow::Settings {
            checkpoints: false,
            ..flow::Settings::default()
        },
        ..pipeline::Settings::default()
    });
    let mut batch = pipeline::Batch::new();
    for epoch in epochs {
        stages.observe(epoch, &mut batch);
    }
    stages.finish(&mut batch);
    let mut records: Vec<FlowRecord> = batch.drain(..).map(|(record, _)| record).collect();
    records.sort_by_key(|record| (record.key, record.start()));
    records
}

/// Whether a flow is between the two hosts of a [`Pair`], and not to all of the link.
fn is_ours(key: &FlowKey) -> bool {
    const NETWORK: [u8; 15] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, 0];
    key.addresses.iter().all(|address| {
        address.starts_with(&[0xfd, 0x77]) || (address[..15] == NETWORK && address[15] != 255)
    })
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
