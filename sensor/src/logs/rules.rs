//! What events add up to: transparent rules, each with the numbers that made it speak.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use sensor_ebpf::flow::TimeNs;

use super::{
    Event, Field, Row,
    context::{position, program},
    words::{DEFENCES, ENCODED, PARENTS, SHELLS, is_administrative, is_command},
};

/// What happened, by its name in the field and its ATT&CK technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Somebody got in after many refusals.
    GuessedPassword,
    /// One address tried many accounts.
    PasswordSpraying,
    /// One address tried few accounts again and again.
    PasswordGuessing,
    /// The security log was cleared.
    LogCleared,
    /// Logging or the protection of the host was switched off.
    DefencesImpaired,
    /// A service that nobody had installed before, which runs a command or comes from a share.
    RemoteService,
    /// A program started by one that has no business starting it, or with a hidden command.
    SuspiciousProcess,
    /// Many administrative pipes and shares opened by one address.
    RemoteAdministration,
    /// One account asked for tickets of many services.
    Kerberoasting,
}

impl Kind {
    /// All of them, gravest first.
    pub const ALL: [Self; 9] = [
        Self::GuessedPassword,
        Self::PasswordSpraying,
        Self::PasswordGuessing,
        Self::LogCleared,
        Self::DefencesImpaired,
        Self::RemoteService,
        Self::SuspiciousProcess,
        Self::RemoteAdministration,
        Self::Kerberoasting,
    ];

    /// Name for people and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GuessedPassword => "password guessed",
            Self::PasswordSpraying => "password spraying",
            Self::PasswordGuessing => "password guessing",
            Self::LogCleared => "log cleared",
            Self::DefencesImpaired => "defences impaired",
            Self::RemoteService => "service installed",
            Self::SuspiciousProcess => "suspicious process",
            Self::RemoteAdministration => "remote administration",
            Self::Kerberoasting => "kerberoasting",
        }
    }

    /// ATT&CK technique ids.
    pub const fn techniques(self) -> &'static [&'static str] {
        match self {
            Self::GuessedPassword => &["T1110.001", "T1078"],
            Self::PasswordSpraying => &["T1110.003"],
            Self::PasswordGuessing => &["T1110.001"],
            Self::LogCleared => &["T1070.001"],
            Self::DefencesImpaired => &["T1562.001", "T1562.002"],
            Self::RemoteService => &["T1543.003", "T1569.002"],
            Self::SuspiciousProcess => &["T1059"],
            Self::RemoteAdministration => &["T1021.002"],
            Self::Kerberoasting => &["T1558.003"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

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
    /// Accounts it was about; at most [`NAMES_MAX`] are kept.
    pub accounts: BTreeSet<String>,
    /// Accounts beyond.
    pub more_accounts: bool,
    /// Of the last event: program, service, share.
    pub detail: String,
}

/// Names kept of one finding.
const NAMES_MAX: usize = 1000;
/// Findings kept.
const FINDINGS_MAX: usize = 4096;

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
        }
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
    /// Refusals by who was refused, since the rule may speak after many of them.
    refusals: BTreeMap<String, (u64, Option<TimeNs>, BTreeSet<String>)>,
}

impl Findings {
    /// Looks at an event with its row.
    pub fn absorb(&mut self, event: &Event, row: &Row) {
        let value = |name| row[position(name)];
        let who = event.origin().unwrap_or_else(|| event.computer.to_string());
        if event.is_refusal() {
            self.refused(event, &who, row);
        } else if event.is_logon() && value("addr_refused_then_logon") >= limit::GUESSES {
            self.note(Kind::GuessedPassword, &who, event, String::new());
        }
        match event.id {
            1102 => self.note(Kind::LogCleared, &event.computer, event, String::new()),
            4719 => self.note(
                Kind::DefencesImpaired,
                &event.computer,
                event,
                "audit policy changed".to_owned(),
            ),
            4697 | 7045 if value("service_new") > 0.5 && is_command(event) => {
                let name = event.get(Field::ServiceName).unwrap_or_default();
                let file = event.get(Field::ServiceFile).unwrap_or_default();
                self.note(
                    Kind::RemoteService,
                    &event.computer,
                    event,
                    short(&format!("{name} runs {file}")),
                );
            }
            4688 => self.process(event, row),
            5145 if is_administrative(event) => {
                let pipe = event.get(Field::ShareTarget).unwrap_or_default();
                self.note(Kind::RemoteAdministration, &who, event, short(pipe));
            }
            _ => {}
        }
        if event.id == 5145 && value("share_names_600s") >= limit::PIPES {
            self.note(Kind::RemoteAdministration, &who, event, String::new());
        }
        if event.id == 4769
            && value("tickets_600s") >= limit::TICKETS
            && !event.is_machine_account()
        {
            self.note(Kind::Kerberoasting, &who, event, String::new());
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
        self.note(kind, who, event, String::new());
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
                short(&command),
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
                short(&format!("{parent} > {process} {command}")),
            );
        }
    }

    fn note(&mut self, kind: Kind, actor: &str, event: &Event, detail: String) {
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
        if !detail.is_empty() {
            finding.detail = detail;
        }
    }

    /// Findings, gravest kind first, then by number of events.
    pub fn ranked(&self) -> Vec<&Finding> {
        let mut ranked: Vec<&Finding> = self.all.values().collect();
        ranked.sort_by(|a, b| {
            (a.kind, std::cmp::Reverse(a.events), &a.actor).cmp(&(
                b.kind,
                std::cmp::Reverse(b.events),
                &b.actor,
            ))
        });
        ranked
    }
}

fn short(text: &str) -> String {
    text.chars().take(160).collect()
}
