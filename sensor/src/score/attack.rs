//! Which techniques of MITRE ATT&CK (Enterprise and ICS, version 15) each kind of incident is evidence of: the one
//! declaration, which sinks and documentation follow.

use super::Kind;

/// A technique of MITRE ATT&CK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// Its id, for example `T1110.001`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
}

const fn technique(id: &'static str, name: &'static str) -> Technique {
    Technique { id, name }
}

const SERVICE_DISCOVERY: Technique = technique("T1046", "Network Service Discovery");
const SCANNING_BLOCKS: Technique = technique("T1595.001", "Active Scanning: Scanning IP Blocks");
const SCANNING: Technique = technique("T1595.002", "Active Scanning: Vulnerability Scanning");
const SYSTEM_DISCOVERY: Technique = technique("T1018", "Remote System Discovery");
const GUESSING: Technique = technique("T1110.001", "Brute Force: Password Guessing");
const SPRAYING: Technique = technique("T1110.003", "Brute Force: Password Spraying");
const FLOOD: Technique = technique(
    "T1498.001",
    "Network Denial of Service: Direct Network Flood",
);
const REFLECTION: Technique = technique(
    "T1498.002",
    "Network Denial of Service: Reflection Amplification",
);
const EXHAUSTION: Technique = technique(
    "T1499.001",
    "Endpoint Denial of Service: OS Exhaustion Flood",
);
const APPLICATION_PROTOCOL: Technique = technique("T1071", "Application Layer Protocol");
const ENCRYPTED_CHANNEL: Technique = technique("T1573", "Encrypted Channel");
const ODD_PORT: Technique = technique("T1571", "Non-Standard Port");
const OTHER_PROTOCOL: Technique = technique("T1048", "Exfiltration Over Alternative Protocol");
const OVER_C2: Technique = technique("T1041", "Exfiltration Over C2 Channel");
const REMOTE_SERVICES: Technique = technique("T1021", "Remote Services");
const TOOL_TRANSFER: Technique = technique("T1570", "Lateral Tool Transfer");
const INGRESS: Technique = technique("T1105", "Ingress Tool Transfer");
const DNS: Technique = technique("T1071.004", "Application Layer Protocol: DNS");
const TUNNELLING: Technique = technique("T1572", "Protocol Tunneling");
const COMMAND_MESSAGE: Technique = technique("T0855", "Unauthorized Command Message (ICS)");
const POINT_IDENTIFICATION: Technique = technique("T0861", "Point & Tag Identification (ICS)");

impl Kind {
    /// What it is evidence of; most telling first. Empty for an unusual flow: rarity alone names no technique.
    pub const fn techniques(self) -> &'static [Technique] {
        match self {
            Self::Flood => &[FLOOD, EXHAUSTION],
            Self::Amplification => &[REFLECTION],
            Self::PortScanVertical => &[SERVICE_DISCOVERY, SCANNING],
            Self::PortScanHorizontal => &[SERVICE_DISCOVERY, SCANNING_BLOCKS],
            Self::HostSweep => &[SYSTEM_DISCOVERY, SCANNING_BLOCKS],
            Self::ServiceProbing => &[SERVICE_DISCOVERY, SCANNING],
            Self::PasswordGuessing => &[GUESSING],
            Self::PasswordSpraying => &[SPRAYING],
            Self::LateralMovement => &[REMOTE_SERVICES, TOOL_TRANSFER],
            Self::IndustrialMisuse => &[COMMAND_MESSAGE, POINT_IDENTIFICATION],
            Self::Exfiltration => &[OTHER_PROTOCOL, OVER_C2],
            Self::DnsTunnel => &[DNS, TUNNELLING, OTHER_PROTOCOL],
            Self::Download => &[INGRESS, ODD_PORT],
            Self::Beaconing => &[APPLICATION_PROTOCOL, ENCRYPTED_CHANNEL, ODD_PORT],
            Self::UnusualFlow => &[],
        }
    }
}

/// The more precise technique of a remote service by its port (T1021 and its parts).
pub const fn remote_service(port: u16) -> Option<Technique> {
    Some(match port {
        3389 => technique("T1021.001", "Remote Services: Remote Desktop Protocol"),
        139 | 445 => technique("T1021.002", "Remote Services: SMB/Windows Admin Shares"),
        135 => technique(
            "T1021.003",
            "Remote Services: Distributed Component Object Model",
        ),
        22 => technique("T1021.004", "Remote Services: SSH"),
        5900..=5903 => technique("T1021.005", "Remote Services: VNC"),
        5985 | 5986 => technique("T1021.006", "Remote Services: Windows Remote Management"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_the_unusual_names_techniques_once_and_in_form() {
        for kind in Kind::ALL {
            let techniques = kind.techniques();
            assert_eq!(techniques.is_empty(), kind == Kind::UnusualFlow, "{kind}");
            for (at, found) in techniques.iter().enumerate() {
                let digits = found.id.strip_prefix('T').expect("an id begins with T");
                let (technique, part) = digits.split_once('.').unwrap_or((digits, "000"));
                assert!(technique.len() == 4 && part.len() == 3, "{}", found.id);
                assert!(
                    digits
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b'.'),
                    "{}",
                    found.id
                );
                assert!(
                    !techniques[..at].contains(found),
                    "{kind}: {} twice",
                    found.id
                );
            }
        }
    }
}
