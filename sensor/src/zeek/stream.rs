//! Connections in the order of their ends, each with the row of its features.
//!
//! Zeek writes a connection when it is over, so a log is about in the order of ends, and not in that of starts: a
//! connection of three hours stands behind those that began and ended meanwhile. Several workers write into one log, so the
//! order is not exact. [`Stream`] puts it right within [`HORIZON_NS`] and [`HELD_MAX`] connections; one that comes later still
//! counts as of now. The result depends on the lines alone.

use std::{cmp::Reverse, collections::BinaryHeap};

use sensor_ebpf::flow::{FlowCounters, FlowKey, TimeNs, epoch_of};

use super::{
    Row,
    conn::Conn,
    memory::{Memory, Past},
    table::{self, Input},
};
use crate::{
    capture::Epoch,
    context::{self, Context, ContextView},
    flow::{Change, ConnState, FlowRecord, change, key_address},
};

/// How long a connection is held so that one that ended before it may overtake it.
const HORIZON_NS: TimeNs = 60_000_000_000;
/// Connections held at most.
const HELD_MAX: usize = 1 << 14;

/// A connection with its features.
#[derive(Clone, Debug, PartialEq)]
pub struct Featured {
    /// The connection.
    pub conn: Conn,
    /// Its features.
    pub row: Row,
}

/// A held connection, earliest end first, then in the order of lines.
#[derive(Debug)]
struct Held {
    end: TimeNs,
    number: u64,
    conn: Conn,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.number).cmp(&(other.end, other.number))
    }
}

/// What one network did, log after log.
#[derive(Debug)]
pub struct Stream {
    held: BinaryHeap<Reverse<Held>>,
    next: u64,
    newest: TimeNs,
    epoch: Epoch,
    /// Connections of the epoch that is filling, with what was known before each.
    filling: Vec<(Conn, Past)>,
    context: Context,
    memory: Memory,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            held: BinaryHeap::new(),
            next: 0,
            newest: 0,
            epoch: Epoch::default(),
            filling: Vec::new(),
            context: Context::new(&context::Settings::default()),
            memory: Memory::new(),
        }
    }

    /// Takes a connection in and appends those whose turn has come to `out`.
    pub fn push(&mut self, conn: Conn, out: &mut Vec<Featured>) {
        let end = conn.end();
        self.newest = self.newest.max(end);
        self.held.push(Reverse(Held {
            end,
            number: self.next,
            conn,
        }));
        self.next += 1;
        while let Some(Reverse(first)) = self.held.peek() {
            let due = first.end.saturating_add(HORIZON_NS) < self.newest;
            if !due && self.held.len() <= HELD_MAX {
                break;
            }
            if let Some(Reverse(first)) = self.held.pop() {
                self.take(first, out);
            }
        }
    }

    /// Appends all that is still held: a file is over.
    pub fn flush(&mut self, out: &mut Vec<Featured>) {
        while let Some(Reverse(first)) = self.held.pop() {
            self.take(first, out);
        }
        self.close(out);
    }

    fn take(&mut self, held: Held, out: &mut Vec<Featured>) {
        let index = epoch_of(held.end).max(self.epoch.index);
        if index != self.epoch.index {
            self.close(out);
            self.epoch.index = index;
        }
        let past = self.memory.past(&held.conn);
        self.memory.learn(&held.conn, index);
        self.filling.push((held.conn, past));
    }

    /// Lets the context absorb the epoch, then asks it about each of its connections.
    fn close(&mut self, out: &mut Vec<Featured>) {
        if self.filling.is_empty() {
            return;
        }
        self.epoch.flows.clear();
        let mut changes = Vec::with_capacity(self.filling.len());
        for (at, (conn, _)) in self.filling.iter().enumerate() {
            self.epoch.flows.push(delta(conn));
            changes.push(Change {
                delta: u32::try_from(at).unwrap_or(u32::MAX),
                originator: 0,
                what: what(conn),
            });
        }
        self.context.absorb(&self.epoch, &changes);
        let due = crate::flow::end_of(self.epoch.index);
        for ((conn, past), (key, counters)) in
            self.filling.drain(..).zip(self.epoch.flows.drain(..))
        {
            let record = FlowRecord {
                id: 0,
                key,
                originator: 0,
                counters,
                end: None,
                checkpoint: 0,
                due,
            };
            let ContextView {
                source,
                destination,
                conversation,
            } = self.context.view(&record);
            let row = table::row(&Input {
                conn: &conn,
                past,
                source,
                destination,
                conversation,
            });
            out.push(Featured { conn, row });
        }
    }
}

/// What the context needs of a connection, as it takes it from a flow.
fn delta(conn: &Conn) -> (FlowKey, FlowCounters) {
    let key = FlowKey {
        addresses: [key_address(conn.source), key_address(conn.destination)],
        ports: [
            conn.source_port.unwrap_or(0),
            conn.destination_port.unwrap_or(0),
        ],
        protocol: conn.protocol,
        form: 0,
        series: 0,
    };
    let mut counters = FlowCounters::EMPTY;
    for (half, side) in counters.halves.iter_mut().zip([&conn.orig, &conn.resp]) {
        half.packets = side.packets.unwrap_or(0);
        half.ip_bytes = side.ip_bytes.or(side.bytes).unwrap_or(0);
    }
    counters.halves[0].first = conn.start;
    counters.halves[0].last = conn.end();
    (key, counters)
}

/// The context's words for how a connection went.
fn what(conn: &Conn) -> u8 {
    use ConnState::{Rej, Rsto, Rstos0, Rstr, S0, S1, S2, S3, Sf, Sh};
    let mut what = change::BEGAN;
    if conn.is_answered() || conn.is_announcement() {
        what |= change::ANSWERED;
    }
    if conn.protocol == 6 {
        what |= match conn.state {
            Some(S0 | Sh | Rstos0) => change::ATTEMPTED,
            Some(Rej) => change::ATTEMPTED | change::REJECTED,
            Some(S1 | Sf | S2 | S3 | Rsto | Rstr) => change::ATTEMPTED | change::ESTABLISHED,
            _ => 0,
        };
    }
    what
}
