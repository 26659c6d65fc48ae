//! What a finding is, by its name in the field.

use std::fmt;

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
            Self::DirectoryReplication => &["T1003.006"],
            Self::ForeignTicketRequest => &["T1558", "T1550.003"],
            Self::RemoteExecution => &["T1021.006", "T1047", "T1569.002"],
            Self::RemoteTool => &["T1021", "T1047"],
            Self::OddConnection => &["T1071", "T1059"],
            Self::PermissionChange => &["T1222.001"],
            Self::RemoteEnumeration => &["T1049", "T1135", "T1087.002"],
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
