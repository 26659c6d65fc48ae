//! What events add up to: transparent rules, each with the numbers that made it speak.

use std::collections::{BTreeMap, BTreeSet};

use sensor_ebpf::flow::TimeNs;

use super::{
    Event, Field, Kind, Row,
    context::{position, program},
    hosts, techniques,
    words::{DEFENCES, ENCODED, PARENTS, SHELLS, is_administrative, is_command},
};

/// The numbers of the rules.
mod limit {
    /// Refusals of one address in 10 min.
    pub(super) const REFUSALS: f32 = 10.0;
    /// Distinct accounts among them.
    pub(super) const SPRAYED: f32 = 5.0;
    /// Share of distinct accounts to refusals above which it is a spray.
    pub(super) const SPRAY_SHARE: f32 = 0.3;
    /// Refusals of one account to one address before it got in.
    pub(super) const GUESSES: f32 = 5.0;
    /// Distinct shared files and pipes in 10 min.
    pub(super) const PIPES: f32 = 20.0;
    /// Distinct services asked tickets for in 10 min.
    pub(super) const TICKETS: f32 = 15.0;
    /// Distinct ones that are run by people's accounts and answered with RC4.
    pub(super) const WEAK_TICKETS: f32 = 3.0;
    /// Characters of a command line that hides something.
    pub(super) const COMMAND: f32 = 1000.0;
}

/// What one actor did, or had done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What happened.
    pub kind: Kind,
    /// Address, workstation, or host.
    pub actor: String,
    /// First and last event.
    pub first: Option<TimeNs>,
    /// Last event.
    pub last: Option<TimeNs>,
    /// Events in it.
    pub events: u64,
    /// Hosts it was seen on.
    pub hosts: BTreeSet<String>,
    /// Accounts it was about; at most `NAMES_MAX` are kept.
    pub accounts: BTreeSet<String>,
    /// Accounts beyond.
    pub more_accounts: bool,
    /// Its particulars: programs, services, shares.
    pub detail: String,
}

/// Names kept of one finding.
const NAMES_MAX: usize = 1000;
/// Findings kept.
const FINDINGS_MAX: usize = 4096;
/// Logon sessions remembered.
const SESSIONS_MAX: usize = 1 << 16;
/// Longest text of particulars, in bytes.
const DETAIL_MAX: usize = 240;

impl Finding {
    /// One plain sentence.
    pub fn sentence(&self) -> String {
        let hosts = list(&self.hosts, 3);
        let accounts = list(&self.accounts, 4);
        let (actor, events, more) = (
            &self.actor,
            self.events,
            if self.more_accounts { " and more" } else { "" },
        );
        let distinct = self.accounts.len();
        match self.kind {
            Kind::GuessedPassword => {
                format!("{actor} got into {accounts} at {hosts} after it was refused many times")
            }
            Kind::PasswordSpraying => format!(
                "{actor} was refused {events} times at {hosts}, for {distinct} accounts{more}: {accounts}"
            ),
            Kind::PasswordGuessing => {
                format!("{actor} was refused {events} times at {hosts}, for {accounts}{more}")
            }
            Kind::LogCleared => format!("{accounts} cleared the security log of {hosts}"),
            Kind::DefencesImpaired => format!(
                "{accounts} switched off defences of {hosts}: {}",
                self.detail
            ),
            Kind::RemoteService => {
                format!("{accounts} installed a service on {hosts}: {}", self.detail)
            }
            Kind::SuspiciousProcess => format!("{accounts} started on {hosts}: {}", self.detail),
            Kind::RemoteAdministration => format!(
                "{actor} opened administrative shares and pipes of {hosts} {events} times, as {accounts}: {}",
                self.detail
            ),
            Kind::Kerberoasting => {
                format!("{accounts} asked {hosts} for the tickets of many services")
            }
            Kind::DirectoryReplication => format!(
                "{actor} had the directory's secrets replicated by {hosts} as {accounts}, {}",
                times(events)
            ),
            Kind::ForeignTicketRequest => format!(
                "{actor} ({hosts}) asked for tickets with a program that is not the security authority: {}",
                self.detail
            ),
            Kind::RemoteExecution => format!(
                "something was started on {hosts} by remote management, {}: {}",
                times(events),
                self.detail
            ),
            Kind::RemoteTool => format!(
                "{accounts} managed other hosts from {hosts}: {}",
                self.detail
            ),
            Kind::OddConnection => format!(
                "{actor} ({hosts}) connected {} by programs that have no business on the network: {}",
                times(events),
                self.detail
            ),
            Kind::PermissionChange => format!(
                "{accounts} changed who may do what in the directory of {hosts}, {}: {}",
                times(events),
                self.detail
            ),
            Kind::RemoteEnumeration => format!(
                "{actor} asked {hosts} for sessions, shares or accounts {} as {accounts}: {}",
                times(events),
                self.detail
            ),
        }
    }

    /// How much speaks for it, on the scale of incidents of flows: how telling the kind is, how many events and hosts.
    pub fn evidence(&self) -> f64 {
        let hosts = self.hosts.len().max(1) as f64;
        self.kind.weight() + (self.events.max(1) as f64).log10() / 2.0 + hosts.log10()
    }
}

fn times(events: u64) -> String {
    match events {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

fn list(names: &BTreeSet<String>, most: usize) -> String {
    let mut text = names
        .iter()
        .take(most)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > most {
        text.push_str(&format!(" and {} more", names.len() - most));
    }
    if text.is_empty() {
        "an unknown account".to_owned()
    } else {
        text
    }
}

/// All findings so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    all: BTreeMap<(Kind, String), Finding>,
    /// Events whose finding there was no room for.
    pub forgotten: u64,
    /// Where logon sessions came from, by host and logon id.
    sessions: BTreeMap<(Box<str>, u64), String>,
    /// Refusals by who was refused, since the rule may speak after many of them.
    refusals: BTreeMap<String, (u64, Option<TimeNs>, BTreeSet<String>)>,
}

impl Findings {
    /// Looks at an event with its row.
    pub fn absorb(&mut self, event: &Event, row: &Row) {
        let value = |name| row[position(name)];
        self.remember_session(event);
        let who = self.actor(event);
        if event.is_refusal() {
            self.refused(event, &who, row);
        } else if event.is_logon() && value("addr_refused_then_logon") >= limit::GUESSES {
            self.note(Kind::GuessedPassword, &who, event, "");
        }
        match event.id {
            1102 => self.note(Kind::LogCleared, &event.computer, event, ""),
            4719 => self.note(
                Kind::DefencesImpaired,
                &event.computer,
                event,
                "audit policy changed",
            ),
            4697 | 7045 if value("service_new") > 0.5 && is_command(event) => {
                let name = event.get(Field::ServiceName).unwrap_or_default();
                let file = event.get(Field::ServiceFile).unwrap_or_default();
                self.note(
                    Kind::RemoteService,
                    &who,
                    event,
                    &short(&format!("{name} runs {file}")),
                );
            }
            4688 => self.process(event, row),
            5145 if is_administrative(event) && !event.is_machine_account() => {
                let pipe = event.get(Field::ShareTarget).unwrap_or_default();
                self.note(Kind::RemoteAdministration, &who, event, &short(pipe));
            }
            _ => {}
        }
        if let Some((kind, detail)) = techniques::of(event) {
            self.note(kind, &who, event, &short(&detail));
        }
        if event.id == 5145
            && !event.is_machine_account()
            && value("share_names_600s") >= limit::PIPES
        {
            self.note(Kind::RemoteAdministration, &who, event, "");
        }
        if event.id == 4769
            && (value("tickets_600s") >= limit::TICKETS
                || event.is_weak_ticket() && value("weak_tickets_600s") >= limit::WEAK_TICKETS)
            && !event.is_machine_account()
        {
            self.note(Kind::Kerberoasting, &who, event, "");
        }
    }

    /// Who is behind an event: where it came from, else where the logon session came from that it happened in, else the
    /// host; for a connection the address it was made from.
    fn actor(&self, event: &Event) -> String {
        if event.id == 5156 {
            let local = hosts::local_end(event).map(|address| address.to_string());
            return local.unwrap_or_else(|| event.computer.to_string());
        }
        let session = || {
            let id = event.number(Field::SubjectLogon)?;
            self.sessions.get(&(event.computer.clone(), id)).cloned()
        };
        event
            .origin()
            .or_else(session)
            .unwrap_or_else(|| event.computer.to_string())
    }

    /// Logon sessions begin with a logon, which says from where.
    fn remember_session(&mut self, event: &Event) {
        if let (4624, Some(id), Some(address)) =
            (event.id, event.number(Field::TargetLogon), event.address())
        {
            if self.sessions.len() >= SESSIONS_MAX {
                self.sessions.pop_first();
            }
            self.sessions
                .insert((event.computer.clone(), id), address.to_string());
        }
    }

    fn refused(&mut self, event: &Event, who: &str, row: &Row) {
        let value = |name| row[position(name)];
        let host = value("host_refused_600s");
        let (refusals, accounts) = (value("addr_refused_600s"), value("addr_accounts_600s"));
        // Without an address (SMB of old Windows) the host that refused is all there is.
        let refusals = if refusals.is_nan() { host } else { refusals };
        if self.refusals.len() < FINDINGS_MAX || self.refusals.contains_key(who) {
            let before = self.refusals.entry(who.to_owned()).or_default();
            before.0 += 1;
            before.1 = before.1.or(event.time);
            if before.2.len() < NAMES_MAX
                && let Some(account) = event.account()
            {
                before.2.insert(account);
            }
        }
        let kind = if accounts >= limit::SPRAYED && accounts >= limit::SPRAY_SHARE * refusals {
            Kind::PasswordSpraying
        } else if refusals >= limit::REFUSALS {
            Kind::PasswordGuessing
        } else {
            return;
        };
        // A spray that goes on becomes guessing by the numbers of its window, and stays what it was called.
        let spray = (Kind::PasswordSpraying, who.to_owned());
        let kind = if self.all.contains_key(&spray) {
            Kind::PasswordSpraying
        } else {
            kind
        };
        self.note(kind, who, event, "");
        let before = self.refusals.remove(who);
        if let (Some(finding), Some((events, first, accounts))) =
            (self.all.get_mut(&(kind, who.to_owned())), before)
        {
            // `note` has counted this event, and so has the list.
            finding.events += events - 1;
            finding.first = finding.first.min(first.or(finding.first));
            finding.accounts.extend(accounts);
        }
    }

    fn process(&mut self, event: &Event, row: &Row) {
        let value = |name| row[position(name)];
        let command = event
            .get(Field::CommandLine)
            .unwrap_or_default()
            .to_lowercase();
        let process = event.get(Field::Process).map(program).unwrap_or_default();
        let parent = event.get(Field::Parent).map(program).unwrap_or_default();
        if DEFENCES
            .iter()
            .any(|words| words.iter().all(|word| command.contains(word)))
        {
            self.note(
                Kind::DefencesImpaired,
                &event.computer,
                event,
                &short(&command),
            );
            return;
        }
        let hidden = ENCODED.iter().any(|word| command.contains(word))
            || value("command_length") >= limit::COMMAND;
        let odd_parent = PARENTS.contains(&&*parent) && SHELLS.contains(&&*process);
        if odd_parent || (hidden && SHELLS.contains(&&*process)) {
            self.note(
                Kind::SuspiciousProcess,
                &event.computer,
                event,
                &short(&format!("{parent} > {process} {command}")),
            );
        }
    }

    fn note(&mut self, kind: Kind, actor: &str, event: &Event, detail: &str) {
        let at = (kind, actor.to_owned());
        if !self.all.contains_key(&at) && self.all.len() >= FINDINGS_MAX {
            self.forgotten += 1;
            return;
        }
        let finding = self.all.entry(at).or_insert_with(|| Finding {
            kind,
            actor: actor.to_owned(),
            first: event.time,
            last: event.time,
            events: 0,
            hosts: BTreeSet::new(),
            accounts: BTreeSet::new(),
            more_accounts: false,
            detail: String::new(),
        });
        finding.events += 1;
        finding.first = match (finding.first, event.time) {
            (Some(first), Some(time)) => Some(first.min(time)),
            (first, time) => first.or(time),
        };
        finding.last = finding.last.max(event.time);
        if finding.hosts.len() < NAMES_MAX {
            finding.hosts.insert(event.computer.to_string());
        }
        if let Some(account) = event.account() {
            if finding.accounts.len() < NAMES_MAX {
                finding.accounts.insert(account);
            } else {
                finding.more_accounts |= !finding.accounts.contains(&account);
            }
        }
        // What is new is added, as long as there is room.
        if !detail.is_empty()
            && !finding.detail.contains(detail)
            && (finding.detail.is_empty() || finding.detail.len() + detail.len() < DETAIL_MAX)
        {
            if !finding.detail.is_empty() {
                finding.detail.push_str("; ");
            }
            finding.detail.push_str(detail);
        }
    }

    /// Findings, most evidence first.
    pub fn ranked(&self) -> Vec<&Finding> {
        let mut ranked: Vec<&Finding> = self.all.values().collect();
        ranked.sort_by(|a, b| {
            let by_evidence = b.evidence().total_cmp(&a.evidence());
            by_evidence.then_with(|| (a.kind, &a.actor).cmp(&(b.kind, &b.actor)))
        });
        ranked
    }
}

fn short(text: &str) -> String {
    text.chars().take(160).collect()
}
