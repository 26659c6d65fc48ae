//! Fields out of an event's message, for exports that carry nothing else.
//!
//! ```text
//! Account For Which Logon Failed:
//!     Account Name:       anna
//! Network Information:
//!     Source Network Address: 10.0.0.7
//! ```
//! The words are those of English Windows; a message in another language gives an event without data.

use super::{Event, Field};

/// Field of a name within a section; where the section does not matter it is empty.
const NAMES: &[(&str, &str, Field)] = &[
    ("Subject", "Account Name", Field::SubjectUser),
    ("Subject", "Account Domain", Field::SubjectDomain),
    ("Subject", "Logon ID", Field::SubjectLogon),
    ("New Logon", "Account Name", Field::TargetUser),
    ("New Logon", "Account Domain", Field::TargetDomain),
    ("New Logon", "Logon ID", Field::TargetLogon),
    (
        "Account For Which Logon Failed",
        "Account Name",
        Field::TargetUser,
    ),
    (
        "Account For Which Logon Failed",
        "Account Domain",
        Field::TargetDomain,
    ),
    (
        "Account Whose Credentials Were Used",
        "Account Name",
        Field::TargetUser,
    ),
    ("Account Information", "Account Name", Field::TargetUser),
    ("", "Logon Account", Field::TargetUser),
    ("", "Logon Type", Field::LogonType),
    ("", "Authentication Package", Field::Authentication),
    ("", "Source Network Address", Field::Address),
    ("", "Client Address", Field::Address),
    (
        "Network Information",
        "Source Address",
        Field::SourceAddress,
    ),
    ("Network Information", "Source Port", Field::SourcePort),
    ("", "Destination Address", Field::DestinationAddress),
    ("", "Destination Port", Field::DestinationPort),
    ("", "Workstation Name", Field::Workstation),
    ("", "Source Workstation", Field::Workstation),
    ("", "Status", Field::Status),
    ("", "Result Code", Field::Status),
    ("", "Error Code", Field::Status),
    ("", "New Process Name", Field::Process),
    ("", "Creator Process Name", Field::Parent),
    ("", "Process Command Line", Field::CommandLine),
    ("", "Caller Process Name", Field::Caller),
    ("", "Service Name", Field::ServiceName),
    ("", "Service File Name", Field::ServiceFile),
    ("", "Share Name", Field::Share),
    ("", "Relative Target Name", Field::ShareTarget),
    ("", "Application Name", Field::Application),
    ("", "Direction", Field::Direction),
    ("", "Protocol", Field::Protocol),
];

/// Puts what a message says into the event.
pub(super) fn read(message: &str, event: &mut Event) {
    let mut section = "";
    for line in message.lines() {
        let indented = line.starts_with(['\t', ' ']);
        let Some((name, text)) = line.trim().split_once(':') else {
            continue;
        };
        let text = text.trim();
        if !indented && text.is_empty() {
            section = name;
        }
        let field = NAMES
            .iter()
            .find(|(of, wanted, _)| *wanted == name && (of.is_empty() || *of == section));
        if let Some((_, _, field)) = field {
            event.put(*field, text);
        }
        // 4624 and 4625 name the address's port like that of 5156.
        if event.get(Field::Address).is_some() && name == "Source Port" {
            event.put(Field::Port, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_tell_who_is_who() {
        let message = "An account failed to log on.\r\n\r\nSubject:\r\n\tSecurity ID:\t\tS-1-0-0\r\n\tAccount Name:\t\t-\r\n\r\n\
             Logon Type:\t\t\t3\r\n\r\nAccount For Which Logon Failed:\r\n\tAccount Name:\t\tanna\r\n\r\nNetwork Information:\r\n\
             \tWorkstation Name:\tKALI\r\n\tSource Network Address:\t10.0.0.7\r\n\tSource Port:\t\t50000\r\n";
        let mut event = Event::new(None, 4625, "pc", true);
        read(message, &mut event);
        assert_eq!(event.get(Field::TargetUser), Some("anna"));
        assert_eq!(event.get(Field::SubjectUser), None);
        assert_eq!(event.number(Field::LogonType), Some(3));
        assert_eq!(event.origin().as_deref(), Some("10.0.0.7"));
        assert_eq!(event.number(Field::Port), Some(50_000));
    }
}
