//! The attacks in the captures: which flows they are, and whom an incident about them must name.

use sensor::{flow::FlowRecord, score::Incident};

use super::super::Part;

/// Which flows are the attack: those between `a` and `b` (anybody where empty), on this port (any if 0).
pub(super) struct Talk(&'static str, &'static str, u16);

/// One attack in one capture.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) path: &'static str,
    pub(super) part: Part,
    talks: &'static [Talk],
    /// Hosts an incident about it must name.
    pub(super) hosts: &'static [&'static str],
    /// Whether its flows are those of ARP; of any other attack none is.
    pub(super) is_arp: bool,
}

const fn attack(
    path: &'static str,
    part: Part,
    talks: &'static [Talk],
    hosts: &'static [&'static str],
) -> Attack {
    Attack {
        path,
        part,
        talks,
        hosts,
        is_arp: false,
    }
}

const fn by_arp(attack: Attack) -> Attack {
    Attack {
        is_arp: true,
        ..attack
    }
}

use Part::{ChosenOn, Confirmed};

/// "Chosen on" are those for which a limit was changed after a look at the result.
pub(super) const ATTACKS: &[Attack] = &[
    attack(
        "iot23-34-1-mirai/irc.pcap",
        Confirmed,
        &[Talk("", "", 0)],
        &["192.168.1.195"],
    ),
    attack(
        "ddos/CIC-DDoS-2019-SynFlood.pcap",
        Confirmed,
        &[
            Talk("172.16.0.5", "192.168.50.1", 0),
            Talk("172.16.0.5", "192.168.50.4", 0),
        ],
        &["192.168.50.1", "192.168.50.4"],
    ),
    attack(
        "ddos/amp.UDP.snmp.src161.pcapng",
        Confirmed,
        &[Talk("", "", 0)],
        &["10.10.10.10"],
    ),
    attack(
        "ddos/amp.dns.RRSIG.fragmented.pcap",
        Confirmed,
        &[Talk("", "", 0)],
        &["10.10.10.10"],
    ),
    attack(
        "ddos/pkt.TCP.synflood.spoofed.pcap",
        Confirmed,
        &[Talk("", "", 0)],
        &["10.10.10.10"],
    ),
    attack(
        "scans-bruteforce/malicious-ssh-bruteforce.pcap",
        Confirmed,
        &[Talk("147.32.80.40", "147.32.80.37", 902)],
        &["147.32.80.40"],
    ),
    attack(
        "scans-bruteforce/masscan_tcp_0_1000_20190821.pcap",
        Confirmed,
        &[Talk("", "", 0)],
        &["172.31.15.102"],
    ),
    attack(
        "scans-bruteforce/masscan_udp_0_1000_20190821.pcap",
        Confirmed,
        &[Talk("", "", 0)],
        &["172.31.15.102"],
    ),
    attack(
        "scans-bruteforce/nmap_80_all.pcap",
        Confirmed,
        &[Talk("", "130.211.223.103", 0)],
        &["10.87.1.10"],
    ),
    attack(
        "scans-bruteforce/nmap_80_vanilla.pcap",
        ChosenOn,
        &[Talk("", "130.211.223.103", 0)],
        &["10.87.1.10"],
    ),
    attack(
        "scans-bruteforce/nmap_80_w_service_detection.pcap",
        Confirmed,
        &[Talk("", "130.211.223.103", 0)],
        &["10.87.1.10"],
    ),
    attack(
        "scans-bruteforce/nmap_tcp_syn_version.pcap",
        ChosenOn,
        &[Talk("", "", 0)],
        &["192.168.126.228"],
    ),
    attack(
        "scans-bruteforce/nmap_udp_version.pcap",
        ChosenOn,
        &[Talk("", "", 0)],
        &["192.168.177.151"],
    ),
    attack(
        "scans-bruteforce/test-cc-capture-1.pcap",
        ChosenOn,
        &[Talk("147.32.80.37", "141.193.213.21", 443)],
        &["147.32.80.37"],
    ),
    attack(
        "scans-bruteforce/test7-malicious.pcap",
        Confirmed,
        &[Talk("192.168.2.16", "", 0)],
        &["192.168.2.16"],
    ),
    // The detector was written for what is in this one.
    by_arp(attack(
        "scans-bruteforce/test8-malicious.pcap",
        ChosenOn,
        &[Talk("192.168.1.247", "", 0)],
        &["192.168.1.247"],
    )),
    attack(
        "c2-caldera/sandcat.pcap",
        ChosenOn,
        &[Talk("172.18.0.3", "172.18.0.2", 8888)],
        &["172.18.0.3"],
    ),
    attack(
        "c2-caldera/ragdoll.pcap",
        ChosenOn,
        &[Talk("172.18.0.3", "172.18.0.2", 8888)],
        &["172.18.0.3"],
    ),
    attack(
        "modbus-scada/characterization_modbus_6RTU_with_operate.pcap",
        ChosenOn,
        &[Talk("192.168.1.101", "192.168.1.104", 502)],
        &["192.168.1.101"],
    ),
    attack(
        "modbus-scada/moving_two_files_modbus_6RTU.pcap",
        ChosenOn,
        &[
            Talk("192.168.1.100", "192.168.1.104", 139),
            Talk("192.168.1.101", "192.168.1.103", 0),
            Talk("192.168.1.101", "192.168.1.105", 0),
        ],
        &["192.168.1.101"],
    ),
];

impl Attack {
    pub(super) fn is(&self, record: &FlowRecord) -> bool {
        let ends = [
            record.source().to_string(),
            record.destination().to_string(),
        ];
        let is_talk = |Talk(a, b, port): &Talk| {
            let is = |wanted: &str, at: usize| wanted.is_empty() || ends[at] == wanted;
            let hosts = is(a, 0) && is(b, 1) || is(a, 1) && is(b, 0);
            hosts && (*port == 0 || record.destination_port() == *port)
        };
        record.key.is_arp() == self.is_arp && self.talks.iter().any(is_talk)
    }

    pub(super) fn concerns(&self, incident: &Incident) -> bool {
        let host = incident.subject.address.to_string();
        self.hosts.contains(&host.as_str())
    }
}
