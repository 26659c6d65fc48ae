//! Techniques of MITRE ATT&CK (Enterprise and ICS, version 15) that anything here is evidence of: the one place that
//! knows their ids and names. Which incident is evidence of which is said beside the kinds of incidents.

/// A technique of MITRE ATT&CK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// Its id, for example `T1110.001`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
}

impl Technique {
    /// Whether the id has the form `T` and four digits, with or without `.` and three more.
    pub fn is_well_formed(&self) -> bool {
        let digits = self.id.strip_prefix('T').unwrap_or_default();
        let (technique, part) = digits.split_once('.').unwrap_or((digits, "000"));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        technique.len() == 4 && part.len() == 3 && is_number(technique) && is_number(part)
    }
}

const fn technique(id: &'static str, name: &'static str) -> Technique {
    Technique { id, name }
}

macro_rules! techniques {
    ($($constant:ident: $id:literal, $name:literal;)*) => {
        $(#[doc = concat!($id, ", ", $name)]
        pub const $constant: Technique = technique($id, $name);)*
    };
}

techniques! {
    SERVICE_DISCOVERY: "T1046", "Network Service Discovery";
    SCANNING_BLOCKS: "T1595.001", "Active Scanning: Scanning IP Blocks";
    SCANNING: "T1595.002", "Active Scanning: Vulnerability Scanning";
    SYSTEM_DISCOVERY: "T1018", "Remote System Discovery";
    GUESSING: "T1110.001", "Brute Force: Password Guessing";
    SPRAYING: "T1110.003", "Brute Force: Password Spraying";
    FLOOD: "T1498.001", "Network Denial of Service: Direct Network Flood";
    REFLECTION: "T1498.002", "Network Denial of Service: Reflection Amplification";
    EXHAUSTION: "T1499.001", "Endpoint Denial of Service: OS Exhaustion Flood";
    APPLICATION_PROTOCOL: "T1071", "Application Layer Protocol";
    ENCRYPTED_CHANNEL: "T1573", "Encrypted Channel";
    ODD_PORT: "T1571", "Non-Standard Port";
    OTHER_PROTOCOL: "T1048", "Exfiltration Over Alternative Protocol";
    OVER_C2: "T1041", "Exfiltration Over C2 Channel";
    REMOTE_SERVICES: "T1021", "Remote Services";
    TOOL_TRANSFER: "T1570", "Lateral Tool Transfer";
    INGRESS: "T1105", "Ingress Tool Transfer";
    DNS: "T1071.004", "Application Layer Protocol: DNS";
    TUNNELLING: "T1572", "Protocol Tunneling";
    COMMAND_MESSAGE: "T0855", "Unauthorized Command Message (ICS)";
    POINT_IDENTIFICATION: "T0861", "Point & Tag Identification (ICS)";
    VALID_ACCOUNTS: "T1078", "Valid Accounts";
    CLEARED_LOGS: "T1070.001", "Indicator Removal: Clear Windows Event Logs";
    DISABLED_TOOLS: "T1562.001", "Impair Defenses: Disable or Modify Tools";
    DISABLED_LOGGING: "T1562.002", "Impair Defenses: Disable Windows Event Logging";
    WINDOWS_SERVICE: "T1543.003", "Create or Modify System Process: Windows Service";
    SERVICE_EXECUTION: "T1569.002", "System Services: Service Execution";
    INTERPRETER: "T1059", "Command and Scripting Interpreter";
    ADMIN_SHARES: "T1021.002", "Remote Services: SMB/Windows Admin Shares";
    WINRM: "T1021.006", "Remote Services: Windows Remote Management";
    WMI: "T1047", "Windows Management Instrumentation";
    KERBEROASTING: "T1558.003", "Steal or Forge Kerberos Tickets: Kerberoasting";
    TICKETS: "T1558", "Steal or Forge Kerberos Tickets";
    PASS_THE_TICKET: "T1550.003", "Use Alternate Authentication Material: Pass the Ticket";
    DCSYNC: "T1003.006", "OS Credential Dumping: DCSync";
    PERMISSIONS: "T1222.001", "File and Directory Permissions Modification: Windows File and Directory Permissions Modification";
    CONNECTIONS_DISCOVERY: "T1049", "System Network Connections Discovery";
    SHARE_DISCOVERY: "T1135", "Network Share Discovery";
    ACCOUNT_DISCOVERY: "T1087.002", "Account Discovery: Domain Account";
}

/// The more precise technique of a remote service by its port (T1021 and its parts).
pub const fn remote_service(port: u16) -> Option<Technique> {
    Some(match port {
        3389 => technique("T1021.001", "Remote Services: Remote Desktop Protocol"),
        139 | 445 => ADMIN_SHARES,
        135 => technique(
            "T1021.003",
            "Remote Services: Distributed Component Object Model",
        ),
        22 => technique("T1021.004", "Remote Services: SSH"),
        5900..=5903 => technique("T1021.005", "Remote Services: VNC"),
        5985 | 5986 => WINRM,
        _ => return None,
    })
}

/// A tactic of MITRE ATT&CK: why somebody does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tactic {
    /// Its id, for example `TA0007`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Techniques known here that serve it; one may serve several.
    pub techniques: &'static [Technique],
}

/// Tactics that a technique known here serves (version 15), in the order of the matrix of Enterprise; then ICS.
pub const TACTICS: &[Tactic] = &[
    Tactic {
        id: "TA0043",
        name: "Reconnaissance",
        techniques: &[SCANNING_BLOCKS, SCANNING],
    },
    Tactic {
        id: "TA0001",
        name: "Initial Access",
        techniques: &[VALID_ACCOUNTS],
    },
    Tactic {
        id: "TA0002",
        name: "Execution",
        techniques: &[INTERPRETER, WMI, SERVICE_EXECUTION],
    },
    Tactic {
        id: "TA0003",
        name: "Persistence",
        techniques: &[WINDOWS_SERVICE],
    },
    Tactic {
        id: "TA0005",
        name: "Defense Evasion",
        techniques: &[
            CLEARED_LOGS,
            DISABLED_TOOLS,
            DISABLED_LOGGING,
            PASS_THE_TICKET,
            PERMISSIONS,
        ],
    },
    Tactic {
        id: "TA0006",
        name: "Credential Access",
        techniques: &[GUESSING, SPRAYING, TICKETS, KERBEROASTING, DCSYNC],
    },
    Tactic {
        id: "TA0007",
        name: "Discovery",
        techniques: &[
            SERVICE_DISCOVERY,
            SYSTEM_DISCOVERY,
            CONNECTIONS_DISCOVERY,
            SHARE_DISCOVERY,
            ACCOUNT_DISCOVERY,
        ],
    },
    Tactic {
        id: "TA0008",
        name: "Lateral Movement",
        techniques: &[
            REMOTE_SERVICES,
            technique("T1021.001", "Remote Services: Remote Desktop Protocol"),
            ADMIN_SHARES,
            technique(
                "T1021.003",
                "Remote Services: Distributed Component Object Model",
            ),
            technique("T1021.004", "Remote Services: SSH"),
            technique("T1021.005", "Remote Services: VNC"),
            WINRM,
            TOOL_TRANSFER,
        ],
    },
    Tactic {
        id: "TA0011",
        name: "Command and Control",
        techniques: &[
            APPLICATION_PROTOCOL,
            DNS,
            ENCRYPTED_CHANNEL,
            ODD_PORT,
            TUNNELLING,
            INGRESS,
        ],
    },
    Tactic {
        id: "TA0010",
        name: "Exfiltration",
        techniques: &[OTHER_PROTOCOL, OVER_C2],
    },
    Tactic {
        id: "TA0040",
        name: "Impact",
        techniques: &[FLOOD, REFLECTION, EXHAUSTION],
    },
    Tactic {
        id: "TA0100",
        name: "Collection (ICS)",
        techniques: &[POINT_IDENTIFICATION],
    },
    Tactic {
        id: "TA0106",
        name: "Impair Process Control (ICS)",
        techniques: &[COMMAND_MESSAGE],
    },
];
