//! A capture, and tcpdump's recording of the same packets beside it.

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
        Capture, Epoch, Progress, Stop,
        replay::{self, Replay},
    },
    flow::{self, FlowRecord},
    pipeline::{self, Stages},
};
use sensor_ebpf::flow::{FlowCounters, FlowKey, quality};
use tempfile::TempDir;

use crate::netns::{Namespace, pause};

/// What was captured while something happened, and what was recorded of it.
pub(crate) struct Beside {
    pub(crate) live: Vec<Epoch>,
    folder: TempDir,
}

impl Beside {
    /// Captures and records on an interface while `traffic` happens; `stop` is the capture's.
    pub(crate) fn of(
        capture: &mut (impl Capture + Send),
        stop: &Stop,
        (namespace, interface): (&Namespace, &str),
        traffic: impl FnOnce(),
    ) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let live = thread::scope(|scope| {
            let live = scope.spawn(|| epochs(capture));
            let recorder = Recorder::start(namespace, interface, &Self::path(&folder));
            traffic();
            recorder.finish();
            stop.stop();
            live.join().expect("drainer")
        });
        Self { live, folder }
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

/// `tcpdump -w` on an interface; stopped when dropped.
struct Recorder {
    child: Child,
    path: PathBuf,
}

impl Recorder {
    fn start(namespace: &Namespace, interface: &str, path: &Path) -> Self {
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
    fn finish(mut self) {
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

/// Whether a flow is between the two hosts of a [`Pair`].
fn is_ours(key: &FlowKey) -> bool {
    key.addresses.iter().all(|address| {
        address.starts_with(&[0xfd, 0x77])
            || address[..15] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, 0]
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
