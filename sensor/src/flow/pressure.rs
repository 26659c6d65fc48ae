//! What the table does when flows pour in that nobody completes: a flood of SYNs from invented sources must neither push out
//! the flows that live nor hide what else goes on.
//!
//! A flow is *half open* while one side has not been heard, or has not completed its handshake. Half-open flows may hold a
//! share of the table. Beyond it the table is *pressed*: they expire sooner, and a new one gets a place only if it is likely to
//! be something else than one more of the flood. The rest is accounted by prefix ([`Aggregate`]), to the packet.
//!
//! What is told apart how: the destination that half-open flows pour in on is *busy*, a source that keeps coming is *returning*.
//! A flood of invented sources has a busy destination and no returning source; a scanner in the middle of it returns. Each
//! class has a quota for each epoch, so that a flood of any shape is bounded. Whoever is counted in which class follows from
//! the order of the deltas alone, so a replay decides as the live sensor did.

use std::{collections::BTreeMap, net::IpAddr};

use sensor_ebpf::flow::{FlowCounters, FlowKey, Side, TimeNs, epoch_of};

use super::{change, ip_address, settings::Emergency};
use crate::bounded::fixed_hash;

/// Prefixes that are told apart in one epoch; what comes beyond is one aggregate for everything.
const PREFIXES: usize = 1024;
/// Half-open flows to one host, or one prefix, in 2 to 4 seconds from which it is busy.
const BUSY_HOST: u16 = 1024;
const BUSY_PREFIX: u16 = 4096;
/// Half-open flows of one source in 2 to 4 seconds from which it returns, and from which it is busy itself.
const RETURNS: u16 = 3;
const BUSY_SOURCE: u16 = 2048;
/// Epochs of one generation of the counts, as a power of two: 2.1 s.
const GENERATION_SHIFT: u64 = 2;

/// Half-open flows of one epoch that got no place of their own, summed over one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The prefix.
    pub prefix: Prefix,
    /// IP protocol.
    pub protocol: u8,
    /// Flows; one that goes on in a later epoch counts again.
    pub flows: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// IP bytes of both sides.
    pub ip_bytes: u64,
    /// Payload bytes of the originators and of the responders.
    pub payload_bytes: [u64; 2],
    /// First packet.
    pub first: TimeNs,
    /// Last packet.
    pub last: TimeNs,
}

/// What an [`Aggregate`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// One busy destination.
    Destination(IpAddr),
    /// A busy network of destinations: /24 of IPv4, /64 of IPv6.
    DestinationNetwork(IpAddr),
    /// One busy source whose destinations are not.
    Source(IpAddr),
    /// Neither.
    Everything,
}

/// Totals of what got no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregated {
    /// Flows; one that goes on in a later epoch counts again.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub ip_bytes: u64,
}

/// Quotas of an epoch, in half-open flows.
#[derive(Clone, Copy, Debug, Default)]
struct Admitted {
    ordinary: u32,
    returning: u32,
    flood: u32,
}

/// The state of a table with regard to floods.
#[derive(Debug)]
pub(super) struct Pressure {
    limits: Option<Emergency>,
    is_on: bool,
    /// While it is on.
    counts: Option<Box<Counts>>,
    /// Half-open flows that came in the running epoch, with or without a place.
    demand: u64,
    admitted: Admitted,
    /// Of the running epoch.
    aggregates: BTreeMap<(Prefix, u8), Aggregate>,
    pub(super) total: Aggregated,
    /// How often it began.
    pub(super) times: u64,
}

impl Pressure {
    pub(super) fn new(limits: Option<Emergency>) -> Self {
        Self {
            limits,
            is_on: false,
            counts: None,
            demand: 0,
            admitted: Admitted::default(),
            aggregates: BTreeMap::new(),
            total: Aggregated::default(),
            times: 0,
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Half-open flows that are kept while pressed: more are ended, oldest first.
    pub(super) fn kept(&self) -> u32 {
        self.limits
            .map_or(u32::MAX, |limits| limits.half_open - limits.half_open / 4)
    }

    /// Half-open flows ended for want of room at one boundary, at most: as many as an epoch may let in.
    pub(super) fn ended_at_once(&self) -> u32 {
        self.limits
            .map_or(0, |limits| (limits.half_open / 4).max(1))
    }

    /// Asks for a place for a half-open flow that begins, with `half_open` of them there. `None` grants it; else the flow
    /// has been added to an aggregate, and the answer tells which of its hosts are worth remembering ([`change`] bits).
    #[inline]
    pub(super) fn turn_away(
        &mut self,
        key: &FlowKey,
        originator: Side,
        delta: &FlowCounters,
        half_open: u32,
    ) -> Option<u8> {
        let limits = self.limits?;
        if !self.is_on {
            if half_open < limits.half_open {
                return None;
            }
            self.is_on = true;
            self.times += 1;
        }
        self.weigh(limits, key, originator, delta)
    }

    #[cold]
    fn weigh(
        &mut self,
        limits: Emergency,
        key: &FlowKey,
        originator: Side,
        delta: &FlowCounters,
    ) -> Option<u8> {
        self.demand += 1;
        let counts = self
            .counts
            .get_or_insert_with(|| Counts::new(limits.half_open));
        counts.turn(epoch_of(delta.first()) >> GENERATION_SHIFT);
        let source = &key.addresses[originator];
        let destination = &key.addresses[1 - originator];
        let tries = counts.sources.add(host_hash(source));
        let is_busy_host = counts.destinations.add(host_hash(destination)) >= BUSY_HOST;
        let network = network(destination);
        let is_busy_network = counts.networks.add(host_hash(&network)) >= BUSY_PREFIX;
        let is_busy = is_busy_host || is_busy_network;
        let is_busy_source = tries >= BUSY_SOURCE;
        let (admitted, quota) = match (is_busy, tries >= RETURNS) {
            _ if is_busy_source => (&mut self.admitted.flood, limits.half_open / 16),
            (false, _) => (&mut self.admitted.ordinary, limits.half_open / 8),
            (true, true) => (&mut self.admitted.returning, limits.half_open / 16),
            (true, false) => (&mut self.admitted.flood, limits.half_open / 16),
        };
        if *admitted < quota.max(1) {
            *admitted += 1;
            return None;
        }
        let prefix = if is_busy_host {
            Prefix::Destination(ip_address(destination))
        } else if is_busy_network {
            Prefix::DestinationNetwork(ip_address(&network))
        } else if is_busy_source {
            Prefix::Source(ip_address(source))
        } else {
            Prefix::Everything
        };
        self.aggregate(prefix, key, originator, delta);
        let mut unkept = 0;
        if tries < RETURNS {
            unkept |= change::SOURCE_UNKEPT;
        }
        if !is_busy {
            unkept |= change::DESTINATION_UNKEPT;
        }
        Some(unkept)
    }

    fn aggregate(&mut self, prefix: Prefix, key: &FlowKey, originator: Side, delta: &FlowCounters) {
        let mut at = (prefix, key.protocol);
        if self.aggregates.len() >= PREFIXES && !self.aggregates.contains_key(&at) {
            at = (Prefix::Everything, 0);
        }
        let aggregate = self.aggregates.entry(at).or_insert(Aggregate {
            prefix: at.0,
            protocol: at.1,
            flows: 0,
            packets: 0,
            ip_bytes: 0,
            payload_bytes: [0; 2],
            first: delta.first(),
            last: delta.last(),
        });
        let (orig, resp) = (&delta.halves[originator], &delta.halves[1 - originator]);
        let ip_bytes = orig.ip_bytes + resp.ip_bytes;
        aggregate.flows += 1;
        aggregate.packets += delta.packets();
        aggregate.ip_bytes += ip_bytes;
        aggregate.payload_bytes[0] += orig.payload_bytes;
        aggregate.payload_bytes[1] += resp.payload_bytes;
        aggregate.first = aggregate.first.min(delta.first());
        aggregate.last = aggregate.last.max(delta.last());
        self.total.flows += 1;
        self.total.packets += delta.packets();
        self.total.ip_bytes += ip_bytes;
    }

    /// The end of an epoch, once what expires has expired: the pressure ends when what arrives would fit at the ordinary
    /// time-outs, and the half-open flows are down to what is kept.
    pub(super) fn end_epoch(&mut self, half_open: u32, idle_epochs: Option<u64>) {
        if let Some(limits) = self.limits
            && self.is_on
        {
            let would_hold = self.demand.saturating_mul(idle_epochs.unwrap_or(1));
            if would_hold <= u64::from(limits.half_open) && half_open <= self.kept() {
                self.is_on = false;
                self.counts = None;
            }
        }
        self.demand = 0;
        self.admitted = Admitted::default();
    }

    /// Hands over the aggregates of the epoch that was merged last, in order.
    pub(super) fn take(&mut self, into: &mut Vec<Aggregate>) {
        into.extend(std::mem::take(&mut self.aggregates).into_values());
    }
}

fn host_hash(address: &[u8; 16]) -> u64 {
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    fixed_hash(&[word(&address[..8]), word(&address[8..])])
}

/// The network of an address: /24 of IPv4, /64 of IPv6.
pub(crate) fn network(address: &[u8; 16]) -> [u8; 16] {
    const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    let mut network = *address;
    let from = if address.starts_with(&MAPPED) { 15 } else { 8 };
    network[from..].fill(0);
    network
}

/// Who came how often in the last 2 to 4 seconds.
#[derive(Debug)]
struct Counts {
    generation: u64,
    sources: Counter,
    destinations: Counter,
    networks: Counter,
}

impl Counts {
    fn new(half_open: u32) -> Box<Self> {
        let bits = half_open.ilog2();
        Box::new(Self {
            generation: 0,
            // Of a million invented sources in four seconds one in three hundred seems to return, with the default share.
            sources: Counter::new(bits + 4),
            destinations: Counter::new(bits),
            networks: Counter::new(bits),
        })
    }

    fn turn(&mut self, generation: u64) {
        if generation <= self.generation {
            return;
        }
        let next = generation == self.generation + 1;
        self.generation = generation;
        for counter in [
            &mut self.sources,
            &mut self.destinations,
            &mut self.networks,
        ] {
            counter.turn(next);
        }
    }
}

/// A count-min sketch of two rows and two generations (Cormode, Muthukrishnan 2005). Its hash is fixed: what it says is
/// part of the output. Who finds collisions gains that his flows seem to return, which a quota bounds.
#[derive(Debug)]
struct Counter {
    mask: u64,
    /// Two rows, one behind the other.
    now: Vec<u16>,
    before: Vec<u16>,
}

impl Counter {
    fn new(bits: u32) -> Self {
        let length = 2 << bits;
        Self {
            mask: (1 << bits) - 1,
            now: vec![0; length],
            before: vec![0; length],
        }
    }

    /// Counts one more of `hash`, and answers how many there were in both generations, or more.
    fn add(&mut self, hash: u64) -> u16 {
        let rows = [hash & self.mask, (hash >> 32 & self.mask) + self.mask + 1];
        rows.map(|place| {
            let count = &mut self.now[place as usize];
            *count = count.saturating_add(1);
            count.saturating_add(self.before[place as usize])
        })
        .into_iter()
        .min()
        .unwrap_or(0)
    }

    fn turn(&mut self, keep: bool) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.fill(0);
        if !keep {
            self.before.fill(0);
        }
    }
}
