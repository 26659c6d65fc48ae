//! What a finding is, by its name in the field.

use std::fmt;

use crate::attack::{
    ACCOUNT_DISCOVERY, ADMIN_SHARES, APPLICATION_PROTOCOL, CLEARED_LOGS, CONNECTIONS_DISCOVERY,
    DCSYNC, DISABLED_LOGGING, DISABLED_TOOLS, GUESSING, INTERPRETER, KERBEROASTING,
    PASS_THE_TICKET, PERMISSIONS, REMOTE_SERVICES, SERVICE_EXECUTION, SHARE_DISCOVERY, SPRAYING,
    TICKETS, Technique, VALID_ACCOUNTS, WINDOWS_SERVICE, WINRM, WMI,
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
    /// An account that is no domain controller's asked the directory for its secrets.
    DirectoryReplication,
    /// A program asked for Kerberos tickets in the place of the security authority.
    ForeignTicketRequest,
    /// Something was started on a host by remote management: WMI, PowerShell sessions, services.
    RemoteExecution,
    /// A tool of Windows was pointed at another host.
    RemoteTool,
    /// A program that has no business on the network, or from a place where anybody may put one, connected.
    OddConnection,
    /// Who may do what was changed in the directory.
    PermissionChange,
    /// A person's account asked hosts for sessions, shares or accounts.
    RemoteEnumeration,
}

impl Kind {
    /// All of them, gravest first.
    pub const ALL: [Self; 16] = [
        Self::GuessedPassword,
        Self::PasswordSpraying,
        Self::PasswordGuessing,
        Self::LogCleared,
        Self::DefencesImpaired,
        Self::RemoteService,
        Self::SuspiciousProcess,
        Self::RemoteAdministration,
        Self::Kerberoasting,
        Self::DirectoryReplication,
        Self::ForeignTicketRequest,
        Self::RemoteExecution,
        Self::RemoteTool,
        Self::OddConnection,
        Self::PermissionChange,
        Self::RemoteEnumeration,
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
            Self::DirectoryReplication => "directory replication",
            Self::ForeignTicketRequest => "foreign ticket request",
            Self::RemoteExecution => "remote execution",
            Self::RemoteTool => "remote tool",
            Self::OddConnection => "odd connection",
            Self::PermissionChange => "permission change",
            Self::RemoteEnumeration => "remote enumeration",
        }
    }

    /// ATT&CK techniques that it is evidence of; most telling first.
    pub const fn techniques(self) -> &'static [Technique] {
        match self {
            Self::GuessedPassword => &[GUESSING, VALID_ACCOUNTS],
            Self::PasswordSpraying => &[SPRAYING],
            Self::PasswordGuessing => &[GUESSING],
            Self::LogCleared => &[CLEARED_LOGS],
            Self::DefencesImpaired => &[DISABLED_TOOLS, DISABLED_LOGGING],
            Self::RemoteService => &[WINDOWS_SERVICE, SERVICE_EXECUTION],
            Self::SuspiciousProcess => &[INTERPRETER],
            Self::RemoteAdministration => &[ADMIN_SHARES],
            Self::Kerberoasting => &[KERBEROASTING],
            Self::DirectoryReplication => &[DCSYNC],
            Self::ForeignTicketRequest => &[TICKETS, PASS_THE_TICKET],
            Self::RemoteExecution => &[WINRM, WMI, SERVICE_EXECUTION],
            Self::RemoteTool => &[REMOTE_SERVICES, WMI],
            Self::OddConnection => &[APPLICATION_PROTOCOL, INTERPRETER],
            Self::PermissionChange => &[PERMISSIONS],
            Self::RemoteEnumeration => &[CONNECTIONS_DISCOVERY, SHARE_DISCOVERY, ACCOUNT_DISCOVERY],
        }
    }

    /// How telling one event of it is, on the scale of [`Finding::evidence`].
    pub(super) const fn weight(self) -> f64 {
        match self {
            Self::DirectoryReplication => 8.5,
            Self::GuessedPassword | Self::ForeignTicketRequest => 8.0,
            Self::RemoteService | Self::LogCleared | Self::DefencesImpaired => 7.0,
            Self::SuspiciousProcess | Self::RemoteExecution => 6.5,
            Self::PasswordSpraying | Self::PasswordGuessing => 6.0,
            Self::OddConnection | Self::RemoteTool | Self::Kerberoasting => 5.5,
            Self::RemoteAdministration | Self::PermissionChange => 5.0,
            Self::RemoteEnumeration => 4.0,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
