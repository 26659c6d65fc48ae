//! What went on around an event: the same address, account, host and process, over windows of log time.

use std::hash::Hash;

use sensor_ebpf::flow::TimeNs;

use super::{
    Event, Field,
    recent::{HOUR, Recent, Things},
};

/// One value for each of [`COLUMNS`]; NaN where it cannot be known.
pub type Row = [f32; COLUMNS.len()];

/// One column of `logs.csv` that is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it is, and when it is missing.
    pub about: &'static str,
}

const fn column(name: &'static str, about: &'static str) -> Column {
    Column { name, about }
}

/// The features of an event, in the order of a [`Row`].
pub const COLUMNS: [Column; 25] = [
    column(
        "logon_type",
        "Logon type: 2 at the screen, 3 over the network, 4 batch, 5 service, 10 remote desktop. Missing for other events.",
    ),
    column("refused", "1 if a logon or a ticket was refused."),
    column(
        "addr_refused_60s",
        "Refusals to this address (or workstation) in 60 s, this one included. Missing without an address.",
    ),
    column("addr_refused_600s", "The same in 10 min."),
    column("addr_refused_3600s", "The same in an hour."),
    column(
        "addr_logons_600s",
        "Successful logons from this address in 10 min.",
    ),
    column(
        "addr_accounts_600s",
        "Distinct accounts that this address was refused for in 10 min: many are a spray.",
    ),
    column(
        "addr_refused_then_logon",
        "Refusals to this address for this account in the hour before it got in. Missing unless this is a logon.",
    ),
    column(
        "account_refused_600s",
        "Refusals for this account in 10 min, from anywhere. Missing without an account.",
    ),
    column(
        "account_addresses_600s",
        "Distinct addresses that used this account in 10 min.",
    ),
    column(
        "account_hosts_600s",
        "Distinct hosts that this account logged on to in 10 min.",
    ),
    column(
        "pair_new",
        "1 if this account was never seen from this address before. Missing without both.",
    ),
    column("host_refused_600s", "Refusals by this host in 10 min."),
    column(
        "host_logons_600s",
        "Successful logons to this host in 10 min.",
    ),
    column("host_events_60s", "Events of this host in 60 s."),
    column(
        "privileged_600s",
        "Logons with special privileges (4672) of this account in 10 min.",
    ),
    column(
        "process_seen",
        "Times this program was started on any host before. Missing unless a process started (4688).",
    ),
    column(
        "process_surprise",
        "Minus the natural logarithm of the program's share of all starts, one added: high is rare.",
    ),
    column(
        "parent_seen",
        "Times this parent started this program before.",
    ),
    column(
        "command_length",
        "Characters of the command line, at most 1024. Missing where it is not logged.",
    ),
    column(
        "share_accesses_600s",
        "Shared files and pipes that this address opened in 10 min.",
    ),
    column("share_names_600s", "Distinct ones among them."),
    column(
        "tickets_600s",
        "Distinct service tickets (4769) that this account asked for in 10 min.",
    ),
    column(
        "weak_tickets_600s",
        "Distinct services run by people's accounts that this account was given tickets for in 10 min with the old cipher RC4, \
         whose passwords can be guessed from the ticket.",
    ),
    column(
        "service_new",
        "1 if a service of this name was never installed before. Missing unless a service was installed (4697, 7045).",
    ),
];

const SECOND: TimeNs = 1_000_000_000;
const MINUTE: TimeNs = 60 * SECOND;
const TEN_MINUTES: TimeNs = 600 * SECOND;

/// Everything remembered. Events go in by time, and each gets its row as it does.
#[derive(Debug, Default)]
pub struct Context {
    refused_by_address: Things<Recent>,
    refused_pairs: Things<Recent>,
    logons_by_address: Things<Recent>,
    refused_by_account: Things<Recent>,
    addresses_of_account: Things<Recent>,
    hosts_of_account: Things<Recent>,
    pairs: Things<bool>,
    refused_by_host: Things<Recent>,
    logons_by_host: Things<Recent>,
    events_by_host: Things<Recent>,
    privileged: Things<Recent>,
    processes: Things<u32>,
    starts: u64,
    parents: Things<u32>,
    shares: Things<Recent>,
    tickets: Things<Recent>,
    weak_tickets: Things<Recent>,
    services: Things<bool>,
    now: TimeNs,
}

/// SipHash with fixed keys: the same in every run; what an attacker chooses are names, and colliding ones gain nothing but
/// a wrong count.
fn hash(of: impl Hash) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = std::hash::DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Context {
    /// Takes an event in and tells what is known around it. An event without time, or older than the one before, counts as
    /// happening now.
    pub fn absorb(&mut self, event: &Event) -> Row {
        self.now = self.now.max(event.time.unwrap_or(self.now));
        let now = self.now;
        let mut row = [f32::NAN; COLUMNS.len()];
        let mut set = |name: &'static str, value: f32| row[position(name)] = value;
        let origin = event.origin().map(hash);
        let account = event.account().map(hash);
        let host = hash(&event.computer);
        let refused = event.is_refusal();
        if let Some(kind) = event.number(Field::LogonType) {
            set("logon_type", kind as f32);
        }
        set("refused", f32::from(u8::from(refused)));

        self.events_by_host
            .entry(host, now)
            .add(now, u64::from(event.id));
        set(
            "host_events_60s",
            self.events_by_host.entry(host, now).count(now, MINUTE),
        );
        if refused {
            self.refused_by_host.entry(host, now).add(now, 0);
        }
        if event.is_logon() {
            self.logons_by_host.entry(host, now).add(now, 0);
        }
        let count = |things: &Things<Recent>, of: u64, window| {
            things
                .get(of)
                .map_or(0.0, |recent| recent.count(now, window))
        };
        let distinct = |things: &Things<Recent>, of: u64, window| {
            things
                .get(of)
                .map_or(0.0, |recent| recent.distinct(now, window))
        };
        set(
            "host_refused_600s",
            count(&self.refused_by_host, host, TEN_MINUTES),
        );
        set(
            "host_logons_600s",
            count(&self.logons_by_host, host, TEN_MINUTES),
        );

        if let Some(origin) = origin {
            if refused {
                let about = account.unwrap_or_default();
                self.refused_by_address.entry(origin, now).add(now, about);
                self.refused_pairs
                    .entry(hash((origin, about)), now)
                    .add(now, 0);
            }
            if event.is_logon() {
                self.logons_by_address.entry(origin, now).add(now, 0);
            }
            if matches!(event.id, 5140 | 5145) {
                let what = (event.get(Field::Share), event.get(Field::ShareTarget));
                self.shares.entry(origin, now).add(now, hash(what));
            }
            set(
                "addr_refused_60s",
                count(&self.refused_by_address, origin, MINUTE),
            );
            set(
                "addr_refused_600s",
                count(&self.refused_by_address, origin, TEN_MINUTES),
            );
            set(
                "addr_refused_3600s",
                count(&self.refused_by_address, origin, HOUR),
            );
            set(
                "addr_logons_600s",
                count(&self.logons_by_address, origin, TEN_MINUTES),
            );
            set(
                "addr_accounts_600s",
                distinct(&self.refused_by_address, origin, TEN_MINUTES),
            );
            set(
                "share_accesses_600s",
                count(&self.shares, origin, TEN_MINUTES),
            );
            set(
                "share_names_600s",
                distinct(&self.shares, origin, TEN_MINUTES),
            );
        }
        if let Some(account) = account {
            if refused {
                self.refused_by_account.entry(account, now).add(now, 0);
            }
            if event.is_logon() {
                self.hosts_of_account.entry(account, now).add(now, host);
            }
            if event.id == 4672 {
                self.privileged.entry(account, now).add(now, 0);
            }
            if event.id == 4769 {
                self.tickets
                    .entry(account, now)
                    .add(now, hash(event.get(Field::ServiceName)));
            }
            if event.is_weak_ticket() {
                self.weak_tickets
                    .entry(account, now)
                    .add(now, hash(event.get(Field::ServiceName)));
            }
            if let Some(origin) = origin {
                self.addresses_of_account
                    .entry(account, now)
                    .add(now, origin);
                let known = self.pairs.entry(hash((origin, account, 0)), now);
                set(
                    "pair_new",
                    f32::from(u8::from(!std::mem::replace(known, true))),
                );
                if event.is_logon() {
                    let refused = count(&self.refused_pairs, hash((origin, account)), HOUR);
                    set("addr_refused_then_logon", refused);
                }
            }
            set(
                "account_refused_600s",
                count(&self.refused_by_account, account, TEN_MINUTES),
            );
            set(
                "account_addresses_600s",
                distinct(&self.addresses_of_account, account, TEN_MINUTES),
            );
            set(
                "account_hosts_600s",
                distinct(&self.hosts_of_account, account, TEN_MINUTES),
            );
            set(
                "privileged_600s",
                count(&self.privileged, account, TEN_MINUTES),
            );
            set(
                "tickets_600s",
                distinct(&self.tickets, account, TEN_MINUTES),
            );
            set(
                "weak_tickets_600s",
                distinct(&self.weak_tickets, account, TEN_MINUTES),
            );
        }
        if let Some(process) = event.get(Field::Process) {
            let process = program(process);
            let seen = self.processes.entry(hash(&process), now);
            set("process_seen", *seen as f32);
            set(
                "process_surprise",
                ((self.starts + 1) as f32 / (*seen + 1) as f32).ln(),
            );
            *seen = seen.saturating_add(1);
            self.starts += 1;
            if let Some(parent) = event.get(Field::Parent) {
                let seen = self.parents.entry(hash((program(parent), &process)), now);
                set("parent_seen", *seen as f32);
                *seen = seen.saturating_add(1);
            }
        }
        if let Some(command) = event.get(Field::CommandLine) {
            set("command_length", command.chars().count() as f32);
        }
        if matches!(event.id, 4697 | 7045)
            && let Some(service) = event.get(Field::ServiceName)
        {
            let known = self.services.entry(hash(service), now);
            set(
                "service_new",
                f32::from(u8::from(!std::mem::replace(known, true))),
            );
        }
        row
    }
}

/// The name of a program without its folder, in small letters.
pub(super) fn program(path: &str) -> String {
    path.rsplit(['\\', '/'])
        .next()
        .unwrap_or(path)
        .to_lowercase()
}

/// Position of a column.
pub(super) fn position(name: &str) -> usize {
    COLUMNS
        .iter()
        .position(|column| column.name == name)
        .expect("a declared column")
}
