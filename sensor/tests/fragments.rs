//! Fragments as a person meets them: a capture with and without `capture.fragments = "follow"`, beside what `tshark` puts together, and
//! what `extract` cuts out.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use sensor::{
    capture::{
        Capture as _, Epoch, FragmentCounts, Progress, Stop, frames,
        link::LinkType,
        pcap_writer::{PcapWriter, Resolution},
        replay::{Replay, Settings},
    },
    flow::community_id,
    pipeline::evidence::extract_flow,
};
use sensor_ebpf::flow::FlowKey;

const UDP: u8 = 17;

/// A datagram of `length` bytes in fragments of at most 1,480 (IPv4) or 1,448 (IPv6), first to last.
fn datagram(v6: bool, identification: u32, port: u16, length: usize) -> Vec<Vec<u8>> {
    let mut segment = Vec::new();
    segment.extend(port.to_be_bytes());
    segment.extend(9_u16.to_be_bytes());
    segment.extend((8 + length as u16).to_be_bytes());
    // No checksum (RFC 768); IPv6 wants one, but nobody here looks.
    segment.extend([0, 0]);
    segment.resize(8 + length, 0xa5);
    let size = if v6 { 1_448 } else { 1_480 };
    let count = segment.len().div_ceil(size);
    let piece = |(number, payload): (usize, &[u8])| {
        let (offset, more) = ((number * size / 8) as u16, u16::from(number + 1 < count));
        let mut frame = vec![2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4];
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((8 + payload.len() as u16).to_be_bytes());
            frame.extend([44, 64]);
            for host in [1, 2] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
            frame.extend([UDP, 0]);
            frame.extend((offset << 3 | more).to_be_bytes());
            frame.extend(identification.to_be_bytes());
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + payload.len() as u16).to_be_bytes());
            frame.extend((identification as u16).to_be_bytes());
            frame.extend((more << 13 | offset).to_be_bytes());
            frame.extend([64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend(payload);
        frame
    };
    segment.chunks(size).enumerate().map(piece).collect()
}

/// Datagrams of several flows over both families, whose fragments come in among each other; 40 ms apart.
fn write(path: &Path) -> u64 {
    let file = BufWriter::new(File::create(path).expect("a file"));
    let mut out =
        PcapWriter::new(file, LinkType::ETHERNET, Resolution::Nanoseconds).expect("write");
    let mut lanes: Vec<Vec<Vec<u8>>> = Vec::new();
    for (lane, (v6, port)) in [(false, 4_000), (false, 4_001), (true, 5_000), (true, 5_001)]
        .into_iter()
        .enumerate()
    {
        let sizes = [100, 1_600, 4_000, 9_000, 20, 3_000];
        let of = |(number, length): (usize, &usize)| {
            datagram(v6, (lane * 100 + number) as u32, port, *length)
        };
        lanes.push(sizes.iter().enumerate().flat_map(of).collect());
    }
    let mut packets = 0;
    for round in 0..lanes.iter().map(Vec::len).max().unwrap_or(0) {
        for frame in lanes.iter().filter_map(|lane| lane.get(round)) {
            let time = 1_700_000_000_000_000_000 + packets * 40_000_000;
            out.write(time, frame.len() as u32, frame).expect("write");
            packets += 1;
        }
    }
    out.finish().expect("write").flush().expect("write");
    packets
}

/// Packets of each flow, and what became of fragments.
fn flows(path: &Path, follow_fragments: bool) -> (HashMap<FlowKey, u64>, FragmentCounts) {
    let settings = Settings {
        follow_fragments,
        ..Settings::default()
    };
    let mut replay = Replay::open(&[path.to_owned()], settings).expect("the capture");
    let (mut flows, mut epoch) = (HashMap::new(), Epoch::default());
    while replay.next_epoch(&mut epoch).expect("the capture") == Progress::Epoch {
        assert_eq!(epoch.ledger.unaccounted(), 0);
        for (key, counters) in &epoch.flows {
            *flows.entry(*key).or_default() += counters.packets();
        }
    }
    (flows, replay.report().fragments)
}

fn by_port(flows: &HashMap<FlowKey, u64>) -> BTreeMap<u16, u64> {
    let port = |key: &FlowKey| key.ports.into_iter().find(|port| *port != 9).unwrap_or(0);
    flows
        .iter()
        .map(|(key, packets)| (port(key), *packets))
        .collect()
}

/// Frames of each source port, as `tshark` puts them together: each fragment names the frame in which its datagram is whole.
fn by_tshark(path: &Path) -> Option<BTreeMap<u16, u64>> {
    let output = Command::new("tshark")
        .args([
            "-2",
            "-o",
            "ip.defragment:TRUE",
            "-o",
            "ipv6.defragment:TRUE",
        ])
        .args(["-T", "fields", "-E", "occurrence=f"])
        .args([
            "-e",
            "frame.number",
            "-e",
            "ip.reassembled_in",
            "-e",
            "ipv6.reassembled.in",
        ])
        .args(["-e", "udp.srcport", "-r"])
        .arg(path)
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<[u64; 4]> = text
        .lines()
        .map(|line| {
            let mut fields = line.split('\t').map(|field| field.parse().unwrap_or(0));
            std::array::from_fn(|_| fields.next().unwrap_or(0))
        })
        .collect();
    let port_in: HashMap<u64, u64> = rows
        .iter()
        .map(|[frame, .., port]| (*frame, *port))
        .collect();
    let mut counts = BTreeMap::new();
    for [frame, v4, v6, _] in rows {
        let whole = if v4 + v6 == 0 { frame } else { v4 + v6 };
        *counts.entry(port_in[&whole] as u16).or_default() += 1;
    }
    Some(counts)
}

#[test]
fn flows_have_the_fragments_that_tshark_gives_them() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("fragments.pcap");
    let packets = write(&path);
    let (pair, none) = flows(&path, false);
    let (follow, counts) = flows(&path, true);
    assert_eq!(pair.values().sum::<u64>(), packets);
    assert_eq!(follow.values().sum::<u64>(), packets);
    assert_eq!((pair.len(), follow.len()), (6, 4));
    assert_eq!(none, FragmentCounts::default());
    // 1 + 2 + 6 + 2 later fragments of 1,600, 4,000, 9,000 and 3,000 bytes, in each of four lanes.
    assert_eq!((counts.followed, counts.later()), (44, 44));
    assert!(follow.keys().all(|key| key.is_whole()));
    match by_tshark(&path) {
        Some(expected) => assert_eq!(by_port(&follow), expected),
        None => println!("left out: no tshark here"),
    }
}

#[test]
fn extract_cuts_later_fragments_out_with_their_flow() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("fragments.pcap");
    write(&path);
    let (follow, _) = flows(&path, true);
    for (key, packets) in follow {
        let side = usize::from(key.ports[0] == 9);
        let community_id = community_id::v1(&key, side);
        let slice: PathBuf = folder.path().join("slice.pcapng");
        let out: Box<dyn Write> = Box::new(File::create(&slice).expect("a file"));
        let inputs = std::slice::from_ref(&path);
        let cut = extract_flow(inputs, &community_id, &Stop::default(), out).expect("cut out");
        assert_eq!(cut.packets, packets);
        let read = frames::each(std::slice::from_ref(&slice), &mut |_| Ok(())).expect("read again");
        assert_eq!(read.packets, packets);
        fs::remove_file(&slice).expect("remove");
    }
}
