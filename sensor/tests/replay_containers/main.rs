//! The readers of capture files: what was written comes back, whatever the format; a file that is cut or damaged
//! gives what stands before the damage, and nothing else.

mod refused;
mod write;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::Config};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sensor::capture::{
    Capture, CaptureError, Epoch, Progress, input,
    link::LinkType,
    looped,
    pcap_writer::{PcapWriter, Resolution},
    replay::{Replay, Report, Settings},
};
use tempfile::TempDir;
use write::{Block, Frame, Section};

fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

/// A folder for the files of one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        // A new file each time: ext4 waits for the disk when one is overwritten (`auto_da_alloc`).
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).expect("write");
        path
    }
}

fn read(path: &Path) -> Result<Vec<Frame>, CaptureError> {
    let mut frames = Vec::new();
    input::frames(path, |record| {
        assert_eq!(record.link, LinkType::ETHERNET);
        assert_eq!(record.wire_length as usize, record.frame.len());
        frames.push(Frame {
            time: record.time,
            bytes: record.frame.to_vec(),
        });
    })?;
    Ok(frames)
}

fn epochs(inputs: &[PathBuf]) -> (Vec<Epoch>, Report) {
    let mut replay = Replay::open(inputs, Settings::default()).expect("open");
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut epoch = Epoch::default();
    while replay.next_epoch(&mut epoch).expect("read") == Progress::Epoch {
        assert_eq!(epoch.ledger.unaccounted(), 0);
        assert!(epochs.last().is_none_or(|last| last.index < epoch.index));
        epochs.push(epoch.clone());
    }
    (epochs, replay.report())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A UDP packet between two of a few hosts.
fn udp(host: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, host]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

/// Frames that belong to flows, in order of time.
fn traffic() -> impl Strategy<Value = Vec<Frame>> {
    let packet = (0u64..8_000_000_000, 2u8..6, 1000u16..1004);
    proptest::collection::vec(packet, 1..150).prop_map(|mut packets| {
        packets.sort_unstable();
        packets.dedup_by_key(|(time, ..)| *time);
        packets
            .into_iter()
            .map(|(time, host, port)| Frame {
                time: 1_500_000_000_000_000_000 + time,
                bytes: udp(host, port),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn pcap_comes_back(frames in write::frames(), (order, nanoseconds) in write::pcap_shapes()) {
        let folder = Folder::new();
        let got = read(&folder.file("a", &write::pcap(&frames, order, nanoseconds))).unwrap();
        let unit = if nanoseconds { 1 } else { 1_000 };
        let expected: Vec<Frame> = frames
            .into_iter()
            .map(|frame| Frame { time: frame.time / unit * unit, ..frame })
            .collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn what_the_writer_writes_comes_back(frames in write::frames(), nanoseconds in any::<bool>()) {
        let resolution = if nanoseconds { Resolution::Nanoseconds } else { Resolution::Microseconds };
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, resolution).unwrap();
        for frame in &frames {
            writer.write(frame.time, frame.bytes.len() as u32, &frame.bytes).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap(), write::pcap(&frames, write::Order::Little, nanoseconds));
    }

    #[test]
    fn pcapng_comes_back(sections in write::sections()) {
        let folder = Folder::new();
        let got = read(&folder.file("a", &pcapng(&sections))).unwrap();
        let mut got = got.into_iter();
        let mut last = 0;
        for section in &sections {
            for (interface, block, frame, _) in &section.packets {
                let read = got.next().expect("packet");
                prop_assert_eq!(&read.bytes, &frame.bytes);
                if matches!(block, Block::Simple) {
                    prop_assert_eq!(read.time, last);
                } else {
                    let step = section.interfaces[interface % section.interfaces.len()].step();
                    prop_assert!(
                        read.time <= frame.time && frame.time - read.time < step,
                        "{} became {}, {:?}", frame.time, read.time, section.interfaces
                    );
                }
                last = read.time;
            }
        }
        prop_assert!(got.next().is_none());
    }

    #[test]
    fn compression_changes_nothing(frames in write::frames(), cut in any::<prop::sample::Index>()) {
        let folder = Folder::new();
        let plain = write::pcap(&frames, write::Order::Little, true);
        let (head, tail) = plain.split_at(cut.index(plain.len()));
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for (name, packed) in [
            ("one gzip member", gzip(&plain)),
            ("two gzip members", [gzip(head), gzip(tail)].concat()),
            ("one zstd frame", zstd(&plain)),
            ("two zstd frames", [zstd(head), zstd(tail)].concat()),
            ("skippable zstd frames", [&skippable[..], &zstd(head), &skippable, &zstd(tail), &skippable].concat()),
            ("gzip in zstd", zstd(&gzip(&plain))),
        ] {
            let got = read(&folder.file("a", &packed)).unwrap();
            prop_assert_eq!(&got, &frames, "{}", name);
        }
    }

    /// Whatever the bytes, no crash and no invented memory.
    #[test]
    fn damaged_files_are_read_or_refused(
        sections in write::sections(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let folder = Folder::new();
        let mut file = pcapng(&sections);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let path = folder.file("a", &file);
        if let Ok(mut replay) = Replay::open(&[path], Settings::default()) {
            let mut epoch = Epoch::default();
            while replay.next_epoch(&mut epoch).unwrap() == Progress::Epoch {
                prop_assert_eq!(epoch.ledger.unaccounted(), 0);
            }
            prop_assert!(replay.report().bytes <= file.len() as u64);
        }
    }
}

fn pcapng(sections: &[Section]) -> Vec<u8> {
    let mut file = Vec::new();
    for section in sections {
        section.write(&mut file);
    }
    file
}

proptest! {
    #![proptest_config(cases(10))]

    /// Cut anywhere, a file gives the packets that are there as a whole, in order, and states the loss.
    #[test]
    fn cut_files_give_a_prefix(frames in write::frames(), sections in write::sections(), order in write::pcap_shapes()) {
        let folder = Folder::new();
        for file in [write::pcap(&frames, order.0, order.1), pcapng(&sections)] {
            let whole = read(&folder.file("whole", &file)).unwrap();
            let mut most = 0;
            for length in (0..file.len()).step_by(1 + file.len() / 1_000) {
                let path = folder.file("cut", &file[..length]);
                let Ok(got) = read(&path) else {
                    prop_assert_eq!(most, 0, "readable when shorter, not at {}", length);
                    continue;
                };
                prop_assert!(whole.starts_with(&got), "cut to {}", length);
                prop_assert!(got.len() >= most);
                most = got.len();
                let (_, report) = epochs(&[path]);
                prop_assert_eq!(report.packets, got.len() as u64);
                if let [loss] = &report.losses[..] {
                    prop_assert_eq!(loss.packets, got.len() as u64);
                    prop_assert!(loss.damage.offset <= length as u64);
                } else {
                    // Only a cut between two records or blocks cannot be seen.
                    prop_assert!(report.losses.is_empty());
                }
            }
        }
    }

    #[test]
    fn cut_compressed_files_give_a_prefix(frames in write::frames()) {
        let folder = Folder::new();
        let plain = write::pcap(&frames, write::Order::Little, true);
        for packed in [gzip(&plain), zstd(&plain)] {
            for length in (1..packed.len()).step_by(1 + packed.len() / 300) {
                let path = folder.file("cut", &packed[..length]);
                if let Ok(got) = read(&path) {
                    prop_assert!(frames.starts_with(&got), "cut to {}", length);
                    let (_, report) = epochs(&[path]);
                    prop_assert_eq!(report.losses.len(), 1, "cut to {} of {}", length, packed.len());
                }
            }
        }
    }
}

/// A decoder keeps back what later blocks may refer to, megabytes of it: of a file that is cut, not only what lies before that.
#[test]
fn a_cut_zstd_file_gives_all_its_whole_blocks() {
    let folder = Folder::new();
    let frames: Vec<Frame> = (0..20_000_u64)
        .map(|number| Frame {
            time: number * 1_000_000,
            bytes: udp((number % 7) as u8, (number * 7919 % 60_000) as u16),
        })
        .collect();
    let packed = zstd(&write::pcap(&frames, write::Order::Little, true));
    let path = folder.file("cut", &packed[..packed.len() / 2]);
    let got = read(&path).expect("a capture");
    assert!(frames.starts_with(&got));
    // Blocks are of 128 KiB, two thousand frames: the half, but for the one that is cut.
    assert!((7_000..13_000).contains(&got.len()), "{} frames", got.len());
    let (_, report) = epochs(&[path]);
    let [loss] = &report.losses[..] else {
        panic!("{:?}", report.losses);
    };
    assert_eq!(loss.packets, got.len() as u64);
    assert!(loss.damage.what.contains("ends inside a frame"), "{loss}");
}

proptest! {
    #![proptest_config(cases(60))]

    /// Splitting a capture over several files changes nothing: not the epochs, and not by the order of the files.
    #[test]
    fn merged_files_are_the_whole(frames in traffic(), choice in proptest::collection::vec(0usize..4, 150)) {
        let folder = Folder::new();
        let whole = folder.file("whole", &write::pcap(&frames, write::Order::Little, true));
        let mut parts = vec![Vec::new(); 4];
        for (frame, part) in frames.iter().zip(choice) {
            parts[part].push(frame.clone());
        }
        let mut paths: Vec<PathBuf> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| folder.file(&format!("part{number}"), &write::pcap(part, write::Order::Big, true)))
            .collect();
        let (expected, _) = epochs(&[whole]);
        let (got, report) = epochs(&paths);
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(report.late_packets, 0);
        paths.reverse();
        prop_assert_eq!(&epochs(&paths).0, &expected);
    }

    /// Packets out of order are counted where they stand; none is lost and time never goes back.
    #[test]
    fn shuffled_packets_are_all_counted(frames in traffic().prop_shuffle()) {
        let folder = Folder::new();
        let path = folder.file("a", &write::pcap(&frames, write::Order::Little, true));
        let (epochs, report) = epochs(&[path]);
        let mut open = 0;
        let mut late = 0;
        for frame in &frames {
            let epoch = sensor_ebpf::flow::epoch_of(frame.time);
            late += u64::from(epoch < open);
            open = open.max(epoch);
        }
        prop_assert_eq!(report.late_packets, late);
        let counted: u64 = epochs.iter().map(|epoch| epoch.ledger.counted).sum();
        prop_assert_eq!(counted, frames.len() as u64);
        let in_flows: u64 = epochs.iter().flat_map(|epoch| &epoch.flows).map(|(_, flow)| flow.packets()).sum();
        prop_assert_eq!(in_flows, frames.len() as u64);
    }

    #[test]
    fn looped_captures_repeat_their_traffic(frames in traffic(), rounds in 1u64..5) {
        let folder = Folder::new();
        let path = folder.file("a", &write::pcap(&frames, write::Order::Little, true));
        let packets = frames.len() as u64 * rounds;
        let mut out = Vec::new();
        prop_assert_eq!(looped::write(&path, packets, &mut out).unwrap(), packets);
        let (once, _) = epochs(&[path]);
        let (again, report) = epochs(&[folder.file("looped", &out)]);
        prop_assert_eq!((report.packets, report.late_packets), (packets, 0));
        let keys = |epochs: &[Epoch]| {
            let mut keys: Vec<_> = epochs.iter().flat_map(|epoch| &epoch.flows).map(|(key, _)| *key).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.len() as u64
        };
        prop_assert_eq!(keys(&again), keys(&once) * rounds);
    }
}

/// `anomaly-detect run <(zcat old.pcap.gz)`: a pipe is opened once and read to its end, beside ordinary files.
#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_like_a_file() {
    let folder = Folder::new();
    let frame = |time| Frame {
        time,
        bytes: udp(2, 1000),
    };
    let pipe = folder.0.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let file = write::pcap(&[frame(1), frame(3)], write::Order::Little, true);
    let beside = folder.file(
        "beside",
        &write::pcap(&[frame(2)], write::Order::Little, true),
    );
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, file)
    });
    let (epochs, report) = epochs(&[beside, pipe]);
    assert_eq!((epochs.len(), report.packets), (1, 3));
    writer.join().expect("writer").expect("write");
}
