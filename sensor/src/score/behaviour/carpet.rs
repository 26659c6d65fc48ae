//! Carpet floods: far more than can be wanted, not at one host but spread over the hosts of a network, each of which gets little.
//!
//! The rule is the one for a host ([`rule::flooded`]), with the same numbers, asked of a network (/24, /64) instead: as many flows in
//! 10 s, as many of them in vain; where one or two sources ask for a new port of a new host nearly each time, it is a scan. Spread is
//! what makes it a carpet: as many hosts as make a scan of hosts, none with half of the flows, which would be a flood of that host.

use std::net::IpAddr;

use sensor_ebpf::flow::{EPOCH_SHIFT, TimeNs};

use super::{
    Evidence, Kind,
    detect::BY_SHAPE,
    null::half_fails,
    rule::{self, limit},
};
use crate::{
    bounded::{Evicted, Seed, Store, fixed_hash},
    features::Row,
    flow::{FlowRecord, ip_address, key_address, network},
    score::{Role, Subject},
};

/// Networks looked at: those to which something was in vain lately.
const NETWORKS: u32 = 512;
/// The window of the rule.
const WINDOW_NS: TimeNs = 10_000_000_000;
/// Hosts told apart: all of a /24; of a /64 by a hash.
const HOSTS: usize = 256;
/// Bits that tell hosts and ports apart that were asked for (linear counting, Whang et al. 1990).
const TARGET_BITS: usize = 8192;
/// Sources told apart: fewer than three may scan.
const SOURCES: usize = 3;

/// Flows of a part of the window.
#[derive(Clone, Debug)]
struct Bucket {
    flows: u32,
    in_vain: u32,
    /// Flows of each host. As wide as the sum of them: a count that stops early makes a flood of one host look spread.
    hosts: [u32; HOSTS],
    distinct_hosts: u16,
    /// Flows of the host that got most.
    most: u32,
    targets: [u64; TARGET_BITS / 64],
    targets_set: u32,
    sources: [u64; SOURCES],
}

impl Bucket {
    const EMPTY: Self = Self {
        flows: 0,
        in_vain: 0,
        hosts: [0; HOSTS],
        distinct_hosts: 0,
        most: 0,
        targets: [0; TARGET_BITS / 64],
        targets_set: 0,
        sources: [0; SOURCES],
    };

    fn add(&mut self, flow: &Flow) {
        self.flows = self.flows.saturating_add(1);
        self.in_vain = self.in_vain.saturating_add(u32::from(flow.is_in_vain));
        let host = &mut self.hosts[flow.host];
        self.distinct_hosts += u16::from(*host == 0);
        *host = host.saturating_add(1);
        self.most = self.most.max(*host);
        let (word, bit) = (flow.target / 64, 1 << (flow.target % 64));
        self.targets_set += u32::from(self.targets[word] & bit == 0);
        self.targets[word] |= bit;
        for known in &mut self.sources {
            if *known == flow.source {
                break;
            }
            if *known == 0 {
                *known = flow.source;
                break;
            }
        }
    }

    /// Distinct pairs of host and port.
    fn targets(&self) -> f32 {
        let bits = TARGET_BITS as f32;
        // All set: more than can be told.
        let clear = (bits - self.targets_set as f32).max(1.0);
        bits * (bits / clear).ln()
    }
}

/// What counts of a flow.
struct Flow {
    is_in_vain: bool,
    host: usize,
    target: usize,
    source: u64,
}

/// A network whose hosts something is in vain at.
#[derive(Clone, Debug)]
struct Network {
    /// Number of the bucket that is filling.
    number: u64,
    filling: Bucket,
    before: Bucket,
    /// When it was last flooded, as far as is known.
    flooded: Option<TimeNs>,
}

/// What came to a network in the window.
#[derive(Clone, Copy, Debug)]
struct Came {
    flows: f32,
    in_vain: f32,
    /// At least so many hosts.
    hosts: u16,
    /// Flows of one host at most.
    most: f32,
    targets: f32,
    has_few_sources: bool,
}

impl Network {
    const NEW: Self = Self {
        number: 0,
        filling: Bucket::EMPTY,
        before: Bucket::EMPTY,
        flooded: None,
    };

    fn turn(&mut self, now: TimeNs) {
        let number = now / WINDOW_NS;
        if number <= self.number {
            return;
        }
        let is_next = number == self.number + 1;
        let over = std::mem::replace(&mut self.filling, Bucket::EMPTY);
        self.before = if is_next { over } else { Bucket::EMPTY };
        self.number = number;
    }

    /// The bucket that is filling, and as much of the one before as is still in the window.
    fn came(&self, now: TimeNs) -> Came {
        let (filling, before) = (&self.filling, &self.before);
        let passed = (now % WINDOW_NS) as f32 / WINDOW_NS as f32;
        let sum = |of: fn(&Bucket) -> f32| of(filling) + of(before) * (1.0 - passed);
        let is_more = |source: &&u64| **source != 0 && !before.sources.contains(source);
        let sources = before.sources.iter().filter(|source| **source != 0).count()
            + filling.sources.iter().filter(is_more).count();
        Came {
            flows: sum(|bucket| bucket.flows as f32),
            in_vain: sum(|bucket| bucket.in_vain as f32),
            hosts: filling.distinct_hosts.max(before.distinct_hosts),
            most: sum(|bucket| bucket.most as f32),
            targets: sum(Bucket::targets),
            has_few_sources: sources < SOURCES,
        }
    }
}

/// Networks with what they remember. Bounded.
#[derive(Debug)]
pub(super) struct Carpets {
    networks: Store<2, Network>,
    forgotten: u64,
}

impl Carpets {
    pub(super) fn new() -> Self {
        Self {
            networks: Store::new(NETWORKS, Seed::random()),
            forgotten: 0,
        }
    }

    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes a flow in that is looked at for the first time, and answers what its network goes through, if it is part of that.
    pub(super) fn see(&mut self, record: &FlowRecord, row: &Row) -> Option<(Evidence, Subject)> {
        let is_unasked = rule::is_unasked(record);
        let is_in_vain = is_unasked || rule::has_failed(record);
        let is_first = record.checkpoint == 0;
        if !(is_first || is_in_vain) || row[rule::DST_GROUP] > 0.5 {
            return None;
        }
        let side = if is_unasked {
            record.originator
        } else {
            record.responder()
        };
        let address = &record.key.addresses[side];
        let [high, low] = words(&network(address));
        let now = record.due;
        let network = if is_in_vain && is_first {
            let (network, evicted) =
                (self.networks).entry(&[high, low], now >> EPOCH_SHIFT, || Network::NEW);
            self.forgotten += u64::from(evicted != Evicted::None);
            network
        } else {
            self.networks.get_mut(&[high, low])?
        };
        network.turn(now);
        if is_first {
            let [a, b] = words(address);
            let [c, d] = words(&record.key.addresses[1 - side]);
            let host = fixed_hash(&[a, b]);
            let port = u64::from(record.destination_port());
            network.filling.add(&Flow {
                is_in_vain,
                host: match high {
                    // Of IPv4 every host of the network by its number.
                    0 => usize::from(address[15]),
                    _ => host as usize % HOSTS,
                },
                target: fixed_hash(&[host, port]) as usize % TARGET_BITS,
                source: fixed_hash(&[c, d]) | 1,
            });
        }
        if !is_in_vain {
            return None;
        }
        let came = network.came(now);
        let is_flooded = came.flows >= limit::FLOOD_FLOWS
            && came.in_vain >= came.flows * limit::FLOOD_FAILED
            && f32::from(came.hosts) >= limit::SCAN_PEERS
            && came.most * 2.0 <= came.flows;
        let is_scanned = came.targets >= came.flows * limit::FLOOD_PORT_SHARE
            && came.has_few_sources
            && rule::probes_once(record);
        if !is_flooded || is_scanned && came.flows < limit::FLOOD_ANYWAY {
            return None;
        }
        if rule::scans_amid_flood(record, row, came.flows) {
            return None;
        }
        network.flooded = Some(now);
        let kind = match is_unasked || rule::is_answer(record) {
            true => Kind::Amplification,
            false => Kind::Flood,
        };
        // Far below that by its null model: so little that this test needs no share of what is corrected for.
        let p = half_fails(f64::from(came.flows), f64::from(came.in_vain)).max(BY_SHAPE);
        let subject = Subject::network(ip_address(address), Role::Victim);
        Some((Evidence::of(kind, p), subject))
    }

    /// Whose flood a flood of this host is: its own, or that of its network.
    pub(super) fn victim(&self, host: IpAddr, now: TimeNs) -> Subject {
        let key = words(&network(&key_address(host)));
        let flooded = self.networks.get(&key).and_then(|network| network.flooded);
        match flooded {
            Some(time) if now.saturating_sub(time) <= WINDOW_NS => {
                Subject::network(host, Role::Victim)
            }
            _ => Subject::host(host, Role::Victim),
        }
    }
}

fn words(address: &[u8; 16]) -> [u64; 2] {
    let (high, low) = address.split_at(8);
    [high, low].map(|half| {
        half.iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    })
}
