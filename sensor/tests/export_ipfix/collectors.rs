//! Programs of others: nfcapd and nfdump count what the flow table counted, tshark finds nothing malformed.

use std::{collections::BTreeMap, fs::File, net::IpAddr, path::Path, process::Command};

use sensor::{
    capture::{
        link::LinkType,
        pcap_writer::{PcapWriter, Resolution},
    },
    flow::protocol_name,
    sink::ipfix::Form,
};

use crate::{cli, export, nfcapd::Nfcapd, program, support, traffic};

/// A flow as both sides can tell it: protocol, addresses, packets and IP bytes there and back.
type Told = (u8, [IpAddr; 2], [u64; 4]);

/// Of all files in a folder: there are two where a day ended meanwhile.
fn nfdump(program: &Path, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .arg("-R")
        .arg(folder)
        .args(arguments)
        .output()
        .expect("nfdump runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Every flow that nfdump read.
fn flows_of_nfdump(program: &Path, folder: &Path) -> Vec<Told> {
    let form = "fmt:%pr,%sa,%da,%ipkt,%opkt,%ibyt,%obyt";
    let text = nfdump(program, folder, &["-q", "-6", "-N", "-o", form]);
    let flow = |line: &str| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let number = |at: usize| cells[at].parse::<u64>().expect("a number");
        let address = |at: usize| cells[at].parse().expect("an address");
        let counts = [number(3), number(4), number(5), number(6)];
        (number(0) as u8, [address(1), address(2)], counts)
    };
    let mut flows: Vec<Told> = text
        .lines()
        .filter(|line| line.contains(','))
        .map(flow)
        .collect();
    flows.sort_unstable();
    flows
}

/// Every flow of the table that `pcap` wrote; in two where there are to be no biflows.
fn flows_of_table(table: &Path, biflow: bool) -> Vec<Told> {
    let numbers: BTreeMap<String, u8> = (0..=u8::MAX)
        .map(|number| {
            let name =
                protocol_name(number.into()).map_or_else(|| number.to_string(), str::to_owned);
            (name, number)
        })
        // A record of ARP has no protocol, which collectors show as 0.
        .chain([("arp".to_owned(), 0)])
        .collect();
    let mut reader = csv::Reader::from_path(table).expect("a table");
    let mut flows = Vec::new();
    for row in reader.deserialize() {
        let row: BTreeMap<String, String> = row.expect("a row");
        let number = |column: &str| row[column].parse::<u64>().expect("a number");
        let address = |column: &str| row[column].parse::<IpAddr>().expect("an address");
        let ends = [address("src_ip"), address("dst_ip")];
        let protocol = numbers[&row["protocol"]];
        let counts = [
            number("orig_packets"),
            number("resp_packets"),
            number("orig_bytes"),
            number("resp_bytes"),
        ];
        if biflow {
            let one_way = counts[0] > 0 && counts[1] == 0;
            assert!(counts[1] > 0 || one_way);
            flows.push((protocol, ends, counts));
            continue;
        }
        for (ends, packets, bytes) in [
            (ends, counts[0], counts[2]),
            ([ends[1], ends[0]], counts[1], counts[3]),
        ] {
            if packets > 0 {
                flows.push((protocol, ends, [packets, 0, bytes, 0]));
            }
        }
    }
    flows.sort_unstable();
    flows
}

/// Flows, packets, bytes by protocol and family.
fn totals(flows: &[Told]) -> BTreeMap<(u8, bool), [u64; 3]> {
    let mut totals = BTreeMap::new();
    for (protocol, ends, [there, back, bytes_there, bytes_back]) in flows {
        let sums: &mut [u64; 3] = totals.entry((*protocol, ends[0].is_ipv6())).or_default();
        sums[0] += 1;
        sums[1] += there + back;
        sums[2] += bytes_there + bytes_back;
    }
    totals
}

#[test]
fn nfdump_reads_what_the_flow_table_has() {
    let (Some(nfcapd), Some(nfdump_program)) = (program::find("nfcapd"), program::find("nfdump"))
    else {
        return;
    };
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    let mut runs = vec![(demo.clone(), true), (demo, false)];
    if let Some(shared) = support::shared("") {
        for folder in [
            "flow-counter-oracle/pcap",
            "scans-bruteforce",
            "modbus-scada",
        ] {
            runs.push((shared.join(folder), true));
        }
        runs.push((shared.join("flow-counter-oracle/pcap"), false));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("flows.csv");
    for (capture, biflow) in runs {
        let export = |_| {
            let collector = Nfcapd::start(&nfcapd, folder.path());
            cli::stdout(
                folder.path(),
                &[
                    "pcap",
                    &capture.to_string_lossy(),
                    "-o",
                    &table.to_string_lossy(),
                    "--ipfix",
                    &format!("udp://127.0.0.1:{}", collector.port),
                    "--set",
                    &format!("ipfix.biflow={biflow}"),
                    "--set",
                    "ipfix.rate=300",
                ],
            );
            collector.finish()
        };
        // UDP waits for nobody: again where the collector's socket ran over.
        let told_to = (0..5).find_map(export).expect("a collector in time");
        let ours = flows_of_table(&table, biflow);
        let theirs = flows_of_nfdump(&nfdump_program, &told_to);
        assert_eq!(totals(&ours), totals(&theirs), "{}", capture.display());
        assert!(
            ours == theirs,
            "{}: the flows themselves",
            capture.display()
        );
        let summary = nfdump(&nfdump_program, &told_to, &["-I"]);
        let told = |name: &str| -> u64 {
            let line = summary.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim_start_matches(':').trim().parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {summary}"))
        };
        assert_eq!(told("Sequence failures"), 0);
        let sum = |what: usize| -> u64 { totals(&ours).values().map(|sums| sums[what]).sum() };
        assert_eq!(told("Flows"), sum(0));
        assert_eq!(told("Packets"), sum(1));
        assert_eq!(told("Bytes"), sum(2));
        if !biflow {
            // Of biflows nfcapd's own sums by protocol have one direction only.
            let tcp = |what: usize| -> u64 {
                let of_tcp = totals(&ours)
                    .into_iter()
                    .filter(|((protocol, _), _)| *protocol == 6);
                of_tcp.map(|(_, sums)| sums[what]).sum()
            };
            assert_eq!(told("Packets_tcp"), tcp(1));
            assert_eq!(told("Bytes_tcp"), tcp(2));
        }
        println!(
            "{}, {}: nfdump {} flows, {} packets, {} bytes, as the table",
            capture.display(),
            if biflow { "biflows" } else { "one way each" },
            told("Flows"),
            told("Packets"),
            told("Bytes"),
        );
        for ((protocol, v6), sums) in totals(&ours) {
            println!(
                "  protocol {protocol} IPv{}: {sums:?}",
                if v6 { 6 } else { 4 }
            );
        }
    }
}

/// Frames of raw IPv4 with UDP or TCP in them, from 4739 to 4739.
fn capture(path: &Path, messages: &[Vec<u8>], tcp: bool) {
    const RAW_IP: u16 = 101;
    const PORT: [u8; 4] = [0x12, 0x83, 0x12, 0x83];
    let file = File::create(path).expect("a file");
    let mut writer =
        PcapWriter::new(file, LinkType(RAW_IP), Resolution::Microseconds).expect("a capture");
    let mut sequence = 1_u32;
    let payloads: Vec<Vec<u8>> = match tcp {
        // A stream knows no messages: cut where it comes.
        true => messages.concat().chunks(1000).map(<[u8]>::to_vec).collect(),
        false => messages.to_vec(),
    };
    for (at, payload) in payloads.iter().enumerate() {
        let mut transport = PORT.to_vec();
        if tcp {
            transport.extend(sequence.to_be_bytes());
            transport.extend([0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
            sequence += payload.len() as u32;
        } else {
            transport.extend(((8 + payload.len()) as u16).to_be_bytes());
            transport.extend([0, 0]);
        }
        let length = (20 + transport.len() + payload.len()) as u16;
        let mut frame = vec![0x45, 0];
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, if tcp { 6 } else { 17 }, 0, 0]);
        frame.extend([127, 0, 0, 1, 127, 0, 0, 1]);
        frame.extend(transport);
        frame.extend(payload);
        let time = 1_763_733_600_000_000_000 + at as u64 * 1000;
        writer
            .write(time, frame.len() as u32, &frame)
            .expect("a frame");
    }
}

#[test]
fn tshark_finds_nothing_malformed() {
    let Some(tshark) = program::find("tshark") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut flows = traffic::demo();
    if let Some(shared) = support::shared("flow-counter-oracle/pcap") {
        flows.extend(traffic::flows_of(&[&shared]));
    }
    let bytes = flows
        .iter()
        .map(|flow| flow.orig().ip_bytes + flow.resp().ip_bytes);
    let wanted: u64 = bytes.sum();
    for (tcp, nanoseconds, message_bytes) in [
        (false, false, 1400),
        (false, true, 512),
        (true, false, 60_000),
    ] {
        let form = Form {
            biflow: true,
            nanoseconds,
            message_bytes,
        };
        let messages = export(&flows, form, None, message_bytes);
        let path = folder.path().join("messages.pcap");
        capture(&path, &messages, tcp);
        let dissect = |arguments: &[&str]| -> String {
            let decode = if tcp { "tcp" } else { "udp" };
            let output = Command::new(&tshark)
                .arg("-r")
                .arg(&path)
                .args(["-d", &format!("{decode}.port==4739,cflow")])
                .args(arguments)
                .env("HOME", folder.path())
                .output()
                .expect("tshark runs");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        let wrong = dissect(&[
            "-Y",
            "cflow && (_ws.malformed || _ws.expert.severity >= 0x00600000)",
        ]);
        assert_eq!(wrong, "", "malformed, or warned of");
        // The same field for both directions.
        let octets = dissect(&["-Y", "cflow", "-T", "fields", "-e", "cflow.octets"]);
        let numbers = octets
            .split(['\n', ','])
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.parse::<u64>().expect("a number"));
        let (mut fields, mut sum) = (0, 0);
        for number in numbers {
            fields += 1;
            sum += number;
        }
        let one_way = flows.iter().filter(|flow| flow.resp().packets == 0).count();
        assert_eq!(fields, 2 * flows.len() - one_way);
        assert_eq!(sum, wanted);
        println!(
            "tshark: {} messages over {}, {} flows, {sum} bytes, nothing malformed",
            messages.len(),
            if tcp { "TCP" } else { "UDP" },
            flows.len(),
        );
    }
}
