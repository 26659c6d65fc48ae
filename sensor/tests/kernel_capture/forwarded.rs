//! A router's packets, which pass two hooks, count as often as the policy says.
//!
//! ```text
//!   namespace a               router                          namespace c
//!   10.77.0.1, veth-a ─────▶ veth-b [both] ── [both] wan ─────▶ veth-c, 10.78.0.2
//! ```

use std::{collections::BTreeMap, net::UdpSocket, time::Duration};

use sensor::capture::{
    Capture as _, Epoch, Progress,
    xdp::{Counting, Settings, Xdp},
};
use sensor_ebpf::{flow::FlowKey, maps::Ledger};

use crate::netns::{Namespace, Pair, Serial};

const QUESTIONS: u64 = 300;
const ANSWERS: u64 = 100;
const OWN: u64 = 50;

struct Router {
    pair: Pair,
    c: Namespace,
}

impl Router {
    fn new() -> Self {
        let (pair, c) = (Pair::new(), Namespace::new());
        let router = &pair.b;
        router.ip(&[
            "link", "add", "wan", "type", "veth", "peer", "name", "veth-c", "netns", &c.name,
        ]);
        router.ip(&["address", "add", "10.78.0.1/24", "dev", "wan"]);
        router.ip(&["link", "set", "wan", "up"]);
        c.ip(&["address", "add", "10.78.0.2/24", "dev", "veth-c"]);
        c.ip(&["link", "set", "veth-c", "up"]);
        c.ip(&["route", "add", "default", "via", "10.78.0.1"]);
        pair.a.ip(&["route", "add", "default", "via", "10.77.0.2"]);
        router.exec(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        // Nobody has to ask for an address: where no answer comes in time, what waits for it is thrown away.
        pair.introduce();
        for (namespace, own, address, peer, other) in [
            (router, "wan", "10.78.0.2", &c, "veth-c"),
            (&c, "veth-c", "10.78.0.1", router, "wan"),
        ] {
            let hardware = peer.hardware_address(other);
            namespace.ip(&[
                "neighbour",
                "replace",
                address,
                "lladdr",
                &hardware,
                "dev",
                own,
                "nud",
                "permanent",
            ]);
        }
        Self { pair, c }
    }

    /// Datagrams through the router, answers to some, and some of the router's own; all have arrived when this returns.
    fn talk(&self) {
        let server = self.c.within(|| UdpSocket::bind("10.78.0.2:5000"));
        let server = server.expect("bind");
        let wait = Some(Duration::from_secs(60));
        server.set_read_timeout(wait).expect("timeout");
        let client = self.pair.a.within(|| UdpSocket::bind("10.77.0.1:4000"));
        let client = client.expect("bind");
        client.set_read_timeout(wait).expect("timeout");
        let mut buffer = [0; 100];
        for number in 0..QUESTIONS {
            client.send_to(&[1; 80], "10.78.0.2:5000").expect("send");
            let (_, from) = server.recv_from(&mut buffer).expect("a question");
            if number < ANSWERS {
                server.send_to(&[2; 60], from).expect("send");
                client.recv_from(&mut buffer).expect("an answer");
            }
        }
        let own = self.pair.b.within(|| UdpSocket::bind("10.78.0.1:6000"));
        let own = own.expect("bind");
        for _ in 0..OWN {
            own.send_to(&[3; 40], "10.78.0.2:5000").expect("send");
            server.recv_from(&mut buffer).expect("the router's own");
        }
    }
}

/// Packets that a client sent and got, by its port and the flow's series.
type Packets = BTreeMap<(u16, u16), [u64; 2]>;

/// Packets from and to the server, the ledger, and the indexes of the two interfaces.
fn counted(counting: Counting) -> (Packets, Ledger, [u32; 2]) {
    let router = Router::new();
    let settings = Settings {
        counting,
        ..Settings::on(["veth-b", "wan"])
    };
    let mut capture = router
        .pair
        .b
        .within(|| Xdp::start(&settings).expect("start"));
    // What has arrived was at all hooks on its way.
    router.talk();
    capture.stop_handle().stop();
    let (mut epoch, mut ledger) = (Epoch::default(), Ledger::default());
    let mut flows = Packets::new();
    while capture.next_epoch(&mut epoch).expect("drain") == Progress::Epoch {
        ledger.add(&epoch.ledger);
        assert_eq!(epoch.ledger.unaccounted(), 0);
        for (key, counters) in &epoch.flows {
            let key: &FlowKey = key;
            let server = usize::from(key.ports[1] == 5000);
            if key.protocol == 17 && key.ports[server] == 5000 {
                let packets = flows
                    .entry((key.ports[1 - server], key.series))
                    .or_default();
                for (sum, half) in packets.iter_mut().zip([1 - server, server]) {
                    *sum += counters.halves[half].packets;
                }
            }
        }
    }
    let index = |name| router.pair.b.index(name);
    (flows, ledger, [index("veth-b"), index("wan")])
}

#[test]
#[ignore = "kernel: needs root"]
fn a_forwarded_packet_counts_where_it_arrives() {
    let _serial = Serial::take();
    let (flows, ledger, _) = counted(Counting::FirstHook);
    assert_eq!(flows[&(4000, 0)], [QUESTIONS, ANSWERS]);
    assert_eq!(flows[&(6000, 0)], [OWN, 0]);
    // Neighbours asking for each other's address are no IP, and not forwarded.
    assert_eq!(ledger.counted_before, QUESTIONS + ANSWERS);
}

#[test]
#[ignore = "kernel: needs root"]
fn a_forwarded_packet_counts_at_both_hooks_if_asked() {
    let _serial = Serial::take();
    let (flows, ledger, _) = counted(Counting::Both);
    assert_eq!(flows[&(4000, 0)], [2 * QUESTIONS, 2 * ANSWERS]);
    assert_eq!(flows[&(6000, 0)], [OWN, 0]);
    assert_eq!(ledger.counted_before, 0);
}

#[test]
#[ignore = "kernel: needs root"]
fn each_interface_has_its_own_series_if_asked() {
    let _serial = Serial::take();
    let (flows, ledger, interfaces) = counted(Counting::PerInterface);
    let [lan, wan] = interfaces.map(|index| index as u16);
    assert_ne!(lan, wan);
    assert_eq!(flows[&(4000, lan)], [QUESTIONS, ANSWERS]);
    assert_eq!(flows[&(4000, wan)], [QUESTIONS, ANSWERS]);
    assert_eq!(flows[&(6000, wan)], [OWN, 0]);
    assert_eq!(flows.len(), 3);
    assert_eq!(ledger.counted_before, 0);
}
