//! What the network around a flow did lately: per source host, per destination host and per conversation, over
//! 10 s, 60 s and 10 min of traffic time. Bounded, and a function of the packets alone.
//!
//! At each boundary the context first absorbs the whole epoch and is then asked about the flows that are due, so an
//! answer does not depend on the order of flows within the epoch.

mod conversation;
mod host;
mod sketch;

use sensor_ebpf::{flow::FlowKey, frame::ARP_REQUEST};

use self::{
    conversation::Conversation,
    host::{Clock, Host},
};
pub use self::{
    conversation::ConversationView,
    host::{HostView, ServiceClass, Window, WindowView},
};
use crate::{
    bounded::{Evicted, Seed, Store, fixed_hash},
    capture::Epoch,
    flow::{Change, FlowRecord, change},
};

/// How much the context may remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Hosts in each role (source, destination).
    pub hosts: u32,
    /// Conversations: source, destination, protocol and service port.
    pub conversations: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: 1 << 16,
            conversations: 1 << 17,
        }
    }
}

/// Running totals of a context: how much it holds and what it had to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Source hosts held, those that ask by ARP among them.
    pub sources: u32,
    /// Destination hosts held.
    pub destinations: u32,
    /// Conversations held.
    pub conversations: u32,
    /// Forgotten while new: seen in one epoch only.
    pub evicted_newcomers: u64,
    /// Forgotten although they had come back.
    pub evicted_residents: u64,
}

/// What is known around one flow at its boundary. `None`: forgotten for want of room, so not known.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextView {
    /// The originator, as an originator.
    pub source: Option<HostView>,
    /// The responder, as a responder.
    pub destination: Option<HostView>,
    /// Earlier flows from the same source to the same service of the same destination.
    pub conversation: Option<ConversationView>,
}

impl ContextView {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        source: None,
        destination: None,
        conversation: None,
    };
}

/// Sliding context of all hosts and conversations.
#[derive(Debug)]
pub struct Context {
    sources: Store<2, Host>,
    destinations: Store<2, Host>,
    conversations: Store<5, Conversation>,
    /// Hosts as they ask for others by ARP. Apart, so that what they do as hosts of IP is what it was, and nobody is forgotten for
    /// ARP with invented senders.
    askers: Store<2, Host>,
    /// Moment for which questions are answered: the end of the epoch absorbed or stepped to last.
    clock: Clock,
    evicted_newcomers: u64,
    evicted_residents: u64,
}

/// Hosts in each role for each one that is remembered as it asks by ARP: those of one link.
const ASKERS_SHARE: u32 = 16;

/// How many changes ahead the context asks the cache for its hosts.
const AHEAD: usize = 4;

#[inline(always)]
fn host_key(address: &[u8; 16]) -> [u64; 2] {
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    [word(&address[..8]), word(&address[8..])]
}

#[inline(always)]
fn conversation_key(key: &FlowKey, originator: usize) -> [u64; 5] {
    let [a, b] = host_key(&key.addresses[originator]);
    let [c, d] = host_key(&key.addresses[1 - originator]);
    [a, b, c, d, service(key, originator)]
}

/// Whether an ARP flow is a host's search for another: its originator asks, and bears an address of its own.
fn looks_for_another(key: &FlowKey, originator: usize) -> bool {
    /// 0.0.0.0
    const NOBODY: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    let [from, to] = [originator, 1 - originator].map(|side| &key.addresses[side]);
    key.ports[originator] == ARP_REQUEST && from != to && *from != NOBODY
}

/// Protocol and responder port.
#[inline(always)]
fn service(key: &FlowKey, originator: usize) -> u64 {
    u64::from(key.protocol) << 16 | u64::from(key.ports[1 - originator])
}

impl Context {
    /// An empty context.
    pub fn new(settings: &Settings) -> Self {
        let seed = Seed::random();
        Self {
            sources: Store::new(settings.hosts, seed),
            destinations: Store::new(settings.hosts, seed),
            conversations: Store::new(settings.conversations, seed),
            askers: Store::new((settings.hosts / ASKERS_SHARE).max(1), seed),
            clock: Clock::default(),
            evicted_newcomers: 0,
            evicted_residents: 0,
        }
    }

    /// Running totals.
    pub fn stats(&self) -> Stats {
        Stats {
            sources: self.sources.len() + self.askers.len(),
            destinations: self.destinations.len(),
            conversations: self.conversations.len(),
            evicted_newcomers: self.evicted_newcomers,
            evicted_residents: self.evicted_residents,
        }
    }

    /// Moves on to the end of `epoch`, an epoch without packets: what [`crate::flow::Table::advance`] answered.
    pub fn advance(&mut self, epoch: u64) {
        self.clock = Clock::at_end_of(epoch);
    }

    /// Absorbs an epoch with the changes that the flow table found in it, and moves on to the epoch's end.
    pub fn absorb(&mut self, epoch: &Epoch, changes: &[Change]) {
        self.advance(epoch.index);
        for (at, change) in changes.iter().enumerate() {
            if let Some(ahead) = changes.get(at + AHEAD) {
                self.look_ahead(epoch, *ahead);
            }
            self.absorb_one(epoch, *change);
        }
    }

    #[inline]
    fn look_ahead(&self, epoch: &Epoch, change: Change) {
        let (key, _) = &epoch.flows[change.delta as usize];
        let originator = usize::from(change.originator);
        self.sources
            .prefetch_slot(&host_key(&key.addresses[originator]));
        self.destinations
            .prefetch_slot(&host_key(&key.addresses[1 - originator]));
    }

    #[inline]
    fn absorb_one(&mut self, epoch: &Epoch, change: Change) {
        let (key, delta) = &epoch.flows[change.delta as usize];
        let originator = usize::from(change.originator);
        let responder = 1 - originator;
        if key.is_arp() {
            return self.absorb_arp(epoch, change);
        }
        let (from, to) = (
            host_key(&key.addresses[originator]),
            host_key(&key.addresses[responder]),
        );
        let (sent, received) = (
            delta.halves[originator].ip_bytes,
            delta.halves[responder].ip_bytes,
        );
        let class = ServiceClass::of(key.protocol, key.ports[responder]);
        if change.what & (change::SOURCE_UNKEPT | change::DESTINATION_UNKEPT) != 0 {
            return self.absorb_in_bulk(epoch, change, [&from, &to], [sent, received], class);
        }

        let (source, evicted) = self
            .sources
            .entry(&from, epoch.index, || Host::new(&self.clock));
        source.roll(&self.clock);
        source.add(change.what, sent, received, class);
        let (destination, evicted_too) = self
            .destinations
            .entry(&to, epoch.index, || Host::new(&self.clock));
        destination.roll(&self.clock);
        destination.add(change.what, received, sent, class);
        if change.what & change::BEGAN != 0 {
            let port = fixed_hash(&[service(key, originator)]);
            source.meet(fixed_hash(&to), port);
            destination.meet(fixed_hash(&from), port);
            let pair = conversation_key(key, originator);
            let (conversation, evicted) = self
                .conversations
                .entry(&pair, epoch.index, || Conversation::new(delta.first()));
            conversation.start(delta.first());
            self.count(evicted);
        }
        self.count(evicted);
        self.count(evicted_too);
    }

    /// Absorbs a flow that the table had no place for: hosts that are one of very many leave no trace, lest they push out
    /// those that matter; the host that they all talk to knows each of them.
    #[cold]
    fn absorb_in_bulk(
        &mut self,
        epoch: &Epoch,
        change: Change,
        [from, to]: [&[u64; 2]; 2],
        [sent, received]: [u64; 2],
        class: ServiceClass,
    ) {
        let (key, _) = &epoch.flows[change.delta as usize];
        let port = fixed_hash(&[service(key, usize::from(change.originator))]);
        if change.what & change::SOURCE_UNKEPT == 0 {
            let (source, evicted) = self
                .sources
                .entry(from, epoch.index, || Host::new(&self.clock));
            source.roll(&self.clock);
            source.add(change.what, sent, received, class);
            source.meet(fixed_hash(to), port);
            self.count(evicted);
        }
        if change.what & change::DESTINATION_UNKEPT == 0 {
            let (destination, evicted) = self
                .destinations
                .entry(to, epoch.index, || Host::new(&self.clock));
            destination.roll(&self.clock);
            destination.add(change.what, received, sent, class);
            destination.meet(fixed_hash(from), port);
            self.count(evicted);
        }
    }

    /// Absorbs a flow of ARP: who asked for whom. Who asks for himself, or has no address yet, asks whether an address is free
    /// (RFC 5227), and who tells without having been asked looks for nobody.
    #[cold]
    fn absorb_arp(&mut self, epoch: &Epoch, change: Change) {
        let (key, delta) = &epoch.flows[change.delta as usize];
        let originator = usize::from(change.originator);
        let (sent, received) = (&delta.halves[originator], &delta.halves[1 - originator]);
        let is_told = change.what & change::BEGAN != 0 && sent.packets == 0;
        let is_unkept = change.what & change::SOURCE_UNKEPT != 0;
        if is_told || is_unkept || !looks_for_another(key, originator) {
            return;
        }
        let to = host_key(&key.addresses[1 - originator]);
        let (asker, evicted) =
            self.askers
                .entry(&host_key(&key.addresses[originator]), epoch.index, || {
                    Host::new(&self.clock)
                });
        asker.roll(&self.clock);
        let class = ServiceClass::Other;
        asker.add(change.what, sent.ip_bytes, received.ip_bytes, class);
        if change.what & change::BEGAN != 0 {
            asker.meet(fixed_hash(&to), 0);
        }
        self.count(evicted);
    }

    #[inline]
    fn count(&mut self, evicted: Evicted) {
        match evicted {
            Evicted::None => {}
            Evicted::Newcomer => self.evicted_newcomers += 1,
            Evicted::Resident => self.evicted_residents += 1,
        }
    }

    /// What is known around `record` now.
    pub fn view(&self, record: &FlowRecord) -> ContextView {
        let (originator, responder) = (record.originator, record.responder());
        let key = &record.key;
        if key.is_arp() {
            let asker = self.askers.get(&host_key(&key.addresses[originator]));
            return ContextView {
                source: asker
                    .filter(|_| looks_for_another(key, originator))
                    .map(|host| host.view(&self.clock, ServiceClass::Other)),
                ..ContextView::UNKNOWN
            };
        }
        let class = ServiceClass::of(key.protocol, key.ports[responder]);
        let view = |host: &Host| host.view(&self.clock, class);
        ContextView {
            source: self
                .sources
                .get(&host_key(&key.addresses[originator]))
                .map(view),
            destination: self
                .destinations
                .get(&host_key(&key.addresses[responder]))
                .map(view),
            conversation: self
                .conversations
                .get(&conversation_key(key, originator))
                .map(|conversation| conversation.view(record.start())),
        }
    }
}
