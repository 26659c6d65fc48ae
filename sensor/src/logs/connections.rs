//! Connections as hosts log them (event 5156), found by protocol, addresses and ports.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use sensor_ebpf::flow::TimeNs;

use super::{Event, Field, hosts};

/// Connections remembered; beyond, further ones are counted and not found.
const CONNECTIONS_MAX: usize = 1 << 21;
/// Programs told apart.
const PROGRAMS_MAX: usize = 1 << 16;
/// How far a flow's first packet may lie from the event that names it: events are written at once, clocks drift a little,
/// and a flow that began before the capture is first seen later.
const NEAR_NS: u64 = 120 * 1_000_000_000;

/// Protocol, and the two ends in ascending order.
pub(super) type Ends = (u8, [(IpAddr, u16); 2]);

/// The two ends in the order in which they are looked for.
pub(super) fn ends(protocol: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> Ends {
    (protocol, if a <= b { [a, b] } else { [b, a] })
}

/// One connection by the account of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    time: TimeNs,
    host: u32,
    program: u32,
    outbound: bool,
}

/// Who is behind a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// Name of the program's file, in small letters.
    pub program: &'a str,
    /// Whole path, as the log gives it.
    pub path: &'a str,
    /// Name of the host it runs on.
    pub host: &'a str,
    /// Connections by it on that host, all of the log.
    pub connections: u64,
    /// Connections of that host.
    pub of: u64,
    /// Connections by it on that host to this port.
    pub to_port: u64,
    /// Hosts on which it connects.
    pub hosts: usize,
}

/// Names as small numbers.
#[derive(Debug, Default)]
struct Interned {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Interned {
    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(self.names.len()).ok()?;
        if self.names.len() >= PROGRAMS_MAX {
            return None;
        }
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        Some(number)
    }
}

/// All connections that logs name.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: HashMap<Ends, Vec<Connection>>,
    hosts: Interned,
    programs: Interned,
    /// Connections by host, by program and host, and by these and the port.
    of_host: HashMap<u32, u64>,
    of_program: HashMap<(u32, u32), u64>,
    of_port: HashMap<(u32, u32, u16), u64>,
    on_hosts: HashMap<u32, BTreeSet<u32>>,
    kept: usize,
    forgotten: u64,
}

impl Connections {
    /// Takes an event 5156 in; others say nothing here.
    pub(super) fn absorb(&mut self, event: &Event) {
        let (5156, Some(time), Some([source, destination])) =
            (event.id, event.time, hosts::ends(event))
        else {
            return;
        };
        let protocol = event
            .number(Field::Protocol)
            .and_then(|it| u8::try_from(it).ok());
        let path = event
            .get(Field::Application)
            .unwrap_or("unknown")
            .to_lowercase();
        let (Some(protocol), Some(host), Some(program)) = (
            protocol,
            self.hosts.number(&event.computer),
            self.programs.number(&path),
        ) else {
            self.forgotten += 1;
            return;
        };
        if self.kept >= CONNECTIONS_MAX {
            self.forgotten += 1;
            return;
        }
        self.kept += 1;
        *self.of_host.entry(host).or_insert(0) += 1;
        *self.of_program.entry((host, program)).or_insert(0) += 1;
        *self
            .of_port
            .entry((host, program, destination.1))
            .or_insert(0) += 1;
        self.on_hosts.entry(program).or_default().insert(host);
        self.all
            .entry(ends(protocol, source, destination))
            .or_default()
            .push(Connection {
                time,
                host,
                program,
                outbound: hosts::is_outbound(event).unwrap_or(true),
            });
    }

    /// Times and hosts of the events that name these ends.
    pub(super) fn times(&self, ends: &Ends) -> impl Iterator<Item = (&str, TimeNs)> {
        let found = self.all.get(ends);
        found.into_iter().flatten().map(|connection| {
            let host = &*self.hosts.names[connection.host as usize];
            (host, connection.time)
        })
    }

    /// Who is behind a flow with these ends that was under way from `start` to `last`; `at` moves a host's clock to that of
    /// the capture. Of several the nearest in time, and of these the one that began the connection.
    pub(super) fn process(
        &self,
        ends: &Ends,
        [start, last]: [TimeNs; 2],
        port: u16,
        at: impl Fn(&str, TimeNs) -> TimeNs,
    ) -> Option<Process<'_>> {
        let distance = |connection: &Connection| {
            let time = at(&self.hosts.names[connection.host as usize], connection.time);
            let outside = start.saturating_sub(time).max(time.saturating_sub(last));
            (outside / 5_000_000_000, !connection.outbound, outside)
        };
        let nearest = self.all.get(ends)?.iter().min_by_key(|it| distance(it))?;
        if distance(nearest).2 > NEAR_NS {
            return None;
        }
        let path = &*self.programs.names[nearest.program as usize];
        let by = (nearest.host, nearest.program);
        Some(Process {
            program: path.rsplit('\\').next().unwrap_or(path),
            path,
            host: &self.hosts.names[nearest.host as usize],
            connections: self.of_program[&by],
            of: self.of_host[&nearest.host],
            to_port: self.of_port.get(&(by.0, by.1, port)).copied().unwrap_or(0),
            hosts: self.on_hosts[&nearest.program].len(),
        })
    }

    /// Connections known.
    pub(super) const fn len(&self) -> usize {
        self.kept
    }

    /// Connections there was no room for, or whose event is incomplete.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
