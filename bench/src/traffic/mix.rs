//! Kinds of traffic, each a schedule of frames that follows from a seed.

use std::{collections::VecDeque, net::Ipv4Addr};

use super::frame::{End, LENGTH_MAX, Slot, Vary, flag};

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// Small packets of so many flows (--flows), in random order: the hardest for the flow tables
    Uniform,
    /// Connections to web servers, from their SYN to their FIN
    Web,
    /// Queries to one resolver, and its answers, in bursts
    Dns,
    /// Few flows of full-sized segments, and their acknowledgements
    Elephants,
    /// SYNs to one server, each from a source of its own
    SynFlood,
    /// One host tries every port of others; most answer with RST
    Scan,
    /// All of these: web and elephants mostly
    Mixed,
}

/// Frames in the schedule of one lane.
const SLOTS: usize = 1 << 16;
/// Connections and bursts that go on at once.
const AT_ONCE: usize = 256;
/// Payload of a full-sized TCP segment.
const FULL: u16 = LENGTH_MAX - 54;

/// The frames of one lane; lanes share no flow, as no two receive queues do.
pub(crate) fn schedule(mix: Mix, seed: u64, lane: u32) -> Vec<Slot> {
    let mut draw = Draw(seed ^ (u64::from(lane) << 32));
    let mut out = Vec::with_capacity(SLOTS);
    match mix {
        Mix::Uniform => out.push(uniform(lane)),
        Mix::SynFlood => out.push(syn()),
        Mix::Web => interleave(&mut draw, &mut out, |draw| web(draw, lane)),
        Mix::Dns => interleave(&mut draw, &mut out, |draw| dns(draw, lane)),
        Mix::Elephants => interleave(&mut draw, &mut out, |draw| elephant(draw, lane)),
        Mix::Scan => {
            let mut probes = Probes::new(lane);
            while out.len() < SLOTS {
                probes.next(&mut draw, &mut out);
            }
        }
        Mix::Mixed => {
            let mut probes = Probes::new(lane);
            interleave(&mut draw, &mut out, |draw| match draw.below(100) {
                0..55 => web(draw, lane),
                55..85 => dns(draw, lane),
                85..90 => elephant(draw, lane),
                90..95 => [syn()].into(),
                _ => {
                    let mut both = Vec::new();
                    probes.next(draw, &mut both);
                    both.into()
                }
            });
        }
    }
    out.truncate(SLOTS);
    out
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mix = self.0;
        mix = (mix ^ mix >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mix = (mix ^ mix >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mix ^ mix >> 31
    }

    /// 0 to `bound` less 1.
    fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A port that the system chooses (RFC 6335).
    fn port(&mut self) -> u16 {
        49_152 + self.below(16_384) as u16
    }
}

/// A host of lane `lane` in 10.0.0.0/9 and 10.128.0.0/9.
fn client(draw: &mut Draw, lane: u32) -> Ipv4Addr {
    let [_, a, b, c] = draw.below(1 << 22).to_be_bytes();
    Ipv4Addr::new(10, (lane as u8) << 6 | a & 0x3f, b, c.max(1))
}

/// One frame: which flow it is of is drawn when it is sent.
fn uniform(lane: u32) -> Slot {
    let from = End {
        address: Ipv4Addr::new(10, lane as u8, 0, 0),
        port: 40_000,
    };
    let to = End {
        address: Ipv4Addr::new(198, 51, 100, 1),
        port: 443,
    };
    Slot::tcp(from, to, flag::ACK | flag::PSH, 1, 10).varied(Vary::RandomFlow)
}

fn syn() -> Slot {
    let to = End {
        address: Ipv4Addr::new(198, 51, 100, 7),
        port: 80,
    };
    let from = End {
        address: Ipv4Addr::new(10, 0, 0, 1),
        port: 1,
    };
    Slot::tcp(from, to, flag::SYN, 1, 0).varied(Vary::RandomSource)
}

/// Two directions of a conversation; every round has other clients.
struct Talk {
    client: End,
    server: End,
    frames: VecDeque<Slot>,
    sequence: [u32; 2],
}

impl Talk {
    fn new(client: End, server: End) -> Self {
        Self {
            client,
            server,
            frames: VecDeque::new(),
            sequence: [1, 1],
        }
    }

    fn ask(&mut self, flags: u8, payload: u16) {
        let slot = Slot::tcp(self.client, self.server, flags, self.sequence[0], payload);
        self.frames.push_back(slot.varied(Vary::RoundSource));
        self.sequence[0] += u32::from(payload).max(1);
    }

    fn answer(&mut self, flags: u8, payload: u16) {
        let slot = Slot::tcp(self.server, self.client, flags, self.sequence[1], payload);
        self.frames.push_back(slot.varied(Vary::RoundDestination));
        self.sequence[1] += u32::from(payload).max(1);
    }
}

fn web(draw: &mut Draw, lane: u32) -> VecDeque<Slot> {
    let client = End {
        address: client(draw, lane),
        port: draw.port(),
    };
    let server = End {
        address: Ipv4Addr::new(198, 51, 100, 16 + draw.below(64) as u8),
        port: 443,
    };
    let mut talk = Talk::new(client, server);
    talk.ask(flag::SYN, 0);
    talk.answer(flag::SYN | flag::ACK, 0);
    talk.ask(flag::ACK, 0);
    for _ in 0..=draw.below(4) {
        talk.ask(flag::ACK | flag::PSH, 200 + draw.below(600) as u16);
        for segment in 0..=draw.below(16) {
            talk.answer(flag::ACK, FULL);
            if segment % 2 == 1 {
                talk.ask(flag::ACK, 0);
            }
        }
        talk.answer(
            flag::ACK | flag::PSH,
            1 + draw.below(u32::from(FULL)) as u16,
        );
    }
    talk.ask(flag::FIN | flag::ACK, 0);
    talk.answer(flag::FIN | flag::ACK, 0);
    talk.ask(flag::ACK, 0);
    talk.frames
}

fn dns(draw: &mut Draw, lane: u32) -> VecDeque<Slot> {
    let address = client(draw, lane);
    let resolver = End {
        address: Ipv4Addr::new(198, 51, 100, 53),
        port: 53,
    };
    let mut frames = VecDeque::new();
    for _ in 0..=draw.below(32) {
        let client = End {
            address,
            port: draw.port(),
        };
        let query = Slot::udp(client, resolver, 38 + draw.below(40) as u16);
        frames.push_back(query.varied(Vary::RoundSource));
        let answer = Slot::udp(resolver, client, 60 + draw.below(400) as u16);
        frames.push_back(answer.varied(Vary::RoundDestination));
    }
    frames
}

fn elephant(draw: &mut Draw, lane: u32) -> VecDeque<Slot> {
    let client = End {
        address: client(draw, lane),
        port: draw.port(),
    };
    let server = End {
        address: Ipv4Addr::new(198, 51, 100, 128 + draw.below(8) as u8),
        port: 443,
    };
    let mut talk = Talk::new(client, server);
    for segment in 0..2_000 {
        talk.answer(flag::ACK, FULL);
        if segment % 2 == 1 {
            talk.ask(flag::ACK, 0);
        }
    }
    // An elephant outlives the round: the same flow goes on.
    let as_is = |slot: Slot| slot.varied(Vary::AsIs);
    talk.frames.into_iter().map(as_is).collect()
}

/// Which port of which host is tried next.
struct Probes {
    source: Ipv4Addr,
    tried: u32,
}

impl Probes {
    fn new(lane: u32) -> Self {
        Self {
            source: Ipv4Addr::new(203, 0, 113, 66 + lane as u8),
            tried: 0,
        }
    }

    fn next(&mut self, draw: &mut Draw, out: &mut Vec<Slot>) {
        self.tried += 1;
        let from = End {
            address: self.source,
            port: draw.port(),
        };
        // A thousand ports of one host, then the next host.
        let to = End {
            address: Ipv4Addr::new(198, 51, 100, 1 + (self.tried >> 10) as u8 % 250),
            port: (self.tried & 0x3ff) as u16 + 1,
        };
        out.push(Slot::tcp(from, to, flag::SYN, 1, 0).varied(Vary::RoundDestination));
        if draw.below(10) < 7 {
            let answer = Slot::tcp(to, from, flag::RST | flag::ACK, 1, 0);
            out.push(answer.varied(Vary::RoundSource));
        }
    }
}

/// Fills the schedule with parts that go on at the same time, each in its own order.
fn interleave(
    draw: &mut Draw,
    out: &mut Vec<Slot>,
    mut part: impl FnMut(&mut Draw) -> VecDeque<Slot>,
) {
    let mut going: Vec<VecDeque<Slot>> = (0..AT_ONCE).map(|_| part(draw)).collect();
    while out.len() < SLOTS {
        let at = draw.below(AT_ONCE as u32) as usize;
        match going[at].pop_front() {
            Some(slot) => out.push(slot),
            None => going[at] = part(draw),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::ValueEnum as _;
    use sensor_ebpf::{
        bounds::Cursor,
        frame::{Parsed, parse_ethernet},
    };

    use super::*;

    fn key(slot: &Slot) -> sensor_ebpf::flow::FlowKey {
        let frame = Cursor::from_slice(slot.head());
        match parse_ethernet(frame) {
            Parsed::Flow(packet) => packet.key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_frame_of_every_mix_is_an_ordinary_packet_and_lanes_share_no_flow() {
        for mix in Mix::value_variants() {
            let lanes = [0, 1].map(|lane| schedule(*mix, 7, lane));
            assert_eq!(lanes[0], schedule(*mix, 7, 0), "seeded");
            let keys = lanes
                .each_ref()
                .map(|slots| slots.iter().map(key).collect::<HashSet<_>>());
            if *mix != Mix::SynFlood && *mix != Mix::Mixed {
                assert!(keys[0].is_disjoint(&keys[1]), "{mix:?}");
            }
        }
    }
}
