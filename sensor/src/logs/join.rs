//! Flows and logs together: which process is behind a flow, and what the logs say of its two hosts at that time.
//!
//! The logs are read before the flows. A first look at the flows ([`Join::compare`]) tells how far each host's clock is from
//! the capture's; then [`Join::view`] answers for each flow.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use sensor_ebpf::flow::TimeNs;

use super::{
    Event, Hosts, Process, View,
    clock::{Clock, Offset, moved},
    connections::{Connections, Ends, ends},
};
use crate::flow::FlowRecord;

/// How far back a flow looks.
const WINDOW_NS: u64 = 600 * 1_000_000_000;
/// Events of one address that one flow looks at.
const LOOKED_AT_MAX: usize = 4096;
/// Events remembered of one address; of more, the first.
const EVENTS_MAX: usize = 1 << 18;
/// Addresses remembered.
const ADDRESSES_MAX: usize = 1 << 16;

/// What an event is to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Somebody there was refused a logon; the account.
    RefusedFrom(u32),
    /// Somebody there logged on elsewhere.
    LogonFrom,
    /// Somebody there opened a share or a pipe.
    ShareFrom,
    /// A logon was refused by it.
    RefusedAt,
    /// Somebody logged on to it.
    LogonAt,
    /// A program was started on it.
    ProcessAt,
    /// Credentials were given by hand on it.
    ExplicitAt,
    /// A service was installed on it.
    ServiceAt,
}

/// How well flows and logs fit together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinReport {
    /// Events in the join.
    pub events: u64,
    /// Connections that logs name.
    pub connections: usize,
    /// Connections and events there was no room for.
    pub forgotten: u64,
    /// Flow records that ended.
    pub flows: u64,
    /// Those whose process a log names.
    pub named: u64,
    /// Those with a host of which a log says something within the window, the former included.
    pub joined: u64,
    /// Hosts that write logs, each with what has to be added to its times.
    pub clocks: BTreeMap<String, Option<Offset>>,
    /// The offset of all hosts together.
    pub clock: Option<Offset>,
}

/// Logs, ready to be asked about flows.
#[derive(Debug, Default)]
pub struct Join {
    hosts: Hosts,
    connections: Connections,
    events: HashMap<IpAddr, Vec<(TimeNs, What)>>,
    waiting: Vec<(Box<str>, TimeNs, Who, What)>,
    accounts: HashMap<String, u32>,
    clocks: BTreeMap<String, Clock>,
    report: JoinReport,
}

/// Whom an event is about.
#[derive(Clone, Debug)]
enum Who {
    Address(IpAddr),
    Host(Box<str>),
}

impl Join {
    /// Takes in what an event says. All events first, then [`Self::compare`], then [`Self::settle`].
    pub fn absorb(&mut self, event: &Event) {
        self.report.events += 1;
        self.hosts.learn(event);
        self.connections.absorb(event);
        if !event.computer.is_empty() {
            self.clocks.entry(event.computer.to_string()).or_default();
        }
        let Some(time) = event.time else { return };
        let own = || Who::Host(event.computer.clone());
        let from = event.address().map(Who::Address).or_else(|| {
            event
                .get(super::Field::Workstation)
                .map(|name| Who::Host(name.trim_start_matches('\\').to_lowercase().into()))
        });
        let mut put = |who: Option<Who>, what| {
            let Some(who) = who else { return };
            if self.waiting.len() < EVENTS_MAX * 8 {
                self.waiting.push((event.computer.clone(), time, who, what));
            } else {
                self.report.forgotten += 1;
            }
        };
        match event.id {
            _ if event.is_refusal() => {
                let next = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
                let account = event.account().unwrap_or_default();
                let account = match self.accounts.get(&account) {
                    Some(number) => *number,
                    None if self.accounts.len() < ADDRESSES_MAX => {
                        self.accounts.insert(account, next);
                        next
                    }
                    None => u32::MAX,
                };
                put(from, What::RefusedFrom(account));
                put(Some(own()), What::RefusedAt);
            }
            4624 => {
                put(from, What::LogonFrom);
                put(Some(own()), What::LogonAt);
            }
            4688 => put(Some(own()), What::ProcessAt),
            4648 => put(Some(own()), What::ExplicitAt),
            4697 | 7045 => put(Some(own()), What::ServiceAt),
            5140 | 5145 => put(from, What::ShareFrom),
            _ => {}
        }
    }

    /// Compares clocks by a flow.
    pub fn compare(&mut self, record: &FlowRecord) {
        let start = record.start();
        for (host, time) in self.connections.times(&key(record)) {
            if let Some(clock) = self.clocks.get_mut(host) {
                clock.note(start, time);
            }
        }
    }

    /// Sets the clocks, after the last [`Self::compare`] and before the first [`Self::view`].
    pub fn settle(&mut self) {
        let mut all = Clock::default();
        for clock in self.clocks.values() {
            all.merge(clock);
        }
        self.report.clock = all.offset();
        let offsets = self
            .clocks
            .iter()
            .map(|(host, clock)| (host.clone(), clock.offset()));
        self.report.clocks = offsets.collect();
        for (computer, time, who, what) in std::mem::take(&mut self.waiting) {
            let time = moved(time, self.add_ns(&computer));
            let address = match who {
                Who::Address(address) => Some(address),
                Who::Host(name) => self.hosts.address(&name),
            };
            let Some(address) = address else { continue };
            if !self.events.contains_key(&address) && self.events.len() >= ADDRESSES_MAX {
                self.report.forgotten += 1;
                continue;
            }
            let events = self.events.entry(address).or_default();
            if events.len() < EVENTS_MAX {
                events.push((time, what));
            } else {
                self.report.forgotten += 1;
            }
        }
        for events in self.events.values_mut() {
            events.sort_unstable();
        }
        self.report.connections = self.connections.len();
        self.report.forgotten += self.connections.forgotten();
    }

    /// What has to be added to times of a host: its own offset, else that of all hosts, else nothing.
    pub fn add_ns(&self, host: &str) -> i64 {
        let own = self.report.clocks.get(host).copied().flatten();
        own.or(self.report.clock).map_or(0, |offset| offset.add_ns)
    }

    /// Names and addresses of hosts.
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Who is behind a flow.
    pub fn process(&self, record: &FlowRecord) -> Option<Process<'_>> {
        self.connections.process(
            &key(record),
            [record.start(), record.last()],
            record.destination_port(),
            |host, time| moved(time, self.add_ns(host)),
        )
    }

    /// Counts a flow that ended, with what logs say of it, in the report.
    pub fn tally(&mut self, view: &View) {
        self.report.flows += 1;
        self.report.named += u64::from(view.process_known == 1.0);
        self.report.joined += u64::from(view.says_something());
    }

    /// What logs say of a flow.
    pub fn view(&self, record: &FlowRecord) -> View {
        let mut view = View::UNKNOWN;
        let process = self.process(record);
        let logged = |address| self.hosts_log(address);
        let (source, destination) = (record.source(), record.destination());
        if let Some(process) = process {
            view.process_known = 1.0;
            view.process_connections = process.connections as f32;
            view.process_surprise = -((process.connections as f64 / process.of as f64).ln() as f32);
            view.process_port_connections = process.to_port as f32;
            view.process_hosts = process.hosts as f32;
        } else if logged(source) || logged(destination) {
            view.process_known = 0.0;
        }
        let range = [record.start().saturating_sub(WINDOW_NS), record.last()];
        let from = self.counts(source, range);
        let at = self.counts(destination, range);
        if let Some(counts) = from {
            view.src_refused_600s = counts.refused_from;
            view.src_accounts_600s = counts.accounts;
            view.src_logons_600s = counts.logons_from;
            view.src_shares_600s = counts.shares_from;
            view.src_processes_600s = counts.processes;
            view.src_explicit_600s = counts.explicit;
        }
        if let Some(counts) = at {
            view.dst_refused_600s = counts.refused_at;
            view.dst_logons_600s = counts.logons_at;
            view.dst_processes_600s = counts.processes;
            view.dst_services_600s = counts.services;
        }
        view
    }

    /// Whether the host with this address writes one of the logs.
    fn hosts_log(&self, address: IpAddr) -> bool {
        self.clocks
            .keys()
            .any(|host| self.hosts.addresses(host).any(|its| its == address))
    }

    fn counts(&self, address: IpAddr, [from, to]: [TimeNs; 2]) -> Option<Counts> {
        let events = self.events.get(&address)?;
        let begin = events.partition_point(|(time, _)| *time < from);
        let mut counts = Counts::default();
        let mut accounts = BTreeSet::new();
        for (_, what) in events[begin..]
            .iter()
            .take_while(|(time, _)| *time <= to)
            .take(LOOKED_AT_MAX)
        {
            *match what {
                What::RefusedFrom(account) => {
                    accounts.insert(*account);
                    &mut counts.refused_from
                }
                What::LogonFrom => &mut counts.logons_from,
                What::ShareFrom => &mut counts.shares_from,
                What::RefusedAt => &mut counts.refused_at,
                What::LogonAt => &mut counts.logons_at,
                What::ProcessAt => &mut counts.processes,
                What::ExplicitAt => &mut counts.explicit,
                What::ServiceAt => &mut counts.services,
            } += 1.0;
        }
        counts.accounts = accounts.len() as f32;
        Some(counts)
    }

    /// How well it all fits.
    pub const fn report(&self) -> &JoinReport {
        &self.report
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    refused_from: f32,
    accounts: f32,
    logons_from: f32,
    shares_from: f32,
    refused_at: f32,
    logons_at: f32,
    processes: f32,
    explicit: f32,
    services: f32,
}

fn key(record: &FlowRecord) -> Ends {
    ends(
        record.key.protocol,
        (record.source(), record.source_port()),
        (record.destination(), record.destination_port()),
    )
}
