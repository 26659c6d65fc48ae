//! The kernel's accounting and the agent's are the same to the bit, times included.
//!
//! Every frame of every shared capture goes through the kernel program by `BPF_PROG_TEST_RUN`, with its time in the
//! bytes where its MAC addresses were, and through the replay of a file with the same frames. Epoch by epoch the two
//! must be equal. Frames of other link types get an Ethernet header in place of theirs.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Instant,
};

use sensor::capture::{
    Capture as _, Epoch, Progress, input,
    link::LinkType,
    pcap_writer::{PcapWriter, Resolution},
    replay::{self, Replay},
    xdp::{Settings, Xdp, bpf},
};
use sensor_ebpf::{
    flow::{TimeNs, epoch_of},
    frame::Malformed,
    maps::{Hook, Ledger},
};

use crate::{
    captures,
    netns::{Serial, pin},
    support,
};

/// What a test run takes without a second buffer. Headers end far before; lengths are in them.
const FRAME_MAX_BYTES: usize = 2048;

/// The frame as Ethernet, its first eight bytes its time.
fn as_ethernet(link: LinkType, time: TimeNs, frame: &[u8]) -> Option<Vec<u8>> {
    let by_version = |packet: &[u8]| match packet.first()? >> 4 {
        6 => Some([0x86, 0xdd]),
        _ => Some([0x08, 0x00]),
    };
    let (kind, rest) = match link.0 {
        1 => (frame.get(12..14)?.try_into().ok()?, &frame[14..]),
        0 => (by_version(frame.get(4..)?)?, &frame[4..]),
        101 => (by_version(frame)?, frame),
        113 => (frame.get(14..16)?.try_into().ok()?, frame.get(16..)?),
        other => panic!("link type {other} has no reframing"),
    };
    let mut ethernet = time.to_be_bytes().to_vec();
    ethernet.extend([0; 4]);
    ethernet.extend(kind);
    ethernet.extend(&rest[..rest.len().min(FRAME_MAX_BYTES)]);
    Some(ethernet)
}

/// All frames of a capture in the order of time, which is the order in which they would have come by.
fn frames(path: &Path) -> Vec<(TimeNs, Vec<u8>)> {
    let mut frames = Vec::new();
    input::frames(path, |record| {
        frames.extend(
            as_ethernet(record.link, record.time, record.frame).map(|frame| (record.time, frame)),
        );
    })
    .unwrap_or_else(|error| panic!("{error}"));
    frames.sort_by_key(|(time, _)| *time);
    frames
}

/// Some epochs of one capture, with the frames they are made of.
struct Job {
    path: PathBuf,
    epochs: Vec<Epoch>,
    frames: Vec<(TimeNs, Vec<u8>)>,
}

/// Epochs in a job: enough jobs for all workers, also where there is only one capture.
const EPOCHS_PER_JOB: usize = 256;
/// A drain is mostly waiting for a grace period of RCU, which all workers share.
const WORKERS: usize = 24;

/// Replays one capture and cuts it into jobs.
fn jobs(path: &Path, folder: &Path, inside_tunnels: bool, jobs: &mut Vec<Job>) {
    let mut frames = frames(path);
    let file = folder.join("frames.pcap");
    let out = BufWriter::new(File::create(&file).expect("create"));
    let mut writer =
        PcapWriter::new(out, LinkType::ETHERNET, Resolution::Nanoseconds).expect("write");
    for (time, frame) in &frames {
        writer
            .write(*time, frame.len() as u32, frame)
            .expect("write");
    }
    writer.finish().expect("write");
    let settings = replay::Settings {
        inside_tunnels,
        ..replay::Settings::default()
    };
    let mut replay = Replay::open(&[file], settings).expect("open");
    let mut epochs = Vec::new();
    let mut epoch = Epoch::default();
    while replay.next_epoch(&mut epoch).expect("replay") == Progress::Epoch {
        epochs.push(std::mem::take(&mut epoch));
    }
    while !epochs.is_empty() {
        let rest = epochs.split_off(epochs.len().min(EPOCHS_PER_JOB));
        let until = rest.first().map_or(u64::MAX, |next| next.index);
        let behind = frames.split_off(frames.partition_point(|(time, _)| epoch_of(*time) < until));
        jobs.push(Job {
            path: path.to_path_buf(),
            epochs: std::mem::replace(&mut epochs, rest),
            frames: std::mem::replace(&mut frames, behind),
        });
    }
}

/// Has the kernel program count the frames of a job, and compares.
fn compare(kernel: &mut Xdp, job: &Job) {
    let mut counted = Epoch::default();
    let mut frames = job.frames.iter().peekable();
    for expected in &job.epochs {
        while let Some((_, frame)) = frames.next_if(|(time, _)| epoch_of(*time) == expected.index) {
            let program = kernel.program(Hook::Ingress).expect("program");
            bpf::test_run(program, frame, 1).unwrap_or_else(|error| {
                panic!(
                    "{}: a frame of {} bytes: {error}",
                    job.path.display(),
                    frame.len()
                )
            });
        }
        let report = kernel.drain(expected.index, &mut counted).expect("drain");
        assert_eq!((report.unaccounted, report.late), (0, 0));
        for (_, counters) in &mut counted.flows {
            // A test run comes in by some interface; a file has none.
            counters.interface = 0;
        }
        assert_eq!(&counted, expected, "{}", job.path.display());
    }
    assert!(frames.next().is_none(), "{}", job.path.display());
}

#[test]
#[ignore = "kernel: needs root"]
fn kernel_and_replay_give_the_same_records() {
    const FOLDERS: [&str; 9] = [
        "flow-counter-oracle/pcap",
        "c2-caldera",
        "capattack-host-and-capture",
        "ddos",
        "iot23-34-1-mirai",
        "modbus-scada",
        "otrf-windows-attacks",
        "scans-bruteforce",
        "iot-sentinel-benign",
    ];
    compare_all(&FOLDERS, false);
}

/// The captures of nDPI hold tunnels of most kinds.
#[test]
#[ignore = "kernel: needs root"]
fn kernel_and_replay_give_the_same_records_inside_tunnels() {
    compare_all(&["flow-counter-oracle/pcap"], true);
}

/// A sweep of a /24 by ARP with a few answers, and whatever else ARP can look like.
#[test]
#[ignore = "kernel: needs root"]
fn kernel_and_replay_give_the_same_records_of_arp() {
    let _serial = Serial::take();
    let temporary = tempfile::tempdir().expect("a folder");
    let packet = |operation: u8, sender: [u8; 4], target: [u8; 4]| {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
        packet.extend(sender);
        packet.extend([0; 6]);
        packet.extend(target);
        // As Ethernet pads it.
        packet.resize(46, 0);
        packet
    };
    let here = |host: u8| [192, 168, 1, host];
    let mut packets: Vec<(&[u8], Vec<u8>)> = Vec::new();
    for host in 1..=254 {
        packets.push((&[], packet(1, here(7), here(host))));
        if host % 50 == 0 {
            packets.push((&[], packet(2, here(host), here(7))));
            packets.push((&[], packet(1, here(host), here(7))));
        }
    }
    let odd = |at: usize, byte: u8| {
        let mut packet = packet(1, here(7), here(8));
        packet[at] = byte;
        packet
    };
    packets.push((&[0x81, 0, 0, 5], packet(1, here(7), here(8))));
    packets.push((
        &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6],
        packet(2, here(9), here(9)),
    ));
    packets.push((&[], packet(1, [0; 4], here(9))));
    packets.push((&[], packet(9, here(9), here(8))));
    packets.extend([odd(1, 6), odd(2, 0x86), odd(4, 8), odd(5, 16)].map(|odd| (&[][..], odd)));
    packets.extend([0, 5, 6, 27].map(|length| (&[][..], odd(0, 0)[..length].to_vec())));
    let source = temporary.path().join("arp.pcap");
    let out = BufWriter::new(File::create(&source).expect("create"));
    let mut writer =
        PcapWriter::new(out, LinkType::ETHERNET, Resolution::Nanoseconds).expect("write");
    for (at, (tags, packet)) in packets.iter().enumerate() {
        let frame = [&[2; 12], *tags, &[8, 6], packet].concat();
        let time = 1_700_000_000_000_000_000 + at as u64 * 7_000_000;
        writer
            .write(time, frame.len() as u32, &frame)
            .expect("write");
    }
    writer.finish().expect("write");
    for inside_tunnels in [false, true] {
        let mut work = Vec::new();
        jobs(&source, temporary.path(), inside_tunnels, &mut work);
        let mut kernel = kernel(inside_tunnels);
        let mut ledger = Ledger::default();
        let mut flows = 0;
        for job in &work {
            compare(&mut kernel, job);
            for epoch in &job.epochs {
                ledger.add(&epoch.ledger);
                flows += epoch.flows.len();
            }
        }
        assert_eq!(ledger.seen, packets.len() as u64);
        assert_eq!((ledger.not_ip, ledger.unaccounted()), (2, 0));
        assert_eq!(ledger.malformed[Malformed::Arp as usize], 6);
        assert!(flows > 254, "{flows}");
    }
}

/// The programs on no interface, for this thread.
fn kernel(inside_tunnels: bool) -> Xdp {
    // All packets of a test run count on the CPU it runs on.
    pin(0);
    let settings = Settings {
        clock_from_frame: true,
        flows_per_table: 65_536,
        inside_tunnels,
        ..Settings::on([""; 0])
    };
    Xdp::load(&settings).expect("load")
}

fn compare_all(folders: &[&str], inside_tunnels: bool) {
    let _serial = Serial::take();
    let temporary = tempfile::tempdir().expect("a folder");
    for folder in folders {
        let Some(folder) = support::shared(folder) else {
            continue;
        };
        let begun = Instant::now();
        let endings = [".pcap", ".pcapng", ".cap", ".pcap.zst", ".pcapng.zst"];
        let captures = captures::below(&folder, &endings);
        assert!(!captures.is_empty(), "{}", folder.display());
        let mut work = Vec::new();
        for capture in &captures {
            jobs(capture, temporary.path(), inside_tunnels, &mut work);
        }
        if inside_tunnels {
            // The rest is compared without looking inside.
            work.retain(|job: &Job| {
                job.epochs
                    .iter()
                    .any(|epoch| epoch.ledger.inside_tunnels > 0)
            });
        }
        let packets: usize = work.iter().map(|job| job.frames.len()).sum();
        let epochs: usize = work.iter().map(|job| job.epochs.len()).sum();
        let inside: u64 = work
            .iter()
            .flat_map(|job| &job.epochs)
            .map(|epoch| epoch.ledger.inside_tunnels)
            .sum();
        assert_eq!(inside > 0, inside_tunnels);
        let work = Mutex::new(work);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let mut kernel = kernel(inside_tunnels);
                    while let Some(job) = work.lock().ok().and_then(|mut work| work.pop()) {
                        compare(&mut kernel, &job);
                    }
                });
            }
        });
        println!(
            "{}: {} captures, {packets} packets ({inside} of them in tunnels), {epochs} epochs equal in {:.1?}",
            folder.display(),
            captures.len(),
            begun.elapsed()
        );
    }
}
