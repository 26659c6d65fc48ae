//! Packets made in process: ordinary traffic, a flood of SYNs from invented sources and a scan in the middle of it.

use sensor::capture::{Accountant, Epoch};
use sensor_ebpf::{bounds::Cursor, frame::parse_ip};

/// One second of packet time.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// When the traffic begins.
pub(crate) const START: u64 = 1_700_000_000 * SECOND;
/// The flooded host.
pub(crate) const VICTIM: u32 = 0x0a00_0050;
/// The scanner.
pub(crate) const SCANNER: u32 = 0xcb00_7107;

pub(crate) const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PSH_ACK: u8 = 0x18;
const FIN_ACK: u8 = 0x11;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A TCP packet as it stands in an IP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub(crate) from: (u32, u16),
    pub(crate) to: (u32, u16),
    pub(crate) flags: u8,
    pub(crate) payload: u16,
}

impl Tcp {
    fn bytes(self, into: &mut [u8; 40]) -> &[u8] {
        into[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
        into[2..4].copy_from_slice(&(40 + self.payload).to_be_bytes());
        into[12..16].copy_from_slice(&self.from.0.to_be_bytes());
        into[16..20].copy_from_slice(&self.to.0.to_be_bytes());
        into[20..22].copy_from_slice(&self.from.1.to_be_bytes());
        into[22..24].copy_from_slice(&self.to.1.to_be_bytes());
        into[32..36].copy_from_slice(&[0x50, self.flags, 0x20, 0]);
        &into[..]
    }
}

/// Ordinary traffic: clients that fetch something from servers, `rate` connections a second, each answered and closed.
/// Sorted by time.
pub(crate) fn ordinary(seed: u64, from: u64, seconds: u64, rate: u64) -> Vec<(u64, Tcp)> {
    let mut dice = Dice(seed);
    let mut packets = Vec::new();
    for at in 0..seconds * rate {
        let mut time = from + at * SECOND / rate + dice.next() % 1_000_000;
        let client = (
            0x0a00_0100 + (dice.next() % 200) as u32,
            32_768 + (dice.next() % 28_000) as u16,
        );
        let port = [443, 443, 443, 80, 22, 25][(dice.next() % 6) as usize];
        let server = (0x0a00_0040 + (dice.next() % 24) as u32, port);
        let mut send = |out: bool, flags, payload| {
            time += 200_000 + dice.next() % 30_000_000;
            let (from, to) = if out {
                (client, server)
            } else {
                (server, client)
            };
            packets.push((
                time,
                Tcp {
                    from,
                    to,
                    flags,
                    payload,
                },
            ));
        };
        send(true, SYN, 0);
        send(false, SYN | ACK, 0);
        send(true, ACK, 0);
        for round in 0..1 + at % 5 {
            send(true, PSH_ACK, 200 + (at % 300) as u16);
            send(false, PSH_ACK, 900 + (at * round % 400) as u16);
        }
        send(true, FIN_ACK, 0);
        send(false, FIN_ACK, 0);
        send(true, ACK, 0);
    }
    packets.sort_by_key(|(time, _)| *time);
    packets
}

/// A scan of the ports of `victim` by one source that gets no answer, `rate` ports a second.
pub(crate) fn scan(victim: u32, from: u64, ports: u16, rate: u64) -> Vec<(u64, Tcp)> {
    (0..ports)
        .map(|port| {
            let packet = Tcp {
                from: (SCANNER, 41_000),
                to: (victim, 1 + port),
                flags: SYN,
                payload: 0,
            };
            (from + u64::from(port) * SECOND / rate, packet)
        })
        .collect()
}

/// SYNs to [`VICTIM`] from invented sources.
pub(crate) struct Flood {
    dice: Dice,
    pub(crate) from: u64,
    pub(crate) packets: u64,
    /// A second.
    pub(crate) rate: u64,
    sent: u64,
    /// What the victim still has to answer, if it does.
    answer: Option<(u64, Tcp)>,
    /// Of how many SYNs the victim answers one.
    answers: u64,
}

impl Flood {
    pub(crate) fn new(from: u64, packets: u64, rate: u64, answers: u64) -> Self {
        Self {
            dice: Dice(7),
            from,
            packets,
            rate,
            sent: 0,
            answer: None,
            answers,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.from + self.packets * SECOND / self.rate
    }
}

impl Iterator for Flood {
    type Item = (u64, Tcp);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(answer) = self.answer.take() {
            self.sent += 1;
            return (self.sent <= self.packets).then_some(answer);
        }
        if self.sent == self.packets {
            return None;
        }
        let time = self.from + self.sent * SECOND / self.rate;
        self.sent += 1;
        let dice = self.dice.next();
        // Any unicast address below 224; the port from other bits.
        let source = (
            (dice as u32 % 0xdf00_0000) + 0x0100_0000,
            (dice >> 40) as u16 | 1024,
        );
        let syn = Tcp {
            from: source,
            to: (VICTIM, 80),
            flags: SYN,
            payload: 0,
        };
        if self.answers > 0 && dice >> 32 & 0xff < 256 / self.answers {
            let answer = Tcp {
                from: syn.to,
                to: syn.from,
                flags: SYN | ACK,
                payload: 0,
            };
            self.answer = Some((time, answer));
        }
        Some((time, syn))
    }
}

/// Two streams sorted by time become one.
pub(crate) fn merged(
    mut one: impl Iterator<Item = (u64, Tcp)>,
    other: Vec<(u64, Tcp)>,
) -> impl Iterator<Item = (u64, Tcp)> {
    let mut other = other.into_iter().peekable();
    let mut held = one.next();
    std::iter::from_fn(move || {
        let first_is_other = match (&held, other.peek()) {
            (Some((a, _)), Some((b, _))) => b < a,
            (None, Some(_)) => true,
            _ => false,
        };
        if first_is_other {
            return other.next();
        }
        std::mem::replace(&mut held, one.next())
    })
}

/// Counts packets, of at most so many flows an epoch, and hands over each epoch: empty ones too where `live`, as a live source does.
pub(crate) fn epochs(
    packets: impl Iterator<Item = (u64, Tcp)>,
    flows_max: usize,
    live: bool,
    mut each: impl FnMut(&Epoch),
) -> u64 {
    let mut accountant = Accountant::new(flows_max);
    let mut epoch = Epoch::default();
    let (mut count, mut next) = (0, None);
    let mut hand_over = |epoch: &mut Epoch| {
        if let (Some(next), true) = (next, live) {
            for index in next..epoch.index {
                each(&Epoch {
                    index,
                    ..Epoch::default()
                });
            }
        }
        next = Some(epoch.index + 1);
        each(epoch);
    };
    let mut buffer = [0; 40];
    for (time, packet) in packets {
        if accountant.is_due(time) && accountant.finish(&mut epoch) {
            hand_over(&mut epoch);
        }
        accountant.count(
            parse_ip(Cursor::from_slice(packet.bytes(&mut buffer)), 0),
            time,
        );
        count += 1;
    }
    if accountant.finish(&mut epoch) {
        hand_over(&mut epoch);
    }
    count
}
