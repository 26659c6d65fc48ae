//! Which techniques of MITRE ATT&CK each kind of incident is evidence of: the one declaration, which sinks and
//! documentation follow.

use super::Kind;
use crate::attack::{
    APPLICATION_PROTOCOL, COMMAND_MESSAGE, DNS, ENCRYPTED_CHANNEL, EXHAUSTION, FLOOD, GUESSING,
    INGRESS, ODD_PORT, OTHER_PROTOCOL, OVER_C2, POINT_IDENTIFICATION, REFLECTION, REMOTE_SERVICES,
    SCANNING, SCANNING_BLOCKS, SERVICE_DISCOVERY, SPRAYING, SYSTEM_DISCOVERY, TOOL_TRANSFER,
    TUNNELLING, Technique,
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_the_unusual_names_techniques_once_and_in_form() {
        for kind in Kind::ALL {
            let techniques = kind.techniques();
            assert_eq!(techniques.is_empty(), kind == Kind::UnusualFlow, "{kind}");
            for (at, found) in techniques.iter().enumerate() {
                assert!(found.is_well_formed(), "{}", found.id);
                assert!(
                    !techniques[..at].contains(found),
                    "{kind}: {} twice",
                    found.id
                );
            }
        }
    }
}
